//! What the kernels over edges share: their inputs, and arithmetic on coefficients.

use super::groups::{Pair, Unrolled};
use cubecl::prelude::*;

/// Which tangents there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) x_dot: bool,
    pub(super) y_dot: bool,
    pub(super) w_dot: bool,
}

impl Form {
    /// Whether there is any.
    pub(super) fn dual(self) -> bool {
        self.x_dot || self.y_dot || self.w_dot
    }

    /// Whether products of weights and features have a tangent.
    pub(super) fn moves(self) -> bool {
        self.x_dot || self.w_dot
    }

    /// Values that stand for one.
    pub(super) fn parts(self) -> usize {
        1 + usize::from(self.dual())
    }
}

/// The inputs of a kernel, as far as it reads them, and the edges that it goes over.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Edges<F: Float> {
    /// Features of nodes.
    pub(super) x: ComptimeOption<OwnedTensor<F>>,
    pub(super) x_dot: ComptimeOption<OwnedTensor<F>>,
    /// Harmonics of edges.
    pub(super) y: ComptimeOption<OwnedTensor<F>>,
    pub(super) y_dot: ComptimeOption<OwnedTensor<F>>,
    /// Weights of edges from `first_weight` on.
    pub(super) w: ComptimeOption<OwnedTensor<F>>,
    pub(super) w_dot: ComptimeOption<OwnedTensor<F>>,
    /// [`packed_lists`](core_tensor::graph::Graph::packed_lists).
    pub(super) lists: OwnedTensor<u32>,
    pub(super) nodes: usize,
    pub(super) edges: usize,
    /// The edges of this launch.
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) first_weight: usize,
}

#[cube]
impl<F: Float> Edges<F> {
    /// The first edge that arrives at a node; that of the next node ends them.
    pub(super) fn arriving(&self, node: usize) -> usize {
        usize::cast_from(self.lists[node])
    }

    pub(super) fn source(&self, edge: usize) -> usize {
        usize::cast_from(self.lists[self.nodes + 1 + edge])
    }

    pub(super) fn destination(&self, edge: usize) -> usize {
        usize::cast_from(self.lists[self.nodes + 1 + self.edges + edge])
    }
}

/// An element of a matrix that is there.
#[cube]
pub(super) fn read<F: Float>(
    matrix: &ComptimeOption<OwnedTensor<F>>,
    row: usize,
    column: usize,
) -> F {
    #[comptime]
    match matrix {
        ComptimeOption::Some(matrix) => matrix[row * matrix.stride(0) + column],
        ComptimeOption::None => F::new(0.0_f32),
    }
}

/// The harmonics of an edge.
#[cube]
pub(super) fn read_harmonics<F: Float>(
    matrix: &ComptimeOption<OwnedTensor<F>>,
    edge: usize,
    to: &mut Array<F>,
    #[comptime] group: Unrolled,
) {
    #[unroll]
    for b in 0..comptime!(group.y.len()) {
        to[b] = read::<F>(matrix, edge, comptime!(group.y[b].0).runtime());
    }
}

/// The features of one channel of a node.
#[cube]
fn read_features<F: Float>(
    matrix: &ComptimeOption<OwnedTensor<F>>,
    node: usize,
    channel: usize,
    to: &mut Array<F>,
    #[comptime] group: Unrolled,
) {
    #[unroll]
    for a in 0..comptime!(group.x.len()) {
        let slot = comptime!(group.x[a]);
        to[a] = read::<F>(
            matrix,
            node,
            comptime!(slot.column) + channel * comptime!(slot.apart),
        );
    }
}

/// The features of one channel of a node, and their tangents where they move.
#[cube]
pub(super) fn read_node<F: Float>(
    edges: &Edges<F>,
    node: usize,
    channel: usize,
    x: &mut Array<F>,
    x_dot: &mut Array<F>,
    #[comptime] group: Unrolled,
    #[comptime] form: Form,
) {
    read_features::<F>(&edges.x, node, channel, x, comptime!(group.clone()));
    if comptime!(form.x_dot) {
        read_features::<F>(&edges.x_dot, node, channel, x_dot, group);
    }
}

/// The number of these bits.
#[cube]
pub(super) fn constant<F: Float>(#[comptime] bits: u64) -> F {
    crate::cube::constant::<F>(comptime!(f64::from_bits(bits)))
}

/// `Σ_b C_abc y_b`.
#[cube]
pub(super) fn couple<F: Float>(y: &Array<F>, #[comptime] pair: Pair) -> F {
    let mut sum = y[comptime!(pair.terms[0].0)] * constant::<F>(comptime!(pair.terms[0].1));
    #[unroll]
    for i in 1..comptime!(pair.terms.len()) {
        let value = constant::<F>(comptime!(pair.terms[i].1));
        sum = fma(y[comptime!(pair.terms[i].0)], value, sum);
    }
    sum
}

/// The tangent of the product of a weight and a feature.
#[cube]
pub(super) fn moved<F: Float>(w: F, w_dot: F, x: F, x_dot: F, #[comptime] form: Form) -> F {
    if comptime!(form.x_dot && form.w_dot) {
        fma(w_dot, x, w * x_dot)
    } else if comptime!(form.x_dot) {
        w * x_dot
    } else {
        w_dot * x
    }
}
