//! The edge with the largest key; a unit per node and feature.

use super::edges::Edges;
use cubecl::prelude::*;

/// The value there (`place` false), or the node's value to there and 0 to the node's other edges.
#[cube(launch, address_type = "dynamic")]
pub(super) fn pick<E: Float, F: Float>(
    keys: &Tensor<E>,
    values: &Tensor<E>,
    edges: &Edges,
    output: &mut Tensor<E>,
    #[comptime] place: bool,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let node = ABSOLUTE_POS / edges.width;
    let feature = ABSOLUTE_POS % edges.width;
    if node >= edges.nodes {
        terminate!();
    }
    let first = edges.first(node);
    let end = edges.first(node + 1);
    let mut best = F::new(0.0_f32);
    let mut at = 0usize.runtime();
    for i in first..end {
        let edge = edges.edge(i);
        let key = F::cast_from(keys[edge * keys.stride(0) + feature]);
        let better = i == first || key > best;
        best = select(better, key, best);
        at = select(better, edge, at);
    }
    let zero = E::new(0.0_f32);
    if comptime!(place) {
        let value = values[node * values.stride(0) + feature];
        for i in first..end {
            let edge = edges.edge(i);
            output[edge * edges.width + feature] = select(edge == at, value, zero);
        }
    } else {
        let mut value = zero;
        if first < end {
            value = values[at * values.stride(0) + feature];
        }
        output[node * edges.width + feature] = value;
    }
}
