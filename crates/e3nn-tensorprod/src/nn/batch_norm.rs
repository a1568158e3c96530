//! Normalisation over a batch, or over the samples of each entry.

use super::{NnError, blocks};
use crate::irreps::Irreps;
use burn::config::Config;
use burn::module::{Flag, Initializer, Module, Param, RunningState};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::zeros;
use serde::{Deserialize, Serialize};

/// How the size of an irrep is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Normalize {
    /// The mean of the squares of its components.
    Component,
    /// The sum of the squares.
    Norm,
}

/// How the sizes over the samples of one entry become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduce {
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

/// Configuration of a [`BatchNorm`]; defaults are those of `e3nn.nn.BatchNorm`.
#[derive(Config, Debug)]
pub struct BatchNormConfig {
    /// Irreps of input and output.
    pub irreps: Irreps,
    /// Added to the mean square.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// Share of the new statistics in the running ones.
    #[config(default = 0.1)]
    pub momentum: f64,
    /// Whether there are a weight per irrep and a bias per `0e`.
    #[config(default = true)]
    pub affine: bool,
    /// How samples of an entry are reduced.
    #[config(default = "Reduce::Mean")]
    pub reduce: Reduce,
    /// Whether every entry of the batch is normalised by itself (instance norm), without running
    /// statistics.
    #[config(default = false)]
    pub instance: bool,
    /// How the size of an irrep is measured.
    #[config(default = "Normalize::Component")]
    pub normalize: Normalize,
}

impl BatchNormConfig {
    /// Makes the layer: weights 1, biases 0, running mean 0 and variance 1.
    ///
    /// # Errors
    /// If epsilon is not positive or the momentum is not in `[0, 1]`.
    pub fn init(&self, device: &Device) -> Result<BatchNorm, NnError> {
        let number = |name, value: f64, good: bool, expected| {
            (!good).then_some(NnError::Number {
                layer: "BatchNorm",
                name,
                value,
                expected,
            })
        };
        let (eps, momentum) = (self.epsilon, self.momentum);
        let positive = eps.is_finite() && eps > 0.0;
        let share = (0.0..=1.0).contains(&momentum);
        let wrong = number("epsilon", eps, positive, "a positive number").or(number(
            "momentum",
            momentum,
            share,
            "a number in [0, 1]",
        ));
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let count = self.irreps.num_irreps();
        let scalars = self.irreps.iter().filter(|b| b.irrep.is_scalar());
        let scalars: usize = scalars.map(|b| b.mul).sum();
        let variances = Tensor::<1>::ones([count], device);
        Ok(BatchNorm {
            weight: self.affine.then(|| Initializer::Ones.init([count], device)),
            bias: (self.affine && scalars > 0).then(|| Initializer::Zeros.init([scalars], device)),
            running_mean: RunningState::new(zeros([scalars], device, variances.dtype())),
            running_var: RunningState::new(variances),
            training: Param::from_bool(true),
            irreps: self.irreps.clone(),
            epsilon: eps,
            momentum,
            reduce: self.reduce,
            instance: self.instance,
            normalize: self.normalize,
        })
    }
}

/// Equivariant batch normalisation, as `e3nn.nn.BatchNorm`: per irrep copy `u`,
/// `y_u = w_u (x_u − μ_u) / √(s_u + ε) + b_u`, where μ and b exist for `0e` only (`0o` counts as no scalar) and
/// `s` is the mean over batch and samples of the squared size, biased, for scalars after the mean is removed.
///
/// Without entries nothing happens (e3nn's running statistics become NaN).
///
/// On a device with autodiff the statistics are those of the batch, and the running ones follow (not from a
/// [`Dual`] with a tangent, which is a second pass over the same batch); elsewhere the running ones are used.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[irreps.num_irreps]`, if affine.
    pub weight: Option<Param<Tensor<1>>>,
    /// `[number of 0e]`, if affine and there are some.
    pub bias: Option<Param<Tensor<1>>>,
    /// `[number of 0e]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// `[irreps.num_irreps]`.
    pub running_var: RunningState<Tensor<1>>,
    training: Param<Flag>,
    /// Irreps of input and output.
    #[module(skip)]
    pub irreps: Irreps,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    momentum: f64,
    #[module(skip)]
    reduce: Reduce,
    #[module(skip)]
    instance: bool,
    #[module(skip)]
    normalize: Normalize,
}

/// Which statistics count.
#[derive(Clone, Copy, PartialEq)]
enum Statistics {
    Batch,
    Entry,
    Running,
}

impl BatchNorm {
    /// Whether entries are normalised by themselves, without running statistics.
    #[cfg(feature = "import")]
    pub(crate) fn is_instance(&self) -> bool {
        self.instance
    }

