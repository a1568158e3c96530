//! The SO(2) linear map of eSCN and EquiformerV2: [`So2Linear`].

use super::FrameLayout;
use super::op::{Form, Mix, Slot, trilinear};
use crate::irreps::Irreps;
use crate::product::ProductError;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value};
use std::sync::Arc;

/// Configuration of a [`So2Linear`].
#[derive(Config, Debug)]
pub struct So2LinearConfig {
    /// Irreps of the features.
    pub irreps_in: Irreps,
    /// Irreps of the result. Blocks `0e` in front are EquiformerV2's extra outputs of `m = 0`.
    pub irreps_out: Irreps,
    /// The largest order that is kept; absent, all.
    pub mmax: Option<usize>,
    /// Whether the columns of `m = 0` get a bias.
    #[config(default = true)]
    pub bias: bool,
}

impl So2LinearConfig {
    /// Makes the layer. Weights are drawn as PyTorch's `Linear` draws them, uniformly within `±1/√K` for `K` inputs
    /// of an order, and those of `m > 0` times `1/√2`, as in fairchem and EquiformerV2.
    ///
    /// # Errors
    /// If features or result have no copy of any irrep.
    pub fn init(&self, device: &Device) -> Result<So2Linear, ProductError> {
        let inputs = FrameLayout::new(&self.irreps_in, self.mmax);
        let outputs = FrameLayout::new(&self.irreps_out, self.mmax);
        for (name, layout) in [("irreps_in", &inputs), ("irreps_out", &outputs)] {
            if layout.width(0) == 0 {
                return Err(ProductError::Zero(name));
            }
        }
        let mmax = inputs.mmax().min(outputs.mmax());
        let uniform = |shape: [usize; 2], scale: f64| {
            let bound = scale / (shape[0] as f64).sqrt();
            let initializer = Initializer::Uniform {
                min: -bound,
                max: bound,
            };
            initializer.init(shape, device)
        };
        let size = |m: usize| [inputs.width(m), outputs.width(m)];
        let pairs = (1..=mmax).filter(|&m| !size(m).contains(&0));
        let pairs = pairs.map(|m| uniform([size(m)[0], 2 * size(m)[1]], 0.5_f64.sqrt()));
        let bound = (size(0)[0] as f64).sqrt().recip();
        let bias = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        Ok(So2Linear {
            m0: uniform(size(0), 1.0),
            bias: self.bias.then(|| bias.init([size(0)[1]], device)),
            pairs: pairs.collect(),
            mix: Arc::new(mix(&inputs, &outputs)),
            inputs,
            outputs,
        })
    }
}

/// Matrices of all orders one after the other: that of 0, then for each `m` both halves side by side.
fn mix(inputs: &FrameLayout, outputs: &FrameLayout) -> Mix {
    let mut mix = Mix::new(inputs, outputs);
    for m in 0..=inputs.mmax().min(outputs.mmax()) {
        let [k, n] = [inputs.width(m), outputs.width(m)];
        if k == 0 || n == 0 {
            continue;
        }
        let (first, order) = (mix.numel, m as isize);
        if m == 0 {
            mix.push(inputs.columns(0), outputs.columns(0), (first, n), false);
            mix.numel += k * n;
            continue;
        }
        let (real, imaginary) = ((first, 2 * n), (first + n, 2 * n));
        let pair = |layout: &FrameLayout| [layout.columns(order), layout.columns(-order)];
        let ([x_plus, x_minus], [y_plus, y_minus]) = (pair(inputs), pair(outputs));
        mix.push(x_plus.clone(), y_plus.clone(), real, false);
        mix.push(x_minus.clone(), y_minus.clone(), real, false);
        mix.push(x_plus, y_minus, imaginary, false);
        mix.push(x_minus, y_plus, imaginary, true);
        mix.numel += 2 * k * n;
    }
    mix
}

/// A linear map of features in the frames of edges that commutes with rotations about the edge, with weights of its own for
/// every order, between all degrees and channels:
///
/// ```text
/// y_0  = x_0 W_0 + b
/// y_+m = x_+m W₁ − x_−m W₂
/// y_−m = x_+m W₂ + x_−m W₁
/// ```
///
/// eSCN (Passaro and Zitnick, arXiv 2302.03655) showed that between frames ([`EdgeFrames`](super::EdgeFrames)) it is the
/// most general linear map that rotations of the edge commute with, and so what a product with harmonics of all degrees,
/// mixing all copies, can express, for `O(L³)` instead of `O(L⁶)`. Follows fairchem's `SO2_Convolution`, whose `fc.weight`
/// of an order is `[W₁ | W₂]` here, transposed.
///
/// Parity is not kept: the map commutes with SO(3), not with inversion. An [`EdgeProduct`](super::EdgeProduct) keeps it.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use e3nn_tensorprod::irreps;
/// use e3nn_tensorprod::so2::{EdgeFrames, So2LinearConfig};
///
/// let device = Device::flex();
/// let features = irreps!("8x0e+8x1e+8x2e+8x3e");
/// let map = So2LinearConfig::new(features.clone(), features).with_mmax(Some(2)).init(&device)?;
/// let frames = EdgeFrames::new(Tensor::<2>::random([10, 3], Distribution::Default, &device), 3);
/// let x = Tensor::<2>::random([10, 128], Distribution::Default, &device);
/// let local = map.forward(frames.rotate(x, map.inputs()));
/// assert_eq!(frames.rotate_back(local, map.outputs()).dims(), [10, 128]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct So2Linear {
    /// `W_0`, `[inputs.width(0), outputs.width(0)]`.
    pub m0: Param<Tensor<2>>,
    /// `b`, `[outputs.width(0)]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// `[W₁ | W₂]` of `m = 1, 2, …`, each `[inputs.width(m), 2 · outputs.width(m)]`.
    pub pairs: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    inputs: FrameLayout,
    #[module(skip)]
    outputs: FrameLayout,
    #[module(skip)]
    mix: Arc<Mix>,
}

impl So2Linear {
    /// Where components of the features lie.
    pub fn inputs(&self) -> &FrameLayout {
        &self.inputs
    }

    /// Where components of the result lie.
    pub fn outputs(&self) -> &FrameLayout {
        &self.outputs
    }

    /// The map of features in frames, `[edges, inputs().dim()]` to `[edges, outputs().dim()]`. Columns of orders that the
    /// features do not have are 0.
    ///
    /// # Panics
    /// If the shape disagrees.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        let flat = |w: Tensor<2>| {
            let numel = w.dims().iter().product();
            w.reshape([1, numel])
        };
        let pairs = self.pairs.iter().map(|w| flat(w.val()));
        let all: Vec<_> = core::iter::once(flat(self.m0.val())).chain(pairs).collect();
        let w = Tensor::cat(all, 1);
        let mix = Form::Mix(self.mix.clone());
        let y = x.linear(|x| trilinear(&mix, Slot::Output, [x, w.clone()]));
        let Some(bias) = &self.bias else {
            return V::from_dual(y);
        };
        let bias = bias.val();
        let rest = self.outputs.dim() - self.outputs.width(0);
        let bias = if rest == 0 {
            bias
        } else {
            let zeros = Tensor::zeros([rest], (&bias.device(), bias.dtype()));
            Tensor::cat(vec![bias, zeros], 0)
        };
        V::from_dual(y + bias.unsqueeze::<2>())
    }
}
