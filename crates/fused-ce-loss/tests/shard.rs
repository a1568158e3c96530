//! Shards of a classifier against the whole.

mod common;

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Labels, Problem, Random, Setup, Values, assert_rms, assert_rows, list, mixed};
use core::ops::Range;
use core_tensor::assert_close;
use fused_ce_loss::shard::{Partial, Shard, backward_with, finish, partial};
use fused_ce_loss::{Classifier, LossConfig, Reduction, Smoothing, Targets, linear_cross_entropy};

/// Bounds of `count` shards, the first the smallest.
fn bounds(count: usize, classes: usize) -> Vec<Range<usize>> {
    let at = |i: usize| i * i * classes / (count * count);
    (0..count).map(|i| at(i)..at(i + 1)).collect()
}

fn check(name: &str, problem: &Problem, setup: Setup, bound: f64) {
    let device = Device::flex();
    let want = problem.run(&device, setup, linear_cross_entropy, &mixed);
    let dtype = setup.dtype;
    let hidden = problem.hidden.tensor::<2>(&device, dtype);
    let weight = problem.weight.tensor::<2>(&device, dtype);
    let bias = problem.bias.as_ref().map(|b| b.tensor::<1>(&device, dtype));
    let classes = problem.weight.shape[0];
    let options = problem.options(&device, dtype);
    let targets = || problem.targets(&device, dtype);
    for count in [1, 2, 3, 7] {
        let shards: Vec<Shard> = bounds(count, classes)
            .into_iter()
            .map(|range| {
                let own = weight.clone().slice([range.clone()]);
                let own = if count == 3 {
                    Classifier::from_columns(own.transpose())
                } else {
                    own.into()
                };
                let own = match &bias {
                    Some(bias) => own.with_bias(bias.clone().slice([range.clone()])),
                    None => own,
                };
                Shard::new(own, range.start, classes)
            })
            .collect();
        let parts: Vec<Partial> = shards
            .iter()
            .map(|own| partial(hidden.clone(), own, targets(), &options))
            .collect();
        // Sent elsewhere and back, and merged from the last to the first.
        let parts = parts
            .into_iter()
            .rev()
            .map(|p| Partial::new(p.statistics().clone(), p.top().cloned()));
        let all = parts.reduce(Partial::merge).expect("shards");
        let out = finish(&all, &hidden, classes, targets(), &options);
        let what = format!("{name}, {count} shards, {dtype:?}");
        assert_rows(&list(out.loss), &want.loss, bound, &format!("{what}: loss"));
        assert_rows(&list(out.lse), &want.lse, bound, &format!("{what}: lse"));
        let top: Vec<f64> = out
            .top_classes
            .map(|t| t.into_data().iter::<f64>().collect())
            .unwrap_or_default();
        assert_eq!(top, want.top_classes, "{what}");
        if let Some(entropy) = out.entropy {
            assert_rows(
                &list(entropy),
                &want.entropy,
                3.0 * bound,
                &format!("{what}: entropy"),
            );
        }
        let mut gradients = [vec![0.0; want.gradients[0].len()], Vec::new(), Vec::new()];
        for own in &shards {
            let g = backward_with(&all, hidden.clone(), own, targets(), &options, mixed);
            gradients[0]
                .iter_mut()
                .zip(list(g.hidden))
                .for_each(|(sum, g)| *sum += g);
            let weight = if count == 3 {
                g.weight.transpose()
            } else {
                g.weight
            };
            gradients[1].extend(list(weight));
            gradients[2].extend(g.bias.map(list).unwrap_or_default());
        }
        for ((got, want), part) in gradients.iter().zip(&want.gradients).zip(common::NAMES) {
            assert_rms(got, want, bound, &format!("{what}: {part}"));
        }
    }
}

