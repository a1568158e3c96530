//! Softmax over the edges of a node, and its gradient.

use super::super::largest_exponent;
use super::*;
use crate::cpu::Real;
use crate::ext::flex::{Compute, scratch};

pub(super) fn forward<E: Storage>(
    scores: FloatTensor<Flex>,
    weights: FloatTensor<Flex>,
    call: &Call,
) -> FloatTensor<Flex> {
    let (scores, weights) = (contiguous_rows(&scores), contiguous_rows(&weights));
    let [edges, width] = scores.layout().shape().dims();
    let segments = call.graph.segments(call.end);
    let problem = Problem::<E> {
        scores: Rows::new(&scores),
        weights: call.weighted.then(|| Rows::new(&weights)),
        segments: &segments,
        width,
    };
    filled::<E>(edges, width, |output| {
        over_nodes(&segments, width, |nodes| Forward {
            problem: &problem,
            nodes,
            output,
        });
    })
}

pub(super) fn backward<E: Storage>(
    scores: FloatTensor<Flex>,
    weights: FloatTensor<Flex>,
    cotangent: FloatTensor<Flex>,
    call: &Call,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let (scores, weights) = (contiguous_rows(&scores), contiguous_rows(&weights));
    let cotangent = contiguous_rows(&cotangent);
    let [edges, width] = scores.layout().shape().dims();
    let segments = call.graph.segments(call.end);
    let problem = Problem::<E> {
        scores: Rows::new(&scores),
        weights: call.weighted.then(|| Rows::new(&weights)),
        segments: &segments,
        width,
    };
    let cotangent = Rows::new(&cotangent);
    let mut by_weights = None;
    let by_scores = filled::<E>(edges, width, |by_scores| {
        let run = |by_weights: Option<&Rowed<'_, E>>| {
            over_nodes(&segments, width, |nodes| Backward {
                problem: &problem,
                cotangent: &cotangent,
                nodes,
                by_scores,
                by_weights,
            });
        };
        if call.weighted {
            by_weights = Some(filled::<E>(edges, width, |rows| run(Some(rows))));
        } else {
            run(None);
        }
    });
    let by_weights =
        by_weights.unwrap_or_else(|| filled::<E>(call.weight_rows(), width, |_| unreachable!()));
    (by_scores, by_weights)
}

struct Problem<'a, E> {
    scores: Rows<'a, E>,
    weights: Option<Rows<'a, E>>,
    segments: &'a Segments<'a>,
    width: usize,
}

/// Scratch memory of a task.
struct Room<T> {
    /// `q` of all edges of a node.
    q: Vec<T>,
    largest: Vec<T>,
    sum: Vec<T>,
    wide: [Vec<T>; 3],
}

impl<T: Real> Room<T> {
    fn new(width: usize) -> Self {
        Self {
            q: vec![],
            largest: scratch(width),
            sum: scratch(width),
            wide: core::array::from_fn(|_| scratch(width)),
        }
    }
}

impl<E: Storage> Problem<'_, E> {
    #[inline(always)]
    fn scores<'s>(&'s self, i: usize, wide: &'s mut [Compute<E>]) -> &'s [Compute<E>] {
        E::widen(
            self.scores.piece(0, self.segments.edge(i), 0, self.width),
            wide,
        )
    }

    /// Computes `room.q` for the edges of a node.
    #[inline(always)]
    fn q(&self, range: Range<usize>, room: &mut Room<Compute<E>>) {
        let width = self.width;
        let limit = Compute::<E>::from_f64(largest_exponent(E::dtype()));
        let [wide, wide_weights, _] = &mut room.wide;
        let weights = |i: usize| {
            let weights = self.weights.as_ref();
            weights.map(|w| w.piece(0, self.segments.edge(i), 0, width))
        };
        room.largest.fill(Compute::<E>::NEG_INFINITY);
        for i in range.clone() {
            let scores = self.scores(i, wide);
            match weights(i) {
                None => {
                    for (m, &s) in room.largest.iter_mut().zip(scores) {
                        *m = s.larger(*m);
                    }
                }
                Some(weights) => {
                    let weights = E::widen(weights, wide_weights);
                    for ((m, &s), &w) in room.largest.iter_mut().zip(scores).zip(weights) {
                        *m = (s + w.logarithm()).larger(*m);
                    }
                }
            }
        }
        for m in &mut room.largest {
            // Where no edge counts.
            if *m == Compute::<E>::NEG_INFINITY {
                *m = Compute::<E>::ZERO;
            }
        }
        room.sum.fill(Compute::<E>::ZERO);
        room.q.resize(range.len() * width, Compute::<E>::ZERO);
        for (i, q) in range.zip(room.q.chunks_exact_mut(width)) {
            let scores = self.scores(i, wide);
            for ((q, &s), &m) in q.iter_mut().zip(scores).zip(&room.largest) {
                let x = s - m;
                *q = (if x > limit { limit } else { x }).exponential();
            }
            match weights(i) {
                None => {
                    for (sum, &q) in room.sum.iter_mut().zip(&*q) {
                        *sum = *sum + q;
                    }
                }
                Some(weights) => {
                    let weights = E::widen(weights, wide_weights);
                    for ((sum, &q), &w) in room.sum.iter_mut().zip(&*q).zip(weights) {
                        *sum = q.fma(w, *sum);
                    }
                }
            }
        }
        for sum in &mut room.sum {
            *sum = if *sum == Compute::<E>::ZERO {
                Compute::<E>::ZERO
            } else {
                Compute::<E>::ONE / *sum
            };
        }
        for q in room.q.chunks_exact_mut(width) {
            for (q, &inverse) in q.iter_mut().zip(&room.sum) {
                *q = *q * inverse;
            }
        }
    }
}

