//! What a scan computes, apart from its tensors.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a recurrent cell does to its candidate pre-activation `v` before it enters the state.
///
/// The paper's vanilla cells (Section 3) leave it as it is; its log-space variant (Appendix B)
/// needs positive candidates and applies [`Candidate::G`]. They are different models with different
/// weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Candidate {
    /// `v`: the paper's main text.
    Linear,
    /// `g(v) = v + ½` for `v ≥ 0`, `σ(v)` below: the paper's Appendix B and every public
    /// implementation of it. Positive; the one-sided slopes at 0 are 1 (used there) and ¼.
    G,
    /// `tanh(v)`: the candidate of the classical GRU and LSTM.
    Tanh,
}

/// How the forget factor `a` of a minGRU arises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transition {
    /// `a = 1 − z ∈ (0, 1)`: the paper's.
    Positive,
    /// `a = (1 − z) · tanh(s)` with a third pre-activation `s`: signed, bounded by the gate.
    SignedCoupled,
    /// `a = tanh(s) ∈ (−1, 1)`, independent of the update gate: negative transitions let one layer
    /// track parity, and a saturated `s` holds a state without decay at any length.
    Signed,
}

/// One step of a recurrence: how the new state follows from the planes of the input (parts of its
/// last axis, in the order given) and the state before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cell {
    /// Planes `[a | b]`: `h ← a h + b`.
    Linear,
    /// Planes `[log a | log b]`: `log h ← log(a h + b)`, for dynamic ranges that a float cannot hold.
    Log,
    /// Planes `[k | v]`, with [`Transition::Signed`] and [`Transition::SignedCoupled`]
    /// `[k | v | s]`: `h ← a h + σ(k) c(v)`.
    MinGru {
        /// Activation `c` of the candidate.
        candidate: Candidate,
        /// The forget factor `a`.
        transition: Transition,
    },
    /// Planes `[f | i | v]`: `h ← f' h + i' c(v)`, where `f' = σ(f)` and `i' = σ(i)`, or, normalised,
    /// `f' = σ(f) / (σ(f) + σ(i))` and `i' = 1 − f'`.
    MinLstm {
        /// Activation `c` of the candidate.
        candidate: Candidate,
        /// Whether the two gates are scaled to add up to 1, which keeps the state in the hull of
        /// its candidates (the paper's length-independence scaling).
        normalized: bool,
    },
}

impl Cell {
    /// Number of planes, i.e. of input values per state value.
    pub fn planes(self) -> usize {
        match self {
            Cell::Linear | Cell::Log => 2,
            Cell::MinGru {
                transition: Transition::Positive,
                ..
            } => 2,
            Cell::MinGru { .. } | Cell::MinLstm { .. } => 3,
        }
    }

    /// The state that means "nothing yet", to which a reset returns: 0, for [`Cell::Log`] `log 0`.
    pub fn empty_state(self) -> f64 {
        if self == Cell::Log {
            f64::NEG_INFINITY
        } else {
            0.0
        }
    }
}

/// How the GPU kernels split a sequence; the CPU kernel always runs step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// Chosen by shape.
    #[default]
    Auto,
    /// One unit per channel walks the whole sequence. The sum is associated as on the CPU, whatever
    /// the split into chunks and steps: the deterministic mode.
    Serial,
    /// A workgroup per group of channels sweeps over the sequence in tiles.
    Sweep,
    /// The sequence is cut into chunks that are reduced in parallel, scanned and replayed: for long
    /// sequences of few channels.
    Chunked,
    /// The sequence is cut into pieces, a workgroup each, and every workgroup waits for the state that the
    /// one before it hands on. Reads its input once, and its states have the bits of
    /// [`Algorithm::Serial`]. Only where workgroups may wait for each other (CUDA, ROCm); elsewhere `Serial` runs instead.
    Chained,
}

/// Where the sequences of a batch lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sequences {
    /// Every batch entry is one sequence.
    Batch {
        /// Number of sequences.
        count: usize,
        /// Steps of each.
        time: usize,
    },
    /// One batch entry holds all sequences, one after the other: sequence `s` is `[at[s], at[s + 1])`.
    Packed {
        /// Cumulative lengths, from 0 to the number of steps.
        at: Arc<[usize]>,
    },
}

