//! The functions that layers call.

use super::{Call, End, Graph, GraphBackend};
use crate::dual::{Dual, Value};
use crate::ext::Dispatch;
use burn::tensor::Tensor;

/// To every edge the row of the node at one of its ends: `y_e = x_{end(e)}`.
///
/// # Shapes
/// - `nodes`: `[nodes, features]`, f64, f32, bf16 or f16
/// - result: `[edges, features]`, edges in the order of the graph
///
/// # Panics
/// If `nodes` has not one row per node.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use core_tensor::graph::{End, Graph, gather, segment_sum};
///
/// // 0 → 1, 2 → 1.
/// let graph = Graph::new(3, &[0, 2], &[1, 1], &[])?;
/// let x = Tensor::<2>::from_floats([[1.0], [2.0], [4.0]], &Device::flex());
/// let messages = gather(x, &graph, End::Source);
/// let y = segment_sum(messages, &graph, End::Destination);
/// assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [0.0, 5.0, 0.0]);
/// # Ok::<(), core_tensor::graph::GraphError>(())
/// ```
pub fn gather<V: Value<2>>(nodes: V, graph: &Graph, end: End) -> V {
    let nodes: Dual<2> = nodes.into();
    check("gather", "node", graph.nodes(), nodes.dims());
    V::from_dual(nodes.linear(|x| gathered(x, &call(graph, end))))
}

/// To every node the sum over the edges that end there: `y_n = Σ_{e: end(e) = n} x_e`; 0 for a node without edges.
///
/// Half-precision rows are added up in `f32` and rounded once. The order of a sum is that of the graph's edges, so
/// its bits depend neither on the order of the list that the graph was built from nor on the number of threads.
///
/// # Shapes
/// - `edges`: `[edges, features]`
/// - result: `[nodes, features]`
///
/// # Panics
/// If `edges` has not one row per edge.
pub fn segment_sum<V: Value<2>>(edges: V, graph: &Graph, end: End) -> V {
    let edges: Dual<2> = edges.into();
    check("segment_sum", "edge", graph.edges(), edges.dims());
    V::from_dual(edges.linear(|x| summed(x, &call(graph, end))))
}

/// To every node the mean over the edges that end there; 0 for a node without edges.
///
/// # Shapes and panics
/// As [`segment_sum`].
pub fn segment_mean<V: Value<2>>(edges: V, graph: &Graph, end: End) -> V {
    let edges: Dual<2> = edges.into();
    check("segment_mean", "edge", graph.edges(), edges.dims());
    let call = Call {
        mean: true,
        ..call(graph, end)
    };
    V::from_dual(edges.linear(|x| summed(x, &call)))
}

/// To every node the largest value among the edges that end there, feature by feature; 0 for a node without edges.
///
/// Slope and tangent are those of the first edge that has the largest value. A NaN is larger than every number
/// on the CPU; on a GPU its place is not defined.
///
/// # Shapes and panics
/// As [`segment_sum`].
pub fn segment_max<V: Value<2>>(edges: V, graph: &Graph, end: End) -> V {
    let edges: Dual<2> = edges.into();
    check("segment_max", "edge", graph.edges(), edges.dims());
    let keys = edges.value.clone().detach();
    let call = call(graph, end);
    V::from_dual(edges.linear(|x| {
        let (keys, values) = (keys.clone().into_dispatch(), x.into_dispatch());
        Tensor::from_dispatch(Dispatch::graph_pick(keys, values, call.clone()))
    }))
}