struct Forward<'a, E> {
    problem: &'a Problem<'a, E>,
    nodes: Range<usize>,
    output: &'a Rowed<'a, E>,
}

impl<E: Storage> Kernel for Forward<'_, E> {
    type Output = ();

    #[allow(unsafe_code)]
    #[inline(always)]
    fn run(self) {
        let Problem {
            segments, width, ..
        } = *self.problem;
        let mut room = Room::new(width);
        for node in self.nodes {
            let range = segments.range(node);
            self.problem.q(range.clone(), &mut room);
            for (i, q) in range.zip(room.q.chunks_exact(width)) {
                // SAFETY: every edge is of one node, every node in one task.
                E::narrow(q, unsafe { self.output.piece(segments.edge(i), 0..width) });
            }
        }
    }
}

struct Backward<'a, E> {
    problem: &'a Problem<'a, E>,
    cotangent: &'a Rows<'a, E>,
    nodes: Range<usize>,
    by_scores: &'a Rowed<'a, E>,
    by_weights: Option<&'a Rowed<'a, E>>,
}

/// With the cotangent `g` of `q` and `c = Σ g q`: `∂s = q (g − w c)`, `∂w = −q c`.
impl<E: Storage> Kernel for Backward<'_, E> {
    type Output = ();

    #[allow(unsafe_code)]
    #[inline(always)]
    fn run(self) {
        let Problem {
            segments, width, ..
        } = *self.problem;
        let mut room = Room::new(width);
        let mut c = scratch::<Compute<E>>(width);
        for node in self.nodes {
            let range = segments.range(node);
            self.problem.q(range.clone(), &mut room);
            let [wide, wide_weights, result] = &mut room.wide;
            c.fill(Compute::<E>::ZERO);
            for (i, q) in range.clone().zip(room.q.chunks_exact(width)) {
                let g = E::widen(self.cotangent.piece(0, segments.edge(i), 0, width), wide);
                for ((c, &g), &q) in c.iter_mut().zip(g).zip(q) {
                    *c = g.fma(q, *c);
                }
            }
            for (i, q) in range.zip(room.q.chunks_exact(width)) {
                let edge = segments.edge(i);
                let g = E::widen(self.cotangent.piece(0, edge, 0, width), wide);
                let at = 0..width;
                match (&self.problem.weights, self.by_weights) {
                    (Some(weights), Some(by_weights)) => {
                        let w = E::widen(weights.piece(0, edge, 0, width), wide_weights);
                        for f in at.clone() {
                            result[f] = -(q[f] * c[f]);
                        }
                        // SAFETY: every edge is of one node, every node in one task.
                        E::narrow(result, unsafe { by_weights.piece(edge, at.clone()) });
                        for f in at.clone() {
                            result[f] = q[f] * (g[f] - w[f] * c[f]);
                        }
                    }
                    _ => {
                        for f in at.clone() {
                            result[f] = q[f] * (g[f] - c[f]);
                        }
                    }
                }
                // SAFETY: as above.
                E::narrow(result, unsafe { self.by_scores.piece(edge, at) });
            }
        }
    }
}
