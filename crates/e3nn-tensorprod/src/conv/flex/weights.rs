//! Where weights of edges come from, and where their gradients go.

use super::super::table::Knots;
use super::lanes::Lanes;
use super::spline;
use crate::gemm::{Matrix, product};
use core::ops::Range;
use core_tensor::cpu::Isa;

/// Weights of edges.
pub(super) enum Weights<'a, T> {
    /// Stored, `[edges, weights]`.
    Stored { w: &'a [T], w_dot: Option<&'a [T]> },
    /// `h · matrix`, with `h` `[edges, hidden]` and `matrix` `[hidden, weights]`.
    Product {
        h: &'a [T],
        h_dot: Option<&'a [T]>,
        matrix: &'a [T],
        hidden: usize,
    },
    /// Splines of distances `r` `[edges, 1]`, with values and slopes at knots `[2 · knots, weights]`.
    Spline {
        r: &'a [T],
        r_dot: Option<&'a [T]>,
        table: &'a [T],
        knots: Knots,
    },
}

/// Rows of weights and how far apart they are.
pub(super) type Rows<'a, T> = (&'a [T], usize);

impl<'a, T: Lanes> Weights<'a, T> {
    /// Whether weights are computed on the way.
    pub(super) fn computed(&self) -> bool {
        !matches!(self, Self::Stored { .. })
    }

    /// The weights of some edges and their tangents; absent tangents are `zeros`. `buffers` hold what is computed.
    pub(super) fn of<'s>(
        &'s self,
        isa: Isa,
        edges: &Range<usize>,
        weights: usize,
        zeros: &'s [T],
        buffers: &'s mut [Vec<T>; 2],
    ) -> [Rows<'s, T>; 2] {
        match self {
            Self::Stored { w, w_dot } => {
                let cut = |w: &'s [T]| (&w[edges.start * weights..edges.end * weights], weights);
                [cut(w), w_dot.map_or((zeros, 0), cut)]
            }
            Self::Product {
                h,
                h_dot,
                matrix,
                hidden,
            } => {
                let [w, w_dot] = buffers;
                let multiply = |h: &[T], out: &'s mut Vec<T>| {
                    let h = &h[edges.start * hidden..edges.end * hidden];
                    out.resize(edges.len() * weights, T::ZERO);
                    let sizes = [edges.len(), weights, *hidden];
                    let (h, matrix) = (Matrix::rows(h, *hidden), Matrix::rows(matrix, weights));
                    product(sizes, out, h, matrix, T::ONE, false);
                    (&out[..], weights)
                };
                let w = multiply(h, w);
                [w, h_dot.map_or((zeros, 0), |h_dot| multiply(h_dot, w_dot))]
            }
            Self::Spline {
                r,
                r_dot,
                table,
                knots,
            } => {
                let [w, w_dot] = buffers;
                w.resize(edges.len() * weights, T::ZERO);
                let r = &r[edges.clone()];
                let Some(r_dot) = r_dot else {
                    spline::evaluate(isa, *knots, table, weights, r, None, [w, &mut []]);
                    return [(w, weights), (zeros, 0)];
                };
                w_dot.resize(edges.len() * weights, T::ZERO);
                let r_dot = Some(&r_dot[edges.clone()]);
                spline::evaluate(isa, *knots, table, weights, r, r_dot, [w, w_dot]);
                [(w, weights), (w_dot, weights)]
            }
        }
    }
}
