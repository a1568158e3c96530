//! What a run has been through, for the report.

use serde::{Deserialize, Serialize};

/// Kept with every saved state, so that a resumed run draws its whole curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Loss of every step, in nats per character.
    pub(crate) training: Vec<f32>,
    /// Steps done and validation loss then.
    pub(crate) validation: Vec<(u64, f64)>,
    /// Seconds in training steps alone: without validation and saving.
    pub(crate) seconds: f64,
}

impl History {
    /// The last validation loss.
    pub(crate) fn last(&self) -> Option<f64> {
        self.validation.last().map(|&(_, loss)| loss)
    }

    /// Step and value of the lowest validation loss.
    pub(crate) fn best(&self) -> Option<(u64, f64)> {
        let lower = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        self.validation.iter().min_by(lower).copied()
    }

    /// Characters learned from per second, given those of one step.
    pub(crate) fn speed(&self, per_step: usize) -> f64 {
        let tokens = (self.training.len() * per_step) as f64;
        tokens / self.seconds.max(f64::MIN_POSITIVE)
    }
}
