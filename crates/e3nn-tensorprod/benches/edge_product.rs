//! Products with harmonics of edges: the direct plan beside the one in frames, in turn, on one thread, and what the planner
//! takes.
//!
//! `RAYON_NUM_THREADS=1 cargo bench -p e3nn-tensorprod --bench edge_product`; with `--check` (or as a test) it only compares
//! the plans, with `--fit` it prints what the cost model is fitted to.

mod common;

use burn::tensor::{DType, Device, Distribution, Tensor};
use common::processor_seconds;
use core_tensor::assert_close;
use core_tensor::testing::{check_only, median};
use e3nn_tensorprod::so2::{
    EdgeFrames, EdgeProduct, EdgeProductConfig, Plan, PlanChoice, PlanCost,
};
use e3nn_tensorprod::{Irreps, Parity};

// Large buffers are recycled rather than mapped anew, as PyTorch's allocator does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How copies are connected and where weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// uvw, one row of weights.
    Shared,
    /// uvw, weights of every edge.
    PerEdge,
    /// uvu, weights of every edge, a block per path.
    Depthwise,
}

struct Problem {
    kind: Kind,
    lmax: usize,
    mul: usize,
    layers: [EdgeProduct; 2],
    auto: EdgeProduct,
    inputs: [Tensor<2>; 3],
}

impl Problem {
    fn new(kind: Kind, lmax: usize, mul: usize, edges: usize, dtype: DType) -> Self {
        let device = Device::flex().autodiff();
        let harmonics = Irreps::spherical_harmonics(lmax, Parity::Odd);
        let features = Irreps::new(harmonics.iter().map(|block| (mul, block.irrep)));
        let mut config = match kind {
            Kind::Depthwise => EdgeProductConfig::depthwise(&features, &harmonics, &features),
            _ => EdgeProductConfig::fully_connected(&features, &harmonics, &features),
        };
        config.product.internal_weights = false;
        let shared = kind == Kind::Shared;
        let config = config.with_shared_weights(shared).with_edges(edges);
        let make = |plan| {
            config
                .clone()
                .with_plan(plan)
                .init(&device)
                .expect("a product")
        };
        let layers = [PlanChoice::Direct, PlanChoice::EdgeFrame].map(make);
        let normal = |height: usize, width: usize| {
            let distribution = Distribution::Normal(0.0, 1.0);
            Tensor::<2>::random([height, width], distribution, (&device, dtype)).require_grad()
        };
        let rows = if shared { 1 } else { edges };
        let inputs = [
            normal(edges, features.dim()),
            normal(edges, 3),
            normal(rows, layers[0].weight_numel()),
        ];
        Self {
            kind,
            lmax,
            mul,
            auto: make(PlanChoice::Auto),
            layers,
            inputs,
        }
    }

    fn edges(&self) -> usize {
        self.inputs[0].dims()[0]
    }

    fn check(&self) {
        let run = |layer: &EdgeProduct| {
            let [x, v, w] = self.inputs.clone();
            let out = layer.forward_weighted(x, v, w);
            let grads = out.clone().powi_scalar(2).sum().backward();
            let gradients = self
                .inputs
                .each_ref()
                .map(|t| t.grad(&grads).expect("a gradient"));
            (out, gradients)
        };
        let ((want, wants), (got, gots)) = (run(&self.layers[0]), run(&self.layers[1]));
        assert_close!(
            got,
            want,
            0.0,
            1e-11,
            "{:?} {} {}",
            self.kind,
            self.lmax,
            self.mul
        );
        for (got, want) in gots.into_iter().zip(wants) {
            let scale = want.clone().abs().max().into_scalar::<f64>().max(1.0);
            assert_close!(got, want, 0.0, 1e-11 * scale);
        }
    }

    /// Seconds of processor time of one pass: the smallest of a few.
    fn time(&self, plan: usize, train: bool, frames: Option<&EdgeFrames>) -> f64 {
        let pass = || {
            let start = processor_seconds();
            let layer = &self.layers[plan];
            if train {
                let [x, v, w] = self.inputs.clone();
                layer
                    .forward_weighted(x, v, w)
                    .powi_scalar(2)
                    .sum()
                    .backward();
            } else {
                let [x, v, w] = self.inputs.clone().map(|t| t.inner());
                match frames {
                    Some(frames) => layer.forward_weighted_in(x, frames, w),
                    None => layer.forward_weighted(x, v, w),
                };
            }
            processor_seconds() - start
        };
        let started = processor_seconds();
        let mut best = f64::INFINITY;
        while processor_seconds() - started < 0.05 {
            best = best.min(pass());
        }
        best.min(pass())
    }

