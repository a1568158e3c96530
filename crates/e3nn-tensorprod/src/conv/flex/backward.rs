//! Gradients of a chunk of edges that arrive at one node, of one piece, over one block of channels.

use super::forward::{Edges, entries, tables};
use super::lanes::{Lanes, prefetch, read, write};
use super::pieces::Piece;
use super::tables::CHUNK;
use pulp::{Simd, WithSimd};

/// Lanes over which gradients of harmonics are spread until all channels are through: those of the widest vector.
pub(super) const SPREAD: usize = 16;

/// Arguments of the backward kernel.
pub(super) struct Gradient<'a, T> {
    pub(super) edges: Edges<'a, T>,
    pub(super) piece: &'a Piece<T>,
    /// First channel of the block.
    pub(super) channel: usize,
    /// Gradient of the node's row, of its value and of its tangent.
    pub(super) g: &'a [T],
    pub(super) g_dot: &'a [T],
    /// Gradient of the features of every edge's source, `[edges, features]`; empty if nobody asks.
    pub(super) x: &'a mut [T],
    pub(super) x_dot: &'a mut [T],
    /// Number of features.
    pub(super) features: usize,
    /// Gradient of the weights, `[edges, weights]`; empty if nobody asks.
    pub(super) w: &'a mut [T],
    pub(super) w_dot: &'a mut [T],
    /// Number of weights of an edge.
    pub(super) weights: usize,
    /// Gradient of the harmonics, `[edges, harmonics, SPREAD]`; empty if nobody asks.
    pub(super) y: &'a mut [T],
    pub(super) y_dot: &'a mut [T],
    /// Number of components of the harmonics.
    pub(super) harmonics: usize,
}

/// The kernel: `N` output components, `V` vectors, with tangents or not, of whole vectors or of so many lanes.
pub(super) struct GradientKernel<
    'a,
    T,
    const N: usize,
    const V: usize,
    const DUAL: bool,
    const FULL: bool,
