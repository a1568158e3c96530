//! Sorting and merging of blocks.

use super::{Irrep, Irreps, MulIrrep};
use core::cmp::Ordering;

/// In which order irreps of different kinds stand. Weights of layers that sort their irreps follow it, so it
/// must be that of the library whose weights are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SortOrder {
    /// By degree, then odd before even: `0o < 0e < 1o < 1e < 2o < 2e`. e3nn for PyTorch.
    #[default]
    DegreeFirst,
    /// By degree, then the parity `(−1)^l` of the spherical harmonics before the other:
    /// `0e < 0o < 1o < 1e < 2e < 2o`. e3nn-jax, cuEquivariance.
    ParityFirst,
}

impl SortOrder {
    /// How two irreps stand to each other.
    pub fn compare(self, a: Irrep, b: Irrep) -> Ordering {
        match self {
            Self::DegreeFirst => a.cmp(&b),
            Self::ParityFirst => {
                let key = |irrep: Irrep| (irrep.l(), !irrep.is_natural());
                key(a).cmp(&key(b))
            }
        }
    }
}

/// What [`Irreps::sort`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedIrreps {
    /// The sorted irreps; nothing is merged or dropped.
    pub irreps: Irreps,
    /// The new place of each old block (e3nn's `p`).
    pub p: Vec<usize>,
    /// The old place of each new block (e3nn's `inv`), the inverse of `p`.
    pub inv: Vec<usize>,
}

impl Irreps {
    /// Sorts blocks, keeping the order of those of the same irrep.
    pub fn sort(&self, order: SortOrder) -> SortedIrreps {
        let mut inv: Vec<usize> = (0..self.len()).collect();
        inv.sort_by(|&i, &j| order.compare(self[i].irrep, self[j].irrep));
        let mut p = vec![0; inv.len()];
        for (new, &old) in inv.iter().enumerate() {
            p[old] = new;
        }
        SortedIrreps {
            irreps: inv.iter().map(|&old| self[old]).collect(),
            p,
            inv,
        }
    }

    /// Merges neighbours of the same irrep and drops blocks of multiplicity 0. The order of components in
    /// memory ([`Layout::MulIr`](crate::Layout::MulIr)) stays.
    pub fn simplify(&self) -> Self {
        let mut blocks: Vec<MulIrrep> = Vec::with_capacity(self.len());
        for &block in self.iter().filter(|block| block.mul > 0) {
            match blocks.last_mut() {
                Some(last) if last.irrep == block.irrep => last.mul += block.mul,
                _ => blocks.push(block),
            }
        }
        blocks.into_iter().collect()
    }

    /// Sorts, then merges: every irrep occurs at most once.
    pub fn regroup(&self, order: SortOrder) -> Self {
        self.sort(order).irreps.simplify()
    }
}
