//! The ends of the range: no rows, one class, a million classes, logits of ±10⁴, NaN where nothing looks, and what is
//! refused.

mod common;

use burn::nn::LinearConfig;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use common::{Labels, NAMES, Outcome, Problem, Random, Setup, Values, assert_rms, assert_rows};
use core_tensor::testing::for_each_mode;
use fused_ce_loss::{
    Classifier, Filter, LossConfig, LossOutput, OptionsError, Plan, Reduction, Smoothing, Tail,
    Targets, linear_cross_entropy, reference,
};

fn plans() -> Vec<Plan> {
    let filter = Filter {
        threshold: 1e-30,
        ..Filter::default()
    };
    vec![
        Plan::Store,
        Plan::Recompute,
        Plan::ForwardGradient,
        Plan::Filtered(filter),
    ]
}

fn loss(out: &LossOutput) -> Tensor<1> {
    out.loss.clone().sum()
}

fn run(problem: &Problem, setup: Setup) -> Outcome {
    problem.run(&Device::flex(), setup, linear_cross_entropy, &loss)
}

fn with_plan(problem: &Problem, plan: Plan) -> Problem {
    Problem {
        config: problem.config.with_plan(plan),
        ..problem.clone()
    }
}

#[test]
fn all_rows_ignored() {
    let mut random = Random::new(1);
    let mut problem = random.problem([20, 70, 8]);
    problem.labels = Labels::Classes(vec![20], vec![-100; 20]);
    problem.bias = Some(random.normal(&[70], 1.0));
    for smoothing in [Smoothing::None, Smoothing::Torch(0.2)] {
        problem.config = problem.config.with_smoothing(smoothing).with_z_loss(0.1);
        for plan in plans() {
            let got = run(&with_plan(&problem, plan), Setup::F32);
            assert_eq!(got.loss, [0.0], "{plan:?}");
            for (name, gradient) in NAMES.iter().zip(&got.gradients) {
                assert!(
                    !gradient.is_empty() && gradient.iter().all(|&g| g == 0.0),
                    "{plan:?} {name}"
                );
            }
        }
    }
}

#[test]
fn ignored_rows_may_hold_anything() {
    let mut random = Random::new(2);
    for ignore in [-100, 3, i64::MIN] {
        let mut clean = random.problem([30, 70, 8]);
        let mut ids = random.classes(30, 70, 0.0, 0);
        for i in [0, 7, 8, 29] {
            ids[i] = ignore;
        }
        let ignored: Vec<bool> = ids.iter().map(|&y| y == ignore).collect();
        clean.labels = Labels::Classes(vec![30], ids);
        clean.config = clean.config.with_ignore_index(ignore).with_entropy(false);
        let mut dirty = clean.clone();
        for (row, ignored) in dirty.hidden.data.chunks_mut(8).zip(&ignored) {
            if *ignored {
                row.copy_from_slice(&[
                    f64::NAN,
                    f64::INFINITY,
                    1e38,
                    0.0,
                    -1.0,
                    0.0,
                    0.0,
                    f64::NAN,
                ]);
            }
        }
        for plan in plans() {
            let (got, want) = (with_plan(&dirty, plan), with_plan(&clean, plan));
            let (got, want) = (run(&got, Setup::F32), run(&want, Setup::F32));
            assert_eq!(got.loss, want.loss, "{plan:?}");
            assert_eq!(got.lse, want.lse, "{plan:?}");
            assert_eq!(got.gradients, want.gradients, "{plan:?}");
            for (row, ignored) in got.gradients[0].chunks(8).zip(&ignored) {
                assert_eq!(row.iter().all(|&g| g == 0.0), *ignored);
            }
        }
    }
}

#[test]
fn one_class_has_no_loss() {
    let problem = Random::new(3).problem([5, 1, 8]);
    for plan in plans() {
        for smoothing in [
            Smoothing::None,
            Smoothing::Torch(0.1),
            Smoothing::Megatron(0.1),
        ] {
            let mut problem = with_plan(&problem, plan);
            problem.labels = Labels::Classes(vec![5], vec![0; 5]);
            problem.config = problem.config.with_smoothing(smoothing);
            let got = run(&problem, Setup::F32);
            assert!(
                got.loss[0].abs() <= 1e-7,
                "{plan:?} {smoothing:?}: {:?}",
                got.loss
            );
            for gradient in &got.gradients[..2] {
                assert!(
                    gradient.iter().all(|g| g.abs() <= 1e-7),
                    "{plan:?} {smoothing:?}"
                );
            }
        }
    }
}

