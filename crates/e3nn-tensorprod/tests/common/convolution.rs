//! Random convolutions, with values, gradients, tangents and gradients of tangents.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::graph::Graph;
use e3nn_tensorprod::conv::{ConvolutionConfig, reference};
use e3nn_tensorprod::{Layout, Paths, convolve};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Reproducible values.
pub struct Random(pub ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn data(&mut self, shape: [usize; 2]) -> TensorData {
        let values: Vec<f64> = (0..shape[0] * shape[1])
            .map(|_| self.0.random_range(-1.0..1.0))
            .collect();
        TensorData::new(values, shape)
    }

    /// A graph with self loops, multiple edges and isolated nodes.
    pub fn graph(&mut self, nodes: usize, edges: usize) -> Graph {
        let mut ends = || -> Vec<u32> {
            let reach = nodes.saturating_sub(2).max(1) as u32;
            (0..edges).map(|_| self.0.random_range(0..reach)).collect()
        };
        let (sources, destinations) = (ends(), ends());
        Graph::new(nodes, &sources, &destinations, &[]).unwrap()
    }
}

/// No edges, no nodes, a node with many edges, a source of many edges.
pub fn awkward_graphs() -> Vec<Graph> {
    let hub = |to_hub: bool| {
        let others: Vec<u32> = (0..1500).map(|i| i % 40).collect();
        let hub = vec![17; others.len()];
        let (from, to) = if to_hub { (others, hub) } else { (hub, others) };
        Graph::new(41, &from, &to, &[]).unwrap()
    };
    vec![
        Graph::new(0, &[], &[], &[]).unwrap(),
        Graph::new(3, &[], &[], &[]).unwrap(),
        Graph::new(1, &[0], &[0], &[]).unwrap(),
        Random::new(7).graph(50, 7),
        hub(true),
        hub(false),
    ]
}

/// All paths between some irreps.
pub fn paths(x: &str, y: &str, targets: &str, layout: Layout) -> Paths {
    let [x, y, targets] = [x, y, targets].map(|text| text.parse().expect("irreps"));
    let config = ConvolutionConfig::new(x, y, targets).with_layout(layout);
    config.init().expect("paths").paths().clone()
}

/// The inputs of a case: values of x, y, w and tangents of those marked.
pub struct Case {
    pub paths: Paths,
    pub graph: Graph,
    pub values: [TensorData; 3],
    pub tangents: [Option<TensorData>; 3],
    pub cotangents: [TensorData; 2],
}

pub type Convolve = fn(Dual<2>, Dual<2>, Dual<2>, &Paths, &Graph) -> Dual<2>;

impl Case {
    pub fn new(seed: u64, paths: Paths, graph: Graph, tangents: [bool; 3]) -> Self {
        let mut random = Random::new(seed);
        let (nodes, edges) = (graph.nodes(), graph.edges());
        let shapes = [
            [nodes, paths.irreps_in().dim()],
            [edges, paths.irreps_sh().dim()],
            [edges, paths.weight_numel()],
        ];
        let out = [nodes, paths.irreps_out().dim()];
        let mut i = 0;
        Self {
            values: shapes.map(|shape| random.data(shape)),
            tangents: shapes.map(|shape| {
                i += 1;
                tangents[i - 1].then(|| random.data(shape))
            }),
            cotangents: [random.data(out), random.data(out)],
            paths,
            graph,
        }
    }

    /// Value, tangent, and gradients of all inputs that are `tracked` of `⟨value, g⟩ + ⟨tangent, ġ⟩`.
    pub fn run(
        &self,
        device: &Device,
        f: Convolve,
        dtype: DType,
        tracked: [bool; 3],
    ) -> Vec<TensorData> {
        let device = device.clone().autodiff();
        let tensor = |data: &TensorData, track: bool| {
            let t = Tensor::<2>::from_data(data.clone(), (&device, dtype));
            if track { t.require_grad() } else { t }
        };
        let inputs: Vec<Dual<2>> = (0..3)
            .map(|i| Dual {
                value: tensor(&self.values[i], tracked[i]),
                tangent: self.tangents[i].as_ref().map(|t| tensor(t, tracked[i])),
            })
            .collect();
        let [x, y, w] = [0, 1, 2].map(|i| inputs[i].clone());
        let out = f(x, y, w, &self.paths, &self.graph);
        let mut loss = (out.value.clone() * tensor(&self.cotangents[0], false)).sum();
        if let Some(tangent) = &out.tangent {
            loss = loss + (tangent.clone() * tensor(&self.cotangents[1], false)).sum();
        }
        let mut results = Vec::new();
        if tracked.contains(&true) {
            let grads = loss.backward();
            for (dual, tracked) in inputs.iter().zip(tracked) {
                if tracked {
                    let all = [Some(&dual.value), dual.tangent.as_ref()];
                    let grads = all.into_iter().flatten().map(|t| t.grad(&grads));
                    results.extend(grads.map(|g| read(g.expect("a gradient"))));
                }
            }
        }
        // Read after their last use: a software driver may otherwise write over what is read.
        let out = [Some(out.value), out.tangent].into_iter().flatten();
        let mut all: Vec<TensorData> = out.map(read).collect();
        all.extend(results);
        all
    }

    #[track_caller]
    pub fn check(&self, device: &Device, dtype: DType, bound: f64, tracked: [bool; 3]) {
        let got = self.run(device, convolve, dtype, tracked);
        let want = self.run(&Device::flex(), reference::convolve, DType::F64, tracked);
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            // Every result is a sum; what rounding does to it is in proportion to the largest.
            let largest = want.iter::<f64>().fold(1.0, |m: f64, x| m.max(x.abs()));
            assert_close!(
                got,
                want,
                bound,
                bound * largest,
                "{:?}: result {i}",
                self.paths
            );
        }
    }
}

/// The values of a tensor, whose shape is what was promised.
pub fn read(t: Tensor<2>) -> TensorData {
    let promised = t.dims();
    let data = t.into_data();
    assert_eq!(data.shape().dims::<2>(), promised);
    data
}

pub const ALL: [bool; 3] = [true; 3];
pub const NONE: [bool; 3] = [false; 3];
