//! Paths in which every pair of copies feeds one copy of the output: `uvu`, `uvv`, `uuu`, `uvuv`, `uvu<v`.

use super::lanes::{Lanes, Weights, fma};
use super::path::Work;
use crate::product::Pair;
use core_tensor::cpu::Real;

impl<T: Real, const L: usize> Work<'_, T, L> {
    /// `out += w Z`.
    #[inline(always)]
    pub(super) fn single_out(
        &self,
        m: &[Lanes<T, L>],
        w: impl Weights<T, L>,
        out: &mut [Lanes<T, L>],
    ) {
        let d3 = self.path.table().dims[2];
        for &pair in &self.path.meetings {
            let out = &mut out[pair.out as usize * d3..][..d3];
            let w = w.get(pair.weight as usize);
            for (c, out) in out.iter_mut().enumerate() {
                fma(out, &w, &self.z(m, pair, c));
            }
        }
    }

    /// `w = Σ_c Z_c g_c`, for each row.
    #[inline(always)]
    pub(super) fn single_weight(&self, m: &[Lanes<T, L>], w: &mut [Lanes<T, L>]) {
        for &pair in &self.path.meetings {
            w[pair.weight as usize] = self.dot(m, pair, [T::ZERO; L]);
        }
    }

    /// `acc + Σ_c Z_c g_c`.
    #[inline(always)]
    pub(super) fn dot(&self, m: &[Lanes<T, L>], pair: Pair, mut acc: Lanes<T, L>) -> Lanes<T, L> {
        let d3 = self.path.table().dims[2];
        let g = &self.g[pair.out as usize * d3..][..d3];
        for (c, g) in g.iter().enumerate() {
            fma(&mut acc, &self.z(m, pair, c), g);
        }
        acc
    }

    /// `h = w g`, and of that the gradient of the inner operand.
    #[inline(always)]
    pub(super) fn single_inner(
        &self,
        m: &[Lanes<T, L>],
        w: impl Weights<T, L>,
        h: &mut [Lanes<T, L>],
        inner: &mut [Lanes<T, L>],
    ) {
        for &pair in &self.path.meetings {
            self.weighted(pair, w, h);
            self.add_inner(m, pair, h, inner);
        }
    }

    /// `h = w g`, and of that the gradient of the outer operand, before the symbols.
    #[inline(always)]
    pub(super) fn single_outer(
        &self,
        w: impl Weights<T, L>,
        h: &mut [Lanes<T, L>],
        bs: &mut [Lanes<T, L>],
    ) {
        for &pair in &self.path.meetings {
            self.weighted(pair, w, h);
            self.add_outer(pair, h, bs);
        }
    }

    #[inline(always)]
    fn weighted(&self, pair: Pair, w: impl Weights<T, L>, h: &mut [Lanes<T, L>]) {
        let d3 = self.path.table().dims[2];
        let g = &self.g[pair.out as usize * d3..][..d3];
        let w = w.get(pair.weight as usize);
        for (h, g) in h.iter_mut().zip(g) {
            for l in 0..L {
                h[l] = w[l] * g[l];
            }
        }
    }
}
