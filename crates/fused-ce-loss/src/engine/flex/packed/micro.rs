//! The inner loop.

use core::arch::x86_64::*;

/// Rows of a tile of sums.
pub(super) const HEIGHT: usize = 8;
/// Columns of a tile of sums: three vectors, and 24 of the 32 registers for the sums.
pub(super) const WIDTH: usize = 48;

/// `sums += x y` for one row of a tile.
macro_rules! step_row {
    ($step:expr, $sums:expr, $x:expr, $y:expr) => {
        let word = _mm512_set1_ps(f32::from_bits($x));
        $sums[0] = $step($sums[0], word, $y[0]);
        $sums[1] = $step($sums[1], word, $y[1]);
        $sums[2] = $step($sums[2], word, $y[2]);
    };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_f32(sum: __m512, x: __m512, y: __m512) -> __m512 {
    _mm512_fmadd_ps(x, y, sum)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_bf16(sum: __m512, x: __m512, y: __m512) -> __m512 {
    // SAFETY: any bits are pairs of bf16.
    let [x, y] = [x, y].map(|v| unsafe { core::mem::transmute::<__m512, __m512bh>(v) });
    _mm512_dpbf16_ps(sum, x, y)
}

macro_rules! inner_loop {
    ($name:ident, $features:literal, $step:expr) => {
        /// `out (+)= Σ_word x[word]ᵀ y[word]` over packed panels, of which `[rows, columns]` exist in `out`.
        ///
        /// # Safety
        /// `out` holds those rows, `stride` apart; the features exist.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(
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
                // SAFETY: three vectors of sixteen words.
                let y = unsafe {
                    let at = y.as_ptr();
                    [0, 16, 32].map(|i| _mm512_loadu_ps(at.add(i).cast()))
                };
                // Unrolled by hand: the sums stay in registers only if every index is known.
                step_row!($step, sums[0], x[0], y);
                step_row!($step, sums[1], x[1], y);
                step_row!($step, sums[2], x[2], y);
                step_row!($step, sums[3], x[3], y);
                step_row!($step, sums[4], x[4], y);
                step_row!($step, sums[5], x[5], y);
                step_row!($step, sums[6], x[6], y);
                step_row!($step, sums[7], x[7], y);
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
    };
}

inner_loop!(multiply_f32, "avx512f", add_f32);
inner_loop!(multiply_bf16, "avx512f,avx512bf16", add_bf16);
