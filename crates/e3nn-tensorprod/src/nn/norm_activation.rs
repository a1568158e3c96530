//! A function of the norm of each irrep.

use super::{NnError, ScalarFunction, SecondMoment, blocks};
use crate::irreps::Irreps;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};

/// Configuration of a [`NormActivation`].
#[derive(Config, Debug)]
pub struct NormActivationConfig {
    /// Irreps of input and output.
    pub irreps: Irreps,
    /// The function.
    pub function: ScalarFunction,
    /// Whether the input is divided by its norm, so that the norm of the output is `f(n + b)`.
    #[config(default = true)]
    pub normalize: bool,
    /// Norms count as at least this much; keeps the division and its gradient finite.
    #[config(default = 1e-8)]
    pub epsilon: f64,
    /// Whether there is a bias per irrep, initially 0.
    #[config(default = false)]
    pub bias: bool,
}

impl NormActivationConfig {
    /// Makes the layer.
    ///
    /// # Errors
    /// If epsilon is not positive.
    pub fn init(&self, device: &Device) -> Result<NormActivation, NnError> {
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(NnError::Number {
                layer: "NormActivation",
                name: "epsilon",
                value: self.epsilon,
                expected: "a positive number",
            });
        }
        let count = self.irreps.num_irreps();
        Ok(NormActivation {
            biases: self.bias.then(|| Initializer::Zeros.init([count], device)),
            irreps: self.irreps.clone(),
            function: self.function,
            normalize: self.normalize,
            epsilon: self.epsilon,
        })
    }
}

/// `y = x f(n + b) / n` per irrep, with `n = max(‖x‖, ε)`; without `normalize`, `y = x f(n + b)`.
///
/// Equals `e3nn.nn.NormActivation`, whose `normalize=False` raises in version 0.6. The function is not
/// normalised, as there. A norm below ε has gradient 0.
#[derive(Module, Debug)]
pub struct NormActivation {
    /// `[irreps.num_irreps]`, if any.
    pub biases: Option<Param<Tensor<1>>>,
    /// Irreps of input and output.
    #[module(skip)]
    pub irreps: Irreps,
    #[module(skip)]
    function: ScalarFunction,
    #[module(skip)]
    normalize: bool,
    #[module(skip)]
    epsilon: f64,
}

impl NormActivation {
    /// # Shapes
    /// `[batch, irreps.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let y = blocks::map(
            "NormActivation",
            &self.irreps,
            x.into(),
            |_, block, before, x| {
                let square = x.clone().bilinear(x.clone(), |a, b| (a * b).sum_dim(2));
                let norm = square.clamp_min(self.epsilon * self.epsilon).sqrt();
                let mut argument = norm.clone();
                if let Some(biases) = &self.biases {
                    let bias = biases.val().narrow(0, before, block.mul);
                    argument = argument + Dual::constant(bias.reshape([1, block.mul, 1]));
                }
                let scale = self.function.apply(argument, SecondMoment::Raw);
                let scale = if self.normalize { scale / norm } else { scale };
                x.bilinear(scale, |x, s| x * s)
            },
        );
        V::from_dual(y)
    }
}
