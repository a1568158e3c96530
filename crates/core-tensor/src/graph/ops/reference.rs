//! The same in plain tensor operations: the oracle of the kernels' tests, node by node where Burn has no operation
//! for segments. Differentiable by Burn's autodiff.

use super::{End, Graph, largest_exponent};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// [`gather`](super::gather) by an index.
pub fn gather(nodes: Tensor<2>, graph: &Graph, end: End) -> Tensor<2> {
    let device = nodes.device();
    nodes.select(0, places(graph.ends(end), &device))
}

/// [`segment_sum`](super::segment_sum), node by node.
pub fn segment_sum(edges: Tensor<2>, graph: &Graph, end: End) -> Tensor<2> {
    by_node(edges, graph, end, |segment| segment.sum_dim(0))
}

/// [`segment_mean`](super::segment_mean), node by node.
pub fn segment_mean(edges: Tensor<2>, graph: &Graph, end: End) -> Tensor<2> {
    by_node(edges, graph, end, |segment| segment.mean_dim(0))
}

/// [`segment_max`](super::segment_max), node by node.
pub fn segment_max(edges: Tensor<2>, graph: &Graph, end: End) -> Tensor<2> {
    by_node(edges, graph, end, |segment| segment.max_dim(0))
}

/// [`segment_softmax`](super::segment_softmax) by its formula.
pub fn segment_softmax(
    scores: Tensor<2>,
    weights: Option<Tensor<2>>,
    graph: &Graph,
    end: End,
) -> Tensor<2> {
    let weights = weights.unwrap_or_else(|| scores.ones_like());
    let weights: Tensor<2> = weights.expand(scores.shape());
    let excluded = weights.clone().lower_equal_elem(0.0);
    let log_weights = weights.clone().mask_fill(excluded.clone(), 1.0).log();
    let largest = (scores.clone() + log_weights).mask_fill(excluded, f64::NEG_INFINITY);
    let largest = segment_max(largest.detach(), graph, end);
    let none = largest.clone().equal_elem(f64::NEG_INFINITY);
    let largest = gather(largest.mask_fill(none, 0.0), graph, end);
    let limit = largest_exponent(scores.dtype());
    let exponentials = (scores - largest).clamp_max(limit).exp() * weights;
    let sums = segment_sum(exponentials.clone(), graph, end);
    let empty = sums.clone().equal_elem(0.0);
    // Where no edge counts, 0 without a slope.
    exponentials / gather(sums.mask_fill(empty, f64::INFINITY), graph, end)
}

/// Applies `f` to the rows of every node's edges; 0 for a node without edges.
fn by_node(
    edges: Tensor<2>,
    graph: &Graph,
    end: End,
    f: impl Fn(Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    let [_, features] = edges.dims();
    let device = edges.device();
    if features == 0 || graph.nodes() == 0 {
        return Tensor::zeros([graph.nodes(), features], (&device, edges.dtype()));
    }
    let segments = graph.segments(end);
    let rows = (0..graph.nodes()).map(|node| {
        let range = segments.range(node);
        if range.is_empty() {
            return Tensor::zeros([1, features], (&device, edges.dtype()));
        }
        let list: Vec<u32> = range.map(|i| segments.edge(i) as u32).collect();
        f(edges.clone().select(0, places(&list, &device)))
    });
    Tensor::cat(rows.collect(), 0)
}

fn places(list: &[u32], device: &Device) -> Tensor<1, Int> {
    let list: Vec<i64> = list.iter().map(|&i| i64::from(i)).collect();
    let len = list.len();
    Tensor::from_data(TensorData::new(list, [len]), device)
}