#[test]
fn no_rows() {
    let problem = Problem {
        hidden: Values::new(&[0, 8], vec![]),
        labels: Labels::Classes(vec![0], vec![]),
        ..Random::new(4).problem([4, 30, 8])
    };
    for plan in plans() {
        let got = run(&with_plan(&problem, plan), Setup::F32);
        assert_eq!(got.loss, [0.0], "{plan:?}");
        assert_eq!((got.gradients[0].len(), got.gradients[1].len()), (0, 240));
        assert!(got.gradients[1].iter().all(|&g| g == 0.0));
    }
}

#[test]
fn a_million_classes() {
    let mut random = Random::new(5);
    let mut problem = random.problem([3, 1_000_000, 4]);
    problem.labels = Labels::Classes(vec![3], vec![999_999, 0, 524_288]);
    let want = problem.run(
        &Device::flex(),
        Setup::F64,
        reference::linear_cross_entropy,
        &loss,
    );
    for plan in plans() {
        let got = run(&with_plan(&problem, plan), Setup::F32);
        assert_rows(&got.loss, &want.loss, 1e-6, &format!("{plan:?}"));
        for ((name, got), want) in NAMES.iter().zip(&got.gradients).zip(&want.gradients) {
            assert_rms(got, want, 1e-6, &format!("{plan:?} {name}"));
        }
    }
}

/// Logits up to ±10⁴ that are exact in f32, as the hidden state is 1: the gradient of the bias is that of the logits.
#[test]
fn huge_logits() {
    let mut random = Random::new(6);
    let v = 1500;
    let mut weight = random.uniform(&[v, 1], -1e4, 1e4);
    // A few close to the largest, so that the softmax is not one-hot.
    for (i, x) in [9999.5, 9998.0, 9999.75, 9995.0, -10_000.0]
        .into_iter()
        .enumerate()
    {
        weight.data[i * 300] = x;
    }
    for target in [0, 600, 1200, 77] {
        let problem = Problem {
            hidden: Values::new(&[1, 1], vec![1.0]),
            weight: weight.clone(),
            bias: Some(Values::new(&[v], vec![0.0; v])),
            labels: Labels::Classes(vec![1], vec![target]),
            class_weight: None,
            token_weight: None,
            config: LossConfig::new(),
        };
        // The reference loses digits of lse − z_y even in f64: 10⁴ · 2⁻⁵³.
        let want = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &loss);
        let plain = problem.run(
            &Device::flex(),
            Setup::F64,
            reference::linear_cross_entropy,
            &loss,
        );
        assert!((want.loss[0] - plain.loss[0]).abs() <= 1e-11 * 1e4);
        for plan in plans() {
            let what = format!("target {target}, {plan:?}");
            let mut problem = with_plan(&problem, plan);
            if plan == Plan::ForwardGradient {
                // The bias is computed from all logits again.
                problem.config = problem.config.with_plan(Plan::Recompute);
            }
            let got = run(&problem, Setup::F32);
            assert_rows(&got.loss, &want.loss, 1e-6, &what);
            assert_rms(&got.gradients[2], &want.gradients[2], 1e-6, &what);
            assert!(
                got.gradients.iter().flatten().all(|g| g.is_finite()),
                "{what}"
            );
            let sum: f64 = got.gradients[2].iter().sum();
            assert!(
                sum.abs() <= 2e-7,
                "{what}: the gradient of the logits sums to {sum:e}"
            );
        }
    }
}