>(pub(super) Gradient<'a, T>, pub(super) usize);

/// Adds products, contracted with the coefficients of component `a` of the features, to the harmonics of an edge, lane by
/// lane.
#[inline(always)]
fn contract<T: Lanes, S: Simd, const N: usize>(
    simd: S,
    piece: &Piece<T>,
    a: usize,
    products: [T::V<S>; N],
    y: &mut [T],
) {
    for term in &piece.terms[piece.by_a[a].clone()] {
        let to = &mut y[(piece.harmonic + term.b) * SPREAD..][..SPREAD];
        let sum = T::load::<S>(to);
        let sum = T::times_plus(simd, T::splat(simd, term.value), products[term.c], sum);
        T::store::<S>(to, sum);
    }
}

impl<T: Lanes, const N: usize, const V: usize, const DUAL: bool, const FULL: bool> WithSimd
    for GradientKernel<'_, T, N, V, DUAL, FULL>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(args, n) = self;
        let Gradient {
            edges,
            piece,
            channel,
            g: g_row,
            g_dot: g_dot_row,
            x: gx,
            x_dot: gx_dot,
            features,
            w: gw,
            w_dot: gw_dot,
            weights,
            y: gy,
            y_dot: gy_dot,
            harmonics,
        } = args;
        let zero = T::splat(simd, T::ZERO);
        let count = if FULL { V * T::lanes::<S>() } else { n };
        let (first, apart) = (piece.out.0 + channel, piece.out.1);
        let (mut g, mut g_dot) = ([[zero; V]; N], [[zero; V]; N]);
        for c in 0..N {
            g[c] = read::<T, S, V, FULL>(simd, g_row, first + c * apart, n);
            if DUAL {
                g_dot[c] = read::<T, S, V, FULL>(simd, g_dot_row, first + c * apart, n);
            }
        }
        let [table, table_dot] = tables::<T, N, DUAL>(&edges, piece);
        let (wants_x, wants_y, wants_w) = (!gx.is_empty(), !gy.is_empty(), !gw.is_empty());
        for (e, &row) in edges.x_rows.iter().enumerate() {
            let at = e * edges.w.1 + piece.weight + channel;
            let w = read::<T, S, V, FULL>(simd, edges.w.0, at, n);
            // The same place of the next chunk.
            prefetch(edges.w.0, at + CHUNK * edges.w.1, count);
            let mut w_dot = [zero; V];
            if DUAL {
                let at = e * edges.w_dot.1 + piece.weight + channel;
                w_dot = read::<T, S, V, FULL>(simd, edges.w_dot.0, at, n);
                prefetch(edges.w_dot.0, at + CHUNK * edges.w_dot.1, count);
            }
            let (mut dw, mut dw_dot) = ([zero; V], [zero; V]);
            for a in 0..piece.n1 {
                let column = piece.x.0 + a * piece.x.1 + channel;
                let x = read::<T, S, V, FULL>(simd, edges.x, row + column, n);
                let mut x_dot = [zero; V];
                if DUAL {
                    let at = edges.x_dot_rows[e] + column;
                    x_dot = read::<T, S, V, FULL>(simd, edges.x_dot, at, n);
                }
                // Σ_c A_ac g_c + Ȧ_ac ġ_c, and Σ_c A_ac ġ_c.
                let (mut pull, mut pull_dot) = ([zero; V], [zero; V]);
                let k = entries::<T, N>(table, a, e);
                let k_dot = entries::<T, N>(table_dot, a, e);
                for c in 0..N {
                    let value = T::splat(simd, k[c * CHUNK]);
                    for v in 0..V {
                        pull[v] = T::times_plus(simd, value, g[c][v], pull[v]);
                    }
                    if DUAL {
                        let slope = T::splat(simd, k_dot[c * CHUNK]);
                        for v in 0..V {
                            pull[v] = T::times_plus(simd, slope, g_dot[c][v], pull[v]);
                            pull_dot[v] = T::times_plus(simd, value, g_dot[c][v], pull_dot[v]);
                        }
                    }
                }
                for v in 0..V {
                    dw[v] = T::times_plus(simd, x[v], pull[v], dw[v]);
                    if DUAL {
                        dw[v] = T::times_plus(simd, x_dot[v], pull_dot[v], dw[v]);
                        dw_dot[v] = T::times_plus(simd, x[v], pull_dot[v], dw_dot[v]);
                    }
                }
                if wants_x {
                    let at = e * features + column;
                    let mut to = read::<T, S, V, FULL>(simd, gx, at, n);
                    for v in 0..V {
                        to[v] = T::times_plus(simd, w[v], pull[v], to[v]);
                        if DUAL {
                            to[v] = T::times_plus(simd, w_dot[v], pull_dot[v], to[v]);
                        }
                    }
                    write::<T, S, V, FULL>(simd, gx, at, n, to);
                    if DUAL {
                        let mut to = read::<T, S, V, FULL>(simd, gx_dot, at, n);
                        for v in 0..V {
                            to[v] = T::times_plus(simd, w[v], pull_dot[v], to[v]);
                        }
                        write::<T, S, V, FULL>(simd, gx_dot, at, n, to);
                    }
                }
                if wants_y {
                    // Of all vectors of the block, lane by lane.
                    let (mut products, mut products_dot) = ([zero; N], [zero; N]);
                    for v in 0..V {
                        let message = T::times(simd, w[v], x[v]);
                        for c in 0..N {
                            products[c] = T::times_plus(simd, message, g[c][v], products[c]);
                        }
                        if DUAL {
                            let moved = T::times(simd, w[v], x_dot[v]);
                            let moved = T::times_plus(simd, w_dot[v], x[v], moved);
                            for c in 0..N {
                                products[c] = T::times_plus(simd, moved, g_dot[c][v], products[c]);
                                let product = products_dot[c];
                                products_dot[c] =
                                    T::times_plus(simd, message, g_dot[c][v], product);
                            }
                        }
                    }
                    let row = e * harmonics * SPREAD;
                    contract::<T, S, N>(simd, piece, a, products, &mut gy[row..]);
                    if DUAL {
                        contract::<T, S, N>(simd, piece, a, products_dot, &mut gy_dot[row..]);
                    }
                }
            }
            if wants_w {
                let at = e * weights + piece.weight + channel;
                prefetch(gw, at + CHUNK * weights, count);
                store_gradient::<T, S, V, FULL>(simd, gw, at, n, dw, piece.first);
                if DUAL {
                    prefetch(gw_dot, at + CHUNK * weights, count);
                    store_gradient::<T, S, V, FULL>(simd, gw_dot, at, n, dw_dot, piece.first);
                }
            }
        }
    }
}

/// Writes the gradient of some weights, or adds to what earlier pieces of the path wrote.
#[inline(always)]
fn store_gradient<T: Lanes, S: Simd, const V: usize, const FULL: bool>(
    simd: S,
    to: &mut [T],
    at: usize,
    n: usize,
    mut values: [T::V<S>; V],
    first: bool,
) {
    if !first {
        let before = read::<T, S, V, FULL>(simd, to, at, n);
        for v in 0..V {
            values[v] = T::plus(simd, before[v], values[v]);
        }
    }
    write::<T, S, V, FULL>(simd, to, at, n, values);
}
