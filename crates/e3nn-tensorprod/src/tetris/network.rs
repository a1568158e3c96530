//! A small equivariant network.

use crate::conv::{Convolution, ConvolutionConfig};
use crate::irreps::Irreps;
use crate::nn::{FullyConnectedNet, FullyConnectedNetConfig, Gate, GateConfig, ScalarFunction};
use crate::sh::{Normalization, spherical_harmonics};
use crate::{Linear, LinearConfig};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use core_tensor::graph::{End, Graph, gather};

use super::{POINTS, Points};

/// Configuration of a [`TetrisNet`].
#[derive(Config, Debug)]
pub struct TetrisNetConfig {
    /// Largest degree of harmonics and features.
    #[config(default = 2)]
    pub lmax: usize,
    /// Copies of every irrep of the hidden features.
    #[config(default = 8)]
    pub channels: usize,
    /// Width of the radial networks.
    #[config(default = 16)]
    pub radial: usize,
}

impl TetrisNetConfig {
    /// Makes the network with random weights.
    ///
    /// # Panics
    /// If a size is 0.
    pub fn init(&self, device: &Device) -> TetrisNet {
        let Self { lmax, channels, .. } = *self;
        assert!(channels > 0 && self.radial > 0, "TetrisNet: a size is 0");
        let irreps = |text: String| -> Irreps { text.parse().expect("valid irreps") };
        let all = |mul: usize| Irreps::new(crate::Irrep::all(lmax).map(|irrep| (mul, irrep)));
        let tensors = all(channels).filter(|block| block.irrep.l() > 0);
        let gates = tensors.num_irreps();
        let gate = GateConfig::new(
            irreps(format!("{channels}x0o+{channels}x0e")),
            vec![ScalarFunction::Tanh, ScalarFunction::Silu],
            irreps(format!("{gates}x0e")),
            vec![ScalarFunction::Sigmoid],
            tensors,
        );
        let gate = gate.init().expect("as many gates as tensors");
        let sh = Irreps::spherical_harmonics(lmax, crate::Parity::Odd);
        let layer = |irreps_in: &Irreps| {
            let conv = ConvolutionConfig::new(irreps_in.clone(), sh.clone(), all(1));
            let conv = conv.init().expect("scalars and harmonics have paths");
            let sizes = vec![1, self.radial, conv.weight_numel()];
            let radial = FullyConnectedNetConfig::new(sizes, ScalarFunction::Silu);
            let linear = LinearConfig::new(conv.irreps_out().clone(), gate.irreps_in.clone());
            Layer {
                radial: radial.init(device).expect("sizes are positive"),
                linear: linear.init(device).expect("all pairs of equal irreps"),
                gate: gate.clone(),
                conv,
            }
        };
        let hidden = gate.irreps_out.clone();
        let out = irreps("7x0e+1x0o".into());
        TetrisNet {
            layers: vec![
                layer(&irreps(format!("{channels}x0e"))),
                layer(&hidden),
                layer(&hidden),
            ],
            readout: LinearConfig::new(hidden, out)
                .init(device)
                .expect("all pairs of equal irreps"),
            channels,
            lmax,
        }
    }
}

#[derive(Module, Debug)]
struct Layer {
    radial: FullyConnectedNet,
    linear: Linear,
    gate: Gate,
    #[module(skip)]
    conv: Convolution,
}

/// Three convolutions with gates between, a mean over the points, and a readout `7x0e + 0o`: the pseudoscalar
/// tells the mirror images apart, which share one of the scalars.
#[derive(Module, Debug)]
pub struct TetrisNet {
    layers: Vec<Layer>,
    readout: Linear,
    #[module(skip)]
    channels: usize,
    #[module(skip)]
    lmax: usize,
}

impl TetrisNet {
    /// Scores of the eight shapes, `[shapes, 8]`, for points `[shapes · 4, 3]`.
    ///
    /// # Panics
    /// If the graph does not have as many nodes as there are points.
    pub fn forward(&self, positions: Tensor<2>, graph: &Graph) -> Tensor<2> {
        let end = |end| gather(positions.clone(), graph, end);
        let edges = end(End::Source) - end(End::Destination);
        let length = edges.clone().square().sum_dim(1).sqrt();
        let degrees: Vec<usize> = (0..=self.lmax).collect();
        let harmonics = spherical_harmonics(&degrees, edges, true, Normalization::Component);

        let [points, _] = positions.dims();
        let options = (&positions.device(), positions.dtype());
        let mut x = Tensor::<2>::ones([points, self.channels], options);
        for layer in &self.layers {
            let weights = layer.radial.forward(length.clone());
            let sum = layer.conv.forward(x, harmonics.clone(), weights, graph);
            x = layer.gate.forward(layer.linear.forward(sum * 0.7));
        }
        let [_, features] = x.dims();
        let pooled = x.reshape([points / POINTS, POINTS, features]).mean_dim(1);
        let out = self
            .readout
            .forward(pooled.reshape([points / POINTS, features]));
        let (scalars, odd) = (out.clone().narrow(1, 0, 7), out.narrow(1, 7, 1));
        let pair = scalars.clone().narrow(1, 0, 1);
        let rest = scalars.narrow(1, 1, 6);
        Tensor::cat(vec![pair.clone() + odd.clone(), pair - odd, rest], 1)
    }

    /// Scores of [`Points`].
    pub fn score(&self, points: &Points, device: &Device) -> Tensor<2> {
        let flat: Vec<f32> = points
            .positions
            .iter()
            .flatten()
            .map(|&x| x as f32)
            .collect();
        let positions = TensorData::new(flat, [points.positions.len(), 3]);
        self.forward(Tensor::from_data(positions, device), &points.graph)
    }
}