#[test]
fn gradients_of_logits_sum_to_zero_and_follow_a_permutation() {
    let mut random = Random::new(7);
    let [n, v, d] = [50, 700, 12];
    let mut problem = random.problem([n, v, d]);
    problem.bias = Some(random.normal(&[v], 1.0));
    for plan in plans() {
        let problem = with_plan(&problem, plan);
        let got = run(&problem, Setup::F32);
        let sum: f64 = got.gradients[2].iter().sum();
        let size: f64 = got.gradients[2].iter().map(|g| g.abs()).sum();
        assert!(sum.abs() <= 1e-6 * size, "{plan:?}: {sum:e} of {size:e}");

        // Class v becomes class (v · 13) mod 700.
        let place = |v: usize| v * 13 % 700;
        let mut moved = problem.clone();
        for c in 0..v {
            let (from, to) = (c * d, place(c) * d);
            moved.weight.data[to..to + d].copy_from_slice(&problem.weight.data[from..from + d]);
            moved.bias.as_mut().unwrap().data[place(c)] = problem.bias.as_ref().unwrap().data[c];
        }
        if let Labels::Classes(_, ids) = &mut moved.labels {
            ids.iter_mut()
                .filter(|y| **y >= 0)
                .for_each(|y| *y = place(*y as usize) as i64);
        }
        let after = run(&moved, Setup::F32);
        let back: Vec<f64> = (0..v)
            .flat_map(|c| after.gradients[1][place(c) * d..][..d].to_vec())
            .collect();
        assert_rows(&after.loss, &got.loss, 1e-6, "loss");
        assert_rms(&back, &got.gradients[1], 1e-6, "permuted classes");
        assert_rms(
            &after.gradients[0],
            &got.gradients[0],
            1e-6,
            "hidden states",
        );
    }
}

#[test]
fn splitting_the_tokens_sums() {
    let mut problem = Random::new(8).problem([64, 300, 16]);
    problem.config = problem.config.with_reduction(Reduction::Sum);
    let part = |range: std::ops::Range<usize>| {
        let mut part = problem.clone();
        part.hidden = Values::new(
            &[range.len(), 16],
            problem.hidden.data[range.start * 16..range.end * 16].to_vec(),
        );
        if let Labels::Classes(shape, ids) = &mut part.labels {
            (*shape, *ids) = (vec![range.len()], ids[range].to_vec());
        }
        part
    };
    for plan in plans() {
        let all = run(&with_plan(&problem, plan), Setup::F32);
        let parts = [0..10, 10..41, 41..64].map(|r| run(&with_plan(&part(r), plan), Setup::F32));
        let total: f64 = parts.iter().map(|p| p.loss[0]).sum();
        assert_rows(&[total], &all.loss, 1e-6, "loss");
        let classes: Vec<f64> = (0..300 * 16)
            .map(|i| parts.iter().map(|p| p.gradients[1][i]).sum())
            .collect();
        assert_rms(&classes, &all.gradients[1], 1e-6, "classifier");
        let hidden: Vec<f64> = parts.iter().flat_map(|p| p.gradients[0].clone()).collect();
        assert_rms(&hidden, &all.gradients[0], 1e-6, "hidden states");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let mut random = Random::new(10);
    let mut problem = random.problem([700, 5000, 24]);
    problem.bias = Some(random.normal(&[5000], 1.0));
    problem.config = problem.config.with_top_k(2);
    let drawn = Plan::Filtered(Filter {
        threshold: 0.01,
        ..Filter::default()
    });
    for plan in [Plan::Store, Plan::Recompute, Plan::ForwardGradient, drawn] {
        for dtype in [DType::F32, DType::BF16] {
            let mut problem = with_plan(&problem, plan);
            if plan == Plan::ForwardGradient {
                problem.config = problem.config.with_top_k(0);
            }
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    run(
                        &problem,
                        Setup {
                            dtype,
                            ..Setup::F32
                        },
                    )
                })
            };
            let (one, four) = (on(1), on(4));
            assert_eq!(one.loss, four.loss);
            assert_eq!(one.top_log_probs, four.top_log_probs);
            assert!(one.gradients == four.gradients, "{plan:?} {dtype:?}");
        }
    }
}

#[test]
fn views_are_read_as_they_lie() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(11);
    let hidden = random
        .normal(&[2, 9, 20], 0.3)
        .tensor::<3>(&device, DType::F32);
    let weight = random
        .normal(&[60, 30], 1.0)
        .tensor::<2>(&device, DType::F32);
    let ids = Tensor::<1, Int>::from_data(
        TensorData::new(random.classes(18, 25, 0.2, -100), [18]),
        &device,
    );
    // Columns of a wider hidden state, every row of a slice of a larger classifier, transposed.
    let hidden = hidden.slice([0..2, 0..9, 4..14]);
    let weight = weight.slice([10..35, 5..15]);
    let copy = |x: Tensor<2>| Tensor::<2>::from_data(x.into_data(), (&device, DType::F32));
    let options = LossConfig::new()
        .with_plan(Plan::Recompute)
        .build()
        .unwrap();
    let run = |hidden: Tensor<2>, weight: Classifier| {
        linear_cross_entropy(hidden, weight, ids.clone(), &options)
            .loss
            .into_scalar::<f32>()
    };
    let flat: Tensor<2> = hidden.clone().reshape([18, 10]);
    let want = run(copy(flat.clone()), copy(weight.clone()).into());
    let out = linear_cross_entropy(hidden, weight.clone(), ids.clone(), &options);
    assert_eq!(out.loss.into_scalar::<f32>(), want);
    assert_eq!(
        run(
            flat.clone(),
            Classifier::from_columns(weight.clone().transpose())
        ),
        want
    );
    let turned = copy(flat.transpose()).transpose();
    assert_eq!(run(turned, weight.into()), want);
}

