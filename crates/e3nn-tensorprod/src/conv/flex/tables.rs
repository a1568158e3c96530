//! `A_path[a, c] = Σ_b C_abc y_b` of a chunk of edges, edges side by side.

use super::lanes::Lanes;
use pulp::{Arch, Simd, WithSimd};

/// Edges of a chunk.
pub(super) const CHUNK: usize = 32;

/// How the tables of all pieces follow from the harmonics.
#[derive(Debug)]
pub(super) struct Tables<T> {
    harmonics: usize,
    /// Where the terms of every row end.
    ends: Vec<usize>,
    terms: Vec<(usize, T)>,
}

impl<T: Lanes> Tables<T> {
    pub(super) fn new(harmonics: usize) -> Self {
        Self {
            harmonics,
            ends: Vec::new(),
            terms: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Adds a row: components of the harmonics with their coefficients.
    pub(super) fn push(&mut self, terms: impl Iterator<Item = (usize, T)>) {
        self.terms.extend(terms);
        self.ends.push(self.terms.len());
    }

    /// Values that [`compute`](Self::compute) writes.
    pub(super) fn len(&self) -> usize {
        self.rows() * CHUNK
    }

    /// The tables of up to [`CHUNK`] edges whose harmonics `y` follow each other: `[rows, CHUNK]`.
    pub(super) fn compute(&self, arch: Arch, y: &[T], turned: &mut Vec<T>, out: &mut [T]) {
        // Edges beyond the last have harmonics 0.
        turned.clear();
        turned.resize(self.harmonics * CHUNK, T::ZERO);
        if self.harmonics > 0 {
            for (e, row) in y.chunks_exact(self.harmonics).enumerate() {
                for (b, &value) in row.iter().enumerate() {
                    turned[b * CHUNK + e] = value;
                }
            }
        }
        arch.dispatch(Compute {
            tables: self,
            turned,
            out,
        });
    }
}

struct Compute<'a, T> {
    tables: &'a Tables<T>,
    turned: &'a [T],
    out: &'a mut [T],
}

impl<T: Lanes> WithSimd for Compute<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = T::lanes::<S>();
        let mut start = 0;
        for (row, &end) in self.out.chunks_exact_mut(CHUNK).zip(&self.tables.ends) {
            let terms = &self.tables.terms[start..end];
            for first in (0..CHUNK).step_by(lanes) {
                let mut sum = T::splat(simd, T::ZERO);
                for &(b, value) in terms {
                    let y = T::load::<S>(&self.turned[b * CHUNK + first..][..lanes]);
                    sum = T::times_plus(simd, T::splat(simd, value), y, sum);
                }
                T::store::<S>(&mut row[first..first + lanes], sum);
            }
            start = end;
        }
    }
}
