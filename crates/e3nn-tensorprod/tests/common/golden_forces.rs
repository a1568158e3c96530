//! A message-passing model with forces in its loss: energies, forces and the gradient of the loss as e3nn computes them by
//! double backward, here by forward over reverse.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor, s};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::graph::{End, Graph, gather};
use core_tensor::product::matmul;
use e3nn_tensorprod::{Convolution, ConvolutionConfig};

// Burn takes the gradient of a division by a number in f32: numbers multiply here.

/// The constants of the golden file's model.
const SILU: f64 = 1.6791767923989418;
const CUTOFF: f64 = 5.0;
const BASIS: usize = 8;

struct Model {
    conv: Convolution,
    graph: Graph,
    /// Whether weights are computed in the convolution.
    fused: bool,
}

struct Output {
    sums: Dual<2>,
    nodes: Dual<2>,
    energy: Dual<1>,
}

/// Component-normalised harmonics of degrees 0, 1, 2 of unit vectors.
fn harmonics(n: Dual<2>) -> Dual<2> {
    let [x, y, z] = [0, 1, 2].map(|i| n.clone().narrow(1, i, 1));
    let one = Dual::constant(x.value.ones_like());
    let (s3, s5, s15) = (3.0_f64.sqrt(), 5.0_f64.sqrt(), 15.0_f64.sqrt());
    let square = |v: &Dual<2>| v.clone() * v.clone();
    let parts = vec![
        one,
        n * s3,
        x.clone() * z.clone() * s15,
        x.clone() * y.clone() * s15,
        (square(&y) - (square(&x) + square(&z)) * 0.5) * s5,
        y * z.clone() * s15,
        (square(&z) - square(&x)) * (s15 / 2.0),
    ];
    Dual::cat(parts, 1)
}

/// `soft_one_hot_linspace(r, 0, 5, 8, "smooth_finite", cutoff=True) √8`.
fn basis(r: Dual<2>) -> Dual<2> {
    let step = CUTOFF / (BASIS + 1) as f64;
    let bumps = (1..=BASIS).map(|k| {
        let d = (r.clone() - k as f64 * step) * (1.0 / step);
        // u(1 + d) u(1 − d) with u(t) = e^(−1/t) for t > 0, else 0; below the clamp it is 0 in f64.
        let gap = (1.0 - d.square()).clamp_min(1e-3);
        (-2.0 / gap).exp() * (1.14136 * 2.0_f64.exp() * (BASIS as f64).sqrt())
    });
    Dual::cat(bumps.collect(), 1)
}

impl Model {
    fn run(&self, positions: Dual<2>, [feat, w1, w2, wl]: [Tensor<2>; 4]) -> Output {
        let at = |end| gather(positions.clone(), &self.graph, end);
        let vectors = at(End::Destination) - at(End::Source);
        let r = vectors.clone().square().sum_dim(1).sqrt();
        let y = harmonics(vectors / r.clone());
        let hidden =
            (basis(r).linear(|t| matmul(t, w1.clone())) * (1.0 / (BASIS as f64).sqrt())).silu();
        let hidden = hidden * (SILU / 16.0_f64.sqrt());
        let x = Dual::constant(feat);
        let sums = if self.fused {
            self.conv.forward_radial(x, y, hidden, w2, &self.graph)
        } else {
            let w = hidden.linear(|h| matmul(h, w2.clone()));
            self.conv.forward(x, y, w, &self.graph)
        };
        let sums = sums * (1.0 / (self.graph.edges() as f64).sqrt());
        let nodes = sums.clone().linear(|t| self.linear(t, wl.clone()));
        let scalars = nodes.clone().narrow(1, 0, 6).tanh().sum();
        let energy = scalars + nodes.clone().square().sum() * 0.1;
        Output {
            sums,
            nodes,
            energy,
        }
    }

    /// Equivariant linear map `8x0e+12x1o+4x1e+8x2e → 6x0e+3x1o+2x2e` with flat weights.
    fn linear(&self, x: Tensor<2>, weights: Tensor<2>) -> Tensor<2> {
        let irreps = self.conv.irreps_out();
        assert_eq!(irreps.to_string(), "8x0e+12x1o+4x1e+8x2e");
        let mut first = 0;
        let blocks = [(0, 6), (1, 3), (3, 2)].map(|(block, out)| {
            let (range, n, dim) = (
                irreps.slices()[block].clone(),
                irreps[block].mul,
                irreps[block].irrep.dim(),
            );
            let w = weights.clone().narrow(1, first, n * out).reshape([n, out]);
            first += n * out;
            let rows = x.dims()[0];
            let x = x
                .clone()
                .slice(s![.., range])
                .reshape([rows, n, dim])
                .swap_dims(1, 2);
            let y = matmul(x.reshape([rows * dim, n]), w) * (1.0 / (n as f64).sqrt());
            y.reshape([rows, dim, out])
                .swap_dims(1, 2)
                .reshape([rows, out * dim])
        });
        Tensor::cat(blocks.to_vec(), 1)
    }
}

