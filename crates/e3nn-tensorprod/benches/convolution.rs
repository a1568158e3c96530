//! The fused convolution beside e3nn, in turn, on the same arrays, in the same run; its peak memory on a diamond crystal.
//!
//! `PEER_PYTHON=… RAYON_NUM_THREADS=1 cargo bench -p e3nn-tensorprod --bench convolution` (`benches/peers/README.md`);
//! `ROUNDS`, `NODES`, `DEGREE` and `ONLY="mace-large forward"` choose. `MEMORY=1` walks over the crystal instead. Without
//! `--bench` it checks on a small graph that its arrays are those of the peer.
//!
//! `GPU=1 cargo bench -p e3nn-tensorprod --features cuda --bench convolution` times the kernels on a GPU (or with `vulkan`,
//! `wgpu`) and prints the bandwidth that they reach; `benches/peers/convolution_gpu.py` times others on the same arrays.

mod common;
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
#[path = "gpu/convolution.rs"]
mod gpu;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::processor_seconds;
use core_tensor::dual::Dual;
use core_tensor::graph::Graph;
use core_tensor::testing::Peer;
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig};
use e3nn_tensorprod::{Irreps, Layout, Parity};
use std::time::Instant;

// Large buffers are recycled rather than mapped anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Output `k` of the SplitMix64 sequence with a seed.
fn splitmix(seed: u64, k: u64) -> u64 {
    let mut x = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn uniform(seed: u64, shape: [usize; 2]) -> TensorData {
    let value = |k| {
        let odd = 2 * (splitmix(seed, k) >> 40) as i32 + 1 - (1 << 24);
        odd as f32 * 2.0_f32.powi(-24)
    };
    let values: Vec<f32> = (0..(shape[0] * shape[1]) as u64).map(value).collect();
    TensorData::new(values, shape)
}

fn convolution(case: &str, layout: Layout) -> Convolution {
    let (irreps, lmax, targets) = match case {
        "mace-large" => ("128x0e+128x1o+128x2e", 3, "0e+1o+2e+3o"),
        "nequip-32" => (
            "32x0o+32x0e+32x1o+32x1e+32x2o+32x2e",
            2,
            "0o+0e+1o+1e+2o+2e",
        ),
        _ => panic!("no case {case}"),
    };
    let parse = |text: &str| text.parse::<Irreps>().expect("irreps");
    let harmonics = Irreps::spherical_harmonics(lmax, Parity::Odd);
    let config = ConvolutionConfig::new(parse(irreps), harmonics, parse(targets));
    config.with_layout(layout).init().expect("paths")
}

struct Problem {
    conv: Convolution,
    graph: Graph,
    values: [TensorData; 3],
    tangents: [TensorData; 3],
}

impl Problem {
    fn new(case: &str, layout: Layout, nodes: usize, degree: usize) -> Self {
        let conv = convolution(case, layout);
        let edges = nodes * degree;
        let mut sources: Vec<u32> = (0..edges as u64)
            .map(|k| (splitmix(4, k) % nodes as u64) as u32)
            .collect();
        sources.chunks_mut(degree).for_each(<[u32]>::sort_unstable);
        let destinations: Vec<u32> = (0..edges).map(|e| (e / degree) as u32).collect();
        let shapes = [
            [nodes, conv.irreps_in().dim()],
            [edges, conv.irreps_sh().dim()],
            [edges, conv.weight_numel()],
        ];
        let of = |first: u64| [0, 1, 2].map(|i| uniform(first + i, shapes[i as usize]));
        Self {
            graph: Graph::new(nodes, &sources, &destinations, &[]).expect("a graph"),
            values: of(1),
            tangents: of(5),
            conv,
        }
    }

    /// Features, harmonics and weights on a device, and a direction of each.
    fn tensors(&self, device: &Device) -> [[Tensor<2>; 3]; 2] {
        let on = |data: &TensorData| Tensor::from_data(data.clone(), (device, DType::F32));
        [&self.values, &self.tangents].map(|all| all.each_ref().map(on))
    }

    fn convolve(&self, [x, y, w]: [Tensor<2>; 3]) -> Tensor<2> {
        self.conv.forward(x, y, w, &self.graph)
    }

    /// Seconds of a pass by a clock, and its results.
    fn run(
        &self,
        pass: &str,
        [values, directions]: &[[Tensor<2>; 3]; 2],
        now: &dyn Fn() -> f64,
    ) -> (f64, Vec<Tensor<2>>) {
        let tracked = |tensors: &[Tensor<2>; 3], which: [bool; 3]| {
            [0, 1, 2].map(|i| {
                let t = tensors[i].clone().autodiff();
                if which[i] { t.require_grad() } else { t }
            })
        };
        let gradients = |inputs: &[Tensor<2>; 3]| {
            let out = self.convolve(inputs.clone());
            // Not summed: gradients are those of the sum, whose own time is that of another kernel of Burn.
            let grads = (out.clone() * out * 0.5).backward();
            inputs
                .each_ref()
                .map(|t| t.grad(&grads).expect("a gradient"))
        };
        let results = |start: f64, all: Vec<Tensor<2>>| (now() - start, all);
        match pass {
            "forward" => {
                let inputs = values.clone();
                let start = now();
                let out = self.convolve(inputs);
                results(start, vec![out])
            }
            "backward" => {
                let inputs = tracked(values, [true; 3]);
                let start = now();
                let grads = gradients(&inputs);
                results(start, grads.into())
            }
            "force" => {
                let first = tracked(values, [true; 3]);
                let inputs = tracked(values, [true, false, true]);
                let directions = tracked(directions, [true, false, true]);
                let start = now();
                // First pass: the forces.
                let forces = gradients(&first);
                // Second: the energy's derivative along the direction, and its gradient.
                let pairs = [0, 1, 2].map(|i| Dual::new(inputs[i].clone(), directions[i].clone()));
                let [x, y, w] = pairs;
                let out = self.conv.forward(x, y, w, &self.graph);
                let along = out.value * out.tangent.expect("a tangent");
                let grads = along.backward();
                let second = [0, 2].map(|i| inputs[i].grad(&grads).expect("a gradient"));
                // In a network tangents depend on parameters too.
                let others = [0, 2].map(|i| directions[i].grad(&grads).expect("a gradient"));
                let out = results(start, second.into());
                drop((forces, others));
                out
            }
            _ => panic!("no pass {pass}"),
        }
    }

    /// Processor seconds of a pass on the CPU, and root mean squares of its results.
    fn run_cpu(&self, pass: &str) -> (f64, Vec<f64>) {
        let tensors = self.tensors(&Device::flex());
        let (seconds, results) = self.run(pass, &tensors, &processor_seconds);
        (seconds, results.iter().map(rms).collect())
    }
}

fn rms(t: &Tensor<2>) -> f64 {
    let data = t.clone().into_data();
    let (count, square) = data
        .iter::<f64>()
        .fold((0_u32, 0.0), |(n, s), x| (n + 1, s + x * x));
    (square / f64::from(count)).sqrt()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
}

/// Peak resident memory so far, bytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0
}

