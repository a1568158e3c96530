//! Bits, memory, rows left out, shards, and what falls back.

use super::common::{
    Labels, NAMES, Outcome, Problem, Random, Setup, assert_rms, assert_rows, list, mixed,
};
use super::{TINY, device};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fused_ce_loss::{
    Classifier, Filter, LossConfig, Plan, Reduction, Smoothing, Targets, linear_cross_entropy,
    shard,
};

/// Options that every kernel takes part in.
fn rich() -> LossConfig {
    LossConfig::new()
        .with_smoothing(Smoothing::Torch(0.1))
        .with_z_loss(0.01)
        .with_softcap(8.0)
        .with_temperature(0.8)
        .with_entropy(true)
        .with_top_k(2)
}

fn rich_problem(seed: u64, shape: [usize; 3]) -> Problem {
    let mut random = Random::new(seed);
    let [n, v, _] = shape;
    Problem {
        bias: Some(random.normal(&[v], 1.0)),
        class_weight: Some(random.uniform(&[v], 0.2, 2.0)),
        token_weight: Some(random.uniform(&[n], 0.0, 2.0)),
        config: rich(),
        ..random.problem(shape)
    }
}

fn run(problem: &Problem, plan: Plan, budget: u64) -> Outcome {
    let mut problem = problem.clone();
    problem.config.plan = plan;
    problem.config.memory_budget = budget;
    problem.run(&device(), Setup::F32, linear_cross_entropy, &mixed)
}

fn bits(outcome: &Outcome) -> Vec<u64> {
    let parts = [&outcome.loss, &outcome.lse, &outcome.entropy];
    let all = parts.into_iter().chain(&outcome.gradients);
    all.flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn every_run_has_the_same_bits() {
    let problem = rich_problem(1, [300, 600, 32]);
    for plan in [Plan::Store, Plan::Recompute] {
        let first = bits(&run(&problem, plan, TINY));
        for _ in 0..3 {
            assert_eq!(first, bits(&run(&problem, plan, TINY)), "{plan:?}");
        }
    }
}

#[test]
fn rows_left_out_may_hold_nan() {
    let clean = rich_problem(2, [280, 300, 16]);
    let mut poisoned = clean.clone();
    let Labels::Classes(_, ids) = &clean.labels else {
        unreachable!()
    };
    let width = clean.hidden.shape[1];
    let rows = poisoned.hidden.data.chunks_mut(width).zip(ids);
    let ignored: Vec<_> = rows.filter(|(_, y)| **y == -100).collect();
    assert!(ignored.len() > 20);
    ignored.into_iter().for_each(|(row, _)| row.fill(f64::NAN));
    for plan in [Plan::Store, Plan::Recompute] {
        let (got, want) = (run(&poisoned, plan, TINY), run(&clean, plan, TINY));
        assert_eq!(bits(&got), bits(&want), "{plan:?}");
        for (row, y) in got.gradients[0].chunks(width).zip(ids) {
            assert!(*y != -100 || row.iter().all(|&g| g == 0.0));
        }
    }
    // The plan that takes no such options.
    let plain = |problem: &Problem| Problem {
        config: LossConfig::new(),
        ..problem.clone()
    };
    let plan = Plan::ForwardGradient;
    let got = run(&plain(&poisoned), plan, TINY);
    assert_eq!(bits(&got), bits(&run(&plain(&clean), plan, TINY)));
}

#[test]
fn no_row_counts() {
    for n in [0, 5] {
        let mut problem = rich_problem(3, [n, 40, 8]);
        problem.labels = Labels::Classes(vec![n], vec![-100; n]);
        for plan in [Plan::Store, Plan::Recompute] {
            let got = run(&problem, plan, 1 << 20);
            assert!(got.loss.iter().all(|&x| x == 0.0));
            assert!(got.gradients.iter().flatten().all(|&x| x == 0.0));
            assert_eq!(got.gradients[1].len(), 40 * 8);
        }
    }
}

#[test]
fn memory_is_that_of_panels() {
    let shape @ [n, v, d] = [300, 5000, 16];
    let problem = Random::new(4).problem(shape);
    let logits = (n * v * 4) as u64;
    let got = run(&problem, Plan::Recompute, TINY).report;
    assert_eq!(got.plan, Some(Plan::Recompute));
    let panel = 256 * 256 * 4;
    assert!(
        got.peak_bytes >= panel && got.peak_bytes < panel + 200_000,
        "{got:?}"
    );
    assert!(got.peak_bytes <= got.predicted_bytes, "{got:?}");
    assert!(got.predicted_bytes < 2 * got.peak_bytes, "{got:?}");
    assert!(8 * got.predicted_bytes < logits, "{got:?}");
    let got = run(&problem, Plan::Store, TINY).report;
    assert!(
        got.peak_bytes > logits && got.peak_bytes <= got.predicted_bytes,
        "{got:?}"
    );
    // Within the budget, logits are stored; beyond it, they are not.
    assert_eq!(
        run(&problem, Plan::Auto, 2 * logits).report.plan,
        Some(Plan::Store)
    );
    assert_eq!(
        run(&problem, Plan::Auto, logits / 2).report.plan,
        Some(Plan::Recompute)
    );
    let frozen = Setup {
        frozen: true,
        ..Setup::F32
    };
    let got = problem
        .run(&device(), frozen, linear_cross_entropy, &mixed)
        .report;
    assert_eq!(got.plan, Some(Plan::ForwardGradient));
    assert!(
        got.peak_bytes <= got.predicted_bytes && got.peak_bytes > (n * d * 4) as u64,
        "{got:?}"
    );
}

/// A target that is no class: asking the device whether there is one would make it wait.
#[test]
fn a_wrong_target_makes_its_loss_nan() {
    let mut problem = Random::new(5).problem([4, 10, 3]);
    problem.labels = Labels::Classes(vec![4], vec![1, 10, -100, -3]);
    problem.config.reduction = Reduction::None;
    let got = run(&problem, Plan::Recompute, TINY);
    let wrong: Vec<_> = got.loss.iter().map(|x| x.is_nan()).collect();
    assert_eq!(wrong, [false, true, false, true]);
}

/// With −∞ as bias, a class is left out.
#[test]
fn classes_may_be_masked() {
    let mut problem = Random::new(6).problem([40, 300, 8]);
    let mut bias = vec![0.0; 300];
    bias[280..].fill(f64::NEG_INFINITY);
    problem.bias = Some(super::common::Values::new(&[300], bias));
    let Labels::Classes(_, ids) = &mut problem.labels else {
        unreachable!()
    };
    ids.iter_mut().for_each(|y| *y = (*y).min(279));
    let want = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &mixed);
    let got = run(&problem, Plan::Recompute, TINY);
    assert_rows(&got.loss, &want.loss, 1e-6, "loss");
    for ((part, got), want) in NAMES.iter().zip(&got.gradients).zip(&want.gradients) {
        assert_rms(got, want, 1e-6, part);
    }
}

