//! Gaussians, Chebyshev polynomials, exponential-normal functions.

use super::{column, cosine_cutoff, linspace, row, spread};
use core_tensor::dual::{Dual, Value};

/// Gaussian smearing of SchNet and the models of fairchem: `exp(−(r − μ_i)² / 2σ²)`, centres evenly from `start` to `end`,
/// `σ = width · (end − start)/(number − 1)`.
///
/// # Panics
/// If `r` is not `[N, 1]`.
pub fn gaussian_smearing<V: Value<2>>(r: V, start: f64, end: f64, number: usize, width: f64) -> V {
    let r: Dual<2> = r.into();
    column("gaussian_smearing", &r);
    let sigma = width * (end - start) / (number.max(2) - 1) as f64;
    let d = spread(r.clone(), number) - row(&r, &linspace(start, end, number));
    V::from_dual((d.square() * (-0.5 / (sigma * sigma))).exp())
}

/// Chebyshev polynomials of the first kind `T_0 … T_{number−1}` of `2 r / r_max − 1`.
///
/// # Panics
/// If `r` is not `[N, 1]`.
pub fn chebyshev<V: Value<2>>(r: V, r_max: f64, number: usize) -> V {
    let r: Dual<2> = r.into();
    column("chebyshev", &r);
    if number == 0 {
        return V::from_dual(spread(r, 0));
    }
    let x = r * (2.0 / r_max) - 1.0;
    let mut all = vec![x.clone() * 0.0 + 1.0];
    for k in 1..number {
        let next = if k == 1 {
            x.clone()
        } else {
            x.clone() * all[k - 1].clone() * 2.0 - all[k - 2].clone()
        };
        all.push(next);
    }
    V::from_dual(Dual::cat(all, 1))
}

/// Exponential-normal functions of PhysNet in the form of TorchMD-NET:
/// `c(r) exp(−β (exp(α (r_min − r)) − μ_i)²)` with the [`cosine_cutoff`] `c`, `α = 5 / (r_max − r_min)`, centres `μ_i` evenly
/// from `exp(r_min − r_max)` to 1 and `β = (2 (1 − exp(r_min − r_max)) / number)⁻²`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpNormal {
    means: Vec<f64>,
    alpha: f64,
    beta: f64,
    r_min: f64,
    r_max: f64,
}

impl ExpNormal {
    /// For distances from `r_min` to `r_max`; TorchMD-NET has 0, 5 Å and 50 functions.
    pub fn new(r_min: f64, r_max: f64, number: usize) -> Self {
        let first = (r_min - r_max).exp();
        Self {
            means: linspace(first, 1.0, number),
            alpha: 5.0 / (r_max - r_min),
            beta: (2.0 / number as f64 * (1.0 - first)).powi(-2),
            r_min,
            r_max,
        }
    }

    /// From distances `[N, 1]` to `[N, number]`.
    ///
    /// # Panics
    /// If `r` is not `[N, 1]`.
    pub fn forward<V: Value<2>>(&self, r: V) -> V {
        let r: Dual<2> = r.into();
        column("ExpNormal", &r);
        let number = self.means.len();
        let e = ((self.r_min - r.clone()) * self.alpha).exp();
        let d = spread(e, number) - row(&r, &self.means);
        let cutoff = spread(cosine_cutoff(r, self.r_max), number);
        V::from_dual((d.square() * -self.beta).exp() * cutoff)
    }
}
