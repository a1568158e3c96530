//! What a pass over points needs to know beforehand.

use super::super::spec::Spec;
use super::super::table::Table;
use core_tensor::cpu::Real;

/// Columns of a piece, at least, where a row goes on: what is evaluated and stored together stays in the first-level
/// cache.
const WIDTH: usize = 48;

/// Degrees that lie side by side in the output, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Where they begin in the output.
    pub(super) column: usize,
}

impl Piece {
    /// Places of the components among those of all degrees in order.
    #[inline(always)]
    pub(super) fn range(self) -> core::ops::Range<usize> {
        self.first * self.first..(self.last + 1) * (self.last + 1)
    }

    /// Number of components.
    #[inline(always)]
    pub(super) fn width(self) -> usize {
        self.range().len()
    }
}

/// A [`Spec`] made ready: coefficients, and which degrees are computed.
#[derive(Debug, Clone)]
pub(in super::super) struct Plan<T> {
    pub(super) table: Table<T>,
    pub(super) pieces: Vec<Piece>,
    pub(super) normalize: bool,
    pub(super) lmax: usize,
    pub(super) dim: usize,
    /// Of every degree, whether it is in the output.
    asked: Vec<bool>,
}

impl<T: Real> Plan<T> {
    pub(in super::super) fn new(spec: &Spec) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut column = 0;
        for &l in spec.degrees.iter() {
            match pieces.last_mut() {
                Some(piece) if piece.last + 1 == l && piece.width() < WIDTH => piece.last = l,
                _ => pieces.push(Piece {
                    first: l,
                    last: l,
                    column,
                }),
            }
            column += 2 * l + 1;
        }
        Self {
            table: Table::new(spec.lmax(), spec.normalization, T::from_f64),
            pieces,
            normalize: spec.normalize,
            lmax: spec.lmax(),
            dim: column,
            asked: (0..=spec.lmax())
                .map(|l| spec.degrees.contains(&l))
                .collect(),
        }
    }

    pub(in super::super) fn dim(&self) -> usize {
        self.dim
    }

    /// Whether degree `l` is needed: one of those that lie `above` it by so much is in the output.
    #[inline(always)]
    pub(super) fn wants(&self, l: usize, above: &[usize]) -> bool {
        above.iter().any(|n| self.asked.get(l + n) == Some(&true))
    }

    /// Columns of the widest piece.
    pub(super) fn widest(&self) -> usize {
        let widths = self.pieces.iter().map(|piece| piece.width());
        widths.max().unwrap_or(0)
    }
}
