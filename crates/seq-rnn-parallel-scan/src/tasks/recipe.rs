//! How a model learns a task.

use super::{Batch, HELD_OUT, Task, TaskError, clip_norm};
use crate::layers::{MinRnnLm, MinRnnLmConfig};
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use core_tensor::seeded;

/// A training recipe: AdamW at a constant or decaying rate, gradients clipped by their common norm.
///
/// Batch `i` of the training is batch `i` of the task with the recipe's seed, which also makes the
/// weights: a run repeats bit for bit.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The model.
    pub model: MinRnnLmConfig,
    /// Steps of training.
    pub steps: usize,
    /// Sequences per step.
    pub batch: usize,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Share of the learning rate that is left at the end, approached along half a cosine; 1 for a
    /// constant rate.
    pub final_rate: f64,
    /// Decoupled weight decay, on every parameter.
    pub weight_decay: f32,
    /// Bound of the norm of all gradients together; infinite for none.
    pub clip: f64,
    /// Of weights and batches.
    pub seed: u64,
}

/// What one step of training looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done, from 1.
    pub step: usize,
    /// Cross-entropy per answer, in nats, before the step.
    pub loss: f64,
    /// Share of right answers, before the step.
    pub accuracy: f64,
}

/// A trained model, and how it came about.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model, ready for inference.
    pub model: MinRnnLm,
    /// Every step.
    pub curve: Vec<Progress>,
}

/// Answers of a model on sequences that training has not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Share of right answers.
    pub accuracy: f64,
    /// Share of right answers among the last of each sequence.
    pub last: f64,
    /// What the most frequent answer would get if it were always given.
    pub guess: f64,
    /// Answers that were asked.
    pub answers: usize,
}

impl Recipe {
    /// The model before training: the same weights for the same seed, as long as no other thread
    /// draws random numbers from the device meanwhile (other recipes may).
    pub fn init(&self, device: &Device) -> MinRnnLm {
        seeded(device, self.seed, || self.model.init(device))
    }

    /// Learning rate of a step, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        let done = step as f64 / self.steps.max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }

    /// Trains from scratch, telling `progress` about every step.
    ///
    /// # Errors
    /// If the task's settings are impossible.
    ///
    /// # Panics
    /// If the model has fewer tokens than the task.
    pub fn train(
        &self,
        task: &dyn Task,
        device: &Device,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Trained, TaskError> {
        task.check()?;
        let (tokens, needed) = (self.model.vocabulary, task.vocabulary().max(task.classes()));
        assert!(
            tokens >= needed,
            "Recipe: expected {needed} tokens in the model, got {tokens}"
        );
        let device = device.clone().autodiff();
        let mut model = self.init(&device);
        // Burn's default epsilon is a thousand times that of the paper and of every framework.
        let config = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(self.weight_decay);
        let mut optimizer = config.init();
        let mut curve = Vec::with_capacity(self.steps);
        for step in 0..self.steps {
            let batch = task.batch(self.seed, step as u64, self.batch)?;
            let (logits, answers) = answer(&model, &batch, &device);
            let right = correct(logits.clone(), &answers);
            let cross_entropy = CrossEntropyLossConfig::new().init(&device);
            let loss = cross_entropy.forward(logits, answers);
            let value = loss.clone().into_scalar::<f64>();
            let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
            if self.clip.is_finite() {
                gradients = clip_norm(&model, gradients, self.clip);
            }
            model = optimizer.step(self.rate(step), model, gradients);
            let point = Progress {
                step: step + 1,
                loss: value,
                accuracy: share(&right),
            };
            progress(&point);
            curve.push(point);
        }
        Ok(Trained {
            model: model.valid(),
            curve,
        })
    }
}

/// How `model` answers `batches` batches of `rows` sequences that training with the same seed has not
/// seen.
///
/// # Errors
/// If the task's settings are impossible.
pub fn evaluate(
    model: &MinRnnLm,
    task: &dyn Task,
    seed: u64,
    [batches, rows]: [usize; 2],
    device: &Device,
) -> Result<Score, TaskError> {
    let (mut all, mut last) = (Vec::new(), Vec::new());
    let mut counts = vec![0usize; task.vocabulary().max(task.classes())];
    for index in 0..batches as u64 {
        let batch = task.batch(seed, HELD_OUT + index, rows)?;
        let (logits, answers) = answer(model, &batch, device);
        let right = correct(logits, &answers);
        let row = |at: usize| at / batch.time;
        let asked = batch.asked();
        asked
            .iter()
            .for_each(|&at| counts[batch.targets[at] as usize] += 1);
        let is_last = |i: usize| {
            asked
                .get(i + 1)
                .is_none_or(|&next| row(next) != row(asked[i]))
        };
        last.extend((0..asked.len()).filter(|&i| is_last(i)).map(|i| right[i]));
        all.extend(right);
    }
    Ok(Score {
        accuracy: share(&all),
        last: share(&last),
        guess: counts.into_iter().max().unwrap_or(0) as f64 / all.len().max(1) as f64,
        answers: all.len(),
    })
}

/// Logits `[answers, tokens]` and right answers `[answers]` of a batch. The head, and with it the loss,
/// sees the positions only at which something is asked.
fn answer(model: &MinRnnLm, batch: &Batch, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let asked = batch.asked();
    let tensors = batch.tensors(device);
    let (hidden, _) = model.hidden(tensors.inputs, None);
    let [rows, time, features] = hidden.dims();
    let (hidden, targets) = (
        hidden.reshape([rows * time, features]),
        tensors.targets.reshape([rows * time]),
    );
    if asked.len() == rows * time {
        return (model.head.forward(hidden), targets);
    }
    let count = asked.len();
    let indices: Vec<i32> = asked.into_iter().map(|at| at as i32).collect();
    let at = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), device);
    (
        model.head.forward(hidden.select(0, at.clone())),
        targets.select(0, at),
    )
}

/// For each answer, whether it is right.
fn correct(logits: Tensor<2>, answers: &Tensor<1, Int>) -> Vec<bool> {
    let best = logits.argmax(1).squeeze_dim::<1>(1);
    let right = best.equal(answers.clone()).into_data();
    right.iter::<bool>().collect()
}

fn share(right: &[bool]) -> f64 {
    right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64
}
