//! What a pass over points needs to know beforehand.

use super::super::spec::Spec;
use super::super::table::Table;
use core_tensor::cpu::Real;

/// Degrees that lie side by side in the output, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Where they begin in the output.
    pub(super) column: usize,
}

impl Run {
    /// Places of the components among those of all degrees in order.
    #[inline(always)]
    pub(super) fn range(self) -> core::ops::Range<usize> {
        self.first * self.first..(self.last + 1) * (self.last + 1)
    }
}

/// A [`Spec`] made ready: coefficients, and which degrees are computed.
#[derive(Debug, Clone)]
pub(in super::super) struct Plan<T> {
    pub(super) table: Table<T>,
    pub(super) runs: Vec<Run>,
    pub(super) normalize: bool,
    pub(super) lmax: usize,
    pub(super) dim: usize,
}

impl<T: Real> Plan<T> {
    pub(in super::super) fn new(spec: &Spec) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut column = 0;
        for &l in spec.degrees.iter() {
            match runs.last_mut() {
                Some(run) if run.last + 1 == l => run.last = l,
                _ => runs.push(Run {
                    first: l,
                    last: l,
                    column,
                }),
            }
            column += 2 * l + 1;
        }
        Self {
            table: Table::new(spec.lmax(), spec.normalization, T::from_f64),
            runs,
            normalize: spec.normalize,
            lmax: spec.lmax(),
            dim: column,
        }
    }

    pub(in super::super) fn dim(&self) -> usize {
        self.dim
    }

    /// The degrees that lie `below` the asked ones, ascending, each once.
    pub(super) fn degrees(&self, below: &[usize]) -> Vec<usize> {
        let mut wanted = vec![false; self.lmax + 1];
        for run in &self.runs {
            for l in run.first..=run.last {
                let each = below.iter().filter(|&&n| n <= l);
                each.for_each(|n| wanted[l - n] = true);
            }
        }
        (0..=self.lmax).filter(|&l| wanted[l]).collect()
    }
}
