//! Tables of radial functions.

use super::column;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::dual::{Dual, Value};

/// Why a [`SplineTable`] cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SplineError {
    /// Fewer than two knots, or an interval that is none.
    #[error(
        "spline table: {knots} knots on [{start}, {end}], expected at least 2 on a finite interval"
    )]
    Grid {
        /// Number of knots.
        knots: usize,
        /// First knot.
        start: f64,
        /// Last knot.
        end: f64,
    },
    /// The function is infinite or NaN at a knot.
    #[error("spline table: the function is not finite at knot {knot}")]
    NotFinite {
        /// Number of the knot.
        knot: usize,
    },
}

/// Cubic splines through a function with several outputs, on even knots: what replaces a radial network at
/// inference.
///
/// Twice continuously differentiable; the slopes at both ends are those of the function (by its tangent), so that the
/// error is of order `h⁴` everywhere, that of the derivative of order `h³`. Evaluation and its derivatives are
/// exact for the spline: forces are the gradient of the energy to rounding. Beyond the ends the distance is
/// taken as that of the end and the derivative is 0.
#[derive(Debug, Clone)]
pub struct SplineTable {
    /// `[knots − 1, 4 · outputs]`: coefficients of `t⁰ … t³`, `t` in `[0, 1)` from knot to knot.
    coefficients: Tensor<2>,
    start: f64,
    step: f64,
    knots: usize,
    outputs: usize,
}

impl SplineTable {
    /// From a function from distances `[knots, 1]` to `[knots, outputs]`, evaluated once in the given dtype.
    ///
    /// # Errors
    /// If the grid is none, or the function is not finite on it.
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{DType, Device, Tensor};
    /// use e3nn_tensorprod::radial::{SplineTable, cosine_cutoff};
    ///
    /// let device = Device::flex();
    /// let table = SplineTable::new(|r| cosine_cutoff(r, 5.0), 0.0, 5.0, 64, &device, DType::F64).unwrap();
    /// let r = Tensor::<2>::from_data([[1.234]], (&device, DType::F64));
    /// let error = (table.forward(r.clone()) - cosine_cutoff(r, 5.0)).abs().into_scalar::<f64>();
    /// assert!(error < 1e-7);
    /// ```
    pub fn new(
        f: impl FnOnce(Dual<2>) -> Dual<2>,
        start: f64,
        end: f64,
        knots: usize,
        device: &Device,
        dtype: DType,
    ) -> Result<Self, SplineError> {
        let length = end - start;
        if knots < 2 || !length.is_finite() || length <= 0.0 {
            return Err(SplineError::Grid { knots, start, end });
        }
        let step = length / (knots - 1) as f64;
        let data = TensorData::new(super::linspace(start, end, knots), [knots, 1]);
        let r = Tensor::<2>::from_data(data, (device, dtype));
        let y = f(Dual::new(r.clone(), r.ones_like()));
        let [_, outputs] = y.dims();
        let host = |x: Tensor<2>| -> Vec<f64> { x.into_data().iter::<f64>().collect() };
        let (values, slopes) = (host(y.value.clone()), host(y.tangent_or_zeros()));
        let ends = [&slopes[..outputs], &slopes[(knots - 1) * outputs..]].concat();
        if let Some(at) = values.iter().position(|y| !y.is_finite()) {
            return Err(SplineError::NotFinite { knot: at / outputs });
        }
        if let Some(at) = ends.iter().position(|y| !y.is_finite()) {
            let knot = if at < outputs { 0 } else { knots - 1 };
            return Err(SplineError::NotFinite { knot });
        }
        let coefficients = coefficients(&values, &ends, knots, outputs, step);
        let data = TensorData::new(coefficients, [knots - 1, 4 * outputs]);
        Ok(Self {
            coefficients: Tensor::from_data(data, (device, dtype)),
            start,
            step,
            knots,
            outputs,
        })
    }

    /// From distances `[N, 1]` to `[N, outputs]`.
    ///
    /// # Panics
    /// If `r` is not `[N, 1]`.
    pub fn forward<V: Value<2>>(&self, r: V) -> V {
        let r: Dual<2> = r.into();
        let n = column("SplineTable", &r);
        let last = (self.knots - 1) as f64;
        let x = ((r - self.start) / self.step).clamp(0.0, last);
        let place = x.value.clone().detach().floor().clamp(0.0, last - 1.0);
        let index: Tensor<1, Int> = place.clone().int().reshape([n]);
        let rows = self.coefficients.clone().select(0, index);
        let part = |k: usize| rows.clone().narrow(1, k * self.outputs, self.outputs);
        let t = super::spread(x - place, self.outputs);
        let out = t.clone() * part(3) + part(2);
        let out = out * t.clone() + part(1);
        V::from_dual(out * t + part(0))
    }
}

/// Coefficients of every piece, from values at the knots and slopes at the ends: the second derivatives
/// solve a tridiagonal system (Thomas's algorithm, stable as the system is diagonally dominant).
fn coefficients(values: &[f64], ends: &[f64], knots: usize, outputs: usize, step: f64) -> Vec<f64> {
    let mut out = vec![0.0; (knots - 1) * 4 * outputs];
    for j in 0..outputs {
        let y = |i: usize| values[i * outputs + j];
        // m_i = h² y''_i: m_{i−1} + 4 m_i + m_{i+1} = 6 (y_{i−1} − 2 y_i + y_{i+1}), and at the ends
        // 2 m_0 + m_1 = 6 (y_1 − y_0 − h y'_0).
        let right = |i: usize| {
            if i == 0 {
                6.0 * (y(1) - y(0) - step * ends[j])
            } else if i == knots - 1 {
                6.0 * (step * ends[outputs + j] - y(i) + y(i - 1))
            } else {
                6.0 * (y(i - 1) - 2.0 * y(i) + y(i + 1))
            }
        };
        let (mut upper, mut m) = (vec![0.0; knots], vec![0.0; knots]);
        for i in 0..knots {
            let diagonal = if i == 0 || i == knots - 1 { 2.0 } else { 4.0 };
            let (before, above) = if i == 0 {
                (0.0, 0.0)
            } else {
                (m[i - 1], upper[i - 1])
            };
            let pivot = diagonal - above;
            upper[i] = 1.0 / pivot;
            m[i] = (right(i) - before) / pivot;
        }
        for i in (0..knots - 1).rev() {
            m[i] -= upper[i] * m[i + 1];
        }
        for i in 0..knots - 1 {
            let piece = [
                y(i),
                y(i + 1) - y(i) - (2.0 * m[i] + m[i + 1]) / 6.0,
                m[i] / 2.0,
                (m[i + 1] - m[i]) / 6.0,
            ];
            for (k, c) in piece.into_iter().enumerate() {
                out[(i * 4 + k) * outputs + j] = c;
            }
        }
    }
    out
}
