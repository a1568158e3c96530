//! The filtered plan: what it keeps, what it reports, and that its expectation is the exact gradient.

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::{Labels, NAMES, Outcome, Problem, Random, Setup, assert_rms, rms_ratio};
use fused_ce_loss::{
    Filter, LossConfig, LossOptions, LossOutput, Plan, Reduction, Smoothing, Tail,
    linear_cross_entropy,
};

const THRESHOLD: f64 = 0.02;

fn drop_below(threshold: f64) -> Filter {
    Filter {
        threshold,
        tail: Tail::Drop,
        ..Filter::default()
    }
}

fn draw_below(threshold: f64) -> Filter {
    Filter {
        threshold,
        tail: Tail::Stochastic { seed: 1 },
        ..Filter::default()
    }
}

/// Logits of deviation 2, with a bias: some probabilities above the threshold, most below.
fn problem(random: &mut Random, shape: [usize; 3]) -> Problem {
    let [n, v, d] = shape;
    Problem {
        hidden: random.normal(&[n, d], 2.0 / (d as f64).sqrt()),
        bias: Some(random.normal(&[v], 0.5)),
        ..random.problem(shape)
    }
}

fn goal(out: &LossOutput) -> Tensor<1> {
    out.loss.clone().sum()
}

fn run(problem: &Problem, plan: Plan, setup: Setup) -> Outcome {
    let problem = Problem {
        config: problem.config.with_plan(plan),
        ..problem.clone()
    };
    problem.run(&Device::flex(), setup, linear_cross_entropy, &goal)
}

/// What a row's largest logits are does not depend on the filter, however little it keeps.
#[test]
fn the_largest_logits_are_those_of_all() {
    let mut problem = problem(&mut Random::new(11), [24, 300, 6]);
    problem.config = problem.config.with_top_k(3);
    let mixed = |out: &LossOutput| {
        let top = out.top_log_probs.clone().expect("on request");
        out.loss.clone().sum() + top.sum().reshape([1])
    };
    let want = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &mixed);
    for filter in [drop_below(0.9), draw_below(0.9)] {
        problem.config = problem.config.with_plan(Plan::Filtered(filter));
        let got = problem.run(&Device::flex(), Setup::F64, linear_cross_entropy, &mixed);
        assert_eq!(got.top_classes, want.top_classes, "{filter:?}");
        assert!(rms_ratio(&got.top_log_probs, &want.top_log_probs) < 1e-12);
        assert!(got.gradients.iter().flatten().all(|g| g.is_finite()));
    }
}

