//! Messages of a chunk of edges that arrive at one node, of one piece, over one block of channels.

use super::lanes::{Lanes, prefetch, read, write};
use super::pieces::Piece;
use super::tables::CHUNK;
use pulp::{Simd, WithSimd};

/// What a chunk of edges reads. Rows of an absent tangent are zeros that all edges share.
#[derive(Clone, Copy)]
pub(super) struct Edges<'a, T> {
    /// Features of all nodes, and where the row of every edge's source begins.
    pub(super) x: &'a [T],
    pub(super) x_rows: &'a [usize],
    pub(super) x_dot: &'a [T],
    pub(super) x_dot_rows: &'a [usize],
    /// Weights of the edges, and how far apart rows are.
    pub(super) w: (&'a [T], usize),
    pub(super) w_dot: (&'a [T], usize),
    pub(super) table: &'a [T],
    pub(super) table_dot: &'a [T],
}

/// Arguments of the forward kernel.
pub(super) struct Forward<'a, T> {
    pub(super) edges: Edges<'a, T>,
    pub(super) piece: &'a Piece<T>,
    /// First channel of the block.
    pub(super) channel: usize,
    /// The node's row; what the chunk adds is added to it.
    pub(super) out: &'a mut [T],
    pub(super) out_dot: &'a mut [T],
}

/// The kernel: `N` output components, `V` vectors, with tangents or not, of whole vectors or of so many lanes.
pub(super) struct ForwardKernel<
    'a,
    T,
    const N: usize,
    const V: usize,
    const DUAL: bool,
    const FULL: bool,
>(pub(super) Forward<'a, T>, pub(super) usize);

/// The tables of a piece, and of its tangent.
#[inline(always)]
pub(super) fn tables<'a, T, const N: usize, const DUAL: bool>(
    edges: &Edges<'a, T>,
    piece: &Piece<T>,
) -> [&'a [T]; 2] {
    let rows = piece.n1 * N * CHUNK;
    let table = &edges.table[piece.table * CHUNK..][..rows];
    let table_dot = if DUAL {
        &edges.table_dot[piece.table * CHUNK..][..rows]
    } else {
        table
    };
    [table, table_dot]
}

/// The entries `(a, 0), …, (a, N − 1)` of one edge, each [`CHUNK`] after the one before.
#[inline(always)]
pub(super) fn entries<T, const N: usize>(table: &[T], a: usize, e: usize) -> &[T] {
    &table[a * N * CHUNK + e..][..(N - 1) * CHUNK + 1]
}

impl<T: Lanes, const N: usize, const V: usize, const DUAL: bool, const FULL: bool> WithSimd
    for ForwardKernel<'_, T, N, V, DUAL, FULL>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(args, n) = self;
        let Forward {
            edges,
            piece,
            channel,
            out,
            out_dot,
        } = args;
        let zero = T::splat(simd, T::ZERO);
        let count = if FULL { V * T::lanes::<S>() } else { n };
        let (first, apart) = (piece.out.0 + channel, piece.out.1);
        let (mut sum, mut sum_dot) = ([[zero; V]; N], [[zero; V]; N]);
        for c in 0..N {
            sum[c] = read::<T, S, V, FULL>(simd, out, first + c * apart, n);
            if DUAL {
                sum_dot[c] = read::<T, S, V, FULL>(simd, out_dot, first + c * apart, n);
            }
        }
        let [table, table_dot] = tables::<T, N, DUAL>(&edges, piece);
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
            for a in 0..piece.n1 {
                let column = piece.x.0 + a * piece.x.1 + channel;
                let x = read::<T, S, V, FULL>(simd, edges.x, row + column, n);
                let (mut message, mut message_dot) = ([zero; V], [zero; V]);
                for v in 0..V {
                    message[v] = T::times(simd, w[v], x[v]);
                }
                let k = entries::<T, N>(table, a, e);
                if DUAL {
                    let at = edges.x_dot_rows[e] + column;
                    let x_dot = read::<T, S, V, FULL>(simd, edges.x_dot, at, n);
                    for v in 0..V {
                        let moved = T::times(simd, w[v], x_dot[v]);
                        message_dot[v] = T::times_plus(simd, w_dot[v], x[v], moved);
                    }
                    let k_dot = entries::<T, N>(table_dot, a, e);
                    for c in 0..N {
                        let value = T::splat(simd, k[c * CHUNK]);
                        let slope = T::splat(simd, k_dot[c * CHUNK]);
                        for v in 0..V {
                            sum[c][v] = T::times_plus(simd, value, message[v], sum[c][v]);
                            let first = T::times_plus(simd, value, message_dot[v], sum_dot[c][v]);
                            sum_dot[c][v] = T::times_plus(simd, slope, message[v], first);
                        }
                    }
                } else {
                    for c in 0..N {
                        let value = T::splat(simd, k[c * CHUNK]);
                        for v in 0..V {
                            sum[c][v] = T::times_plus(simd, value, message[v], sum[c][v]);
                        }
                    }
                }
            }
        }
        for c in 0..N {
            write::<T, S, V, FULL>(simd, out, first + c * apart, n, sum[c]);
            if DUAL {
                write::<T, S, V, FULL>(simd, out_dot, first + c * apart, n, sum_dot[c]);
            }
        }
    }
}