    /// Medians over rounds in which the plans take turns.
    fn times(&self, rounds: usize, train: bool, with_frames: bool) -> [f64; 2] {
        let frames = with_frames.then(|| {
            let lmax = self.layers.iter().map(EdgeProduct::lmax).max().unwrap_or(0);
            EdgeFrames::new(self.inputs[1].clone().inner(), lmax)
        });
        let mut all = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (plan, times) in all.iter_mut().enumerate() {
                times.push(self.time(plan, train, frames.as_ref()));
            }
        }
        all.map(median)
    }
}

fn problems() -> Vec<(Kind, usize, usize)> {
    let mut list = Vec::new();
    for lmax in 1..=6 {
        for mul in [1, 4, 16, 64] {
            list.push((Kind::Shared, lmax, mul));
        }
    }
    for lmax in [1, 2, 3, 4, 6] {
        for mul in [1, 4, 16] {
            if lmax < 6 || mul < 16 {
                list.push((Kind::PerEdge, lmax, mul));
            }
        }
    }
    for lmax in [1, 2, 3, 4, 6] {
        for mul in [4, 32] {
            list.push((Kind::Depthwise, lmax, mul));
        }
    }
    list
}

/// Edges such that a problem fits memory and takes milliseconds.
fn edges(kind: Kind, lmax: usize, mul: usize) -> usize {
    match (kind, lmax * mul) {
        (Kind::PerEdge, 48..) => 100,
        (Kind::PerEdge, 16..) => 300,
        _ => 1000,
    }
}

fn main() {
    for (kind, lmax, mul) in [
        (Kind::Shared, 1, 64),
        (Kind::Shared, 4, 4),
        (Kind::PerEdge, 3, 4),
        (Kind::Depthwise, 3, 8),
    ] {
        Problem::new(kind, lmax, mul, 37, DType::F64).check();
    }
    if check_only() {
        println!("the plans agree");
        return;
    }
    let fit = std::env::args().any(|argument| argument == "--fit");
    let rounds = std::env::var("ROUNDS").map_or(5, |n| n.parse().expect("a number"));
    println!(
        "{} threads, processor time, median of {rounds} interleaved rounds, f32",
        core_tensor::cpu::threads()
    );
    if !fit {
        println!(
            "| product | lmax | copies | direct, µs/edge | frames, µs/edge | frames given, µs/edge | direct / frames | planner | of the better | train, direct / frames |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
    }
    for (kind, lmax, mul) in problems() {
        let problem = Problem::new(kind, lmax, mul, edges(kind, lmax, mul), DType::F32);
        let per_edge = |seconds: f64| 1e6 * seconds / problem.edges() as f64;
        let [direct, frames] = problem.times(rounds, false, false).map(per_edge);
        let given = problem.times(rounds, false, true).map(per_edge);
        if fit {
            let explained = problem.auto.explain();
            let costs = [Some(&explained.direct), explained.edge_frame.as_ref()];
            println!(
                "{kind:?} {lmax} {mul} direct {direct:.3} ({:.3}) frames {frames:.3} ({:.3})",
                given[0], given[1]
            );
            for cost in costs.into_iter().flatten() {
                print_steps(cost);
            }
            continue;
        }
        let [train, train_frames] = problem.times(rounds.min(3), true, false);
        let chosen = [direct, frames][usize::from(problem.auto.plan() == Plan::EdgeFrame)];
        println!(
            "| {} | {lmax} | {mul} | {direct:.2} | {frames:.2} | {:.2} | {:.2}× | {} | {:.2}× | {:.2}× |",
            match kind {
                Kind::Shared => "uvw, shared",
                Kind::PerEdge => "uvw, per edge",
                Kind::Depthwise => "uvu, per edge",
            },
            given[1],
            direct / frames,
            if problem.auto.plan() == Plan::Direct {
                "direct"
            } else {
                "frames"
            },
            chosen / direct.min(frames),
            train / train_frames,
        );
    }
}

fn print_steps(cost: &PlanCost) {
    for step in &cost.steps {
        print!(
            "  {}: {:.0} flops {:.0} bytes;",
            step.name, step.flops, step.bytes
        );
    }
    println!(" estimated {:.3} µs", 1e-3 * cost.nanoseconds());
}
