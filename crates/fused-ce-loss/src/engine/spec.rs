//! What the engine is asked to compute, apart from tensors.

use super::Engine;
use crate::plan::{Monitor, Plan};
use burn::tensor::DType;
use core_tensor::ext::compute_dtype;

/// How the classifier lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[V, D]`, a row per class: PyTorch's `Linear`, and every embedding.
    Rows,
    /// `[D, V]`, a column per class: Burn's `Linear`.
    Columns,
}

/// Columns of the row statistics that the engine returns, in front of the picked logits.
pub mod column {
    /// `lse − z_y`.
    pub const NLL: usize = 0;
    /// `log Σ_v e^{z_v}`.
    pub const LSE: usize = 1;
    /// `−Σ_v p_v log p_v`.
    pub const ENTROPY: usize = 2;
    /// `Σ_v u_v z_v` for weights `u` common to all rows.
    pub const SUM: usize = 3;
    /// `Σ_v q_v z_v` for weights `q` of the row's own.
    pub const DENSE: usize = 4;
    /// The first picked logit; behind those come the largest logits.
    pub const PICKS: usize = 5;
}

/// Columns of the state of a row: what the backward pass needs of it.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) mod state {
    /// Largest logit `m`.
    pub(crate) const MAX: usize = 0;
    /// `lse − m`; kept apart from `m`, which may be so large that their sum would lose it.
    pub(crate) const LOG: usize = 1;
    /// `lse − z_y`.
    pub(crate) const NLL: usize = 2;
    /// Entropy.
    pub(crate) const ENTROPY: usize = 3;
    /// Number of columns.
    pub(crate) const COLUMNS: usize = 4;
}

/// Which inputs a gradient is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The hidden states.
    pub hidden: bool,
    /// The classifier.
    pub classifier: bool,
    /// The bias.
    pub bias: bool,
}

impl Needs {
    /// Whether none is.
    pub fn nothing(self) -> bool {
        self == Self::default()
    }
}

/// Everything about a call that is not a tensor.
///
/// The logit of row `i` and class `v` is `z_iv = cap(⟨e_i, c_v⟩ + b_v) / τ` with
/// `cap(x) = s tanh(x / s)` where a soft cap `s` is set.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Where the call runs; `None` where there is no engine.
    pub engine: Option<Engine>,
    /// Layout of the classifier.
    pub layout: Layout,
    /// Whether the targets count; otherwise every row does, without a target.
    pub has_targets: bool,
    /// Rows with this target are left out of everything.
    pub ignore_index: i64,
    /// Whether the bias counts.
    pub has_bias: bool,
    /// Whether the weights common to all rows count.
    pub has_sum: bool,
    /// Whether the weights of each row count.
    pub has_dense: bool,
    /// Number of picked logits per row.
    pub picks: usize,
    /// Whether the entropy is wanted.
    pub entropy: bool,
    /// Number of largest logits per row whose classes are wanted.
    pub top: usize,
    /// Soft cap `s`.
    pub softcap: Option<f64>,
    /// Temperature `τ`.
    pub temperature: f64,
    /// Class of the first row of the classifier, where it is a shard of a larger one; targets outside
    /// the shard then count as absent instead of wrong.
    pub shard_start: Option<usize>,
    /// How memory and time are traded; [`Spec::for_training`] settles it.
    pub plan: Plan,
    /// Number of the training step, for the draws of a stochastic tail.
    pub step: u64,
    /// Memory that a call may hold beyond inputs and outputs, bytes.
    pub budget: u64,
    /// Tokens and classes that the backward pass works on at once.
    pub panel: [usize; 2],
    /// Which gradients will be wanted.
    pub needs: Needs,
    /// Takes note of what a call did.
    pub monitor: Monitor,
}

impl Spec {
    /// Number of columns of the row statistics.
    pub fn columns(&self) -> usize {
        column::PICKS + self.picks + self.top
    }

