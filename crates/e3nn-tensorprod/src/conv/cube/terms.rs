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

/// What a pair adds to the gradients of harmonics: `∂y_b += C_abc (m g_c + ṁ ġ_c)`, `∂ẏ_b += C_abc m ġ_c`, `m` being the
/// product of weight and feature. `g` holds `outputs` cotangents and as many of tangents, and `to` the sums in the same way.
#[cube]
pub(super) fn spread<F: Float>(
    message: F,
    drift: F,
    g: &Array<F>,
    to: &mut Array<F>,
    #[comptime] pair: Pair,
    #[comptime] outputs: usize,
    #[comptime] harmonics: usize,
    #[comptime] form: Form,
) {
    let c = comptime!(pair.c);
    let mut product = message * g[c];
    let mut product_dot = product;
    if comptime!(form.dual()) {
        product_dot = message * g[outputs + c];
        if comptime!(form.moves()) {
            product = fma(drift, g[outputs + c], product);
        }
    }
    #[unroll]
    for k in 0..comptime!(pair.terms.len()) {
        let b = comptime!(pair.terms[k].0);
        let value = constant::<F>(comptime!(pair.terms[k].1));
        to[b] = fma(value, product, to[b]);
        if comptime!(form.dual()) {
            to[harmonics + b] = fma(value, product_dot, to[harmonics + b]);
        }
    }
}

/// What a unit reads of an edge: the weights of the pieces, the features of the source, the harmonics, and their tangents.
#[derive(CubeType)]
pub(super) struct Reads<F: Float> {
    pub(super) w: Array<F>,
    pub(super) w_dot: Array<F>,
    pub(super) x: Array<F>,
    pub(super) x_dot: Array<F>,
    pub(super) y: Array<F>,
    pub(super) y_dot: Array<F>,
}

#[cube]
impl<F: Float> Reads<F> {
    fn new(#[comptime] group: Unrolled) -> Self {
        let pieces = comptime!(group.pieces.len());
        let features = comptime!(group.x.len());
        let harmonics = comptime!(group.y.len());
        Reads::<F> {
            w: Array::new(pieces),
            w_dot: Array::new(pieces),
            x: Array::new(features),
            x_dot: Array::new(features),
            y: Array::new(harmonics),
            y_dot: Array::new(harmonics),
        }
    }

    /// Reads an edge that comes from `source`.
    fn fill(
        &mut self,
        edges: &Edges<F>,
        edge: usize,
        source: usize,
        channel: usize,
        #[comptime] group: Unrolled,
        #[comptime] form: Form,
    ) {
        #[unroll]
        for p in 0..comptime!(group.pieces.len()) {
            let column = comptime!(group.pieces[p].weight) + channel;
            self.w[p] = read::<F>(&edges.w, edge - edges.first_weight, column);
            if comptime!(form.w_dot) {
                self.w_dot[p] = read::<F>(&edges.w_dot, edge - edges.first_weight, column);
            }
        }
        read_harmonics::<F>(&edges.y, edge, &mut self.y, comptime!(group.clone()));
        if comptime!(form.y_dot) {
            read_harmonics::<F>(
                &edges.y_dot,
                edge,
                &mut self.y_dot,
                comptime!(group.clone()),
            );
        }
        read_node::<F>(
            edges,
            source,
            channel,
            &mut self.x,
            &mut self.x_dot,
            group,
            form,
        );
    }

    /// The same values.
    fn copy(&mut self, from: &Reads<F>, #[comptime] group: Unrolled, #[comptime] form: Form) {
        #[unroll]
        for p in 0..comptime!(group.pieces.len()) {
            self.w[p] = from.w[p];
            if comptime!(form.w_dot) {
                self.w_dot[p] = from.w_dot[p];
            }
        }
        #[unroll]
        for a in 0..comptime!(group.x.len()) {
            self.x[a] = from.x[a];
            if comptime!(form.x_dot) {
                self.x_dot[a] = from.x_dot[a];
            }
        }
        #[unroll]
        for b in 0..comptime!(group.y.len()) {
            self.y[b] = from.y[b];
            if comptime!(form.y_dot) {
                self.y_dot[b] = from.y_dot[b];
            }
        }
    }
}

/// A walk over edges that reads the next one while one is worked on, its source even one edge earlier: otherwise reads would be
/// as late as registers allow, one after the other.
#[derive(CubeType)]
pub(super) struct Walk<F: Float> {
    pub(super) now: Reads<F>,
    next: Reads<F>,
    /// That of the edge after `next`.
    source: usize,
}

#[cube]
impl<F: Float> Walk<F> {
    /// Before the edges `first..end`, of which there is one at least.
    pub(super) fn new(
        edges: &Edges<F>,
        first: usize,
        end: usize,
        channel: usize,
        #[comptime] group: Unrolled,
        #[comptime] form: Form,
    ) -> Self {
        let mut next = Reads::<F>::new(comptime!(group.clone()));
        let source = edges.source(first);
        next.fill(
            edges,
            first,
            source,
            channel,
            comptime!(group.clone()),
            form,
        );
        Walk::<F> {
            now: Reads::<F>::new(group),
            next,
            source: edges.source(select(first + 1 < end, first + 1, first)),
        }
    }

    /// Goes to `edge`; past the last, that is read again.
    pub(super) fn step(
        &mut self,
        edges: &Edges<F>,
        edge: usize,
        end: usize,
        channel: usize,
        #[comptime] group: Unrolled,
        #[comptime] form: Form,
    ) {
        self.now.copy(&self.next, comptime!(group.clone()), form);
        let follows = select(edge + 1 < end, edge + 1, edge);
        self.next
            .fill(edges, follows, self.source, channel, group, form);
        self.source = edges.source(select(edge + 2 < end, edge + 2, follows));
    }
}
