//! Every plan of this crate on one problem, in turn, with the memory that it says it held.
//!
//! `cargo bench -p fused-ce-loss --bench plans`; `SHAPE=N,D,V`, `DTYPE=bf16`, `ROUNDS=…` choose.

use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use fused_ce_loss::{Filter, LossConfig, Plan, Report, Tail, linear_cross_entropy};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Problem {
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
}

impl Problem {
    fn run(&self, plan: Plan, frozen: bool, ignored: bool, backward: bool) -> (f64, Report) {
        let targets = if ignored {
            let [n] = self.targets.dims();
            let mask = Tensor::<1>::random([n], Distribution::Default, &self.targets.device())
                .lower_elem(0.8);
            self.targets.clone().mask_fill(mask, -100)
        } else {
            self.targets.clone()
        };
        let options = LossConfig::new()
            .with_plan(plan)
            .with_memory_budget(1 << 30)
            .build()
            .expect("options");
        let (mut e, mut c) = (self.hidden.clone(), self.weight.clone());
        if backward {
            e = e.require_grad();
            if !frozen {
                c = c.require_grad();
            }
        }
        let start = Instant::now();
        let out = linear_cross_entropy(e, c, targets, &options);
        let grads = backward.then(|| out.loss.backward());
        let seconds = start.elapsed().as_secs_f64();
        drop(grads);
        (seconds, out.report())
    }
}

fn main() {
    let shape = std::env::var("SHAPE").unwrap_or_else(|_| "1024,768,32000".into());
    let shape: Vec<usize> = shape
        .split(',')
        .map(|x| x.parse().expect("a number"))
        .collect();
    let dtype = if std::env::var("DTYPE").is_ok_and(|d| d == "bf16") {
        DType::BF16
    } else {
        DType::F32
    };
    let rounds: usize = std::env::var("ROUNDS").map_or(5, |n| n.parse().expect("a number"));
    let [n, d, v] = shape[..] else {
        panic!("SHAPE=N,D,V")
    };
    let device = Device::flex().autodiff();
    let normal = |shape, deviation| {
        Tensor::<2>::random(shape, Distribution::Normal(0.0, deviation), &device).cast(dtype)
    };
    let problem = Problem {
        hidden: normal([n, d], 1.0 / (d as f64).sqrt()).detach(),
        weight: normal([v, d], 1.0).detach(),
        targets: Tensor::<1, Int>::random([n], Distribution::Uniform(0.0, v as f64), &device),
    };
    let filter = Filter {
        tail: Tail::Drop,
        ..Filter::default()
    };
    let cases = [
        ("forward only", Plan::Recompute, false, false, false),
        ("store", Plan::Store, false, false, true),
        ("recompute", Plan::Recompute, false, false, true),
        ("filtered, drop", Plan::Filtered(filter), false, false, true),
        (
            "filtered, stochastic",
            Plan::Filtered(Filter::default()),
            false,
            false,
            true,
        ),
        (
            "forward gradient, frozen",
            Plan::ForwardGradient,
            true,
            false,
            true,
        ),
        ("recompute, frozen", Plan::Recompute, true, false, true),
        ("store, frozen", Plan::Store, true, false, true),
        ("store, 80 % ignored", Plan::Store, false, true, true),
    ];
    println!(
        "{n} × {d} × {v} {dtype:?}, {} threads, median and least of {rounds}",
        core_tensor::cpu::threads()
    );
    let mut times = vec![Vec::new(); cases.len()];
    let mut reports = vec![Report::default(); cases.len()];
    for round in 0..=rounds {
        for (i, &(_, plan, frozen, ignored, backward)) in cases.iter().enumerate() {
            let (seconds, report) = problem.run(plan, frozen, ignored, backward);
            reports[i] = report;
            if round > 0 {
                times[i].push(seconds);
            }
        }
    }
    for ((name, ..), (mut times, report)) in cases.iter().zip(times.into_iter().zip(reports)) {
        times.sort_by(f64::total_cmp);
        println!(
            "{name:>28}: {:7.1} {:7.1} ms, held {:6.1} MB of {:6.1} predicted",
            1e3 * times[times.len() / 2],
            1e3 * times[0],
            report.peak_bytes as f64 / 1e6,
            report.predicted_bytes as f64 / 1e6,
        );
    }
}
