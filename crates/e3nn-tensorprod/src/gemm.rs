//! Matrix products of slices.

use core_tensor::cpu::Real;

/// A matrix: element `(r, c)` is `values[r · strides[0] + c · strides[1]]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) values: &'a [T],
    pub(crate) strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `columns` values, one after the other.
    pub(crate) fn rows(values: &'a [T], columns: usize) -> Self {
        Self {
            values,
            strides: [columns, 1],
        }
    }

    /// The transposed matrix.
    pub(crate) fn transposed(self) -> Self {
        let [down, across] = self.strides;
        Self {
            strides: [across, down],
            ..self
        }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.strides[0] + (columns - 1) * self.strides[1] < self.values.len()
    }
}

/// `out = scale · a · b`, or `out += scale · a · b`, of `[m, k] · [k, n]`; `out` is row-major. On one thread, summed in an
/// order that depends on the sizes alone.
///
/// # Panics
/// If a matrix ends outside its values.
#[allow(unsafe_code)]
pub(crate) fn product<T: Real>(
    sizes: [usize; 3],
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: T,
    accumulate: bool,
) {
    let [m, n, _] = sizes;
    assert!(out.len() >= m * n, "product: the result is too short");
    // SAFETY: `out` holds the result, as checked, and is exclusive.
    unsafe { product_at(sizes, (out.as_mut_ptr(), n), a, b, scale, accumulate) }
}

/// As [`product`], the rows of the result `stride` apart from the place on.
///
/// # Panics
/// If a factor ends outside its values.
///
/// # Safety
/// The result lies in memory that is valid and that nobody else reads or writes meanwhile.
#[allow(unsafe_code)]
pub(crate) unsafe fn product_at<T: Real>(
    [m, n, k]: [usize; 3],
    (out, stride): (*mut T, usize),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: T,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            for row in 0..m {
                // SAFETY: a row of the result, by the caller's promise.
                unsafe { core::slice::from_raw_parts_mut(out.add(row * stride), n) }.fill(T::ZERO);
            }
        }
        return;
    }
    assert!(a.holds(m, k), "product: the left factor is too short");
    assert!(b.holds(k, n), "product: the right factor is too short");
    // SAFETY: factors in bounds by the assertions above, the result by the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            accumulate,
            a.values.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.values.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            T::ONE,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, product};

    #[test]
    fn strides_scale_and_sums() {
        let values: Vec<f64> = (0..60).map(f64::from).collect();
        let [m, n, k] = [3, 2, 4];
        for (a_strides, b_strides) in [([4, 1], [2, 1]), ([1, 3], [1, 4]), ([9, 2], [7, 3])] {
            let [a, b] = [a_strides, b_strides].map(|strides| Matrix {
                values: &values,
                strides,
            });
            let at = |x: &Matrix<'_, f64>, r: usize, c: usize| {
                x.values[r * x.strides[0] + c * x.strides[1]]
            };
            let mut out = vec![f64::NAN; m * n + 1];
            product([m, n, k], &mut out, a, b, 0.5, false);
            product([m, n, k], &mut out, a, b, 2.0, true);
            for r in 0..m {
                for c in 0..n {
                    let want: f64 = (0..k).map(|i| at(&a, r, i) * at(&b, i, c)).sum();
                    assert_eq!(out[r * n + c], 2.5 * want);
                }
            }
            assert!(out[m * n].is_nan());
        }
    }

    #[test]
    fn nothing_to_sum_is_zero() {
        let none = Matrix::rows(&[], 0);
        let mut out = [1.0_f32; 4];
        product([2, 2, 0], &mut out, none, none, 1.0, true);
        assert_eq!(out, [1.0; 4]);
        product([2, 2, 0], &mut out, none, none, 1.0, false);
        assert_eq!(out, [0.0; 4]);
        product([0, 2, 2], &mut [], none, none, 1.0, false);
    }

    #[test]
    #[should_panic(expected = "the right factor is too short")]
    fn short_factors_are_refused() {
        let x = [1.0_f32; 6];
        let (a, b) = (Matrix::rows(&x, 3), Matrix::rows(&x[1..], 2));
        product([2, 2, 3], &mut [0.0; 4], a, b, 1.0, false);
    }
}
