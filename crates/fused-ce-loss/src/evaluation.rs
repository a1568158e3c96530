//! Loss over a whole text or data set.

use crate::classifier::Classifier;
use crate::loss::linear_cross_entropy;
use crate::options::{LossConfig, Reduction};
use crate::targets::Targets;
use burn::tensor::Tensor;

/// Perplexity and accuracy, summed over batches in f64. Holds four numbers; a call needs memory for a row per token.
///
/// ```
/// use burn::tensor::{Device, Distribution, Int, Tensor};
/// use fused_ce_loss::{Evaluation, LossConfig};
///
/// let device = Device::flex();
/// let weight = Tensor::<2>::random([50, 8], Distribution::Default, &device);
/// let mut evaluation = Evaluation::new(LossConfig::new());
/// for _ in 0..3 {
///     let hidden = Tensor::<2>::zeros([4, 8], &device);
///     evaluation.add(hidden, weight.clone(), Tensor::<1, Int>::from_ints([0, 1, 49, -100], &device));
/// }
/// // Equal logits: every class is as probable as another.
/// assert_eq!(evaluation.rows(), 9);
/// assert!((evaluation.perplexity() - 50.0).abs() < 1e-3);
/// ```
#[derive(Debug, Clone)]
pub struct Evaluation {
    config: LossConfig,
    loss: f64,
    /// Weights of the rows that counted.
    weight: f64,
    rows: u64,
    correct: u64,
}

impl Evaluation {
    /// With the ignored index, shift, cap and temperature of `config`; smoothing, z-loss and reduction count for nothing.
    pub fn new(config: LossConfig) -> Self {
        let config = LossConfig {
            ignore_index: config.ignore_index,
            softcap: config.softcap,
            temperature: config.temperature,
            shift: config.shift,
            reduction: Reduction::None,
            top_k: 1,
            ..LossConfig::default()
        };
        Self {
            config,
            loss: 0.0,
            weight: 0.0,
            rows: 0,
            correct: 0,
        }
    }

    /// Adds a batch. Without gradient, whatever the device.
    ///
    /// # Panics
    /// As [`linear_cross_entropy`], or if the settings are out of range.
    pub fn add<const R: usize>(
        &mut self,
        hidden: Tensor<R>,
        classifier: impl Into<Classifier>,
        targets: impl Into<Targets>,
    ) {
        let options = self.config.build().expect("Evaluation: settings");
        let targets = targets.into();
        let weights = targets.weights.clone();
        let out = linear_cross_entropy(
            hidden.detach(),
            classifier.into().detach(),
            targets,
            &options,
        );
        // In f64 on the host: a text has more tokens than f32 has digits.
        self.loss += out.loss.into_data().iter::<f64>().sum::<f64>();
        let count = |x: burn::tensor::TensorData| x.iter::<bool>().filter(|&x| x).count() as u64;
        let counted = out.counted.into_data();
        self.weight += match weights {
            Some(weights) => weights
                .into_data()
                .iter::<f64>()
                .zip(counted.iter::<bool>())
                .map(|(weight, counts)| if counts { weight } else { 0.0 })
                .sum(),
            None => count(counted.clone()) as f64,
        };
        self.rows += count(counted);
        self.correct += out.correct.map_or(0, |x| count(x.into_data()));
    }

    /// Rows that counted so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Mean loss of a row, nats: its negative log-likelihood, where classes are the targets. Rows that have
    /// [weights](Targets::with_weights) count in proportion. NaN if none counted.
    pub fn loss(&self) -> f64 {
        self.loss / self.weight
    }

    /// `e^loss`.
    pub fn perplexity(&self) -> f64 {
        self.loss().exp()
    }

    /// Share of the rows whose most probable class is their target; 0 where targets are no classes.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.rows as f64
    }
}
