//! Paths in which every pair of copies feeds all copies of the output: `uvw`, `uuw`, `u<vw`.
//!
//! Pairs are collected, [`PAIRS`] at a time, and the weights applied to tiles of accumulators in registers.

#![allow(
    clippy::needless_range_loop,
    reason = "tiles of registers are walked by their indices"
)]

use super::lanes::{Lanes, Weights, fma};
use super::path::Work;
use crate::product::Pair;
use core_tensor::cpu::Real;

/// Pairs whose `Z` are kept together: within the first-level cache up to degree 4.
pub(super) const PAIRS: usize = 32;

/// Calls `$f::<rows, columns>` on tiles that cover `$rows × $columns`. Weights that rows share are worth four rows: each
/// is broadcast once for all columns of a tile, and four rows by three columns of accumulators leave registers for the
/// factors on processors with 32 of them. Weights of each row are read anyway for every row of a tile. Few kinds of
/// tiles: each is compiled for every instruction set.
macro_rules! tiles {
    ($shared:expr, $rows:expr, $columns:expr, |$r:ident, $c:ident| $f:ident($($argument:expr),* $(,)?)) => {{
        let (rows, columns) = ($rows, $columns);
        let mut $r = 0;
        if $shared {
            while $r + 4 <= rows {
                let mut $c = 0;
                while $c + 3 <= columns {
                    $f::<4, 3, _, _, L>($($argument),*);
                    $c += 3;
                }
                while $c < columns {
                    $f::<4, 1, _, _, L>($($argument),*);
                    $c += 1;
                }
                $r += 4;
            }
        }
        while $r < rows {
            let mut $c = 0;
            while $c + 3 <= columns {
                $f::<1, 3, _, _, L>($($argument),*);
                $c += 3;
            }
            while $c < columns {
                $f::<1, 1, _, _, L>($($argument),*);
                $c += 1;
            }
            $r += 1;
        }
    }};
}

impl<T: Real, const L: usize> Work<'_, T, L> {
    /// `Z` of all pairs of a chunk, one after the other.
    #[inline(always)]
    pub(super) fn collect(&self, m: &[Lanes<T, L>], chunk: &[Pair], z: &mut [Lanes<T, L>]) {
        let d3 = self.path.table().dims[2];
        for (&pair, z) in chunk.iter().zip(z.chunks_exact_mut(d3)) {
            for (c, z) in z.iter_mut().enumerate() {
                *z = self.z(m, pair, c);
            }
        }
    }

    /// `out_w += Σ_pairs w Z`.
    #[inline(always)]
    pub(super) fn fan_out<W: Weights<T, L>>(
        &self,
        m: &[Lanes<T, L>],
        w: W,
        z: &mut [Lanes<T, L>],
        out: &mut [Lanes<T, L>],
    ) {
        let (d3, fan) = (self.path.table().dims[2], self.path.fan());
        for chunk in self.path.meetings.chunks(PAIRS) {
            self.collect(m, chunk, z);
            tiles!(W::SHARED, fan, d3, |f, c| spread(
                w,
                chunk,
                z,
                d3,
                [f, c],
                out
            ));
        }
    }

    /// `w = Σ_c Z_c g_wc`, for each row.
    #[inline(always)]
    pub(super) fn fan_weight(
        &self,
        m: &[Lanes<T, L>],
        z: &mut [Lanes<T, L>],
        w: &mut [Lanes<T, L>],
    ) {
        let (d3, fan) = (self.path.table().dims[2], self.path.fan());
        for chunk in self.path.meetings.chunks(PAIRS) {
            self.collect(m, chunk, z);
            for (pair, z) in chunk.iter().zip(z.chunks_exact(d3)) {
                let w = &mut w[pair.weight as usize..][..fan];
                for (w, g) in w.iter_mut().zip(self.g.chunks_exact(d3)) {
                    let mut acc = [T::ZERO; L];
                    for (z, g) in z.iter().zip(g) {
                        fma(&mut acc, z, g);
                    }
                    *w = acc;
                }
            }
        }
    }

    /// `h = Σ_w w g_w` of every pair, and of that the gradient of the inner operand, or that of the outer one before the
    /// symbols.
    #[inline(always)]
    pub(super) fn fan_back<W: Weights<T, L>>(
        &self,
        w: W,
        h: &mut [Lanes<T, L>],
        to: Back<'_, T, L>,
    ) {
        let (d3, fan) = (self.path.table().dims[2], self.path.fan());
        let mut to = to;
        for chunk in self.path.meetings.chunks(PAIRS) {
            tiles!(W::SHARED, chunk.len(), d3, |q, c| join(
                w,
                chunk,
                self.g,
                d3,
                fan,
                [q, c],
                h
            ));
            for (&pair, h) in chunk.iter().zip(h.chunks_exact(d3)) {
                match &mut to {
                    Back::Inner { m, inner } => self.add_inner(m, pair, h, inner),
                    Back::Outer(bs) => self.add_outer(pair, h, bs),
                }
            }
        }
    }
}

