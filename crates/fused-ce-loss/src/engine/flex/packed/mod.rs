//! Products on processors with AVX-512: of f32 matrices, with packed blocks of a known, small size, and of bf16
//! matrices with sums in f32 (AVX-512 BF16), at twice the rate and without a copy of the inputs in f32.
//!
//! As in "Anatomy of High-Performance Matrix Multiplication" (Goto, van de Geijn 2008): both factors are packed, a block of
//! each at a time, into panels that the inner loop reads front to back; it keeps 8 × 48 sums in registers. What is packed
//! are words of 32 bits: an f32, or two bf16 that follow each other along the summed axis, as the instruction takes them.
#![allow(unsafe_code)]

mod micro;
mod pack;

use super::matrix::{Matrix, MatrixMut};
use core::cell::RefCell;
use half::bf16;
use micro::{HEIGHT, WIDTH};
use std::sync::LazyLock;

/// Words of the summed axis per block: a panel of 48 lines takes 48 KB, and streams from the second-level cache.
const DEPTH: usize = 256;
/// Lines of the right factor per block: with [`DEPTH`] words 540 KB, half of the second-level cache.
const RIGHT: usize = 11 * WIDTH;
/// Lines of the left factor per block.
const LEFT: usize = 16 * HEIGHT;

/// An element type of the factors.
pub(super) trait Element: Copy {
    /// Elements of a word.
    const PER_WORD: usize;

    /// Whether [`multiply`] may be called.
    fn available() -> bool;
}

static AVX512: LazyLock<bool> = LazyLock::new(|| {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
});
static AVX512_BF16: LazyLock<bool> =
    LazyLock::new(|| *AVX512 && std::arch::is_x86_feature_detected!("avx512bf16"));

impl Element for f32 {
    const PER_WORD: usize = 1;

    fn available() -> bool {
        *AVX512
    }
}

impl Element for bf16 {
    const PER_WORD: usize = 2;

    fn available() -> bool {
        *AVX512_BF16
    }
}