    /// Settles the plan and the sizes of the panels for N tokens, V classes, width D and inputs of `dtype`, and notes
    /// them.
    pub fn for_training(mut self, needs: Needs, [n, v, d]: [usize; 3], dtype: DType) -> Self {
        self.needs = needs;
        if needs.nothing() {
            return self;
        }
        let size = compute_dtype(dtype).size();
        let stored = (n * v * size) as u64;
        let forward_gradient = self.allows_forward_gradient() && needs.hidden;
        self.plan = match self.plan {
            Plan::Auto if forward_gradient && !needs.classifier && !needs.bias => {
                Plan::ForwardGradient
            }
            Plan::Auto if stored <= self.budget => Plan::Store,
            Plan::Auto => Plan::Recompute,
            Plan::ForwardGradient if !forward_gradient => Plan::Recompute,
            Plan::Filtered(_) if self.has_dense => Plan::Recompute,
            Plan::Filtered(_) if self.engine == Some(Engine::Gpu) => {
                #[cfg(feature = "cube")]
                core_tensor::ext::cube::fall_back(
                    "linear_cross_entropy",
                    "no filter on a GPU; the plan runs as `recompute`",
                );
                Plan::Recompute
            }
            chosen => chosen,
        };
        self.panel = self.panels([n, v], size);
        let panel = (self.panel[0] * self.panel[1] * size) as u64;
        let predicted = match self.plan {
            _ if self.engine == Some(Engine::Gpu) => self.predicted_on_gpu([n, v, d], dtype),
            Plan::Store => stored + panel,
            Plan::ForwardGradient => (n * d * size) as u64,
            Plan::Filtered(filter) => {
                // Probabilities sum to 1: no more than this exceeds the threshold or is drawn for it.
                let entries = n as u64 * (v as u64).min((1.0 / filter.threshold).ceil() as u64);
                // Class, logit, gradient, and row and gradient once more by class.
                entries * (8 + 3 * size as u64) + panel
            }
            _ => panel,
        };
        let plan = self.plan;
        self.monitor.note(|report| {
            report.plan = Some(plan);
            report.predicted_bytes = predicted;
        });
        self
    }

    /// Tokens and classes of a panel of logits with values of `size` bytes: as many as there are, or as the engine
    /// works on at once, halved until a panel takes half of the budget.
    pub(super) fn panels(&self, [n, v]: [usize; 2], size: usize) -> [usize; 2] {
        let [mut tokens, mut classes] = match self.engine {
            Some(Engine::Gpu) => [n.max(1), v],
            _ => [Self::PANEL[0].min(n.max(1)), Self::PANEL[1].min(v)],
        };
        let share = (self.budget / 2).max(1);
        while (tokens * classes * size) as u64 > share && (tokens > 256 || classes > 256) {
            let classes_first = classes > 512 || tokens <= 256;
            let longer = if classes_first {
                &mut classes
            } else {
                &mut tokens
            };
            // In whole multiples of what a kernel can be bound to.
            *longer = (*longer / 2).next_multiple_of(256);
        }
        [tokens, classes]
    }

    /// Bytes beyond inputs and outputs that the GPU engine holds at once in training.
    fn predicted_on_gpu(&self, [n, v, d]: [usize; 3], dtype: DType) -> u64 {
        let [tokens, classes] = self.panel;
        let half = dtype.size() < 4;
        let when = |needed: bool, values: usize| if needed { values } else { 0 };
        // Values of four bytes: the panel, states and coefficients of the rows, largest logits.
        let mut values = tokens * classes + n * (20 + 6 * self.top + self.picks) + 3 * v;
        values += match self.plan {
            Plan::Store => n * v,
            Plan::ForwardGradient => n * d,
            _ => 0,
        };
        // A product before it is added to the sum over the panels.
        let forward_gradient = self.plan == Plan::ForwardGradient;
        values += when(classes < v || forward_gradient, tokens * d);
        values += when(
            tokens < n || self.layout == Layout::Columns,
            2 * classes * d,
        );
        values += when(half, n * d);
        let stored = when(half, tokens * classes) + when(self.has_targets, tokens * d);
        (4 * values + dtype.size() * stored) as u64
    }

    /// Largest panel of the backward pass on the CPU: its logits stay in a last-level cache of 32 MB.
    pub const PANEL: [usize; 2] = [2048, 2048];

    /// Whether the running rescale of [`Plan::ForwardGradient`] covers all that is asked for.
    pub fn allows_forward_gradient(&self) -> bool {
        let smoothed_cap = self.has_sum && self.softcap.is_some();
        !(self.has_dense || self.entropy || self.picks + self.top > 0 || smoothed_cap)
    }
}