/// Where a gradient goes.
pub(super) enum Back<'a, T, const L: usize> {
    /// To the inner operand, by the matrices.
    Inner {
        m: &'a [Lanes<T, L>],
        inner: &'a mut [Lanes<T, L>],
    },
    /// To the sums of the outer operand, before the symbols.
    Outer(&'a mut [Lanes<T, L>]),
}

/// `F` copies of the output by `C` components: `out_fc += Σ_pairs w_f Z_c`.
#[inline(always)]
fn spread<const F: usize, const C: usize, W: Weights<T, L>, T: Real, const L: usize>(
    w: W,
    chunk: &[Pair],
    z: &[Lanes<T, L>],
    d3: usize,
    [f, c]: [usize; 2],
    out: &mut [Lanes<T, L>],
) {
    let mut acc = [[[T::ZERO; L]; C]; F];
    for i in 0..F {
        for j in 0..C {
            acc[i][j] = out[(f + i) * d3 + c + j];
        }
    }
    for (q, pair) in chunk.iter().enumerate() {
        let z = &z[q * d3 + c..][..C];
        // All checks before the sums: between them they keep the compiler from using vectors.
        let mut all = [W::NONE; F];
        for (i, one) in all.iter_mut().enumerate() {
            *one = w.one(pair.weight as usize + f + i);
        }
        for i in 0..F {
            let w = W::lanes(all[i]);
            for j in 0..C {
                fma(&mut acc[i][j], &w, &z[j]);
            }
        }
    }
    for i in 0..F {
        for j in 0..C {
            out[(f + i) * d3 + c + j] = acc[i][j];
        }
    }
}

/// `Q` pairs by `C` components: `h_qc = Σ_f w_qf g_fc`.
#[inline(always)]
fn join<const Q: usize, const C: usize, W: Weights<T, L>, T: Real, const L: usize>(
    w: W,
    chunk: &[Pair],
    g: &[Lanes<T, L>],
    d3: usize,
    fan: usize,
    [q, c]: [usize; 2],
    h: &mut [Lanes<T, L>],
) {
    let mut acc = [[[T::ZERO; L]; C]; Q];
    let mut first = [0; Q];
    for (first, pair) in first.iter_mut().zip(&chunk[q..]) {
        *first = pair.weight as usize;
    }
    for f in 0..fan {
        let g = &g[f * d3 + c..][..C];
        let mut all = [W::NONE; Q];
        for (one, first) in all.iter_mut().zip(&first) {
            *one = w.one(first + f);
        }
        for i in 0..Q {
            let w = W::lanes(all[i]);
            for j in 0..C {
                fma(&mut acc[i][j], &w, &g[j]);
            }
        }
    }
    for i in 0..Q {
        for j in 0..C {
            h[(q + i) * d3 + c + j] = acc[i][j];
        }
    }
}