#[test]
fn burns_linear_is_a_classifier() {
    let device = Device::flex().autodiff();
    let linear = LinearConfig::new(12, 40).init(&device);
    let hidden = Random::new(12)
        .normal(&[6, 12], 1.0)
        .tensor::<2>(&device, DType::F32);
    let ids = Tensor::<1, Int>::from_ints([0, 39, 5, 5, 7, 1], &device);
    let options = LossConfig::new().build().unwrap();
    let out = linear_cross_entropy(hidden.clone(), &linear, ids.clone(), &options);
    let want = burn::nn::loss::CrossEntropyLossConfig::new()
        .init(&device)
        .forward(linear.forward(hidden), ids);
    let (got, want) = (
        out.loss.clone().into_scalar::<f64>(),
        want.into_scalar::<f64>(),
    );
    assert!((got - want).abs() <= 1e-6 * want, "{got} {want}");
    let grads = out.loss.backward();
    assert_eq!(linear.weight.val().grad(&grads).unwrap().dims(), [12, 40]);
    assert_eq!(
        linear.bias.unwrap().val().grad(&grads).unwrap().dims(),
        [40]
    );
}

#[test]
fn gradients_exist_where_they_are_asked_for() {
    for_each_mode(&Device::flex(), |mode, device| {
        let mut random = Random::new(13);
        let hidden = random.normal(&[6, 8], 1.0);
        let weight = random.normal(&[20, 8], 1.0);
        let ids = Tensor::<1, Int>::from_ints([0, 19, 5, 5, 7, 1], device);
        let mut losses = Vec::new();
        for plan in plans().into_iter().chain([Plan::Auto]) {
            for (of_hidden, of_weight) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let track = |x: Tensor<2>, wanted: bool| {
                    if wanted && mode != core_tensor::testing::Mode::Plain {
                        x.require_grad()
                    } else {
                        x
                    }
                };
                let e = track(hidden.tensor(device, DType::F32), of_hidden);
                let c = track(weight.tensor(device, DType::F32), of_weight);
                let options = LossConfig::new().with_plan(plan).build().unwrap();
                let out = linear_cross_entropy(e.clone(), c.clone(), ids.clone(), &options);
                losses.push(out.loss.clone().into_scalar::<f32>());
                if mode == core_tensor::testing::Mode::Plain || !(of_hidden || of_weight) {
                    assert_eq!(out.report().plan, None);
                    continue;
                }
                let grads = out.loss.backward();
                assert_eq!(
                    (e.grad(&grads).is_some(), c.grad(&grads).is_some()),
                    (of_hidden, of_weight)
                );
                if plan == Plan::Auto {
                    let want = if of_weight {
                        Plan::Store
                    } else {
                        Plan::ForwardGradient
                    };
                    assert_eq!(out.report().plan, Some(want));
                }
            }
        }
        assert!(
            losses.iter().all(|&l| (l - losses[0]).abs() <= 1e-6 * l),
            "{losses:?}"
        );
    });
}

#[test]
fn the_budget_chooses_the_plan() {
    let mut problem = Random::new(14).problem([300, 2000, 16]);
    problem.config = problem.config.with_memory_budget(4 << 20);
    let store = run(&problem, Setup::F32).report;
    assert_eq!(store.plan, Some(Plan::Store));
    problem.config = problem.config.with_memory_budget(1 << 20);
    let recompute = run(&problem, Setup::F32).report;
    assert_eq!(recompute.plan, Some(Plan::Recompute));
    assert!(
        recompute.peak_bytes < store.peak_bytes / 2,
        "{recompute:?} {store:?}"
    );
    for report in [store, recompute] {
        assert!(report.peak_bytes > 0 && report.predicted_bytes > 0);
        // Tiles of the forward pass, one per thread, come on top.
        let slack = (core_tensor::cpu::threads() as u64 + 1) * (2 << 20);
        assert!(
            report.peak_bytes <= report.predicted_bytes + slack,
            "{report:?}"
        );
    }
}