/// Diamond, a = 3.567 Å, 5³ cubic cells, all pairs within 6 Å: 158,000 edges.
fn diamond() -> Graph {
    let (a, cells, cutoff) = (3.567, 5_i32, 6.0);
    let base = [
        [0, 0, 0],
        [0, 2, 2],
        [2, 0, 2],
        [2, 2, 0],
        [1, 1, 1],
        [1, 3, 3],
        [3, 1, 3],
        [3, 3, 1],
    ];
    let period = 4 * cells;
    // Coordinates in quarters of the lattice constant.
    let mut atoms = Vec::new();
    for i in 0..cells.pow(3) {
        let cell = [i / (cells * cells), i / cells % cells, i % cells];
        atoms.extend(base.map(|b: [i32; 3]| [0, 1, 2].map(|k| 4 * cell[k] + b[k])));
    }
    let (mut sources, mut destinations, mut shifts) = (vec![], vec![], vec![]);
    for (to, p) in atoms.iter().enumerate() {
        for (from, q) in atoms.iter().enumerate() {
            for shift in 0..27 {
                let shift = [shift / 9 - 1, shift / 3 % 3 - 1, shift % 3 - 1];
                let d = [0, 1, 2].map(|k| f64::from(q[k] + period * shift[k] - p[k]) * a / 4.0);
                let square: f64 = d.iter().map(|d| d * d).sum();
                if square > 0.0 && square < cutoff * cutoff {
                    sources.push(from as u32);
                    destinations.push(to as u32);
                    shifts.push(shift);
                }
            }
        }
    }
    Graph::new(atoms.len(), &sources, &destinations, &shifts).expect("a graph")
}

