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
    [m, n, k]: [usize; 3],
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: T,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(out.len() >= m * n, "product: the result is too short");
    if k == 0 {
        if !accumulate {
            out[..m * n].fill(T::ZERO);
        }
        return;
    }
    assert!(a.holds(m, k), "product: the left factor is too short");
    assert!(b.holds(k, n), "product: the right factor is too short");
    // SAFETY: in bounds by the assertions above; `out` is exclusive.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
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
