//! Normalisation of every row by itself.

use super::{NnError, Normalize, blocks};
use crate::irreps::Irreps;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};
use serde::{Deserialize, Serialize};

/// Which blocks share one size `s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerNormKind {
    /// Every block has its own: fairchem's `layer_norm`, Equiformer's layer norm, e3tools (which has
    /// no affine part).
    EachBlock,
    /// Blocks of degree 0 have their own each, all others share one: fairchem's `layer_norm_sh`.
    ScalarsAndRest,
    /// All share one: fairchem's `rms_norm_sh`.
    All,
}

/// Configuration of a [`LayerNorm`].
#[derive(Config, Debug)]
pub struct LayerNormConfig {
    /// Irreps of input and output.
    pub irreps: Irreps,
    /// Which blocks share one size.
    #[config(default = "LayerNormKind::EachBlock")]
    pub kind: LayerNormKind,
    /// How the size of an irrep is measured.
    #[config(default = "Normalize::Component")]
    pub normalize: Normalize,
    /// Whether the mean over copies is taken off `0e`.
    #[config(default = true)]
    pub center: bool,
    /// Added to the mean square.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// Whether there are a weight per irrep copy and a bias per copy of `0e`.
    #[config(default = true)]
    pub affine: bool,
}

impl LayerNormConfig {
    /// Makes the layer: weights 1, biases 0.
    ///
    /// # Errors
    /// If epsilon is not positive.
    pub fn init(&self, device: &Device) -> Result<LayerNorm, NnError> {
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(NnError::Number {
                layer: "LayerNorm",
                name: "epsilon",
                value: self.epsilon,
                expected: "a positive number",
            });
        }
        let scalars = self.irreps.iter().filter(|b| b.irrep.is_scalar());
        let (count, scalars): (_, usize) = (self.irreps.num_irreps(), scalars.map(|b| b.mul).sum());
        Ok(LayerNorm {
            weight: self.affine.then(|| Initializer::Ones.init([count], device)),
            bias: (self.affine && scalars > 0).then(|| Initializer::Zeros.init([scalars], device)),
            irreps: self.irreps.clone(),
            kind: self.kind,
            normalize: self.normalize,
            center: self.center,
            epsilon: self.epsilon,
        })
    }
}

/// Equivariant layer normalisation. Per row and block `b` of `mul` copies `x_u`:
///
/// `y_u = w_u (x_u − μ) / √(s + ε) + b_u`
///
/// where μ, the mean over the copies, and `b_u` exist for `0e` only, and `s` is the mean over the blocks that
/// share it ([`LayerNormKind`]) of `mean_u ‖x_u − μ‖² / (2l + 1)` ([`Normalize::Component`]; with
/// [`Normalize::Norm`] without the division).
///
/// | elsewhere | here |
/// |---|---|
/// | fairchem `layer_norm` | `EachBlock` |
/// | fairchem `layer_norm_sh`, balanced degrees | `ScalarsAndRest` |
/// | fairchem `rms_norm_sh`, balanced degrees | `All` |
/// | Equiformer's fast layer norm | `EachBlock`; `Norm` or `Component` by its own argument of that name |
/// | e3tools | `EachBlock`, `Norm`, not affine, ε = 10⁻⁶ (10⁻⁵ for scalars) |
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[irreps.num_irreps]`, if affine.
    pub weight: Option<Param<Tensor<1>>>,
    /// `[number of 0e]`, if affine and there are some.
    pub bias: Option<Param<Tensor<1>>>,
    /// Irreps of input and output.
    #[module(skip)]
    pub irreps: Irreps,
    #[module(skip)]
    kind: LayerNormKind,
    #[module(skip)]
    normalize: Normalize,
    #[module(skip)]
    center: bool,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    /// # Shapes
    /// `[batch, irreps.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        let x = if self.center { self.centered(x) } else { x };
        let sizes = self.sizes(&x);
        let mut scalars = 0;
        let y = blocks::map("LayerNorm", &self.irreps, x, |index, block, before, x| {
            let row =
                |t: Tensor<1>, start| t.narrow(0, start, block.mul).reshape([1, block.mul, 1]);
            let mut scale = (sizes[index].clone() + self.epsilon).sqrt().recip();
            if let Some(weight) = &self.weight {
                scale = scale * Dual::constant(row(weight.val(), before));
            }
            let mut y = x.bilinear(scale, |x, s| x * s);
            if block.irrep.is_scalar() {
                if let Some(bias) = &self.bias {
                    y = y + Dual::constant(row(bias.val(), scalars));
                }
                scalars += block.mul;
            }
            y
        });
        V::from_dual(y)
    }

    fn centered(&self, x: Dual<2>) -> Dual<2> {
        blocks::map("LayerNorm", &self.irreps, x, |_, block, _, x| {
            if block.irrep.is_scalar() {
                x.linear(|x: Tensor<3>| x.clone() - x.mean_dim(1))
            } else {
                x
            }
        })
    }

    /// `s` of every block, `[batch, 1, 1]`; of an empty one, that of nothing: 0.
    fn sizes(&self, x: &Dual<2>) -> Vec<Dual<3>> {
        let mut start = 0;
        let own: Vec<Option<Dual<3>>> = self
            .irreps
            .iter()
            .map(|&block| {
                let part = (block.mul > 0).then(|| blocks::block(x, start, block));
                start += block.dim();
                part.map(|part| {
                    let per = match self.normalize {
                        Normalize::Component => block.irrep.dim() as f64,
                        Normalize::Norm => 1.0,
                    };
                    part.clone()
                        .bilinear(part, |a, b| (a * b).sum_dim(2).mean_dim(1) * (1.0 / per))
                })
            })
            .collect();
        let group = |index: usize| match self.kind {
            LayerNormKind::EachBlock => index + 2,
            LayerNormKind::ScalarsAndRest if self.irreps[index].irrep.l() == 0 => index + 2,
            LayerNormKind::ScalarsAndRest => 1,
            LayerNormKind::All => 0,
        };
        let [batch, _] = x.value.dims();
        let zero = || {
            Dual::constant(Tensor::zeros(
                [batch, 1, 1],
                (&x.value.device(), x.value.dtype()),
            ))
        };
        (0..own.len())
            .map(|index| {
                let members = (0..own.len()).filter(|&other| group(other) == group(index));
                let members: Vec<_> = members.filter_map(|other| own[other].clone()).collect();
                let count = members.len();
                let sum = members.into_iter().reduce(|a, b| a + b);
                sum.map_or_else(zero, |sum| sum * (1.0 / count as f64))
            })
            .collect()
    }
}