thread_local! {
    /// Packed blocks of both factors, 0.7 MB.
    static PACKED: RefCell<[Vec<u32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Elements of a factor, as lines along the summed axis.
#[derive(Clone, Copy)]
struct Lines<T> {
    start: *const T,
    /// From one line to the next.
    across: isize,
    /// From one element of a line to the next.
    along: isize,
}

impl<T: Element> Lines<T> {
    /// Packs elements `from..from + depth` of `count` lines from `line` into panels of `N` lines: `[panel][word][line]`.
    ///
    /// # Safety
    /// The elements exist, the processor is [available](Element::available), and `out` has room for whole panels.
    unsafe fn pack<const N: usize>(
        self,
        [line, count]: [usize; 2],
        [from, depth]: [usize; 2],
        out: &mut [u32],
    ) {
        assert!(out.len() >= count.next_multiple_of(N.max(16)) * depth.div_ceil(T::PER_WORD));
        // SAFETY: promised.
        unsafe {
            let start = self
                .start
                .offset(line as isize * self.across + from as isize * self.along);
            if self.along == 1 {
                pack::from_lines::<T, N>(start, self.across, count, depth, out.as_mut_ptr());
            } else {
                pack::from_columns::<T, N>(
                    start,
                    [self.across, self.along],
                    count,
                    depth,
                    out.as_mut_ptr(),
                );
            }
        }
    }
}

/// `out = a · b`, or `out += a · b` where `accumulate`; otherwise `out` may start uninitialised.
///
/// # Panics
/// If the shapes disagree, the rows or columns of `out` are not contiguous, or the processor is not [available](Element::available).
pub(super) fn multiply<T: Element>(
    out: &mut MatrixMut<'_, f32>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    accumulate: bool,
) {
    assert!(T::available());
    let ([m, k], [k_too, n]) = (a.shape(), b.shape());
    assert_eq!((out.shape(), k_too), ([m, n], k));
    let (a, b) = (a.raw(), b.raw());
    let left = Lines {
        start: a.0,
        across: a.1.0,
        along: a.1.1,
    };
    let right = Lines {
        start: b.0,
        across: b.1.1,
        along: b.1.0,
    };
    let (start, strides) = out.raw();
    // The transposed product where the columns of `out` are contiguous.
    let (left, right, m, n, stride) = match strides {
        (stride, 1) => (left, right, m, n, stride),
        (1, stride) => (right, left, n, m, stride),
        strides => panic!("a product with strides {strides:?}"),
    };
    if k == 0 {
        assert!(accumulate || m * n == 0, "an empty sum");
        return;
    }
    PACKED.with_borrow_mut(|[packed_left, packed_right]| {
        let passes = k.div_ceil(T::PER_WORD * DEPTH);
        // Even, so that no word is cut.
        let depth = k.div_ceil(passes).next_multiple_of(2);
        packed_left.resize(LEFT * DEPTH, 0);
        packed_right.resize(RIGHT * DEPTH, 0);
        for j in (0..n).step_by(RIGHT) {
            let columns = RIGHT.min(n - j);
            for from in (0..k).step_by(depth) {
                let depth = depth.min(k - from);
                let words = depth.div_ceil(T::PER_WORD);
                // SAFETY: within the factors, whose bounds were checked when the views were made.
                unsafe { right.pack::<WIDTH>([j, columns], [from, depth], packed_right) };
                for i in (0..m).step_by(LEFT) {
                    let rows = LEFT.min(m - i);
                    // SAFETY: as above.
                    unsafe { left.pack::<HEIGHT>([i, rows], [from, depth], packed_left) };
                    for c in (0..columns).step_by(WIDTH) {
                        let y = &packed_right[c * words..][..WIDTH * words];
                        for r in (0..rows).step_by(HEIGHT) {
                            let x = &packed_left[r * words..][..HEIGHT * words];
                            let at = (i + r) as isize * stride + (j + c) as isize;
                            let sum = accumulate || from > 0;
                            // SAFETY: within `out`, of which the rest is left alone; the processor is available.
                            unsafe {
                                let out = start.offset(at);
                                let size = [rows - r, columns - c];
                                match T::PER_WORD {
                                    1 => micro::multiply_f32(x, y, out, stride, size, sum),
                                    _ => micro::multiply_bf16(x, y, out, stride, size, sum),
                                }
                            }
                        }
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every layout of the factors and of the result, with sizes that end blocks, panels and words early.
    fn check<T: Element>(round: impl Fn(f32) -> T, widen: impl Fn(T) -> f64) {
        if !T::available() {
            eprintln!("skipped: the processor lacks the instructions");
            return;
        }
        let value = |i: usize| round(((i * 7919) % 101) as f32 * 0.01 - 0.5);
        for [m, n, k] in [
            [1, 1, 1],
            [17, 51, 33],
            [40, 100, 300],
            [130, 531, 520],
            [9, 600, 1031],
        ] {
            let (a, b) = (
                (0..m * k).map(value).collect::<Vec<_>>(),
                (0..k * n).map(|i| value(i + 3)).collect::<Vec<_>>(),
            );
            for layout in 0..8 {
                let strides = |bit: u32, rows: usize, columns: usize| {
                    if layout >> bit & 1 == 0 {
                        (columns as isize, 1)
                    } else {
                        (1, rows as isize)
                    }
                };
                let (sa, sb, so) = (strides(0, m, k), strides(1, k, n), strides(2, m, n));
                let mut out = vec![f32::NAN; m * n];
                for accumulate in [false, true] {
                    let mut view = MatrixMut::new(&mut out, m, n, so);
                    multiply(
                        &mut view,
                        Matrix::new(&a, m, k, sa),
                        Matrix::new(&b, k, n, sb),
                        accumulate,
                    );
                }
                let at = |x: &[T], s: (isize, isize), i: usize, j: usize| {
                    widen(x[i * s.0 as usize + j * s.1 as usize])
                };
                for i in 0..m {
                    for j in 0..n {
                        let terms = (0..k).map(|l| at(&a, sa, i, l) * at(&b, sb, l, j));
                        let (want, size) = terms.fold((0.0, 0.0), |(s, a), x| (s + x, a + x.abs()));
                        let got = f64::from(out[i * so.0 as usize + j * so.1 as usize]);
                        assert!(
                            (got - 2.0 * want).abs() <= 4e-6 * size,
                            "{m} {n} {k} {layout}: {got} {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn products_match_sums_in_f64() {
        check(|x| x, f64::from);
        check(bf16::from_f32, bf16::to_f64);
    }
}
