//! The inner loop.

use core::arch::x86_64::*;

/// Rows of a tile of sums.
pub(super) const HEIGHT: usize = 8;
/// Columns of a tile of sums: three vectors, and 24 of the 32 registers for the sums.
pub(super) const WIDTH: usize = 48;

/// `out (+)= Σ_word x[word]ᵀ y[word]` over packed panels, of which `[rows, columns]` exist in `out`.
///
/// # Safety
/// `out` holds those rows, `stride` apart; the features exist.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn multiply(
    x: &[u32],
    y: &[u32],
    out: *mut f32,
    stride: isize,
    [rows, columns]: [usize; 2],
    accumulate: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); 3]; HEIGHT];
    let (x, y) = (x.as_chunks::<HEIGHT>().0, y.as_chunks::<WIDTH>().0);
    for (x, y) in x.iter().zip(y) {
        // SAFETY: three vectors of sixteen words; any bits are bf16 pairs.
        let y: [__m512bh; 3] = unsafe {
            let at = y.as_ptr();
            [0, 16, 32].map(|i| core::mem::transmute(_mm512_loadu_si512(at.add(i).cast())))
        };
        // Unrolled by hand: the sums stay in registers only if every index is known.
        macro_rules! row {
            ($($i:literal)*) => {$(
                // SAFETY: as above.
                let pair: __m512bh = unsafe { core::mem::transmute(_mm512_set1_epi32(x[$i] as i32)) };
                sums[$i][0] = _mm512_dpbf16_ps(sums[$i][0], pair, y[0]);
                sums[$i][1] = _mm512_dpbf16_ps(sums[$i][1], pair, y[1]);
                sums[$i][2] = _mm512_dpbf16_ps(sums[$i][2], pair, y[2]);
            )*};
        }
        row!(0 1 2 3 4 5 6 7);
    }
    for (i, sums) in sums.into_iter().enumerate() {
        if i >= rows {
            break;
        }
        for (j, sum) in sums.into_iter().enumerate() {
            let left = columns.saturating_sub(16 * j);
            let mask = if left >= 16 {
                u16::MAX
            } else {
                (1 << left) - 1
            };
            // SAFETY: masked to what exists.
            unsafe {
                let at = out.offset(i as isize * stride).add(16 * j);
                let before = if accumulate {
                    _mm512_maskz_loadu_ps(mask, at)
                } else {
                    _mm512_setzero_ps()
                };
                _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(before, sum));
            }
        }
    }
}
