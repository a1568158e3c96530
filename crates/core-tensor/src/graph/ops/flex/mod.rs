//! CPU kernels: threads over nodes (over edges, to gather), lanes over features.
//!
//! A node's result is computed by one thread from its edges in their order, so bits depend neither on the number of
//! threads nor on how nodes were spread over them.

mod linear;
mod pick;
mod softmax;

use super::super::csr::Segments;
use super::{Call, GraphBackend};
use crate::cpu::{Isa, Kernel, RowsMut, Storage, for_each_task, threads};
use crate::ext::FloatTensor;
use crate::ext::flex::{Flex, Output, Rows, contiguous_rows, tensor};
use crate::with_float;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Values below which work is not split.
const SMALL: usize = 1 << 14;
/// Tasks per thread: enough to even out nodes of different degree.
const TASKS: usize = 4;

impl GraphBackend for Flex {
    fn graph_gather(nodes: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        with_float!(nodes.dtype(), E => linear::gather::<E>(nodes, &call))
    }

    fn graph_sum(edges: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        with_float!(edges.dtype(), E => linear::sum::<E>(edges, &call))
    }

    fn graph_pick(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        with_float!(keys.dtype(), E => pick::pick::<E>(keys, values, &call))
    }

    fn graph_place(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        with_float!(keys.dtype(), E => pick::place::<E>(keys, values, &call))
    }

    fn graph_softmax(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        with_float!(scores.dtype(), E => softmax::forward::<E>(scores, weights, &call))
    }

    fn graph_softmax_backward(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_float!(scores.dtype(), E => softmax::backward::<E>(scores, weights, cotangent, &call))
    }
}

/// An output matrix that threads fill.
type Rowed<'a, E> = RowsMut<'a, MaybeUninit<E>>;

/// Computes `rows` of `columns` values each by `fill`, which writes every element.
#[allow(unsafe_code)]
fn filled<E: Storage>(
    rows: usize,
    columns: usize,
    fill: impl FnOnce(&Rowed<'_, E>),
) -> FloatTensor<Flex> {
    let mut output = Output::<E>::new(rows * columns);
    if rows * columns > 0 {
        fill(&output.rows(columns));
    }
    // SAFETY: `fill` writes every row: kernels here go over all nodes, and so over all edges.
    tensor(unsafe { output.finish() }, [rows, columns])
}

/// Runs a kernel on ranges of nodes with about as many edges each.
fn over_nodes<K: Kernel<Output = ()>>(
    segments: &Segments<'_>,
    features: usize,
    kernel: impl Fn(Range<usize>) -> K + Send + Sync,
) {
    let nodes = segments.nodes();
    // A node costs as much as an edge.
    let cost = |node: usize| segments.first(node) + node;
    let total = cost(nodes);
    let tasks = if total * features.max(1) < SMALL {
        1
    } else {
        TASKS * threads()
    };
    let each = total.div_ceil(tasks).max(1);
    let border = |task: usize| partition_point(nodes, |node| cost(node) < task * each);
    let isa = Isa::detect();
    for_each_task(tasks, |task| {
        let range = border(task)..if task + 1 == tasks {
            nodes
        } else {
            border(task + 1)
        };
        if !range.is_empty() {
            isa.run(kernel(range));
        }
    });
}

/// The first of `0..len` for which `before` does not hold.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
