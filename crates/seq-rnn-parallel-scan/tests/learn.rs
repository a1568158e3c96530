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
            length: 16,
            tokens: 3,
            vocabulary: 8,
        };
        let mut recipe = Experiment::selective_copy().recipe;
        (recipe.steps, recipe.batch) = (600, 32);
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

#[test]
#[ignore]
fn tune() {
    let v = |n: &str| std::env::var(n).unwrap().parse::<f64>().unwrap();
    let device = Device::flex();
    let mut e = Experiment::s3(Transition::Signed);
    let r = &mut e.recipe;
    r.model.stack.layers = v("L") as usize;
    r.model.stack.block.mlp = v("MLP") as usize;
    r.model.stack.block.conv_kernel = v("CONV") as usize;
    r.final_rate = v("F");
    r.steps = v("S") as usize;
    r.clip = v("CLIP");
    r.learning_rate = v("LR");
    if let seq_rnn_parallel_scan::Cell::MinGru { candidate, .. } = &mut r.model.stack.block.cell {
        *candidate = [
            seq_rnn_parallel_scan::Candidate::G,
            seq_rnn_parallel_scan::Candidate::Linear,
            seq_rnn_parallel_scan::Candidate::Tanh,
        ][v("CAND") as usize];
    }
    let t = std::time::Instant::now();
    let trained = r
        .train(e.task.as_ref(), &device, |p| {
            if p.step % 400 == 0 {
                println!("{p:?}")
            }
        })
        .unwrap();
    for (name, task) in &e.tests {
        let score = evaluate(&trained.model, task.as_ref(), r.seed, [2, 64], &device).unwrap();
        println!("{name}: {score:?} {:?}", t.elapsed());
    }
}
