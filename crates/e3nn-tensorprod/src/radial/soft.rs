//! e3nn's smooth one-hot encodings.

use super::{column, linspace, row, sinc, spread};
use core::f64::consts::PI;
use core_tensor::dual::{Dual, Value};
use serde::{Deserialize, Serialize};

/// `exp(−1/x)` for `x > 0`, else 0: infinitely smooth, every derivative 0 at 0 (`e3nn.math.soft_unit_step`).
pub fn soft_unit_step<V: Value<2>>(x: V) -> V {
    let x: Dual<2> = x.into();
    // exp(−1/x) x⁻⁴ is 0 in every float type below this.
    let none = x.value.clone().detach().lower_elem(1e-4);
    let safe = x.mask_fill(none.clone(), 1.0);
    V::from_dual((-safe.recip()).exp().mask_fill(none, 0.0))
}

/// Bases of [`soft_one_hot_linspace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SoftBasis {
    /// `exp(−d²) / 1.12`.
    Gaussian,
    /// `cos(π d / 2)` for `|d| < 1`.
    Cosine,
    /// `1.14136 e² u(d + 1) u(1 − d)` with [`soft_unit_step`] `u`: infinitely smooth with compact support.
    SmoothFinite,
    /// Sines that vanish at both ends with cutoff, cosines without: of `π i t` where `t = (x−start)/(end−start)`,
    /// over `√(¼ + number/2)`.
    Fourier,
    /// `√(2/c) sin(i π x / c) / x` with `x` from the start and `c = end − start`; with cutoff 0 from the end on.
    Bessel,
}

/// e3nn's `soft_one_hot_linspace`: a column `[N, 1]` in a basis of `number` functions on `[start, end]`, whose squares
/// add up to about 1. With `d = (x − c_i) / step`, centres `c_i` are spread over `[start, end]`: both ends
/// included, or with `cutoff` the inner points of `number + 2`, so that all functions vanish at the ends.
///
/// Where e3nn's Bessel basis is NaN, at the start, this has the limit.
///
/// # Panics
/// If `x` is not `[N, 1]`.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use e3nn_tensorprod::radial::{SoftBasis, soft_one_hot_linspace};
///
/// let r = Tensor::<2>::from_floats([[0.5], [4.0]], &Device::flex());
/// let basis = soft_one_hot_linspace(r, 0.0, 3.0, 8, SoftBasis::SmoothFinite, true);
/// assert_eq!(basis.dims(), [2, 8]);
/// ```
pub fn soft_one_hot_linspace<V: Value<2>>(
    x: V,
    start: f64,
    end: f64,
    number: usize,
    basis: SoftBasis,
    cutoff: bool,
) -> V {
    let x: Dual<2> = x.into();
    column("soft_one_hot_linspace", &x);
    let all = if cutoff {
        linspace(start, end, number + 2)
    } else {
        linspace(start, end, number)
    };
    let step = (end - start) / (all.len().max(2) - 1) as f64;
    let centres = if cutoff { &all[1..=number] } else { &all[..] };
    let length = end - start;
    let order = |first: usize| -> Vec<f64> { (0..number).map(|i| (i + first) as f64).collect() };
    // Where x lies outside of (start, end), as far as functions vanish there.
    let outside = |x: &Dual<2>, below: bool| {
        let value = spread(x.clone(), number).value.detach();
        let above = value.clone().greater_equal_elem(end);
        if below {
            above.bool_or(value.lower_equal_elem(start))
        } else {
            above
        }
    };
    let distance = || (spread(x.clone(), number) - row(&x, centres)) / step;
    let out = match basis {
        SoftBasis::Gaussian => (-distance().square()).exp() / 1.12,
        SoftBasis::Cosine => {
            let d = distance();
            let far = d.value.clone().detach().abs().greater_equal_elem(1.0);
            (d * (PI / 2.0)).cos().mask_fill(far, 0.0)
        }
        SoftBasis::SmoothFinite => {
            let d = distance();
            let factor = 1.14136 * 2_f64.exp();
            soft_unit_step(d.clone() + 1.0) * soft_unit_step(1.0 - d) * factor
        }
        SoftBasis::Fourier => {
            let t = spread((x.clone() - start) / length, number);
            let scale = (0.25 + number as f64 / 2.0).sqrt().recip();
            if cutoff {
                let waves = (t * (row(&x, &order(1)) * PI)).sin() * scale;
                waves.mask_fill(outside(&x, true), 0.0)
            } else {
                (t * (row(&x, &order(0)) * PI)).cos() * scale
            }
        }
        SoftBasis::Bessel => {
            let frequencies = row(&x, &order(1)) * (PI / length);
            let t = spread(x.clone() - start, number) * frequencies.clone();
            let waves = sinc(t) * frequencies * (2.0 / length).sqrt();
            if cutoff {
                waves.mask_fill(outside(&x, false), 0.0)
            } else {
                waves
            }
        }
    };
    V::from_dual(out)
}