impl Sequences {
    /// Number of sequences.
    pub fn count(&self) -> usize {
        match self {
            Sequences::Batch { count, .. } => *count,
            Sequences::Packed { at } => at.len() - 1,
        }
    }

    /// Batch entry, first step and number of steps of a sequence.
    pub fn locate(&self, sequence: usize) -> (usize, usize, usize) {
        match self {
            Sequences::Batch { time, .. } => (sequence, 0, *time),
            Sequences::Packed { at } => (0, at[sequence], at[sequence + 1] - at[sequence]),
        }
    }

    /// Row of the first border of every sequence when a border is kept every `stride` steps, and behind them the number
    /// of all.
    pub fn first_borders(&self, stride: usize) -> Vec<usize> {
        let own = |sequence| self.locate(sequence).2.div_ceil(stride);
        let ends = (0..self.count()).scan(0, |all, sequence| {
            *all += own(sequence);
            Some(*all)
        });
        core::iter::once(0).chain(ends).collect()
    }
}

/// Everything about a scan that is not a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The recurrence.
    pub cell: Cell,
    /// Whether all planes lie side by side in the last axis of the first tensor; otherwise each
    /// has a tensor of its own.
    pub packed_planes: bool,
    /// Where the sequences lie.
    pub sequences: Sequences,
    /// Whether time runs backwards: the initial state belongs to the last step.
    pub reverse: bool,
    /// Whether the reset tensor counts.
    pub has_reset: bool,
    /// Keep for the gradient one state every so many steps, and recompute those between.
    pub checkpoint: Option<usize>,
    /// How a GPU splits the work.
    pub algorithm: Algorithm,
}

impl Spec {
    /// Number of states kept at borders.
    pub fn border_rows(&self) -> usize {
        let all = |stride: usize| match &self.sequences {
            Sequences::Batch { count, time } => count * time.div_ceil(stride),
            Sequences::Packed { at } => at.windows(2).map(|w| (w[1] - w[0]).div_ceil(stride)).sum(),
        };
        self.checkpoint.map_or(0, all)
    }

    /// Position in time of the `i`-th step of a sequence that starts at `first` with `len` steps.
    #[inline(always)]
    pub fn step_at(&self, first: usize, len: usize, i: usize) -> usize {
        if self.reverse {
            first + len - 1 - i
        } else {
            first + i
        }
    }
}

/// Shapes and dtypes that the two operations promise to Fusion.
#[cfg(feature = "cube")]
mod promised {
    use super::Spec;
    use core_tensor::ext::TensorSpec;

    fn width(x: &TensorSpec, spec: &Spec) -> usize {
        let [_, _, columns] = x.shape.dims();
        if spec.packed_planes {
            columns / spec.cell.planes()
        } else {
            columns
        }
    }

    pub(crate) fn outputs(
        x: &TensorSpec,
        initial: &TensorSpec,
        spec: &Spec,
    ) -> (TensorSpec, TensorSpec, TensorSpec) {
        let ([batch, time, _], width) = (x.shape.dims(), width(x, spec));
        (
            TensorSpec::new([batch, time, width].into(), x.dtype),
            TensorSpec::new([spec.sequences.count(), width].into(), initial.dtype),
            TensorSpec::new([spec.border_rows(), width].into(), initial.dtype),
        )
    }

    pub(crate) fn gradients(
        x: &TensorSpec,
        initial: &TensorSpec,
        spec: &Spec,
    ) -> (TensorSpec, TensorSpec) {
        let [batch, time, columns] = x.shape.dims();
        let gradients = if spec.packed_planes {
            x.clone()
        } else {
            TensorSpec::new([spec.cell.planes(), batch, time, columns].into(), x.dtype)
        };
        (gradients, initial.clone())
    }
}
#[cfg(feature = "cube")]
pub(crate) use promised::{gradients, outputs};