/// One class per row whose gradient is the mean over many draws; standard errors from the draws themselves.
#[test]
fn the_expectation_of_the_drawn_gradient_is_the_exact_one() {
    const DRAWS: u64 = 600;
    let mut random = Random::new(1);
    let base = problem(&mut random, [24, 300, 6]);
    let new = LossConfig::new().with_reduction(Reduction::Sum);
    let problems = [
        (
            "plain",
            Problem {
                config: new,
                ..base.clone()
            },
        ),
        (
            "smoothing, z-loss, temperature, weights of classes and rows, entropy",
            Problem {
                class_weight: Some(random.uniform(&[300], 0.2, 2.0)),
                token_weight: Some(random.uniform(&[24], 0.0, 2.0)),
                config: new
                    .with_smoothing(Smoothing::Torch(0.1))
                    .with_z_loss(0.01)
                    .with_temperature(0.8)
                    .with_entropy(true),
                ..base.clone()
            },
        ),
        (
            "softcap",
            Problem {
                config: new.with_softcap(3.0),
                ..base
            },
        ),
    ];
    for (name, problem) in problems {
        let goal = |out: &LossOutput| match &out.entropy {
            Some(entropy) => out.loss.clone().sum() + entropy.clone().sum() * 0.2,
            None => out.loss.clone().sum(),
        };
        let device = Device::flex();
        let want = problem.run(&device, Setup::F64, linear_cross_entropy, &goal);
        let drawn = Problem {
            config: problem
                .config
                .with_plan(Plan::Filtered(draw_below(THRESHOLD))),
            ..problem.clone()
        };
        let mut sums = want.gradients.clone().map(|g| vec![(0.0, 0.0); g.len()]);
        for step in 0..DRAWS {
            let at_step = move |hidden, classifier, targets, options: &LossOptions| {
                linear_cross_entropy(hidden, classifier, targets, &options.clone().at_step(step))
            };
            let got = drawn.run_with(&device, Setup::F64, &at_step, &goal);
            assert!(
                (got.goal - want.goal).abs() <= 1e-10 * want.goal.abs(),
                "{name}: the loss is exact"
            );
            let report = got.report.filter.expect("a report");
            assert!(report.drawn > 0 && report.kept > 0);
            for (sums, gradient) in sums.iter_mut().zip(&got.gradients) {
                for ((sum, square), g) in sums.iter_mut().zip(gradient) {
                    *sum += g;
                    *square += g * g;
                }
            }
        }
        for ((part, sums), want) in NAMES.iter().zip(&sums).zip(&want.gradients) {
            // Squared errors of the means, in units of their variances: about 1 each. A bias of a fifth of the standard
            // deviation of one draw would make this 25.
            let (mut total, mut count) = (0.0, 0.0);
            for (&(sum, square), want) in sums.iter().zip(want) {
                let n = DRAWS as f64;
                let mean = sum / n;
                let variance = (square / n - mean * mean).max(0.0) / n;
                // An entry without draws is exact.
                if variance > 1e-24 {
                    total += (mean - want).powi(2) / variance;
                    count += 1.0;
                } else {
                    assert!((mean - want).abs() <= 1e-9, "{name}: {part}");
                }
            }
            let ratio = total / count;
            assert!(
                count > 20.0 && ratio < 1.6,
                "{name}: {part}: χ² {ratio:.2} per entry of {count}"
            );
        }
    }
}

/// What no draw stands for is missing: the test above would fail.
#[test]
fn dropping_the_tail_is_biased_within_the_reported_bound() {
    let mut random = Random::new(2);
    let mut problem = problem(&mut random, [40, 400, 6]);
    problem.config = problem.config.with_reduction(Reduction::Sum);
    let want = run(&problem, Plan::Recompute, Setup::F64);
    let got = run(&problem, Plan::Filtered(drop_below(THRESHOLD)), Setup::F64);
    let report = got.report.filter.expect("a report");
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let widest = problem.weight.data.chunks(6).map(norm).fold(0.0, f64::max);
    let mut largest = 0.0_f64;
    for (got, want) in got.gradients[0].chunks(6).zip(want.gradients[0].chunks(6)) {
        let gap: Vec<f64> = got.iter().zip(want).map(|(g, w)| g - w).collect();
        largest = largest.max(norm(&gap));
    }
    assert!(largest <= report.largest_tail_mass * widest * (1.0 + 1e-9));
    assert!(
        largest >= 0.05 * report.largest_tail_mass * widest,
        "the bound is not idle"
    );
    assert!(rms_ratio(&got.gradients[0], &want.gradients[0]) > 0.01);
    let live = problem.live() as u64;
    assert_eq!(report.entries, live * 400);
    assert_eq!(report.drawn, 0);
    // Rare classes get no gradient: the failure that the stochastic tail removes.
    let silent = |g: &[f64]| {
        g.chunks(6)
            .filter(|row| row.iter().all(|&x| x == 0.0))
            .count()
    };
    assert!(silent(&got.gradients[1]) > 20);
    let drawn = run(&problem, Plan::Filtered(draw_below(THRESHOLD)), Setup::F64);
    assert!(silent(&drawn.gradients[1]) < silent(&got.gradients[1]) / 2);
}

