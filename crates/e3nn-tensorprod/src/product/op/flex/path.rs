//! One path on one block: what the kernels of [`single`](super::single) and [`fan`](super::fan) share.
//!
//! No closures here: what a closure holds may be compiled apart, without the instruction set of its caller.

use super::lanes::{Lanes, fma};
use crate::product::{Pair, Path};
use core_tensor::cpu::Real;

/// A path and its operands in lanes, each beginning with the path's block; what is not given is empty.
pub(super) struct Work<'a, T, const L: usize> {
    pub(super) path: &'a Path,
    /// Values of the table.
    pub(super) symbols: &'a [T],
    pub(super) inner: &'a [Lanes<T, L>],
    pub(super) outer: &'a [Lanes<T, L>],
    pub(super) g: &'a [Lanes<T, L>],
}

impl<T: Real, const L: usize> Work<'_, T, L> {
    /// Copies of the outer operand.
    #[inline(always)]
    pub(super) fn outer_copies(&self) -> usize {
        self.path.mul[1 - self.path.inner]
    }

    /// Values of `M` or `B` per copy of the outer operand.
    #[inline(always)]
    pub(super) fn stride(&self) -> usize {
        self.path.table().pairs()
    }

    /// `M_b,ac = Σ_b C_abc outer_b` for every copy of the outer operand.
    #[inline(always)]
    pub(super) fn matrices(&self, m: &mut [Lanes<T, L>]) {
        let (table, stride) = (self.path.table(), self.stride());
        let width = table.dims[1];
        for b in 0..self.outer_copies() {
            let outer = &self.outer[b * width..][..width];
            let m = &mut m[b * stride..][..stride];
            for (p, m) in m.iter_mut().enumerate() {
                let mut acc = [T::ZERO; L];
                let entries = table.starts[p] as usize..table.starts[p + 1] as usize;
                for e in entries {
                    fma(
                        &mut acc,
                        &[self.symbols[e]; L],
                        &outer[table.outer[e] as usize],
                    );
                }
                *m = acc;
            }
        }
    }

    /// `outer_b += Σ C_abc B_b,ac` for every copy of the outer operand.
    #[inline(always)]
    pub(super) fn back_to_outer(&self, bs: &[Lanes<T, L>], outer: &mut [Lanes<T, L>]) {
        let (table, stride) = (self.path.table(), self.stride());
        let width = table.dims[1];
        for b in 0..self.outer_copies() {
            let outer = &mut outer[b * width..][..width];
            let bs = &bs[b * stride..][..stride];
            for (p, value) in bs.iter().enumerate() {
                let entries = table.starts[p] as usize..table.starts[p + 1] as usize;
                for e in entries {
                    fma(
                        &mut outer[table.outer[e] as usize],
                        &[self.symbols[e]; L],
                        value,
                    );
                }
            }
        }
    }

    /// `Z_c = Σ_a M_ac inner_a` of a pair.
    #[inline(always)]
    pub(super) fn z(&self, m: &[Lanes<T, L>], pair: Pair, c: usize) -> Lanes<T, L> {
        let (table, stride) = (self.path.table(), self.stride());
        let width = table.dims[0];
        let inner = &self.inner[pair.a as usize * width..][..width];
        let m = &m[pair.b as usize * stride..][..stride];
        let these = table.by_out[c] as usize..table.by_out[c + 1] as usize;
        let mut acc = [T::ZERO; L];
        for (m, &a) in m[these.clone()].iter().zip(&table.inner[these]) {
            fma(&mut acc, m, &inner[a as usize]);
        }
        acc
    }

    /// `inner_a += Σ_c M_ac h_c` for a pair.
    #[inline(always)]
    pub(super) fn add_inner(
        &self,
        m: &[Lanes<T, L>],
        pair: Pair,
        h: &[Lanes<T, L>],
        inner: &mut [Lanes<T, L>],
    ) {
        let (table, stride) = (self.path.table(), self.stride());
        let width = table.dims[0];
        let inner = &mut inner[pair.a as usize * width..][..width];
        let m = &m[pair.b as usize * stride..][..stride];
        for (a, inner) in inner.iter_mut().enumerate() {
            let these = table.by_inner[a] as usize..table.by_inner[a + 1] as usize;
            for &p in &table.transposed[these] {
                fma(inner, &m[p as usize], &h[table.out[p as usize] as usize]);
            }
        }
    }

    /// `B_b,ac += inner_a h_c` for a pair.
    #[inline(always)]
    pub(super) fn add_outer(&self, pair: Pair, h: &[Lanes<T, L>], bs: &mut [Lanes<T, L>]) {
        let (table, stride) = (self.path.table(), self.stride());
        let width = table.dims[0];
        let inner = &self.inner[pair.a as usize * width..][..width];
        let bs = &mut bs[pair.b as usize * stride..][..stride];
        for ((b, &a), &c) in bs.iter_mut().zip(&table.inner).zip(&table.out) {
            fma(b, &inner[a as usize], &h[c as usize]);
        }
    }
}
