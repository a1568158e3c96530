//! Direct sums of irreducible representations of O(3): [`Irreps`].

mod irrep;
mod order;
mod parse;
mod text;

pub use irrep::{Irrep, Parity};
pub use order::{SortOrder, SortedIrreps};
pub use parse::IrrepsProblem;
#[doc(hidden)]
pub use parse::is_valid;
pub use text::IrrepsError;

use core::ops::{Add, Deref, Range};
use std::sync::Arc;

/// An irrep with its multiplicity, such as `16x1o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MulIrrep {
    /// Multiplicity; may be 0.
    pub mul: usize,
    /// The irrep.
    pub irrep: Irrep,
}

impl MulIrrep {
    /// Number of components of the block.
    pub const fn dim(self) -> usize {
        self.mul * self.irrep.dim()
    }
}

/// An ordered direct sum of irreps with multiplicities, such as `16x0e+8x1o`. Cheap to clone.
///
/// ```
/// use e3nn_tensorprod::{Irreps, SortOrder};
///
/// let irreps: Irreps = "2o+1e+0e+1e".parse()?;
/// assert_eq!(irreps.dim(), 12);
/// assert_eq!(irreps.regroup(SortOrder::DegreeFirst).to_string(), "1x0e+2x1e+1x2o");
///
/// let error = "16x0e+8x1a".parse::<Irreps>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "irreps: block 1 (\"8x1a\"), byte 9: an irrep ends with its parity, `e`, `o` or `y`"
/// );
/// # Ok::<(), e3nn_tensorprod::IrrepsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Irreps(Arc<[MulIrrep]>);

impl Irreps {
    /// The sum of blocks in the given order; nothing is merged or dropped.
    pub fn new(blocks: impl IntoIterator<Item = (usize, Irrep)>) -> Self {
        let blocks = blocks.into_iter();
        blocks.map(|(mul, irrep)| MulIrrep { mul, irrep }).collect()
    }

    /// One irrep of each degree from 0 to `lmax`, as spherical harmonics of a vector of the given parity have
    /// them: parity `p^l`, so `(−1)^l` for an ordinary (odd) vector and even throughout for a pseudovector.
    pub fn spherical_harmonics(lmax: usize, parity: Parity) -> Self {
        Self::new((0..=lmax).map(|l| {
            let parity = match parity {
                Parity::Odd => Parity::of_harmonics(l),
                Parity::Even => Parity::Even,
            };
            (1, Irrep::new(l, parity))
        }))
    }

    /// Number of components of all blocks.
    pub fn dim(&self) -> usize {
        self.iter().map(|block| block.dim()).sum()
    }

    /// Number of irreps, each counted with its multiplicity.
    pub fn num_irreps(&self) -> usize {
        self.iter().map(|block| block.mul).sum()
    }

    /// Where each block lies in a vector of [`dim`](Self::dim) components.
    pub fn slices(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        self.iter()
            .map(|block| {
                let range = start..start + block.dim();
                start = range.end;
                range
            })
            .collect()
    }

    /// The degree of every irrep, repeated by its multiplicity.
    pub fn ls(&self) -> impl Iterator<Item = usize> {
        let blocks = self.iter();
        blocks.flat_map(|block| core::iter::repeat_n(block.irrep.l(), block.mul))
    }

    /// The largest degree among the irreps that occur at least once.
    ///
    /// # Errors
    /// If none does.
    pub fn lmax(&self) -> Result<usize, IrrepsError> {
        let occurring = self.iter().filter(|block| block.mul > 0);
        let degrees = occurring.map(|block| block.irrep.l());
        degrees
            .max()
            .ok_or_else(|| IrrepsError::Empty(self.to_string()))
    }

    /// How often an irrep occurs.
    pub fn count(&self, irrep: Irrep) -> usize {
        let equal = self.iter().filter(|block| block.irrep == irrep);
        equal.map(|block| block.mul).sum()
    }

