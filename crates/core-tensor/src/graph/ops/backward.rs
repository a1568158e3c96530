//! Gradients. Gathering and summing are each other's transpose, so are picking and placing.

use super::{Call, GraphBackend};
use crate::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

/// The transpose of a linear operation.
#[derive(Debug, Clone)]
enum Transpose<B: GraphBackend> {
    Gather(Call),
    Sum(Call),
    Pick(FloatTensor<B>, Call),
    Place(FloatTensor<B>, Call),
}

#[derive(Debug)]
struct LinearBackward;

impl<B: GraphBackend> Backward<B, 1> for LinearBackward {
    type State = Transpose<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            let gradient = match ops.state {
                Transpose::Gather(call) => B::graph_gather(cotangent, call),
                Transpose::Sum(call) => B::graph_sum(cotangent, call),
                Transpose::Pick(keys, call) => B::graph_pick(keys, cotangent, call),
                Transpose::Place(keys, call) => B::graph_place(keys, cotangent, call),
            };
            grads.register::<B>(node.id, gradient);
        }
    }
}

/// Records a linear operation.
fn linear<B: GraphBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    transpose: Transpose<B>,
    f: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let node = x.node();
    let output = f(x.into_primitive());
    match LinearBackward
        .prepare::<C>([node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(transpose, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl<B: GraphBackend, C: CheckpointStrategy> GraphBackend for Autodiff<B, C> {
    fn graph_gather(nodes: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        let transpose = Transpose::Sum(call.clone());
        linear::<B, C>(nodes, transpose, |x| B::graph_gather(x, call))
    }

    fn graph_sum(edges: FloatTensor<Self>, call: Call) -> FloatTensor<Self> {
        let transpose = Transpose::Gather(call.clone());
        linear::<B, C>(edges, transpose, |x| B::graph_sum(x, call))
    }

    fn graph_pick(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let keys = keys.into_primitive();
        let transpose = Transpose::Place(keys.clone(), call.clone());
        linear::<B, C>(values, transpose, |x| B::graph_pick(keys, x, call))
    }

    fn graph_place(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let keys = keys.into_primitive();
        let transpose = Transpose::Pick(keys.clone(), call.clone());
        linear::<B, C>(values, transpose, |x| B::graph_place(keys, x, call))
    }

    fn graph_softmax(
        scores: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let nodes = [scores.node(), weights.node()];
        let (scores, weights) = (scores.into_primitive(), weights.into_primitive());
        let output = B::graph_softmax(scores.clone(), weights.clone(), call.clone());
        match SoftmaxBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = Softmax::<B> {
                    scores,
                    weights,
                    call,
                };
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn graph_softmax_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // Reached only by stacking one autodiff decorator on another, which Burn does not do.
        unreachable!("segment_softmax: Burn's autodiff is of first order")
    }
}

#[derive(Debug)]
struct SoftmaxBackward;

#[derive(Debug, Clone)]
struct Softmax<B: GraphBackend> {
    scores: FloatTensor<B>,
    weights: FloatTensor<B>,
    call: Call,
}

impl<B: GraphBackend> Backward<B, 2> for SoftmaxBackward {
    type State = Softmax<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let Softmax {
            scores,
            weights,
            call,
        } = ops.state;
        let weighted = call.weighted;
        let (by_scores, by_weights) = B::graph_softmax_backward(scores, weights, cotangent, call);
        let [node_scores, node_weights] = ops.parents;
        if let Some(node) = node_scores {
            grads.register::<B>(node.id, by_scores);
        }
        if let Some(node) = node_weights.filter(|_| weighted) {
            grads.register::<B>(node.id, by_weights);
        }
    }
}
