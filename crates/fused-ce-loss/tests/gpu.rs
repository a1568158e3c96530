//! The loss on a GPU (or a software driver) against the CPU: `cargo test -p fused-ce-loss --features wgpu --test gpu`.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

mod common;

use burn::tensor::Device;
use common::{Labels, NAMES, Problem, Random, Setup, assert_rms, assert_rows, mixed};
use fused_ce_loss::{LossConfig, Plan, Smoothing, linear_cross_entropy};

fn device() -> Device {
    #[cfg(feature = "cuda")]
    return Device::cuda(0);
    #[cfg(not(feature = "cuda"))]
    Device::wgpu(Default::default())
}

#[test]
fn every_option_gives_the_same_as_on_the_cpu() {
    let mut random = Random::new(1);
    let shape = [24, 130, 16];
    let plain = random.problem(shape);
    let q = random.distributions([24, 130]);
    let top = Labels::TopK {
        shape: vec![24, 3],
        classes: (0..72).map(|i| (i * 37 % 130) as i64).collect(),
        probabilities: random.uniform(&[24, 3], 0.0, 0.3),
        tail: true,
    };
    let shifted = match &plain.labels {
        Labels::Classes(_, ids) => Labels::Classes(vec![6, 4], ids.clone()),
        _ => unreachable!(),
    };
    let rich = LossConfig::new()
        .with_smoothing(Smoothing::Torch(0.1))
        .with_z_loss(0.01)
        .with_softcap(8.0)
        .with_temperature(0.8)
        .with_entropy(true)
        .with_top_k(2);
    let problems = [
        ("plain", plain.clone()),
        (
            "rich",
            Problem {
                bias: Some(random.normal(&[130], 1.0)),
                class_weight: Some(random.uniform(&[130], 0.2, 2.0)),
                token_weight: Some(random.uniform(&[24], 0.0, 2.0)),
                config: rich,
                ..plain.clone()
            },
        ),
        (
            "shift",
            Problem {
                labels: shifted,
                config: LossConfig::new().with_shift(1),
                ..plain.clone()
            },
        ),
        (
            "probabilities",
            Problem {
                labels: Labels::Probabilities(q),
                ..plain.clone()
            },
        ),
        (
            "top-k teacher",
            Problem {
                labels: top,
                ..plain
            },
        ),
    ];
    for (name, problem) in problems {
        for columns in [false, true] {
            let setup = Setup {
                columns,
                ..Setup::F32
            };
            let want = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &mixed);
            let got = problem.run(&device(), setup, linear_cross_entropy, &mixed);
            assert_rows(&got.loss, &want.loss, 1e-5, &format!("{name}: loss"));
            assert_rows(&got.lse, &want.lse, 1e-5, &format!("{name}: lse"));
            assert_rows(
                &got.entropy,
                &want.entropy,
                1e-5,
                &format!("{name}: entropy"),
            );
            assert_eq!(got.counted, want.counted, "{name}");
            assert_eq!(got.correct, want.correct, "{name}");
            assert_eq!(got.top_classes, want.top_classes, "{name}");
            for ((part, got), want) in NAMES.iter().zip(&got.gradients).zip(&want.gradients) {
                assert_rms(got, want, 1e-5, &format!("{name}: {part}"));
            }
            assert_eq!(got.report.plan, None, "{name}: no plan of the engine ran");
        }
    }
}

/// A plan is a matter of memory on the CPU; elsewhere it changes nothing.
#[test]
fn plans_are_accepted() {
    let problem = Random::new(2).problem([10, 50, 8]);
    let want = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &mixed);
    for plan in [Plan::Store, Plan::Recompute, Plan::ForwardGradient] {
        let problem = Problem {
            config: problem.config.with_plan(plan),
            ..problem.clone()
        };
        let got = problem.run(&device(), Setup::F32, linear_cross_entropy, &mixed);
        assert_rows(&got.loss, &want.loss, 1e-5, "loss");
    }
}
