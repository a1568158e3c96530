//! What models learn, with the recipes that `examples/learn.rs` runs at full size.

use burn::tensor::Device;
use seq_rnn_parallel_scan::Transition;
use seq_rnn_parallel_scan::tasks::{
    Experiment, Labels, Lengths, Parity, Score, SelectiveCopy, Task, Trained, evaluate,
};

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
    let signed = parity(Transition::Signed, 400);
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
            length: 16,
            tokens: 3,
            vocabulary: 8,
        };
        let mut recipe = Experiment::selective_copy().recipe;
        (recipe.steps, recipe.batch) = (600, 32);
        (recipe.model.vocabulary, recipe.final_rate) = (task.vocabulary(), 0.0);
        recipe.model.stack.layers = layers;
        recipe.model.stack.block.d_model = 32;
        let trained = recipe.train(&task, &device, |_| ()).unwrap();
        let score = evaluate(&trained.model, &task, recipe.seed, [2, 128], &device).unwrap();
        println!("{layers} layers {score:?}");
        score.accuracy
    };
    let (deep, flat) = (accuracy(3), accuracy(1));
    assert!(deep >= 0.97, "3 layers {deep}");
    assert!(flat < 0.88, "1 layer {flat}");
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
        let batch = tokens().batch(1, 0, 4).unwrap().tensors(&Device::flex());
        trained.model.forward(batch.inputs, None).0.into_data()
    };
    assert_eq!(logits(&a), logits(&b));
}
