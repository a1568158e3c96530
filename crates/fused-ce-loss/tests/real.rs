//! Hidden states and classifier of a real model, where `fixtures/smollm2.py` has written them.
//!
//! `FUSED_CE_FIXTURE=….safetensors cargo test -p fused-ce-loss --test real -- --nocapture`

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::{Labels, NAMES, Problem, Setup, Values, rms_ratio};
use fused_ce_loss::{Filter, LossConfig, LossOutput, Plan, Tail, linear_cross_entropy};
use safetensors::SafeTensors;

fn load() -> Option<(Problem, Vec<f64>, Vec<f64>)> {
    let Some(path) = std::env::var_os("FUSED_CE_FIXTURE") else {
        eprintln!("skipped: FUSED_CE_FIXTURE names no file (see fixtures/README.md)");
        return None;
    };
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let f32s = |key: &str| {
        let view = file.tensor(key).expect("the key");
        let data = view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b).into())
            .collect();
        Values::new(view.shape(), data)
    };
    let f64s = |key: &str| -> Vec<f64> {
        let view = file.tensor(key).expect("the key");
        view.data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| f64::from_le_bytes(b))
            .collect()
    };
    let targets = file.tensor("targets").expect("the key");
    let ids: Vec<i64> = targets
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&b| i64::from_le_bytes(b))
        .collect();
    let problem = Problem {
        hidden: f32s("hidden"),
        weight: f32s("weight"),
        bias: None,
        labels: Labels::Classes(vec![ids.len()], ids),
        class_weight: None,
        token_weight: None,
        config: LossConfig::new(),
    };
    Some((problem, f64s("nll"), f64s("lse")))
}

fn goal(out: &LossOutput) -> Tensor<1> {
    out.loss.clone().sum()
}

#[test]
fn a_real_model() {
    let Some((problem, nll, lse)) = load() else {
        return;
    };
    let device = Device::flex();
    let run = |plan: Plan, setup: Setup| {
        let problem = Problem {
            config: problem.config.with_plan(plan),
            ..problem.clone()
        };
        problem.run(&device, setup, linear_cross_entropy, &goal)
    };
    let mean = nll.iter().sum::<f64>() / nll.len() as f64;
    let want = run(Plan::Store, Setup::F64);
    assert!((want.loss[0] - mean).abs() <= 1e-9 * mean);
    let largest = lse.iter().copied().fold(0.0, f64::max);
    println!(
        "{} rows, mean nll {mean:.7}, largest lse {largest:.1}",
        nll.len()
    );
    for plan in [Plan::Store, Plan::Recompute] {
        let got = run(plan, Setup::F32);
        let error = (got.loss[0] - mean).abs() / mean;
        let gaps = [0, 1].map(|i| rms_ratio(&got.gradients[i], &want.gradients[i]));
        println!(
            "{plan:?}, f32: loss off by {error:.1e}, gradients by {:.1e} and {:.1e}",
            gaps[0], gaps[1]
        );
        assert!(error <= 1e-6);
        // Logits here reach the largest lse; they are rounded before anything else.
        assert!(
            gaps.iter().all(|&g| g <= 1e-6 * (largest / 20.0).max(1.0)),
            "{gaps:?}"
        );
    }
    for (name, filter) in [
        (
            "drawn, 2⁻¹²",
            Filter {
                threshold: 2.0_f64.powi(-12),
                ..Filter::default()
            },
        ),
        ("drawn, default", Filter::default()),
        (
            "dropped, 2⁻¹²",
            Filter {
                threshold: 2.0_f64.powi(-12),
                tail: Tail::Drop,
                ..Filter::default()
            },
        ),
        (
            "dropped, 2⁻¹⁵",
            Filter {
                threshold: 2.0_f64.powi(-15),
                tail: Tail::Drop,
                ..Filter::default()
            },
        ),
    ] {
        let got = run(Plan::Filtered(filter), Setup::F32);
        let gaps = [0, 1].map(|i| rms_ratio(&got.gradients[i], &want.gradients[i]));
        let report = got.report.filter.expect("a report");
        let share = |count: u64| 100.0 * count as f64 / report.entries as f64;
        println!(
            "{name}: kept {:.3} %, drawn {:.3} %, tail mass {:.4} ({:.3}), gradients off by {:.1e} and {:.1e}",
            share(report.kept),
            share(report.drawn),
            report.tail_mass,
            report.largest_tail_mass,
            gaps[0],
            gaps[1]
        );
        if name == "drawn, default" {
            for (name, gap) in NAMES.iter().zip(gaps) {
                assert!(gap <= 5e-3, "{name}: {gap}");
            }
        }
    }
    let half = run(
        Plan::Store,
        Setup {
            dtype: DType::BF16,
            ..Setup::F32
        },
    );
    println!("bf16: loss {:.6}", half.loss[0]);
}