/// Softmax over the edges that end at the same node, feature by feature, with weights:
/// `p_e = w_e exp(s_e) / Σ_{j: end(j) = end(e)} w_j exp(s_j)`.
///
/// Attention over neighbours: scores are those of the heads, weights (`w ≥ 0`, all 1 where absent) the envelope
/// that takes a neighbour out smoothly as it crosses the cutoff. The largest `s + ln w` of a node is subtracted
/// first, so nothing overflows. A score of −∞ (on a GPU, −10³⁰ or less) and a weight of 0 are edges that do not count,
/// and where none of a node's edges counts, all `p` and their slopes are 0. The slope `∂p_e/∂w_e` saturates at `e⁸⁸` (`e⁷⁰⁰` in `f64`, `e¹¹` in
/// `f16`), and with it `p_e` of an edge whose weight is smaller than the inverse of that.
///
/// # Shapes
/// - `scores`: `[edges, features]`
/// - `weights`: `[edges, features]` or `[edges, 1]`
/// - result: `[edges, features]`
///
/// # Panics
/// If shapes or dtypes disagree.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use core_tensor::graph::{End, Graph, segment_softmax};
///
/// let graph = Graph::new(3, &[0, 2], &[1, 1], &[])?;
/// let scores = Tensor::<2>::from_floats([[0.0], [0.0]], &Device::flex());
/// let weights = Tensor::<2>::from_floats([[3.0], [1.0]], &Device::flex());
/// let p = segment_softmax(scores, Some(weights), &graph, End::Destination);
/// assert_eq!(p.into_data().try_to_vec::<f32>().unwrap(), [0.75, 0.25]);
/// # Ok::<(), core_tensor::graph::GraphError>(())
/// ```
pub fn segment_softmax<V: Value<2>>(scores: V, weights: Option<V>, graph: &Graph, end: End) -> V {
    let scores: Dual<2> = scores.into();
    check("segment_softmax", "edge", graph.edges(), scores.dims());
    let weights: Option<Dual<2>> = weights.map(|weights| {
        let weights: Dual<2> = weights.into();
        let [_, features] = scores.dims();
        let [rows, columns] = weights.dims();
        assert!(
            rows == graph.edges() && (columns == features || columns == 1),
            "segment_softmax: weights are [{rows}, {columns}], scores [{rows}, {features}]",
            rows = scores.dims()[0],
        );
        assert_eq!(
            weights.dtype(),
            scores.dtype(),
            "segment_softmax: dtypes of weights and scores differ"
        );
        weights.expand(scores.value.shape())
    });
    let call = Call {
        weighted: weights.is_some(),
        ..call(graph, end)
    };
    // q = p / w, which is finite where w is 0.
    let stand_in = scores.value.clone().into_dispatch();
    let factor = weights.as_ref().map(|w| w.value.clone());
    let q = Tensor::<2>::from_dispatch(Dispatch::graph_softmax(
        scores.value.into_dispatch(),
        factor.clone().map_or(stand_in, Tensor::into_dispatch),
        call.clone(),
    ));
    // q̇ = q (ṡ − Σ q (w ṡ + ẇ))
    let weigh = |x: Tensor<2>| match &factor {
        None => x,
        Some(w) => x * w.clone(),
    };
    let by_weights = weights.as_ref().and_then(|w| w.tangent.clone());
    let change = crate::dual::sum(scores.tangent.clone().map(weigh), by_weights);
    let tangent = change.map(|change| {
        let all = gathered(summed(q.clone() * change, &call), &call);
        q.clone()
            * match scores.tangent {
                Some(by_scores) => by_scores - all,
                None => -all,
            }
    });
    let q = Dual { value: q, tangent };
    V::from_dual(match weights {
        None => q,
        Some(weights) => q * weights,
    })
}

fn call(graph: &Graph, end: End) -> Call {
    Call {
        graph: graph.clone(),
        end,
        mean: false,
        weighted: false,
    }
}

fn gathered(nodes: Tensor<2>, call: &Call) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::graph_gather(nodes.into_dispatch(), call.clone()))
}

fn summed(edges: Tensor<2>, call: &Call) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::graph_sum(edges.into_dispatch(), call.clone()))
}

fn check(op: &str, of: &str, expected: usize, [rows, features]: [usize; 2]) {
    assert!(
        rows == expected,
        "{op}: expected one row per {of}, [{expected}, features], got [{rows}, {features}]"
    );
}