#[test]
fn shards_are_as_good_as_the_whole() {
    let device = device();
    let problem = Random::new(8).problem([20, 300, 8]);
    let options = rich().build().expect("options");
    let [hidden, weight] =
        [&problem.hidden, &problem.weight].map(|x| x.tensor::<2>(&device, DType::F32));
    let targets = || problem.targets(&device, DType::F32);
    let holders = [0..130, 130..300].map(|range| {
        let own = Classifier::from_rows(weight.clone().slice([range.clone()]));
        shard::Shard::new(own, range.start, 300)
    });
    let parts = holders
        .each_ref()
        .map(|own| shard::partial(hidden.clone(), own, targets(), &options));
    let all = parts.into_iter().reduce(shard::Partial::merge);
    let all = all.expect("two shards");
    let loss = shard::finish(&all, &hidden, 300, targets(), &options).loss;
    let whole = Problem {
        config: rich(),
        ..problem.clone()
    };
    let cpu = Device::flex();
    let want = whole.run(&cpu, Setup::F64, linear_cross_entropy, &|out| {
        out.loss.clone()
    });
    assert_rows(&list(loss), &want.loss, 1e-6, "loss");
    let gradients = holders.each_ref().map(|own| {
        shard::backward_with(&all, hidden.clone(), own, targets(), &options, |out| {
            out.loss.clone()
        })
    });
    let [a, b] = gradients;
    let of_weight = Tensor::cat(vec![a.weight, b.weight], 0);
    assert_rms(
        &list(a.hidden + b.hidden),
        &want.gradients[0],
        1e-6,
        "hidden",
    );
    assert_rms(&list(of_weight), &want.gradients[1], 1e-6, "weight");
}

/// There is no filter on a GPU: the plan recomputes and says so, or panics where falling back is forbidden.
#[test]
fn the_filter_falls_back() {
    let problem = Random::new(9).problem([20, 100, 8]);
    let filtered = Plan::Filtered(Filter::default());
    let ran = std::panic::catch_unwind(|| run(&problem, filtered, TINY));
    match ran {
        Ok(got) => assert_eq!(got.report.plan, Some(Plan::Recompute)),
        Err(why) => {
            let why = why.downcast_ref::<String>().expect("a message");
            assert!(why.contains("no filter on a GPU"), "{why}");
        }
    }
}

/// Without gradient, and hidden states that are a view.
#[test]
fn evaluation_of_a_view() {
    let problem = Random::new(10).problem([30, 400, 8]);
    let options = LossConfig::new()
        .with_memory_budget(TINY)
        .with_top_k(1)
        .build()
        .expect("options");
    let losses = [(device(), DType::F32), (Device::flex(), DType::F64)].map(|(device, dtype)| {
        let hidden = problem
            .hidden
            .tensor::<2>(&device, dtype)
            .slice([3..28, 2..7]);
        let weight = problem
            .weight
            .tensor::<2>(&device, dtype)
            .slice([5..390, 1..6]);
        let ids: Vec<i64> = (0..25).map(|i| i * 15).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [25]), &device);
        let out = linear_cross_entropy(hidden, weight, Targets::classes(ids), &options);
        (
            list(out.loss),
            list(out.lse),
            list(out.top_log_probs.expect("on request")),
        )
    });
    let [got, want] = losses;
    assert_rows(&got.0, &want.0, 1e-6, "loss");
    assert_rows(&got.1, &want.1, 1e-6, "lse");
    assert_rows(&got.2, &want.2, 1e-6, "largest");
}
