//! The edge with the largest key.

use super::*;
use crate::cpu::Real;
use crate::ext::flex::scratch;

/// Stands for no edge.
const NONE: u32 = u32::MAX;

pub(super) fn pick<E: Storage>(
    keys: FloatTensor<Flex>,
    values: FloatTensor<Flex>,
    call: &Call,
) -> FloatTensor<Flex> {
    run::<E, false>(keys, values, call)
}

pub(super) fn place<E: Storage>(
    keys: FloatTensor<Flex>,
    values: FloatTensor<Flex>,
    call: &Call,
) -> FloatTensor<Flex> {
    run::<E, true>(keys, values, call)
}

fn run<E: Storage, const PLACE: bool>(
    keys: FloatTensor<Flex>,
    values: FloatTensor<Flex>,
    call: &Call,
) -> FloatTensor<Flex> {
    let (keys, values) = (contiguous_rows(&keys), contiguous_rows(&values));
    let [_, width] = keys.layout().shape().dims();
    let (keys, values) = (Rows::<E>::new(&keys), Rows::<E>::new(&values));
    let segments = call.graph.segments(call.end);
    let rows = if PLACE {
        call.graph.edges()
    } else {
        call.graph.nodes()
    };
    filled::<E>(rows, width, |output| {
        over_nodes(&segments, width, |nodes| Pick::<E, PLACE> {
            keys: &keys,
            values: &values,
            segments: &segments,
            nodes,
            width,
            output,
        });
    })
}

/// Picks values of edges, or places values of nodes.
struct Pick<'a, E, const PLACE: bool> {
    keys: &'a Rows<'a, E>,
    values: &'a Rows<'a, E>,
    segments: &'a Segments<'a>,
    nodes: Range<usize>,
    width: usize,
    output: &'a Rowed<'a, E>,
}

impl<E: Storage, const PLACE: bool> Kernel for Pick<'_, E, PLACE> {
    type Output = ();

    #[allow(unsafe_code)]
    #[inline(always)]
    fn run(self) {
        let width = self.width;
        let (mut best, mut wide) = (scratch(width), scratch(width));
        let mut at = vec![NONE; width];
        let zero = E::from_elem(0.0);
        for node in self.nodes {
            let range = self.segments.range(node);
            at.fill(NONE);
            for i in range.clone() {
                let edge = self.segments.edge(i);
                let row = E::widen(self.keys.piece(0, edge, 0, width), &mut wide);
                for ((best, at), &key) in best.iter_mut().zip(&mut at).zip(row) {
                    // The first of all; a NaN, which is no more replaced, or a larger one.
                    if *at == NONE || key > *best || (is_nan(key) && !is_nan(*best)) {
                        (*best, *at) = (key, edge as u32);
                    }
                }
            }
            if PLACE {
                // SAFETY: every edge is of one node, every node in one task.
                let out = |edge: usize| unsafe { self.output.piece(edge, 0..width) };
                for i in range.clone() {
                    out(self.segments.edge(i)).fill(MaybeUninit::new(zero));
                }
                let row = self.values.piece(0, node, 0, width);
                for (f, (&at, &value)) in at.iter().zip(row).enumerate() {
                    if at != NONE {
                        out(at as usize)[f] = MaybeUninit::new(value);
                    }
                }
            } else {
                // SAFETY: every node is in one task.
                let out = unsafe { self.output.piece(node, 0..width) };
                for (f, (out, &at)) in out.iter_mut().zip(&at).enumerate() {
                    let value = match at {
                        NONE => zero,
                        at => self.values.piece(0, at as usize, f, 1)[0],
                    };
                    *out = MaybeUninit::new(value);
                }
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::eq_op, reason = "NaN alone differs from itself")]
fn is_nan<T: Real>(x: T) -> bool {
    x != x
}