fn scalar(t: Tensor<1>) -> f64 {
    t.into_data().iter::<f64>().next().expect("one number")
}

/// How far numbers may be off.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Sums, features and the energy, relative.
    pub values: f64,
    /// Forces and the loss on them, relative.
    pub forces: f64,
    /// Gradients of that loss, relative.
    pub gradients: f64,
    /// In units of the largest number of each array.
    pub absolute: f64,
}

/// All numbers of the file.
pub fn check(device: &Device, dtype: DType, bounds: Bounds) {
    let golden = Golden::open("conv_forces");
    let device = device.clone().autodiff();
    let ends: Vec<u32> = golden
        .integers("edge_dst_src_i")
        .iter()
        .map(|&i| i as u32)
        .collect();
    let (destinations, sources) = ends.split_at(ends.len() / 2);
    for fused in [false, true] {
        let config = ConvolutionConfig::new(
            "4x0e+4x1o".parse().unwrap(),
            "0e+1o+2e".parse().unwrap(),
            "0e+1o+1e+2e".parse().unwrap(),
        );
        let model = Model {
            conv: config.init().unwrap(),
            graph: Graph::new(6, sources, destinations, &[]).unwrap(),
            fused,
        };
        // The weights of the linear map are one row.
        let shaped = |name: &str| {
            if golden.shape(name).len() == 1 {
                golden.tensor::<1>(name, &device, dtype).unsqueeze::<2>()
            } else {
                golden.tensor::<2>(name, &device, dtype)
            }
        };
        let parameters = || ["feat", "W1", "W2", "wl"].map(shaped);
        // 1. Energy and forces; parameters untracked.
        let positions = shaped("pos").require_grad();
        let out = model.run(Dual::constant(positions.clone()), parameters());
        let want = |name: &str| golden.tensor::<2>(name, &Device::flex(), DType::F64);
        let close = |got: Tensor<2>, name: &str, relative: f64| {
            let want = want(name).into_data();
            let largest = want.iter::<f64>().fold(0.0, |m: f64, x| m.max(x.abs()));
            assert_close!(
                got.inner().into_data(),
                want,
                relative,
                bounds.absolute * largest,
                "{name}, fused {fused}"
            );
        };
        let number = |got: f64, name: &str, relative: f64| {
            let want = golden.values(name)[0];
            assert!(
                (got - want).abs() <= relative * want.abs(),
                "{name}: {got} {want}"
            );
        };
        close(out.sums.value.clone(), "agg", bounds.values);
        close(out.nodes.value.clone(), "node_out", bounds.values);
        let energy = scalar(out.energy.value.clone());
        number(energy, "energy", bounds.values);
        let grads = out.energy.value.backward();
        let forces = -positions.grad(&grads).expect("forces");
        close(Tensor::from_inner(forces.clone()), "forces", bounds.forces);
        // 2. Loss Σ (F − target)² + E².
        let gap = forces - golden.tensor("force_target", &device.clone().without_autodiff(), dtype);
        let loss = scalar(gap.clone().powi_scalar(2).sum()) + energy * energy;
        number(loss, "loss", bounds.forces);
        // 3. The energy's derivative along −∂L/∂F, and 4. one backward pass.
        let direction = Tensor::from_data((gap * -2.0).into_data(), (&device, dtype));
        let positions = shaped("pos").require_grad();
        let tracked = parameters().map(Tensor::require_grad);
        let out = model.run(Dual::new(positions.clone(), direction), tracked.clone());
        let surrogate = out.energy.value * (2.0 * energy) + out.energy.tangent.expect("a tangent");
        let grads = surrogate.backward();
        let [feat, w1, w2, wl] = tracked;
        for (name, tensor) in [
            ("pos", positions),
            ("feat", feat),
            ("W1", w1),
            ("W2", w2),
            ("wl", wl),
        ] {
            let want: Vec<f64> = golden.values(&format!("dloss_{name}"));
            let largest = want.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            let got = tensor.grad(&grads).expect("a gradient");
            let want = burn::tensor::TensorData::new(want, got.dims());
            assert_close!(
                got.into_data(),
                want,
                bounds.gradients,
                bounds.absolute * largest,
                "dloss_{name}, fused {fused}"
            );
        }
    }
}