/// Exactly the entries above the threshold, counted in f64.
#[test]
fn the_report_counts_what_is_kept() {
    let mut random = Random::new(3);
    let problem = problem(&mut random, [90, 3000, 8]);
    let got = run(&problem, Plan::Filtered(drop_below(1e-3)), Setup::F64);
    let report = got.report.filter.expect("a report");
    let (Labels::Classes(_, ids), Some(bias)) = (&problem.labels, &problem.bias) else {
        panic!()
    };
    let (mut kept, mut masses) = (0, Vec::new());
    for (e, &y) in problem.hidden.data.chunks(8).zip(ids) {
        if y == -100 {
            continue;
        }
        let rows = problem.weight.data.chunks(8).zip(&bias.data);
        let z: Vec<f64> = rows
            .map(|(c, b)| e.iter().zip(c).map(|(e, c)| e * c).sum::<f64>() + b)
            .collect();
        let lse = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        let stays = |v: usize, p: f64| v == y as usize || p >= 1e-3;
        let p: Vec<f64> = z.iter().map(|z| (z - lse).exp()).collect();
        kept += p.iter().enumerate().filter(|&(v, &p)| stays(v, p)).count() as u64;
        masses.push(
            p.iter()
                .enumerate()
                .filter(|&(v, &p)| !stays(v, p))
                .map(|(_, p)| p)
                .sum::<f64>(),
        );
    }
    assert_eq!(report.kept, kept);
    let mean = masses.iter().sum::<f64>() / masses.len() as f64;
    let largest = masses.iter().copied().fold(0.0, f64::max);
    assert!(
        (report.tail_mass - mean).abs() <= 1e-9
            && (report.largest_tail_mass - largest).abs() <= 1e-9
    );
}

#[test]
fn one_gradient_may_be_exact() {
    let mut random = Random::new(4);
    let problem = problem(&mut random, [60, 900, 8]);
    let want = run(&problem, Plan::Recompute, Setup::F32);
    for tail in [Tail::Drop, Tail::Stochastic { seed: 3 }] {
        for (full_classifier, full_hidden) in [(true, false), (false, true), (true, true)] {
            let filter = Filter {
                threshold: THRESHOLD,
                tail,
                full_classifier,
                full_hidden,
            };
            let got = run(&problem, Plan::Filtered(filter), Setup::F32);
            let gap = |i: usize| rms_ratio(&got.gradients[i], &want.gradients[i]);
            assert_eq!(gap(0) <= 1e-6, full_hidden, "{}", gap(0));
            assert_eq!(gap(1) <= 1e-6, full_classifier, "{}", gap(1));
            assert_eq!(gap(2) <= 1e-6, full_classifier, "{}", gap(2));
        }
    }
}

/// The seed and the step decide the draws, and nothing else.
#[test]
fn equal_steps_draw_equal_numbers() {
    let mut random = Random::new(5);
    let problem = problem(&mut random, [60, 900, 8]);
    let drawn = Problem {
        config: problem
            .config
            .with_plan(Plan::Filtered(draw_below(THRESHOLD))),
        ..problem
    };
    let at = |step: u64| {
        let loss = move |h, c, t, options: &LossOptions| {
            linear_cross_entropy(h, c, t, &options.clone().at_step(step))
        };
        drawn
            .run_with(&Device::flex(), Setup::F32, &loss, &goal)
            .gradients
    };
    assert_eq!(at(7), at(7));
    assert_ne!(at(7), at(8));
}

#[test]
fn half_precision_and_columns_filter_alike() {
    let mut random = Random::new(6);
    let mut problem = problem(&mut random, [70, 5000, 16]);
    problem.hidden = problem.hidden.rounded(DType::BF16);
    problem.weight = problem.weight.rounded(DType::BF16);
    problem.bias = problem.bias.map(|b| b.rounded(DType::BF16));
    let plan = Plan::Filtered(draw_below(0.005));
    let want = run(&problem, plan, Setup::F64);
    for columns in [false, true] {
        for (dtype, bound) in [(DType::F32, 1e-6), (DType::BF16, 3e-3)] {
            let got = run(
                &problem,
                plan,
                Setup {
                    dtype,
                    columns,
                    frozen: false,
                },
            );
            // The same draws: a probability would have to lie within rounding of its bar.
            let (got_report, want_report) =
                (got.report.filter.unwrap(), want.report.filter.unwrap());
            assert_eq!(
                (got_report.kept, got_report.drawn),
                (want_report.kept, want_report.drawn)
            );
            for ((name, got), want) in NAMES.iter().zip(&got.gradients).zip(&want.gradients) {
                assert_rms(got, want, bound, &format!("{dtype:?} {columns} {name}"));
            }
        }
    }
}
