//! How memory and time are traded, and what a call really used.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How the gradient is computed. All but [`Plan::Filtered`] are exact.
///
/// With N tokens, V classes and width D, one product costs NVD multiply-adds; the forward pass alone is one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// [`Plan::Store`] where the logits fit the memory budget, otherwise [`Plan::Recompute`].
    #[default]
    Auto,
    /// Keeps the logits for the backward pass: three products, `N · V` values of memory.
    Store,
    /// Computes the logits again, panel by panel: four products, memory that does not grow with V.
    Recompute,
    /// Computes the logits again and leaves out negligible entries of their gradient, as Cut Cross-Entropy does
    /// (arXiv 2411.09009): two products and a share of two more.
    Filtered(Filter),
    /// Builds the gradient of the hidden states during the forward pass, as FlashAttention builds its output: two
    /// products, `N · D` values of memory. For a classifier (and bias) without gradient.
    ForwardGradient,
}

/// Which entries of the logit gradient [`Plan::Filtered`] leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Entries whose share of the gradient of their row, `p_v` or `1 − p_y`, lies below this are left to the tail.
    /// Cut Cross-Entropy uses 2⁻¹² with bf16.
    pub threshold: f64,
    /// What becomes of them.
    pub tail: Tail,
    /// Whether the gradient of the classifier is computed from all entries (Cut Cross-Entropy's `full_c`).
    pub full_classifier: bool,
    /// Whether the gradient of the hidden states is computed from all entries (`full_e`).
    pub full_hidden: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            threshold: 1.0 / 4096.0,
            tail: Tail::Stochastic { seed: 0 },
            full_classifier: false,
            full_hidden: false,
        }
    }
}

/// What becomes of the entries of the logit gradient below the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// They are dropped: biased, and rare classes get no gradient.
    Drop,
    /// An entry below the threshold is kept with a probability in proportion to its size, at the size of the
    /// threshold: every gradient has the right expectation.
    Stochastic {
        /// Seed of the draws, together with [`LossOptions::at_step`](crate::LossOptions::at_step).
        seed: u64,
    },
}

/// What a call did; see [`Report`]. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct Monitor(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    now: AtomicU64,
    peak: AtomicU64,
    /// The part of `now` that stays from the forward pass to the backward pass.
    kept: AtomicU64,
    report: Mutex<Report>,
}

/// How a call ran. Complete once the backward pass, if any, is over.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Report {
    /// The plan that ran; `None` where no gradient was wanted.
    pub plan: Option<Plan>,
    /// Memory beyond inputs and outputs that was predicted, bytes: what the plan keeps, and a panel. On the CPU, tiles and lists
    /// of largest logits (a few MB) and factors widened from f16 come on top.
    pub predicted_bytes: u64,
    /// Most memory beyond inputs and outputs that was held at once, bytes.
    pub peak_bytes: u64,
    /// What the filter did.
    pub filter: Option<FilterReport>,
}

/// What a gradient filter kept and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct FilterReport {
    /// Entries of the logit gradient.
    pub entries: u64,
    /// Those at or above the threshold.
    pub kept: u64,
    /// Those below it that the stochastic tail drew.
    pub drawn: u64,
    /// Probability mass below the threshold, mean over the rows.
    pub tail_mass: f64,
    /// Probability mass below the threshold, largest of a row. With [`Tail::Drop`], the gradient of the loss of a row
    /// by its hidden state is off by at most this times the largest norm of a classifier row.
    pub largest_tail_mass: f64,
}

impl Monitor {
    /// What is known so far.
    pub fn report(&self) -> Report {
        let mut report = *self.0.report.lock().unwrap_or_else(|e| e.into_inner());
        report.peak_bytes = self.0.peak.load(Ordering::Relaxed);
        report
    }

    /// Changes the report.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.report.lock().unwrap_or_else(|e| e.into_inner()));
    }

    fn add(&self, bytes: u64) {
        let now = self.0.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts `bytes` as held until [`Monitor::let_go`]: what the forward pass leaves for the backward pass.
    pub(crate) fn keep(&self, bytes: usize) {
        self.add(bytes as u64);
        self.0.kept.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends what [`Monitor::keep`] began.
    pub(crate) fn let_go(&self) {
        let kept = self.0.kept.swap(0, Ordering::Relaxed);
        self.0.now.fetch_sub(kept, Ordering::Relaxed);
    }

    /// Counts `bytes` as held for as long as the guard lives.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.add(bytes as u64);
        Held {
            monitor: self.clone(),
            bytes: bytes as u64,
        }
    }
}

/// See [`Monitor::hold`].
#[derive(Debug)]
pub(crate) struct Held {
    monitor: Monitor,
    bytes: u64,
}

impl Held {
    /// Counts `bytes` in all from now on.
    pub(crate) fn grow(&mut self, bytes: usize) {
        // The new is held before the old is let go, as when a buffer moves.
        *self = self.monitor.hold(bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.monitor.0.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
