//! A network of scalars, as e3nn initialises and scales it.

use super::{NnError, ScalarFunction, SecondMoment};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};
use core_tensor::product::matmul;

/// Configuration of a [`FullyConnectedNet`].
#[derive(Config, Debug)]
pub struct FullyConnectedNetConfig {
    /// Sizes of input, hidden layers and output; at least two.
    pub sizes: Vec<usize>,
    /// Function after every layer but the last.
    pub function: ScalarFunction,
    /// Variance of the input.
    #[config(default = 1.0)]
    pub variance_in: f64,
    /// Variance of the output.
    #[config(default = 1.0)]
    pub variance_out: f64,
    /// Whether the function follows the last layer too.
    #[config(default = false)]
    pub out_act: bool,
    /// How the function is normalised.
    #[config(default = "SecondMoment::E3nn")]
    pub moment: SecondMoment,
}

impl FullyConnectedNetConfig {
    /// Makes the network, weights from N(0, 1).
    ///
    /// # Errors
    /// If there are fewer than two sizes, a size is 0, or a variance is not positive.
    pub fn init(&self, device: &Device) -> Result<FullyConnectedNet, NnError> {
        let number = |name, value, expected| NnError::Number {
            layer: "FullyConnectedNet",
            name,
            value,
            expected,
        };
        if self.sizes.len() < 2 {
            let count = self.sizes.len() as f64;
            return Err(number("number of sizes", count, "at least two"));
        }
        if self.sizes.contains(&0) {
            return Err(number("size", 0.0, "at least 1"));
        }
        for (name, variance) in [
            ("variance_in", self.variance_in),
            ("variance_out", self.variance_out),
        ] {
            if !(variance.is_finite() && variance > 0.0) {
                return Err(number(name, variance, "a positive number"));
            }
        }
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 1.0,
        };
        let weights = self
            .sizes
            .windows(2)
            .map(|w| normal.init([w[0], w[1]], device));
        Ok(FullyConnectedNet {
            weights: weights.collect(),
            function: self.function,
            variance_in: self.variance_in,
            variance_out: self.variance_out,
            out_act: self.out_act,
            moment: self.moment,
        })
    }
}

/// Layers without biases that keep the variance: `x ← f(x W / √(h v)) √v'`, where `h` is the number of inputs, `v`
/// the variance of what comes in and `v'` that of what goes out (1 between layers). The last layer is
/// linear unless configured otherwise. As `e3nn.nn.FullyConnectedNet`.
#[derive(Module, Debug)]
pub struct FullyConnectedNet {
    /// One `[inputs, outputs]` per layer.
    pub weights: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    function: ScalarFunction,
    #[module(skip)]
    variance_in: f64,
    #[module(skip)]
    variance_out: f64,
    #[module(skip)]
    out_act: bool,
    #[module(skip)]
    moment: SecondMoment,
}

impl FullyConnectedNet {
    /// # Shapes
    /// `[batch, inputs]` to `[batch, outputs]`.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        V::from_dual(self.layers(x.into(), self.weights.len()))
    }

    /// All layers but the last: what a convolution takes that multiplies the last weight itself, divided as that
    /// layer divides, so that `hidden(x) · weights.last()` is `forward(x)` where the last layer is linear.
    ///
    /// # Panics
    /// As [`forward`](Self::forward); if the function follows the last layer too.
    pub fn hidden<V: Value<2>>(&self, x: V) -> V {
        assert!(
            !self.out_act,
            "FullyConnectedNet: the last layer is not linear"
        );
        let last = self.weights.len() - 1;
        V::from_dual(self.layers(x.into(), last) * self.scale(last))
    }

    fn layers(&self, x: Dual<2>, count: usize) -> Dual<2> {
        let last = self.weights.len() - 1;
        let layers = self.weights.iter().enumerate().take(count);
        layers.fold(x, |x, (n, weight)| {
            let [inputs, _] = weight.dims();
            let [_, features] = x.value.dims();
            assert!(
                features == inputs,
                "FullyConnectedNet: layer {n}: expected [batch, {inputs}], got a last axis of {features}"
            );
            let y = x.linear(|x: Tensor<2>| matmul(x, weight.val())) * self.scale(n);
            if n < last {
                self.function.apply(y, self.moment)
            } else if self.out_act {
                self.function.apply(y, self.moment) * self.variance_out.sqrt()
            } else {
                y
            }
        })
    }

    /// What layer `n` multiplies its product by.
    fn scale(&self, n: usize) -> f64 {
        let [inputs, _] = self.weights[n].dims();
        let variance_in = if n == 0 { self.variance_in } else { 1.0 };
        let last = n + 1 == self.weights.len() && !self.out_act;
        let variance_out = if last { self.variance_out } else { 1.0 };
        (variance_out / (inputs as f64 * variance_in)).sqrt()
    }
}