/// Forward and backward over the crystal with weights computed on the way.
fn memory() {
    let (conv, graph) = (convolution("mace-large", Layout::IrMul), diamond());
    let (nodes, edges, hidden) = (graph.nodes(), graph.edges(), 64);
    let device = Device::flex().autodiff();
    let tensor = |seed, shape| {
        Tensor::<2>::from_data(uniform(seed, shape), (&device, DType::F32)).require_grad()
    };
    let inputs = [
        tensor(1, [nodes, conv.irreps_in().dim()]),
        tensor(2, [edges, conv.irreps_sh().dim()]),
        tensor(3, [edges, hidden]),
        tensor(4, [hidden, conv.weight_numel()]),
    ];
    let before = peak();
    let [x, y, h, matrix] = inputs.clone();
    let start = Instant::now();
    let out = conv.forward_radial(x, y, h, matrix, &graph);
    let forward = start.elapsed().as_secs_f64();
    let grads = out.powi_scalar(2).sum().backward();
    let both = start.elapsed().as_secs_f64();
    drop(inputs.map(|t| t.grad(&grads).expect("a gradient")));
    let outputs = (edges * conv.irreps_out().dim() * 4) as f64;
    let weights = (edges * conv.weight_numel() * 4) as f64;
    println!(
        "{edges} edges: forward {:.2}, forward and backward {:.2} µs per edge; peak memory {:.0} MB, before the convolution {:.0} MB; \
         edges × outputs would be {:.0} MB, edges × weights {:.0} MB",
        1e6 * forward / edges as f64,
        1e6 * both / edges as f64,
        peak() / 1e6,
        before / 1e6,
        outputs / 1e6,
        weights / 1e6,
    );
}

fn main() {
    let timed = std::env::args().any(|a| a == "--bench");
    if std::env::var_os("MEMORY").is_some() {
        return memory();
    }
    #[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
    if std::env::var_os("GPU").is_some() {
        return gpu::run();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/convolution.py");
    let mut peer = Peer::start(script);
    let (nodes, degree) = if timed {
        (number("NODES", 80), number("DEGREE", 50))
    } else {
        (4, 6)
    };
    let rounds = if timed { number("ROUNDS", 5) } else { 1 };
    let only = std::env::var("ONLY").unwrap_or_default();
    let edges = (nodes * degree) as f64;
    println!(
        "{} threads, {nodes} nodes of degree {degree}, processor time, best of {rounds} interleaved rounds\n",
        core_tensor::cpu::threads()
    );
    println!(
        "| case | pass | e3nn, µs/edge | this crate, µs/edge | component by component, µs/edge | faster |"
    );
    println!("|---|---|---|---|---|---|");
    for case in ["mace-large", "nequip-32"] {
        for pass in ["forward", "backward", "force"] {
            if !format!("{case} {pass}").contains(&only) {
                continue;
            }
            let ours = Problem::new(case, Layout::MulIr, nodes, degree);
            let turned = Problem::new(case, Layout::IrMul, nodes, degree);
            let (mut best, mut best_turned, mut theirs) = (f64::MAX, f64::MAX, f64::MAX);
            for round in 0..=rounds {
                let (seconds, digest) = ours.run_cpu(pass);
                let (seconds_turned, _) = turned.run_cpu(pass);
                let answer = peer
                    .as_mut()
                    .map(|p| p.ask(&format!("{case} {pass} {nodes} {degree}")));
                let answer: Vec<f64> = answer
                    .iter()
                    .flat_map(|line| line.split_whitespace().map(|x| x.parse().expect("numbers")))
                    .collect();
                if let Some((their, expected)) = answer.split_first() {
                    assert_eq!(digest.len(), expected.len());
                    for (a, b) in digest.iter().zip(expected) {
                        assert!(
                            (a - b).abs() <= 1e-4 * b,
                            "{case} {pass}: {digest:?}, e3nn {expected:?}"
                        );
                    }
                    if round > 0 {
                        theirs = theirs.min(*their);
                    }
                }
                if round > 0 {
                    (best, best_turned) = (best.min(seconds), best_turned.min(seconds_turned));
                }
            }
            let per_edge = |seconds: f64| 1e6 * seconds / edges;
            println!(
                "| {case} | {pass} | {:.2} | {:.2} | {:.2} | {:.1}× |",
                per_edge(theirs),
                per_edge(best),
                per_edge(best_turned),
                theirs / best
            );
        }
    }
}
