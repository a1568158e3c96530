//! Operations between nodes and edges.

mod backward;
#[cfg(feature = "cube")]
pub(super) mod cube;
#[cfg(feature = "flex")]
mod flex;
mod public;
pub mod reference;

pub use public::{gather, segment_max, segment_mean, segment_softmax, segment_sum};

use super::Graph;
use crate::ext::{Backend, FloatTensor, backend_extension};
use burn::tensor::DType;

/// One end of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Where an edge leaves.
    Source,
    /// Where it arrives.
    Destination,
}

/// Everything about a call that is no tensor.
#[derive(Debug, Clone)]
pub struct Call {
    /// The graph.
    pub graph: Graph,
    /// The end by which edges belong to nodes.
    pub end: End,
    /// Whether sums are divided by the number of edges (and what is gathered, by that of its node).
    pub mean: bool,
    /// Whether the tensor of weights counts.
    pub weighted: bool,
}

/// What a backend provides; the functions of this module check their arguments and come here. Rows are nodes or
/// edges, columns are features.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait GraphBackend: Backend {
    /// To every edge the row of its node.
    #[fusion(meta = |nodes, call: &Call| promised::edges(nodes, call))]
    fn graph_gather(nodes: FloatTensor<Self>, call: Call) -> FloatTensor<Self>;

    /// To every node the sum over its edges.
    #[fusion(meta = |edges, call: &Call| promised::nodes(edges, call))]
    fn graph_sum(edges: FloatTensor<Self>, call: Call) -> FloatTensor<Self>;

    /// To every node the value at the first of its edges where the key is largest, by feature; 0 without edges.
    #[fusion(meta = |keys, _values, call: &Call| promised::nodes(keys, call))]
    fn graph_pick(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// The transpose of [`graph_pick`](Self::graph_pick): a node's value goes to that edge, 0 to all others.
    #[fusion(meta = |keys, _values, call: &Call| promised::edges(keys, call))]
    fn graph_place(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// `q_e = exp(s_e) / Σ_j w_j exp(s_j)` over the edges `j` of the node of `e`; 0 where the sum is empty.
    #[fusion(meta = |scores, _weights, call: &Call| promised::edges(scores, call))]
    fn graph_softmax(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of the scores and of the weights (no rows where those do not count).
    #[fusion(meta = |scores, _weights, _cotangent, call: &Call| promised::softmax_gradients(scores, call))]
    fn graph_softmax_backward(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Where exponents of `q` in [`GraphBackend::graph_softmax`] saturate, so that it is finite. Only a weight of less
/// than `e` to its negative can take one there.
fn largest_exponent(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 700.0,
        DType::F16 => 11.0,
        _ => 88.0,
    }
}

impl Call {
    /// Rows of the tensor of weights' gradients.
    #[allow(dead_code, reason = "without a backend there are no gradients")]
    fn weight_rows(&self) -> usize {
        if self.weighted { self.graph.edges() } else { 0 }
    }
}

/// Shapes and dtypes that the operations promise to Fusion.
#[cfg(feature = "cube")]
mod promised {
    use super::Call;
    use crate::ext::TensorSpec;

    fn rows(x: &TensorSpec, rows: usize) -> TensorSpec {
        let [_, features] = x.shape.dims();
        TensorSpec::new([rows, features].into(), x.dtype)
    }

    pub(super) fn edges(x: &TensorSpec, call: &Call) -> TensorSpec {
        rows(x, call.graph.edges())
    }

    pub(super) fn nodes(x: &TensorSpec, call: &Call) -> TensorSpec {
        rows(x, call.graph.nodes())
    }

    pub(super) fn softmax_gradients(x: &TensorSpec, call: &Call) -> (TensorSpec, TensorSpec) {
        (edges(x, call), rows(x, call.weight_rows()))
    }
}
