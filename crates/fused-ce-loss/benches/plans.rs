//! Every plan of this crate on one problem, in turn, with the memory that it says it held.
//!
//! `cargo bench -p fused-ce-loss --bench plans`. `SHAPE=N,D,V`, `FILE=….safetensors`, `DTYPE=bf16`, `ROUNDS=…` and
//! `ONLY=store` choose; `--check` compares the plans with each other on a small problem.
//!
//! `GPU=1 cargo bench -p fused-ce-loss --features cuda --bench plans` times the plans on a GPU (or with `vulkan`, `wgpu`) at the
//! sizes of language models; `SHAPE`, `ROUNDS`, `ONLY="Gemma-2-2B BF16 store"`, `BUDGET` in MB, and `SECONDS`, after which no new problem is
//! begun, choose.

mod common;
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
#[path = "gpu/plans.rs"]
mod gpu;

use burn::tensor::{DType, Device};
use common::{Arrays, Pass, config};
use core_tensor::testing::{check_only, median};
use fused_ce_loss::{Filter, Plan, Tail};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn cases() -> Vec<(&'static str, Plan, Pass)> {
    let drop = Filter {
        tail: Tail::Drop,
        ..Filter::default()
    };
    vec![
        ("forward only", Plan::Recompute, Pass::Forward),
        ("store", Plan::Store, Pass::Train),
        ("recompute", Plan::Recompute, Pass::Train),
        ("filtered, tail dropped", Plan::Filtered(drop), Pass::Train),
        (
            "filtered, tail drawn",
            Plan::Filtered(Filter::default()),
            Pass::Train,
        ),
        (
            "forward gradient, frozen",
            Plan::ForwardGradient,
            Pass::Frozen,
        ),
        ("recompute, frozen", Plan::Recompute, Pass::Frozen),
        ("store, frozen", Plan::Store, Pass::Frozen),
        ("store, 80 % ignored", Plan::Store, Pass::Ignored),
        ("store, weight [D, V]", Plan::Store, Pass::Columns),
        ("recompute, weight [D, V]", Plan::Recompute, Pass::Columns),
        (
            "filtered, weight [D, V]",
            Plan::Filtered(Filter::default()),
            Pass::Columns,
        ),
    ]
}

fn check() {
    let arrays = Arrays::generated([65, 24, 700], &Device::flex(), DType::F32);
    for pass in [Pass::Train, Pass::Frozen, Pass::Ignored, Pass::Columns] {
        // The same numbers, whatever the layout of the weight.
        let rows = if pass == Pass::Columns {
            Pass::Train
        } else {
            pass
        };
        let want = arrays.run(config(Plan::Store), rows).2;
        for (name, plan, own) in cases() {
            // A filter is not exact; the tests bound its error.
            if own != pass || matches!(plan, Plan::Filtered(_)) {
                continue;
            }
            let got = arrays.run(config(plan), pass).2;
            let close =
                |a: f64, b: f64| (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * b.abs();
            assert!(
                close(got.loss, want.loss) && close(got.hidden_dot, want.hidden_dot),
                "{name}"
            );
            assert!(close(got.weight_dot, want.weight_dot), "{name}");
        }
    }
    println!("all plans agree");
}

fn main() {
    #[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
    if std::env::var_os("GPU").is_some() {
        return gpu::run();
    }
    if check_only() {
        return check();
    }
    let variable = |name: &str| std::env::var(name).ok();
    let dtype = if variable("DTYPE").as_deref() == Some("bf16") {
        DType::BF16
    } else {
        DType::F32
    };
    let rounds: usize = variable("ROUNDS").map_or(5, |n| n.parse().expect("ROUNDS is a number"));
    let device = Device::flex();
    let arrays = match variable("FILE") {
        Some(path) => Arrays::stored(&path, &device, dtype),
        None => {
            let shape = variable("SHAPE").unwrap_or_else(|| "1024,768,32000".into());
            let shape: Vec<usize> = shape
                .split(',')
                .map(|x| x.parse().expect("a number"))
                .collect();
            Arrays::generated(shape.try_into().expect("SHAPE=N,D,V"), &device, dtype)
        }
    };
    let only = variable("ONLY").unwrap_or_default();
    let cases: Vec<_> = cases()
        .into_iter()
        .filter(|c| c.0.starts_with(&only))
        .collect();
    let [n, d, v] = arrays.shape();
    let threads = core_tensor::cpu::threads();
    println!(
        "N {n}, D {d}, V {v}, {dtype:?}, {threads} threads, median (least) of {rounds} interleaved rounds\n"
    );
    println!(
        "| plan | ms | held, MB | predicted, MB | entries kept | drawn | tail mass, mean (largest) |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut times = vec![Vec::new(); cases.len()];
    let mut reports = vec![None; cases.len()];
    for round in 0..=rounds {
        for (i, &(_, plan, pass)) in cases.iter().enumerate() {
            let (seconds, out, _) = arrays.run(config(plan), pass);
            reports[i] = Some(out.report());
            if round > 0 {
                times[i].push(seconds);
            }
        }
    }
    for ((name, ..), (times, report)) in cases.iter().zip(times.into_iter().zip(reports)) {
        let report = report.expect("at least one round");
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let filter = report.filter.map_or_else(String::new, |f| {
            let share = |count: u64| 100.0 * count as f64 / f.entries as f64;
            format!(
                "{:.3} % | {:.3} % | {:.4} ({:.3})",
                share(f.kept),
                share(f.drawn),
                f.tail_mass,
                f.largest_tail_mass
            )
        });
        println!(
            "| {name} | {:.0} ({:.0}) | {:.1} | {:.1} | {filter}",
            1e3 * median(times),
            1e3 * least,
            report.peak_bytes as f64 / 1e6,
            report.predicted_bytes as f64 / 1e6,
        );
    }
}
