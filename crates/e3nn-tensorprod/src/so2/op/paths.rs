//! Products path by path, with weights of every edge: [`PathForm`].

use core::ops::Range;
use std::sync::Arc;

/// A component of the input and the component of the output that it feeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Contact {
    /// First column of the input.
    pub(crate) input: usize,
    /// First column of the output.
    pub(crate) output: usize,
    pub(crate) value: f64,
}

/// A path: for each contact `y[output + w] += value · x[input + u] · weight[u, w]`, or with `u = w` if not `mixes`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PathTerm {
    /// Whether all copies of the output are fed by each of the input (uvw) rather than one by one (uvu).
    pub(crate) mixes: bool,
    /// Copies of the input and of the output.
    pub(crate) mul: [usize; 2],
    /// Its weights in a row; without, they count as 1 (uvu only).
    pub(crate) weights: Option<Range<usize>>,
    pub(crate) contacts: Vec<Contact>,
}

/// Paths between features in frames, with weights of every edge.
#[derive(Debug)]
pub(crate) struct PathForm {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) numel: usize,
    pub(crate) terms: Vec<PathTerm>,
    /// The paths that have weights, if there are others.
    weighted: Option<Arc<PathForm>>,
    /// The paths on GPUs.
    #[cfg(feature = "cube")]
    pub(super) uploads: super::cube::Uploads,
}

impl PathForm {
    /// Paths between features of so many columns, with so many weights per edge.
    pub(crate) fn new([inputs, numel, outputs]: [usize; 3], terms: Vec<PathTerm>) -> Arc<Self> {
        let weighted: Vec<PathTerm> = terms
            .iter()
            .filter(|term| term.weights.is_some())
            .cloned()
            .collect();
        let all = weighted.len() == terms.len();
        Arc::new(Self {
            inputs,
            outputs,
            numel,
            terms,
            weighted: (!all).then(|| Self::new([inputs, numel, outputs], weighted)),
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        })
    }

    /// The paths that have weights: what is linear in them.
    pub(crate) fn weighted(self: &Arc<Self>) -> &Arc<Self> {
        self.weighted.as_ref().unwrap_or(self)
    }

    /// Multiplications and additions per edge.
    pub(crate) fn flops(&self) -> usize {
        let terms = self.terms.iter().map(|term| {
            let [u, w] = term.mul;
            let pairs = if term.mixes { u * w } else { u };
            2 * pairs * term.contacts.len()
        });
        terms.sum()
    }

    /// Rows of weights applied to a component of a copy, per edge.
    pub(crate) fn rows(&self) -> usize {
        let terms = self.terms.iter().map(|term| {
            let copies = if term.mixes { term.mul[0] } else { 1 };
            copies * term.contacts.len()
        });
        terms.sum()
    }
}
