//! Weights as cubic splines of the distance: [`RadialTable`].

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::dual::Dual;

/// Weights of edges as functions of their length, tabulated: values and slopes at equidistant knots, with cubic Hermite
/// polynomials between them. The interpolation has continuous slopes and an error of `h⁴ max|w⁗| / 384` for a spacing `h`.
/// Beyond the first and last knot weights are constant.
///
/// A radial network evaluated once per knot, instead of once per edge and step: what inference needs. A table is a constant
/// and has no gradient; distances have.
#[derive(Debug, Clone)]
pub struct RadialTable {
    /// `[2 · knots, weights]`: value and slope of every knot in turn.
    pub(crate) rows: Tensor<2>,
    pub(crate) knots: Knots,
}

/// Where the knots of a table lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Knots {
    pub(crate) start: f64,
    pub(crate) spacing: f64,
    pub(crate) count: usize,
}

impl Knots {
    /// The interval of a distance, from 0, and the place in it, from 0 to 1; whether the distance lies inside the table.
    #[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "of the CPU kernel"))]
    pub(crate) fn locate(self, r: f64) -> (usize, f64, bool) {
        let t = (r - self.start) / self.spacing;
        let last = (self.count - 1) as f64;
        let inside = (0.0..=last).contains(&t);
        // NaN stays NaN.
        let clamped = t.clamp(0.0, last);
        let k = (clamped as usize).min(self.count - 2);
        (k, clamped - k as f64, inside)
    }
}

impl RadialTable {
    /// Tabulates `network`, which maps distances `[n, 1]` to weights `[n, weights]`, at `knots` points from `start` to `end`.
    /// Slopes are its tangents.
    ///
    /// # Panics
    /// If there are fewer than two knots, the interval is empty, or the network returns other than `[n, weights]`.
    pub fn new(
        network: impl Fn(Dual<2>) -> Dual<2>,
        [start, end]: [f64; 2],
        knots: usize,
        device: &Device,
        dtype: DType,
    ) -> Self {
        assert!(
            knots >= 2 && end > start && (end - start).is_finite(),
            "RadialTable: expected two knots or more and start < end, got {knots}, {start}, {end}"
        );
        let spacing = (end - start) / (knots - 1) as f64;
        let r: Vec<f64> = (0..knots).map(|k| start + k as f64 * spacing).collect();
        let r = Tensor::<2>::from_data(TensorData::new(r, [knots, 1]), (device, dtype));
        let out = network(Dual::new(r.clone(), r.ones_like()));
        let [rows, weights] = out.value.dims();
        assert_eq!(
            rows, knots,
            "RadialTable: the network must return a row per distance"
        );
        let slopes = out.tangent.unwrap_or_else(|| out.value.zeros_like());
        let both = Tensor::stack::<3>(vec![out.value, slopes], 1);
        Self {
            rows: both.reshape([2 * knots, weights]).detach(),
            knots: Knots {
                start,
                spacing,
                count: knots,
            },
        }
    }

    /// Number of weights.
    pub fn weight_numel(&self) -> usize {
        self.rows.dims()[1]
    }

    /// The weights of distances `[n, 1]`, `[n, weights]`, in plain tensor operations.
    pub fn evaluate(&self, r: Dual<2>) -> Dual<2> {
        let Knots {
            start,
            spacing,
            count,
        } = self.knots;
        let [n, _] = r.value.dims();
        // Burn takes the gradient of a division by a number in f32.
        let t = ((r - start) * (1.0 / spacing)).clamp(0.0, (count - 1) as f64);
        let k = t
            .value
            .clone()
            .detach()
            .floor()
            .clamp_max((count - 2) as f64);
        let row: Tensor<1, Int> = k.clone().reshape([n]).int() * 2;
        let s = t - Dual::constant(k);
        let (s2, s3) = (s.clone().square(), s.clone().powi(3));
        let right = s2.clone() * 3.0 - s3.clone() * 2.0;
        let factors = [
            1.0 - right.clone(),
            (s3.clone() - s2.clone() * 2.0 + s) * spacing,
            right,
            (s3 - s2) * spacing,
        ];
        let mut sum: Option<Dual<2>> = None;
        for (i, factor) in factors.into_iter().enumerate() {
            let rows = self.rows.clone().select(0, row.clone() + i as i32);
            let term = factor * Dual::constant(rows);
            sum = Some(match sum {
                None => term,
                Some(sum) => sum + term,
            });
        }
        sum.expect("four terms")
    }
}