#[test]
fn shards_are_worth_the_whole() {
    let mut random = Random::new(1);
    let shape = [40, 700, 12];
    let plain = random.problem(shape);
    let biased = Problem {
        bias: Some(random.normal(&[700], 1.0)),
        ..plain.clone()
    };
    let new = LossConfig::new();
    let rich = new
        .with_smoothing(Smoothing::Megatron(0.1))
        .with_z_loss(0.01)
        .with_softcap(8.0)
        .with_temperature(0.8)
        .with_entropy(true)
        .with_top_k(4);
    let q = random.distributions([40, 700]);
    let top = Labels::TopK {
        shape: vec![40, 3],
        classes: (0..120).map(|i| (i * 37 % 700) as i64).collect(),
        probabilities: random.uniform(&[40, 3], 0.0, 0.3),
        tail: true,
    };
    let problems = [
        ("plain", plain.clone()),
        (
            "smoothing",
            Problem {
                config: new.with_smoothing(Smoothing::Torch(0.1)),
                ..plain.clone()
            },
        ),
        (
            "rich",
            Problem {
                class_weight: Some(random.uniform(&[700], 0.2, 2.0)),
                token_weight: Some(random.uniform(&[40], 0.0, 2.0)),
                config: rich,
                ..biased.clone()
            },
        ),
        (
            "probabilities",
            Problem {
                labels: Labels::Probabilities(q),
                class_weight: Some(random.uniform(&[700], 0.2, 2.0)),
                config: new.with_reduction(Reduction::Sum),
                ..biased
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
        check(name, &problem, Setup::F64, 1e-11);
        check(name, &problem, Setup::F32, 1e-6);
    }
}

/// A row whose target has all but 10⁻⁹ of the mass: its loss survives the merge.
#[test]
fn a_certain_row_keeps_its_digits() {
    let device = Device::flex();
    let mut weight = vec![0.0; 300];
    weight[120] = 20.0 + 300.0_f64.ln();
    let problem = Problem {
        hidden: Values::new(&[1, 1], vec![1.0]),
        weight: Values::new(&[300, 1], weight),
        bias: None,
        labels: Labels::Classes(vec![1], vec![120]),
        class_weight: None,
        token_weight: None,
        config: LossConfig::new(),
    };
    let want = problem
        .run(&device, Setup::F64, linear_cross_entropy, &mixed)
        .loss[0];
    let expected = (299.0 / 300.0) * (-20.0_f64).exp();
    assert!(
        (want - expected).abs() <= 1e-8 * want,
        "{want:e} {expected:e}"
    );
    let options = problem.config.build().unwrap();
    let setup = Setup::F32;
    let hidden = problem.hidden.tensor::<2>(&device, setup.dtype);
    let targets = || problem.targets(&device, setup.dtype);
    let parts = [0..100, 100..150, 150..300].map(|range| {
        let own = problem
            .weight
            .tensor::<2>(&device, setup.dtype)
            .slice([range.clone()]);
        partial(
            hidden.clone(),
            &Shard::new(own.into(), range.start, 300),
            targets(),
            &options,
        )
    });
    let all = parts.into_iter().reduce(Partial::merge).unwrap();
    let got = list(finish(&all, &hidden, 300, targets(), &options).loss)[0];
    // The largest logit is rounded to f32: 2 · 10⁻⁶.
    assert!((got - want).abs() <= 5e-6 * want, "{got:e} {want:e}");
}

#[test]
#[should_panic(expected = "target 9 of row 1 is in 0 shards")]
fn a_target_that_no_shard_has() {
    let device = Device::flex();
    let hidden = Tensor::<2>::ones([2, 3], &device);
    let targets = || Tensor::<1, Int>::from_data(TensorData::from([1, 9]), &device);
    let options = LossConfig::new().build().unwrap();
    let own = Shard::new(Tensor::<2>::ones([5, 3], &device).into(), 0, 10);
    let part = partial(hidden.clone(), &own, targets(), &options);
    finish(&part, &hidden, 10, targets(), &options);
}

/// Classes of which a shard has none but masked ones.
#[test]
fn a_shard_may_be_masked() {
    let mut random = Random::new(2);
    let device = Device::flex();
    let problem = random.problem([5, 9, 4]);
    let setup = Setup::F64;
    let options = LossConfig::new().with_entropy(true).build().unwrap();
    let hidden = problem.hidden.tensor::<2>(&device, setup.dtype);
    let weight = problem.weight.tensor::<2>(&device, setup.dtype);
    let targets = || Targets::classes(Tensor::<1, Int>::from_ints([6, 7, 8, 6, 7], &device));
    let mask = |v: usize| if v < 6 { f64::NEG_INFINITY } else { 0.5 };
    let classifier = |range: Range<usize>| {
        let bias = TensorData::new(range.clone().map(mask).collect::<Vec<_>>(), [range.len()]);
        let bias = Tensor::from_data(bias, (&device, setup.dtype));
        Classifier::from_rows(weight.clone().slice([range])).with_bias(bias)
    };
    let want = linear_cross_entropy(hidden.clone(), classifier(0..9), targets(), &options);
    let parts = [0..3, 3..6, 6..9].map(|range| {
        let own = Shard::new(classifier(range.clone()), range.start, 9);
        partial(hidden.clone(), &own, targets(), &options)
    });
    let all = parts.into_iter().reduce(Partial::merge).unwrap();
    let got = finish(&all, &hidden, 9, targets(), &options);
    assert_close!(got.loss, want.loss, 1e-14, 0.0);
    assert_close!(got.lse, want.lse, 1e-14, 0.0);
    assert_close!(got.entropy.unwrap(), want.entropy.unwrap(), 1e-14, 0.0);
}

/// Parameters that a training loop tracks elsewhere.
#[test]
fn shards_may_come_from_an_autodiff_device() {
    let mut random = Random::new(3);
    let device = Device::flex().autodiff();
    let problem = random.problem([5, 9, 4]);
    let setup = Setup::F64;
    let options = LossConfig::new().build().unwrap();
    let hidden = problem
        .hidden
        .tensor::<2>(&device, setup.dtype)
        .require_grad();
    let weight = problem
        .weight
        .tensor::<2>(&device, setup.dtype)
        .require_grad();
    let targets = || problem.targets(&device, setup.dtype);
    let own = Shard::new(weight.clone().into(), 0, 9);
    let all = partial(hidden.clone(), &own, targets(), &options);
    let got = backward_with(&all, hidden.clone(), &own, targets(), &options, |out| {
        out.loss.clone()
    });
    let out = linear_cross_entropy(hidden.clone(), weight.clone(), targets(), &options);
    let want = out.loss.backward();
    assert_close!(got.hidden, hidden.grad(&want).unwrap(), 1e-12, 1e-14);
    assert_close!(got.weight, weight.grad(&want).unwrap(), 1e-12, 1e-14);
}
