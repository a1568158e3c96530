//! How the network learns.

use super::{NAMES, Points, TetrisNet, TetrisNetConfig, mirrored, picture};
use crate::rotation::Orthogonal;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use core_tensor::seeded;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A training recipe: Adam at a constant rate; every step sees all shapes, each turned at random.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The network.
    pub model: TetrisNetConfig,
    /// Largest number of steps.
    pub steps: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Of weights and rotations.
    pub seed: u64,
}

impl Default for Recipe {
    /// 100 steps of rate 0.02.
    fn default() -> Self {
        Self {
            model: TetrisNetConfig::new(),
            steps: 100,
            learning_rate: 0.02,
            seed: 0,
        }
    }
}

/// What one step of training looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done, from 1.
    pub step: usize,
    /// Cross-entropy per shape, in nats, before the step.
    pub loss: f64,
    /// Share of shapes recognised, before the step.
    pub accuracy: f64,
}

/// A trained network, and how it came about.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network, ready for inference.
    pub model: TetrisNet,
    /// Every step.
    pub curve: Vec<Progress>,
}

impl Recipe {
    /// Trains on `device`, which need not be one with autodiff; `watch` is called after every step.
    pub fn train(&self, device: &Device, mut watch: impl FnMut(Progress)) -> Trained {
        let device = device.clone().autodiff();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut model = seeded(&device, self.seed, || self.model.init(&device));
        let mut optimizer = AdamConfig::new().init();
        let loss = CrossEntropyLossConfig::new().init(&device);
        let mut curve = Vec::with_capacity(self.steps);
        for step in 1..=self.steps {
            let scores = model.score(&Points::random(&mut rng), &device);
            let accuracy = share(&guesses(&scores), |shape| shape);
            let value = loss.forward(scores, targets(&device));
            let progress = Progress {
                step,
                loss: value.clone().into_scalar::<f32>().into(),
                accuracy,
            };
            let gradients = GradientsParams::from_grads(value.backward(), &model);
            model = optimizer.step(self.learning_rate, model, gradients);
            curve.push(progress);
            watch(progress);
        }
        Trained {
            model: model.valid(),
            curve,
        }
    }
}

impl Trained {
    /// The [`picture`](super::picture) of the shapes as they stand, and of how the network learned.
    pub fn picture(&self, device: &Device) -> String {
        let upright = Points::new(|| Orthogonal::IDENTITY);
        let scores = self.model.score(&upright, device).into_data();
        let scores: Vec<f64> = scores.iter::<f64>().collect();
        let rows: Vec<Vec<f64>> = scores.chunks(NAMES.len()).map(<[f64]>::to_vec).collect();
        picture(&rows, &self.curve)
    }
}

fn targets(device: &Device) -> Tensor<1, Int> {
    let all: Vec<i64> = (0..NAMES.len() as i64).collect();
    Tensor::from_data(TensorData::new(all, [NAMES.len()]), device)
}

/// The shape with the largest score in every row.
fn guesses(scores: &Tensor<2>) -> Vec<usize> {
    let best = scores.clone().argmax(1).into_data();
    best.iter::<i64>().map(|n| n as usize).collect()
}

/// Share of shapes that were taken for what `truth` says.
fn share(guesses: &[usize], truth: impl Fn(usize) -> usize) -> f64 {
    let right = guesses
        .iter()
        .enumerate()
        .filter(|&(shape, &guess)| guess == truth(shape));
    right.count() as f64 / guesses.len() as f64
}

/// Shares of shapes recognised in `trials` random orientations each: turned, and turned and mirrored (where the mirror
/// image of a chiral shape is the other one).
pub fn evaluate(model: &TetrisNet, trials: usize, seed: u64, device: &Device) -> [f64; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    [false, true].map(|inversion| {
        let mut sum = 0.0;
        for _ in 0..trials {
            let points = Points::new(|| Orthogonal {
                inversion,
                ..Orthogonal::random(&mut rng)
            });
            let found = guesses(&model.score(&points, device));
            sum += share(
                &found,
                |shape| if inversion { mirrored(shape) } else { shape },
            );
        }
        sum / trials as f64
    })
}