#[test]
fn nonsense_is_refused() {
    let build = |config: LossConfig| config.build().unwrap_err();
    let new = LossConfig::new();
    assert!(matches!(
        build(new.with_softcap(0.0)),
        OptionsError::NotPositive {
            name: "softcap",
            ..
        }
    ));
    assert!(matches!(
        build(new.with_temperature(f64::NAN)),
        OptionsError::NotPositive { .. }
    ));
    // Too small to divide by in f32.
    let text = build(new.with_temperature(1e-50)).to_string();
    assert_eq!(
        text,
        "temperature must lie between 1e-15 and 1e15, got 1e-50"
    );
    assert!(matches!(
        build(new.with_softcap(1e20)),
        OptionsError::Range { .. }
    ));
    assert!(matches!(
        build(new.with_reduction(Reduction::Normalizer(0.0))),
        OptionsError::NotPositive { .. }
    ));
    assert_eq!(
        build(new.with_smoothing(Smoothing::Torch(1.5))),
        OptionsError::Smoothing(1.5)
    );
    assert_eq!(build(new.with_z_loss(-1.0)), OptionsError::ZLoss(-1.0));
    let smoothed = new.with_softcap(30.0).with_smoothing(Smoothing::Torch(0.1));
    assert!(smoothed.build().is_ok());
    assert!(matches!(
        build(smoothed.with_plan(Plan::ForwardGradient)),
        OptionsError::SmoothedCap(_)
    ));
    let filtered = Plan::Filtered(Filter::default());
    assert!(matches!(
        build(smoothed.with_plan(filtered)),
        OptionsError::SmoothedCap(_)
    ));
    let zero = Plan::Filtered(Filter {
        threshold: 0.0,
        ..Filter::default()
    });
    assert_eq!(build(new.with_plan(zero)), OptionsError::Threshold(0.0));
    // The classes on request are those of all logits, whatever the filter drops.
    for (threshold, tail) in [(0.9, Tail::Drop), (0.9, Tail::Stochastic { seed: 0 })] {
        let filter = Filter {
            threshold,
            tail,
            ..Filter::default()
        };
        let top = new.with_plan(Plan::Filtered(filter)).with_top_k(1);
        assert!(top.build().is_ok());
    }
    let top = new.with_plan(Plan::ForwardGradient).with_top_k(1);
    assert_eq!(build(top), OptionsError::ForwardGradient("top_k"));
    assert!(
        serde_json::from_str::<LossConfig>(r#"{"softcap": 30.0, "plan": "recompute"}"#).is_ok()
    );
    assert!(serde_json::from_str::<LossConfig>(r#"{"softcup": 30.0}"#).is_err());
}

fn call(hidden: [usize; 2], weight: [usize; 2], ids: &[i64]) {
    let device = Device::flex();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids.to_vec(), [ids.len()]), &device);
    let (hidden, weight) = (
        Tensor::<2>::ones(hidden, &device),
        Tensor::<2>::ones(weight, &device),
    );
    linear_cross_entropy(hidden, weight, ids, &LossConfig::new().build().unwrap());
}

#[test]
#[should_panic(expected = "target 7 of row 1 is outside the 7 classes")]
fn targets_outside_the_classes() {
    call([3, 4], [7, 4], &[0, 7, 1]);
}

#[test]
#[should_panic(expected = "target -1 of row 2 is outside the 7 classes")]
fn negative_targets() {
    call([3, 4], [7, 4], &[0, 1, -1]);
}

#[test]
#[should_panic(expected = "expected a classifier of width 4 as the hidden states, got 5")]
fn classifiers_of_another_width() {
    call([3, 4], [7, 5], &[0, 1, 2]);
}

#[test]
#[should_panic(expected = "expected targets for 3 rows, got 2")]
fn too_few_targets() {
    call([3, 4], [7, 4], &[0, 1]);
}

#[test]
#[should_panic(expected = "expected probabilities [rows, classes]")]
fn probabilities_of_another_shape() {
    let device = Device::flex();
    let ones = |shape| Tensor::<2>::ones(shape, &device);
    let targets = Targets::probabilities(ones([3, 6]));
    linear_cross_entropy(
        ones([3, 4]),
        ones([7, 4]),
        targets,
        &LossConfig::new().build().unwrap(),
    );
}
