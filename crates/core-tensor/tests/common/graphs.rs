//! Graphs and operations that tests on the CPU and on the GPU share.

#![allow(dead_code, reason = "a test uses what it needs")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::dual::{Dual, Value};
use core_tensor::graph::{
    End, Graph, gather, reference, segment_max, segment_mean, segment_softmax, segment_sum,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) type Random = ChaCha8Rng;

pub(crate) fn random(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

pub(crate) const ENDS: [End; 2] = [End::Destination, End::Source];

/// Edges `(from, to)`.
pub(crate) fn edges(rng: &mut Random, nodes: usize, edges: usize) -> Vec<(u32, u32)> {
    let mut end = || rng.random_range(0..nodes as u32);
    (0..edges).map(|_| (end(), end())).collect()
}

pub(crate) fn build(nodes: usize, edges: &[(u32, u32)]) -> Graph {
    let (from, to): (Vec<u32>, Vec<u32>) = edges.iter().copied().unzip();
    Graph::new(nodes, &from, &to, &[]).unwrap()
}

/// Graphs that kernels trip over: none, no edges, isolated nodes, a star both ways, a node with many edges.
pub(crate) fn graphs(rng: &mut Random) -> Vec<(&'static str, Graph)> {
    let star: Vec<(u32, u32)> = (1..40).flat_map(|i| [(0, i), (i, 0)]).collect();
    let busy: Vec<(u32, u32)> = (0..1300)
        .map(|i| (i % 7, if i % 13 == 0 { 1 } else { 4 }))
        .collect();
    let mut list = vec![
        ("empty", build(0, &[])),
        ("one node", build(1, &[])),
        ("loops", build(1, &[(0, 0), (0, 0)])),
        ("no edges", build(5, &[])),
        ("star", build(41, &star)),
        ("busy node", build(9, &busy)),
    ];
    for (nodes, count) in [(2, 3), (30, 17), (17, 64), (40, 500)] {
        let edges = edges(rng, nodes, count);
        list.push(("random", build(nodes, &edges)));
    }
    list
}

pub(crate) fn values(rng: &mut Random, len: usize, low: f64, high: f64) -> Vec<f64> {
    (0..len).map(|_| rng.random_range(low..high)).collect()
}

pub(crate) fn matrix(values: &[f64], rows: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let columns = values.len().checked_div(rows).unwrap_or(0);
    Tensor::from_data(
        TensorData::new(values.to_vec(), [rows, columns]),
        (device, dtype),
    )
}

/// The operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Gather,
    Sum,
    Mean,
    Max,
    Softmax,
    /// With weights per edge and feature.
    Weighted,
    /// With weights per edge.
    Envelope,
}

pub(crate) const OPS: [Op; 7] = [
    Op::Gather,
    Op::Sum,
    Op::Mean,
    Op::Max,
    Op::Softmax,
    Op::Weighted,
    Op::Envelope,
];

impl Op {
    /// Rows of the input.
    pub(crate) fn rows(self, graph: &Graph) -> usize {
        match self {
            Self::Gather => graph.nodes(),
            _ => graph.edges(),
        }
    }

    /// Columns of the weights.
    pub(crate) fn weights(self, features: usize) -> Option<usize> {
        match self {
            Self::Weighted => Some(features),
            Self::Envelope => Some(1),
            _ => None,
        }
    }

    pub(crate) fn run<V: Value<2>>(self, x: V, weights: Option<V>, graph: &Graph, end: End) -> V {
        match self {
            Self::Gather => gather(x, graph, end),
            Self::Sum => segment_sum(x, graph, end),
            Self::Mean => segment_mean(x, graph, end),
            Self::Max => segment_max(x, graph, end),
            Self::Softmax | Self::Weighted | Self::Envelope => {
                segment_softmax(x, weights, graph, end)
            }
        }
    }

