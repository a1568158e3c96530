//! What models learn, with the recipes that `examples/learn.rs` runs at full size.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::tasks::{
    Experiment, Labels, Lengths, Parity, Score, SelectiveCopy, Trained, clip_norm, evaluate,
};
use seq_rnn_parallel_scan::{MinGruConfig, Transition};

fn parity(transition: Transition, steps: usize) -> (Experiment, Trained) {
    let device = Device::flex();
    let mut experiment = Experiment::parity(transition);
    experiment.task = Box::new(Parity {
        length: Lengths::fixed(24),
        labels: Labels::Every,
    });
    let recipe = &mut experiment.recipe;
    (recipe.steps, recipe.batch) = (steps, 32);
    recipe.model.stack.block.d_model = 32;
    let trained = recipe
        .train(experiment.task.as_ref(), &device, |_| ())
        .unwrap();
    (experiment, trained)
}

fn parity_at(length: usize, (experiment, trained): &(Experiment, Trained)) -> Score {
    let task = Parity {
        length: Lengths::fixed(length),
        labels: Labels::Every,
    };
    let seed = experiment.recipe.seed;
    evaluate(&trained.model, &task, seed, [1, 32], &Device::flex()).unwrap()
}

#[test]
fn signed_gates_learn_parity_and_positive_ones_do_not() {
    let signed = parity(Transition::Signed, 200);
    let (short, long) = (parity_at(24, &signed), parity_at(384, &signed));
    println!("signed {short:?} {long:?}");
    assert!(short.accuracy >= 0.99 && long.accuracy >= 0.98 && long.last >= 0.9);

    let positive = parity(Transition::Positive, 200);
    let (short, long) = (parity_at(24, &positive), parity_at(384, &positive));
    println!("positive {short:?} {long:?}");
    assert!(long.accuracy < 0.6);
}

#[test]
fn selective_copying_needs_depth() {
    let device = Device::flex();
    let accuracy = |layers| {
        let task = SelectiveCopy {
            length: 12,
            tokens: 2,
            vocabulary: 6,
        };
        let mut recipe = Experiment::selective_copy().recipe;
        (recipe.steps, recipe.batch) = (300, 32);
        recipe.model.stack.layers = layers;
        recipe.model.stack.block.d_model = 32;
        let trained = recipe.train(&task, &device, |_| ()).unwrap();
        let score = evaluate(&trained.model, &task, recipe.seed, [2, 128], &device).unwrap();
        println!("{layers} layers {score:?}");
        score.accuracy
    };
    let (deep, flat) = (accuracy(3), accuracy(1));
    assert!(deep >= 0.95, "3 layers {deep}");
    assert!(flat < deep - 0.1, "1 layer {flat}");
}

#[test]
fn a_run_repeats_bit_for_bit() {
    let [(_, a), (_, b)] = [(); 2].map(|()| parity(Transition::Signed, 15));
    assert_eq!(a.curve, b.curve);
    let tokens = || Parity {
        length: Lengths::fixed(40),
        labels: Labels::Every,
    };
    let logits = |trained: &Trained| {
        use seq_rnn_parallel_scan::tasks::Task;
        let batch = tokens().batch(1, 0, 4).unwrap().tensors(&Device::flex());
        trained.model.forward(batch.inputs, None).0.into_data()
    };
    assert_eq!(logits(&a), logits(&b));
}

#[test]
fn gradients_are_clipped_by_their_common_norm() {
    let device = Device::flex().autodiff();
    let layer = MinGruConfig::new(3, 5).init(&device);
    let x = Tensor::<3>::random([2, 7, 3], Distribution::Default, &device);
    let gradients = || {
        let (y, _) = layer.forward(x.clone(), Default::default());
        GradientsParams::from_grads((y * 100.0).sum().backward(), &layer)
    };
    let weight = layer.planes.weight.id;
    let bias = layer.planes.bias.as_ref().unwrap().id;
    let norm = |gradients: &GradientsParams| -> f64 {
        let squares = gradients.get::<2>(weight).unwrap().square().sum()
            + gradients.get::<1>(bias).unwrap().square().sum();
        squares.sqrt().into_scalar::<f64>()
    };
    let before = norm(&gradients());
    assert!(before > 10.0);
    let clipped = clip_norm(&layer, gradients(), 2.0);
    assert!((norm(&clipped) - 2.0).abs() < 1e-5, "{}", norm(&clipped));
    // All by one factor …
    let expected = gradients().get::<2>(weight).unwrap() * (2.0 / before);
    assert_close!(
        clipped.get::<2>(weight).unwrap(),
        expected,
        1e-5,
        1e-9,
        "direction"
    );
    // … and small ones not at all.
    let kept = clip_norm(&layer, gradients(), 2.0 * before);
    let expected = gradients().get::<1>(bias).unwrap();
    assert_close!(kept.get::<1>(bias).unwrap(), expected, 0.0, 0.0, "kept");
}