    /// Whether an irrep occurs at least once (e3nn's `in` finds blocks of multiplicity 0 too).
    pub fn has(&self, irrep: Irrep) -> bool {
        self.count(irrep) > 0
    }

    /// Without the blocks of multiplicity 0.
    pub fn remove_zero_multiplicities(&self) -> Self {
        self.filter(|block| block.mul > 0)
    }

    /// The blocks for which `keep` holds.
    pub fn filter(&self, keep: impl Fn(MulIrrep) -> bool) -> Self {
        self.iter().copied().filter(|&block| keep(block)).collect()
    }

    /// The blocks whose irrep is a block of `irreps`, whatever the multiplicities (e3nn's `filter(keep=…)`, which in 0.6.0
    /// keeps nothing when given irreps or a text of them).
    pub fn filter_keep(&self, irreps: &Self) -> Self {
        self.filter(|block| irreps.iter().any(|other| other.irrep == block.irrep))
    }

    /// The blocks whose irrep is no block of `irreps` (e3nn's `filter(drop=…)`, which in 0.6.0 drops nothing when given
    /// irreps or a text of them).
    pub fn filter_drop(&self, irreps: &Self) -> Self {
        self.filter(|block| irreps.iter().all(|other| other.irrep != block.irrep))
    }

    /// The blocks of degree at most `lmax` (e3nn's `filter(lmax=…)`).
    pub fn filter_lmax(&self, lmax: usize) -> Self {
        self.filter(|block| block.irrep.l() <= lmax)
    }

    /// The irreps number `copies.start` up to but without `copies.end`, counted with multiplicities; what lies
    /// beyond [`num_irreps`](Self::num_irreps) is left out (e3nn's `slice_by_mul[a:b]`).
    pub fn slice_by_mul(&self, copies: Range<usize>) -> Self {
        let stop = copies.end.min(self.num_irreps());
        let start = copies.start.min(stop);
        let mut at = 0;
        let mut blocks = Vec::new();
        for &block in self.iter() {
            let end = at + block.mul;
            if start <= at && end <= stop {
                blocks.push(block);
            } else if start < end && at < stop {
                let mul = stop.min(end) - start.max(at);
                blocks.push(MulIrrep { mul, ..block });
            }
            at = end;
        }
        blocks.into_iter().collect()
    }

    /// The list of blocks `n` times over (e3nn's `n * irreps`).
    pub fn repeat(&self, n: usize) -> Self {
        Self(self.0.repeat(n).into())
    }

    /// The tensor product as a direct sum: for every pair of blocks the irreps of
    /// [`Irrep::product`], `mul₁ · mul₂` times each; neither sorted nor merged.
    ///
    /// # Panics
    /// If `mul₁ · mul₂` exceeds what memory can index.
    pub fn product(&self, other: &Self) -> Self {
        let pairs = self.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
        Self::new(pairs.flat_map(|(a, b)| {
            let mul = a.mul.checked_mul(b.mul);
            let mul = mul.unwrap_or_else(|| panic!("Irreps::product: {a} times {b} is too large"));
            a.irrep.product(b.irrep).map(move |irrep| (mul, irrep))
        }))
    }
}

impl Deref for Irreps {
    type Target = [MulIrrep];

    fn deref(&self) -> &[MulIrrep] {
        &self.0
    }
}

impl FromIterator<MulIrrep> for Irreps {
    fn from_iter<I: IntoIterator<Item = MulIrrep>>(blocks: I) -> Self {
        Self(blocks.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Irreps {
    type Item = &'a MulIrrep;
    type IntoIter = core::slice::Iter<'a, MulIrrep>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl From<Irrep> for Irreps {
    /// The irrep, once.
    fn from(irrep: Irrep) -> Self {
        Self::new([(1, irrep)])
    }
}

impl Add for &Irreps {
    type Output = Irreps;

    /// The blocks of the one, then those of the other.
    fn add(self, other: &Irreps) -> Irreps {
        self.iter().chain(other.iter()).copied().collect()
    }
}

impl Add for Irreps {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        &self + &other
    }
}
