//! What the loss returns.

use crate::plan::{Monitor, Report};
use burn::tensor::{Bool, Int, Tensor};

/// Result of [`linear_cross_entropy`](crate::linear_cross_entropy). Every float tensor is differentiable, in f32 (f64
/// for f64 inputs); rows that are ignored hold zeros.
#[derive(Debug, Clone)]
pub struct LossOutput {
    /// The loss: `[1]`, or `[N]` without reduction.
    pub loss: Tensor<1>,
    /// Normaliser `log Σ_v e^{z_v}` of every row, `[N]`.
    pub lse: Tensor<1>,
    /// Entropy `−Σ_v p_v log p_v` of every row, `[N]`, on request.
    pub entropy: Option<Tensor<1>>,
    /// Classes of the largest logits, `[N, K]`, largest first, on request; −1 in ignored rows and where there are fewer classes.
    pub top_classes: Option<Tensor<2, Int>>,
    /// Their log-probabilities, `[N, K]`.
    pub top_log_probs: Option<Tensor<2>>,
    /// Whether the most probable class of a row is its target, `[N]`; on request of `top_k`, with classes as targets.
    pub correct: Option<Tensor<1, Bool>>,
    /// Rows that count, `[N]`.
    pub counted: Tensor<1, Bool>,
    pub(crate) monitor: Monitor,
}

impl LossOutput {
    /// Share of the rows that count whose most probable class is their target, `[1]`; 0 if none counts. `None` unless
    /// [`LossOutput::correct`] is there.
    pub fn accuracy(&self) -> Option<Tensor<1>> {
        let correct = self.correct.clone()?.float().sum();
        Some(correct / self.counted.clone().float().sum().clamp_min(1.0))
    }

    /// How the call ran; complete once the backward pass is over.
    pub fn report(&self) -> Report {
        self.monitor.report()
    }
}