    /// Every row is an entry of one sample.
    ///
    /// # Shapes
    /// `[batch, irreps.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        V::from_dual(self.normalized(x.into(), 1))
    }

    /// Several samples (points of a cloud, say) belong to one entry.
    ///
    /// # Shapes
    /// `[batch, samples, irreps.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size, or there are entries without samples.
    pub fn forward_samples<V: Value<3>>(&self, x: V) -> V {
        let x: Dual<3> = x.into();
        let [batch, samples, dim] = x.value.dims();
        assert!(
            samples > 0 || batch == 0,
            "BatchNorm: expected samples, got [{batch}, 0, {dim}]"
        );
        let rows = x.reshape([batch * samples, dim]);
        V::from_dual(
            self.normalized(rows, samples)
                .reshape([batch, samples, dim]),
        )
    }

    fn normalized(&self, x: Dual<2>, samples: usize) -> Dual<2> {
        if x.value.dims()[0] == 0 {
            // Nothing has no statistics, which would be NaN.
            blocks::check("BatchNorm", &self.irreps, &x);
            return x;
        }
        let training = x.value.device().is_autodiff() && self.training.is_enabled();
        let statistics = match (self.instance, training) {
            (true, _) => Statistics::Entry,
            (false, true) => Statistics::Batch,
            (false, false) => Statistics::Running,
        };
        let follow = statistics == Statistics::Batch && x.tangent.is_none();
        // Statistics follow the default precision of the device; features may have another.
        let options = (&x.device(), x.dtype());
        let [running_mean, running_var] = [&self.running_mean, &self.running_var]
            .map(|running| running.value().to_device(options.0).cast(options.1));
        let (mut means, mut vars, mut scalars) = (Vec::new(), Vec::new(), 0);
        let y = blocks::map("BatchNorm", &self.irreps, x, |_, block, before, x| {
            let mul = block.mul;
            let row = |t: Tensor<1>, start| t.narrow(0, start, mul).reshape([1, mul, 1]);
            let mut x = x;
            let scalar = block.irrep.is_scalar();
            if scalar {
                let mean = match statistics {
                    Statistics::Running => Dual::constant(row(running_mean.clone(), scalars)),
                    _ => self.mean(x.clone(), samples, statistics),
                };
                means.push(mean.value.clone());
                x = x - spread(mean, samples, statistics);
            }
            let square = match statistics {
                Statistics::Running => Dual::constant(row(running_var.clone(), before)),
                _ => {
                    let size = x.clone().bilinear(x.clone(), |a, b| {
                        let sum = (a * b).sum_dim(2);
                        match self.normalize {
                            Normalize::Component => sum * (1.0 / block.irrep.dim() as f64),
                            Normalize::Norm => sum,
                        }
                    });
                    match self.reduce {
                        Reduce::Mean => self.mean(size, samples, statistics),
                        Reduce::Max => self.largest(size, samples, statistics),
                    }
                }
            };
            vars.push(square.value.clone());
            let mut scale = (square + self.epsilon).sqrt().recip();
            if let Some(weight) = &self.weight {
                scale = scale * Dual::constant(row(weight.val(), before));
            }
            let mut y = x.bilinear(spread(scale, samples, statistics), |x, s| x * s);
            if let Some(bias) = self.bias.as_ref().filter(|_| scalar) {
                y = y + Dual::constant(row(bias.val(), scalars));
            }
            scalars += if scalar { mul } else { 0 };
            y
        });
        if follow {
            self.follow(&self.running_mean, means);
            self.follow(&self.running_var, vars);
        }
        y
    }

    /// Mean over samples (`Entry`: `[batch, mul, ·]`) or over everything (`[1, mul, ·]`).
    fn mean(&self, x: Dual<3>, samples: usize, statistics: Statistics) -> Dual<3> {
        let [rows, mul, dim] = x.value.dims();
        match statistics {
            Statistics::Entry => x.linear(|x: Tensor<3>| {
                let each = x.reshape([rows / samples, samples, mul * dim]);
                each.mean_dim(1).reshape([rows / samples, mul, dim])
            }),
            _ => x.linear(|x: Tensor<3>| x.mean_dim(0)),
        }
    }

    /// The largest over samples, then the mean over the batch unless each entry is by itself.
    fn largest(&self, x: Dual<3>, samples: usize, statistics: Statistics) -> Dual<3> {
        let [rows, mul, dim] = x.value.dims();
        let batch = rows / samples;
        let each = |x: Tensor<3>| x.reshape([batch, samples, mul * dim]);
        let (max, at) = each(x.value.clone()).max_dim_with_indices(1);
        let max = Dual {
            value: max.reshape([batch, mul, dim]),
            tangent: x
                .tangent
                .map(|t| each(t).gather(1, at).reshape([batch, mul, dim])),
        };
        match statistics {
            Statistics::Entry => max,
            _ => max.linear(|x: Tensor<3>| x.mean_dim(0)),
        }
    }

    fn follow(&self, running: &RunningState<Tensor<1>>, new: Vec<Tensor<3>>) {
        if new.is_empty() {
            return;
        }
        let flat = new.into_iter().map(|t| t.detach().flatten::<1>(0, 2));
        let new = Tensor::cat(flat.collect(), 0) * self.momentum;
        let old = running
            .value_sync()
            .to_device(&new.device())
            .cast(new.dtype());
        let old = old * (1.0 - self.momentum);
        running.update((old + new).detach());
    }
}

/// `[batch, mul, ·]` of entries as rows of samples; other statistics broadcast by themselves.
fn spread(x: Dual<3>, samples: usize, statistics: Statistics) -> Dual<3> {
    if statistics != Statistics::Entry || samples == 1 {
        return x;
    }
    x.linear(|x: Tensor<3>| {
        let [batch, mul, dim] = x.dims();
        let each = x.reshape([batch, 1, mul * dim]).repeat_dim(1, samples);
        each.reshape([batch * samples, mul, dim])
    })
}