    pub(crate) fn reference(
        self,
        x: Tensor<2>,
        weights: Option<Tensor<2>>,
        graph: &Graph,
        end: End,
    ) -> Tensor<2> {
        match self {
            Self::Gather => reference::gather(x, graph, end),
            Self::Sum => reference::segment_sum(x, graph, end),
            Self::Mean => reference::segment_mean(x, graph, end),
            Self::Max => reference::segment_max(x, graph, end),
            Self::Softmax | Self::Weighted | Self::Envelope => {
                reference::segment_softmax(x, weights, graph, end)
            }
        }
    }
}

/// Inputs of a call.
pub(crate) struct Inputs {
    pub(crate) graph: Graph,
    pub(crate) op: Op,
    pub(crate) end: End,
    pub(crate) x: Vec<f64>,
    /// Some of them 0, the others from 0.2 on.
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) features: usize,
}

impl Inputs {
    pub(crate) fn draw(rng: &mut Random, graph: &Graph, op: Op, end: End, features: usize) -> Self {
        let x = values(rng, op.rows(graph) * features, -3.0, 3.0);
        let weights = op.weights(features).map(|columns| {
            let raw = values(rng, graph.edges() * columns, -0.2, 1.0);
            // Slopes by a weight are as large as its inverse.
            raw.into_iter()
                .map(|w| if w < 0.0 { 0.0 } else { 0.2 + 0.8 * w })
                .collect()
        });
        Self {
            graph: graph.clone(),
            op,
            end,
            x,
            weights,
            features,
        }
    }

    /// `x` and the weights.
    pub(crate) fn tensors(&self, device: &Device, dtype: DType) -> (Tensor<2>, Option<Tensor<2>>) {
        let rows = self.op.rows(&self.graph);
        let matrix = |values: &[f64], columns: usize, rows: usize| {
            let data = TensorData::new(values.to_vec(), [rows, columns]);
            Tensor::<2>::from_data(data, (device, dtype))
        };
        let weights = self.weights.as_ref().map(|w| {
            let columns = self.op.weights(self.features).unwrap();
            matrix(w, columns, self.graph.edges())
        });
        (matrix(&self.x, self.features, rows), weights)
    }

    /// Result, and gradients of `Σ sin(k) y_k` on a device with autodiff.
    pub(crate) fn run(&self, device: &Device, dtype: DType, fast: bool) -> Vec<TensorData> {
        let (x, weights) = self.tensors(device, dtype);
        let (x, weights) = (x.require_grad(), weights.map(Tensor::require_grad));
        let y = if fast {
            self.op
                .run(x.clone(), weights.clone(), &self.graph, self.end)
        } else {
            self.op
                .reference(x.clone(), weights.clone(), &self.graph, self.end)
        };
        let [rows, columns] = y.dims();
        let cotangent: Vec<f64> = (0..rows * columns)
            .map(|k| (k as f64 + 1.0).sin())
            .collect();
        let cotangent = TensorData::new(cotangent, [rows, columns]);
        let cotangent = Tensor::<2>::from_data(cotangent, (device, dtype));
        // Where no edge counts, the reference records nothing.
        let grads = y
            .is_tracked()
            .then(|| (y.clone() * cotangent).sum().backward());
        assert!(grads.is_some() || !fast);
        // Read when nothing is left that may write over it.
        let mut all = vec![y.into_data()];
        for leaf in [Some(x), weights].into_iter().flatten() {
            let gradient = grads.as_ref().and_then(|grads| leaf.grad(grads));
            assert!(gradient.is_some() || !fast);
            let zeros = || leaf.zeros_like();
            all.push(gradient.unwrap_or_else(zeros).into_data());
        }
        all
    }
}

/// A dual of two flat lists.
pub(crate) fn dual(x: Tensor<1>, dx: Tensor<1>, shape: [usize; 2]) -> Dual<2> {
    Dual::new(x, dx).reshape(shape)
}
