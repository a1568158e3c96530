//! Matrices that all edges share, order by order: [`Mix`].

use super::super::FrameLayout;
#[cfg(any(feature = "flex", feature = "cube"))]
use super::Slot;
use core::ops::Range;

/// One product of matrices of a [`Mix`]: `y[outputs] ± = x[inputs] · W`, `W` row-major.
#[cfg_attr(
    not(any(feature = "flex", feature = "cube")),
    allow(dead_code, reason = "kernels ask which term comes first")
)]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    pub(crate) inputs: Range<usize>,
    pub(crate) outputs: Range<usize>,
    /// First value of the matrix, and how far apart its rows are.
    pub(crate) weight: usize,
    pub(crate) stride: usize,
    pub(crate) negative: bool,
    /// Whether no term before has these outputs, or these inputs.
    pub(crate) first_out: bool,
    pub(crate) first_in: bool,
}

/// A map of features in frames that commutes with rotations about the edge:
///
/// ```text
/// y_0  = x_0 A_0
/// y_+m = x_+m A_m − x_−m B_m
/// y_−m = x_+m B_m + x_−m A_m
/// ```
///
/// for some ranges of columns. Ranges of outputs of two terms are the same or disjoint, and so are those of inputs.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) numel: usize,
    pub(crate) terms: Vec<Term>,
    /// The terms on GPUs.
    #[cfg(feature = "cube")]
    pub(super) uploads: super::cube::MixUploads,
}

impl Mix {
    /// Without terms.
    pub(crate) fn new(inputs: &FrameLayout, outputs: &FrameLayout) -> Self {
        Self {
            inputs: inputs.dim(),
            outputs: outputs.dim(),
            numel: 0,
            terms: Vec::new(),
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        }
    }

    /// Adds `y[outputs] ± = x[inputs] · W`.
    pub(crate) fn push(
        &mut self,
        inputs: Range<usize>,
        outputs: Range<usize>,
        (weight, stride): (usize, usize),
        negative: bool,
    ) {
        if inputs.is_empty() || outputs.is_empty() {
            return;
        }
        self.terms.push(Term {
            first_out: self.terms.iter().all(|term| term.outputs != outputs),
            first_in: self.terms.iter().all(|term| term.inputs != inputs),
            inputs,
            outputs,
            weight,
            stride,
            negative,
        });
    }

    /// Multiplications and additions per edge.
    pub(crate) fn flops(&self) -> usize {
        let terms = self.terms.iter();
        2 * terms
            .map(|term| term.inputs.len() * term.outputs.len())
            .sum::<usize>()
    }

    /// The terms that share a matrix, as runs of the list: those with one place of weights, in order.
    #[cfg(any(feature = "flex", feature = "cube"))]
    pub(crate) fn by_matrix(&self) -> Vec<Vec<&Term>> {
        let mut groups: Vec<Vec<&Term>> = Vec::new();
        for term in &self.terms {
            match groups.iter_mut().find(|g| g[0].weight == term.weight) {
                Some(group) => group.push(term),
                None => groups.push(vec![term]),
            }
        }
        groups
    }

    /// Columns of outputs or inputs that terms write.
    #[cfg(any(feature = "flex", feature = "cube"))]
    pub(crate) fn covered(&self, slot: Slot) -> usize {
        let columns = self.terms.iter().map(|term| match slot {
            Slot::Output if term.first_out => term.outputs.len(),
            Slot::Input if term.first_in => term.inputs.len(),
            _ => 0,
        });
        columns.sum()
    }
}
