//! Dropout of whole irreps.

use super::{NnError, blocks};
use crate::irreps::Irreps;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use core_tensor::dual::{Dual, Value};

/// Configuration of a [`Dropout`].
#[derive(Config, Debug)]
pub struct DropoutConfig {
    /// Irreps of input and output.
    pub irreps: Irreps,
    /// Probability with which an irrep is set to 0.
    pub prob: f64,
}

impl DropoutConfig {
    /// Makes the layer.
    ///
    /// # Errors
    /// If the probability is not in `[0, 1)`.
    pub fn init(&self) -> Result<Dropout, NnError> {
        if !(0.0..1.0).contains(&self.prob) {
            return Err(NnError::Number {
                layer: "Dropout",
                name: "prob",
                value: self.prob,
                expected: "a number in [0, 1)",
            });
        }
        Ok(Dropout {
            irreps: self.irreps.clone(),
            prob: self.prob,
        })
    }
}

/// Sets whole irrep copies to 0 with probability p, one draw per copy and row, and divides the others by
/// `1 − p`; on a device without autodiff nothing changes. As `e3nn.nn.Dropout`, so the expectation is
/// equivariant and so is every draw.
///
/// The draws come from the device's generator. The two passes of a force step need the same draws: seed the
/// device alike before both, or make one [`mask`](Self::mask) and use it in both.
#[derive(Module, Debug)]
pub struct Dropout {
    /// Irreps of input and output.
    #[module(skip)]
    pub irreps: Irreps,
    #[module(skip)]
    prob: f64,
}

impl Dropout {
    /// # Shapes
    /// `[batch, irreps.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        blocks::check("Dropout", &self.irreps, &x);
        if self.prob == 0.0 || !x.value.device().is_autodiff() {
            return V::from_dual(x);
        }
        let mask = self.mask(&x.value);
        V::from_dual(x.linear(|x: Tensor<2>| x * mask.clone()))
    }

    /// Draws a factor for every component of `like`: 0 or `1 / (1 − p)`, equal within an irrep.
    pub fn mask(&self, like: &Tensor<2>) -> Tensor<2> {
        let [batch, _] = like.dims();
        let keep = Distribution::Bernoulli(1.0 - self.prob);
        let parts = self.irreps.iter().filter(|b| b.mul > 0).map(|block| {
            let (mul, dim) = (block.mul, block.irrep.dim());
            let options = (&like.device(), like.dtype());
            let draws = Tensor::<3>::random([batch, mul, 1], keep, options);
            draws.repeat_dim(2, dim).reshape([batch, mul * dim])
        });
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            return like.ones_like();
        }
        Tensor::cat(parts, 1) * (1.0 / (1.0 - self.prob))
    }
}
