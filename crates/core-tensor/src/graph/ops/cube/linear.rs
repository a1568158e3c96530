//! Gathering and summing.

use super::edges::Edges;
use cubecl::prelude::*;

/// A unit per edge and feature.
#[cube(launch, address_type = "dynamic")]
pub(super) fn gather<E: Float, F: Float>(
    nodes: &Tensor<E>,
    ends: &Tensor<u32>,
    edges: &Edges,
    output: &mut Tensor<E>,
    count: usize,
    #[comptime] mean: bool,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let edge = ABSOLUTE_POS / edges.width;
    let feature = ABSOLUTE_POS % edges.width;
    if edge >= count {
        terminate!();
    }
    let node = usize::cast_from(ends[edge]);
    let value = nodes[node * nodes.stride(0) + feature];
    if comptime!(mean) {
        let count = edges.first(node + 1) - edges.first(node);
        let share = F::cast_from(value) / F::cast_from(u32::cast_from(count));
        output[ABSOLUTE_POS] = E::cast_from(share);
    } else {
        output[ABSOLUTE_POS] = value;
    }
}

/// A cube per node and group of `lanes` features, `groups` to a node. Each of its `rows` rows of units adds up every `rows`-th edge; the
/// partial sums are added in the order of the rows: the same bits in every run.
#[cube(launch, address_type = "dynamic")]
pub(super) fn sum<E: Float, F: Float>(
    values: &Tensor<E>,
    edges: &Edges,
    output: &mut Tensor<E>,
    groups: usize,
    #[comptime] lanes: usize,
    #[comptime] rows: usize,
    #[comptime] mean: bool,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let node = CUBE_POS / groups;
    if node >= edges.nodes {
        terminate!();
    }
    let wanted = CUBE_POS % groups * lanes + UNIT_POS_X as usize;
    // Lanes beyond the last feature repeat it and write nothing.
    let active = wanted < edges.width;
    let feature = select(active, wanted, edges.width - 1);
    let row = UNIT_POS_Y as usize;

    let first = edges.first(node);
    let end = edges.first(node + 1);
    let mut part = F::new(0.0_f32);
    let mut place = first + row;
    while place < end {
        let edge = edges.edge(place);
        part += F::cast_from(values[edge * values.stride(0) + feature]);
        place += rows;
    }
    let mut parts = Shared::<[F]>::new_slice(comptime!(lanes * rows));
    parts[UNIT_POS as usize] = part;
    sync_cube();
    if row == 0 && active {
        let mut total = F::new(0.0_f32);
        #[unroll]
        for r in 0..rows {
            total += parts[r * lanes + UNIT_POS_X as usize];
        }
        if comptime!(mean) {
            let count = F::cast_from(u32::cast_from(end - first));
            let one = F::new(1.0_f32);
            total /= select(count > one, count, one);
        }
        output[node * edges.width + feature] = E::cast_from(total);
    }
}
