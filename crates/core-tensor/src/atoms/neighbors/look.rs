//! The first look: which images in some runs are near an atom, in f32.

use super::grid::LANES;
use core::ops::Range;

/// Coordinates of images by slot, padded by [`LANES`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Coordinates<'a> {
    pub(super) x: &'a [f32],
    pub(super) y: &'a [f32],
    pub(super) z: &'a [f32],
}

/// Squared distances from which on an image is no neighbour, and below which it is one. Between them lies doubt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) possible: f32,
    pub(super) certain: f32,
}

/// Whether this processor has what [`wide`] needs.
pub(super) fn has_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Writes the slots in `runs` that are near `slot`, without itself, to the start of `near`, in the order of the
/// runs; their number. `settle(first, lanes)` says which of the doubtful lanes, counted from slot `first`, are no neighbours.
///
/// # Panics
/// If `near` is shorter than all runs and [`LANES`].
#[inline(always)]
pub(super) fn portable(
    from: Coordinates<'_>,
    slot: usize,
    runs: &[Range<usize>],
    bounds: Bounds,
    near: &mut [u32],
    settle: impl Fn(usize, u32) -> u32,
) -> usize {
    let (x, y, z) = (from.x[slot], from.y[slot], from.z[slot]);
    let mut len = 0;
    for run in runs {
        let mut at = run.start;
        while at < run.end {
            let [xs, ys, zs] =
                [from.x, from.y, from.z].map(|v| v[at..].first_chunk::<LANES>().expect("padded"));
            let squares = core::array::from_fn(|k| {
                let (dx, dy, dz) = (xs[k] - x, ys[k] - y, zs[k] - z);
                dx * dx + dy * dy + dz * dz
            });
            let mut left = less(&squares, bounds.possible) & wanted(slot, at, run.end);
            let doubtful = left & !less(&squares, bounds.certain);
            if doubtful != 0 {
                left &= !settle(at, doubtful);
            }
            let passed = left.count_ones() as usize;
            let room = near[len..].first_chunk_mut::<LANES>().expect("room");
            // Four at a time, for a branch per neighbour is mispredicted; what is too much is overwritten.
            for four in room.as_chunks_mut::<4>().0 {
                if left == 0 {
                    break;
                }
                for place in four {
                    *place = at as u32 + left.trailing_zeros();
                    left &= left.wrapping_sub(1);
                }
            }
            len += passed;
            at += LANES;
        }
    }
    len
}

/// [`portable`] in AVX-512, which writes the lanes that pass one after another in a single instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub(super) fn wide(
    from: Coordinates<'_>,
    slot: usize,
    runs: &[Range<usize>],
    bounds: Bounds,
    near: &mut [u32],
    settle: impl Fn(usize, u32) -> u32,
) -> usize {
    use core::arch::x86_64::*;
    let load = |v: &[f32; LANES]| {
        // SAFETY: as many values are read as the array has.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_loadu_ps(v.as_ptr())
        }
    };
    let [x, y, z] = [from.x, from.y, from.z].map(|v| _mm512_set1_ps(v[slot]));
    let (possible, certain) = (
        _mm512_set1_ps(bounds.possible),
        _mm512_set1_ps(bounds.certain),
    );
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut len = 0;
    for run in runs {
        let mut at = run.start;
        while at < run.end {
            let [xs, ys, zs] = [from.x, from.y, from.z]
                .map(|v| load(v[at..].first_chunk::<LANES>().expect("padded")));
            let (dx, dy, dz) = (
                _mm512_sub_ps(xs, x),
                _mm512_sub_ps(ys, y),
                _mm512_sub_ps(zs, z),
            );
            let squares = _mm512_fmadd_ps(dz, dz, _mm512_fmadd_ps(dy, dy, _mm512_mul_ps(dx, dx)));
            let less = |than| u32::from(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(squares, than));
            let mut left = less(possible) & wanted(slot, at, run.end);
            let doubtful = left & !less(certain);
            if doubtful != 0 {
                left &= !settle(at, doubtful);
            }
            let slots = _mm512_add_epi32(_mm512_set1_epi32(at as i32), lanes);
            let packed = _mm512_maskz_compress_epi32(left as u16, slots);
            let room = near[len..].first_chunk_mut::<LANES>().expect("room");
            // SAFETY: as many values are written as the array has.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_storeu_si512(room.as_mut_ptr().cast(), packed);
            }
            len += left.count_ones() as usize;
            at += LANES;
        }
    }
    len
}

/// Lanes from slot `at` that belong to a run that ends at `end`, without `slot` itself.
#[inline(always)]
fn wanted(slot: usize, at: usize, end: usize) -> u32 {
    let run = (1_u32 << LANES.min(end - at)) - 1;
    let own = slot.wrapping_sub(at);
    if own < LANES { run & !(1 << own) } else { run }
}

/// A bit per lane: whether it is less.
#[inline(always)]
fn less(squares: &[f32; LANES], than: f32) -> u32 {
    let bits: [u32; LANES] = core::array::from_fn(|k| if squares[k] < than { 1 << k } else { 0 });
    bits.iter().fold(0, |all, bit| all | bit)
}
