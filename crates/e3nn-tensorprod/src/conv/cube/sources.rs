//! Gradients of the features of nodes: what the edges that leave them have collected.

use cubecl::prelude::*;

/// The first place of `leaving[from..to]` that holds an edge not below `edge`.
#[cube]
fn place_of(lists: &Tensor<u32>, from: usize, to: usize, edge: usize) -> usize {
    let mut low = from;
    let mut high = to;
    while low < high {
        let middle = low + (high - low) / 2;
        if usize::cast_from(lists[middle]) < edge {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// `gx[part, node] (+)= Σ_e rows[part, e − first]` over the edges `first..end` that leave the node, in their order. A unit per
/// part, node and feature.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn sum<F: Float>(
    rows: &Tensor<F>,
    lists: &Tensor<u32>,
    gx: &mut Tensor<F>,
    nodes: usize,
    edges: usize,
    first: usize,
    end: usize,
    count: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let width = gx.stride(1);
    let feature = ABSOLUTE_POS % width;
    let node = ABSOLUTE_POS / width % nodes;
    let part = ABSOLUTE_POS / width / nodes;
    let offsets = nodes + 1 + 2 * edges;
    let leaving = offsets + nodes + 1;
    let mut from = leaving + usize::cast_from(lists[offsets + node]);
    let mut to = leaving + usize::cast_from(lists[offsets + node + 1]);
    let whole = first == 0 && end == edges;
    if !whole {
        let all = to;
        to = place_of(lists, from, all, end);
        from = place_of(lists, from, all, first);
    }
    let mut total = F::new(0.0_f32);
    if first > 0 {
        total = gx[ABSOLUTE_POS];
    }
    for place in from..to {
        let row = usize::cast_from(lists[place]) - first;
        total += rows[part * rows.stride(0) + row * rows.stride(1) + feature];
    }
    gx[ABSOLUTE_POS] = total;
}

/// `out[part, node] += Σ_i rest[part, first + i]` over `count` rows, for rows (node, first, count) of a table. A unit per part,
/// row of the table and column.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn fold<F: Float>(
    rest: &Tensor<F>,
    table: &Tensor<u32>,
    out: &mut Tensor<F>,
    nodes: usize,
    count: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let width = out.stride(1);
    let column = ABSOLUTE_POS % width;
    let entry = ABSOLUTE_POS / width % nodes * 3;
    let part = ABSOLUTE_POS / width / nodes;
    let to = part * out.stride(0) + usize::cast_from(table[entry]) * width + column;
    let first = usize::cast_from(table[entry + 1]);
    let end = first + usize::cast_from(table[entry + 2]);
    let mut total = out[to];
    for row in first..end {
        total += rest[part * rest.stride(0) + row * width + column];
    }
    out[to] = total;
}

/// `to[first + i] (+)= x[i]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn put<F: Float>(
    x: &Tensor<F>,
    to: &mut Tensor<F>,
    first: usize,
    count: usize,
    #[comptime] adds: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    if comptime!(adds) {
        to[first + ABSOLUTE_POS] += x[ABSOLUTE_POS];
    } else {
        to[first + ABSOLUTE_POS] = x[ABSOLUTE_POS];
    }
}
