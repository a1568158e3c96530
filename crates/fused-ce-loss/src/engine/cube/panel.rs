//! A panel: some rows against some classes, and what makes logits of their products.

use core_tensor::ext::cube::math::tangent_h;
use cubecl::prelude::*;

/// Logits up to here count as −∞: shading languages cannot be relied on to have that.
pub(super) const LOWEST: f32 = -1e30;

/// What kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Whether there is a soft cap.
    pub(super) capped: bool,
    /// Whether the temperature is not 1.
    pub(super) scaled: bool,
}

/// A panel of logits `z = cap(x + b) / τ`, where `x` lies as `[rows, classes]`.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Panel {
    /// What the rows `[N]` aim at, see [`super::targets`].
    pub(super) codes: OwnedTensor<u32>,
    /// `[V]`.
    pub(super) bias: ComptimeOption<OwnedTensor<f32>>,
    /// Weights common to all rows, `[V]`.
    pub(super) common: ComptimeOption<OwnedTensor<f32>>,
    /// Weights of each row, `[N, V]`.
    pub(super) dense: ComptimeOption<OwnedTensor<f32>>,
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) first_class: usize,
    pub(super) classes: usize,
    /// `1 / s`.
    pub(super) inner: f32,
    /// `s / τ`.
    pub(super) outer: f32,
    /// `τ / s`.
    pub(super) back: f32,
    /// `1 / τ`.
    pub(super) rate: f32,
    #[cube(comptime)]
    pub(super) form: Form,
}

#[cube]
impl Panel {
    /// The logit of class `v` from its product.
    pub(super) fn logit(&self, x: f32, v: usize) -> f32 {
        let x = self.biased(x, v);
        let z = if comptime!(self.form.capped) {
            self.outer * tangent_h::<f32>(x * self.inner)
        } else if comptime!(self.form.scaled) {
            x * self.rate
        } else {
            x
        };
        // Written so that NaN passes.
        select(z < f32::new(LOWEST), f32::new(LOWEST), z)
    }

    fn biased(&self, x: f32, v: usize) -> f32 {
        #[comptime]
        match &self.bias {
            ComptimeOption::Some(bias) => x + bias[v],
            ComptimeOption::None => x,
        }
    }

    /// `dz/dx = (1 − (z τ / s)²) / τ`.
    pub(super) fn chain(&self, z: f32) -> f32 {
        if comptime!(self.form.capped) {
            let t = z * self.back;
            // (1 − t)(1 + t) keeps its accuracy where the cap saturates.
            (f32::new(1.0) - t) * (f32::new(1.0) + t) * self.rate
        } else {
            self.rate
        }
    }

    /// `sum + u_v x` with the weights common to all rows. A class without weight may have a logit of −∞.
    pub(super) fn add_common(&self, sum: f32, v: usize, x: f32) -> f32 {
        #[comptime]
        match &self.common {
            ComptimeOption::Some(common) => {
                let w = common[v];
                select(w == f32::new(0.0), sum, fma(w, x, sum))
            }
            ComptimeOption::None => sum,
        }
    }

    /// `sum + q_v x` with the weights of row `at`.
    pub(super) fn add_own(&self, sum: f32, at: usize, v: usize, x: f32) -> f32 {
        #[comptime]
        match &self.dense {
            ComptimeOption::Some(dense) => {
                let w = dense[at * dense.stride(0) + v];
                select(w == f32::new(0.0), sum, fma(w, x, sum))
            }
            ComptimeOption::None => sum,
        }
    }
}
