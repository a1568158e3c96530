//! The engine as one differentiable operation.

use super::EngineBackend;
use super::spec::{Needs, Spec};
use core_tensor::ext::{
    Autodiff, AutodiffBackend, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata,
};

impl<B: EngineBackend, C: CheckpointStrategy> EngineBackend for Autodiff<B, C> {
    fn engine_forward(
        hidden: FloatTensor<Self>,
        classifier: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        picks: IntTensor<Self>,
        weights: FloatTensor<Self>,
        dense: FloatTensor<Self>,
        spec: Spec,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        IntTensor<Self>,
        IntTensor<Self>,
    ) {
        let nodes = [hidden.node(), classifier.node(), bias.node()];
        let needs = Needs {
            hidden: hidden.is_tracked(),
            classifier: classifier.is_tracked(),
            bias: spec.has_bias && bias.is_tracked(),
        };
        let [hidden, classifier, bias, weights, dense] =
            [hidden, classifier, bias, weights, dense].map(|t| t.into_primitive());
        let [n, d] = hidden.shape().dims();
        let v = classifier.shape().num_elements() / d.max(1);
        let spec = spec.for_training(needs, [n, v, d], hidden.dtype());
        let floats = [&hidden, &classifier, &bias, &weights, &dense].map(Clone::clone);
        let (targets_kept, picks_kept) = (targets.clone(), picks.clone());
        let (rows, state, kept, links, top) = B::engine_forward(
            hidden,
            classifier,
            bias,
            targets,
            picks,
            weights,
            dense,
            spec.clone(),
        );
        let rows = match EngineBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(
                EngineState::<B> {
                    floats,
                    ints: [targets_kept, picks_kept, links.clone(), top.clone()],
                    rows: rows.clone(),
                    state: state.clone(),
                    kept: kept.clone(),
                    spec,
                },
                rows,
            ),
            OpsKind::UnTracked(prep) => prep.finish(rows),
        };
        (
            rows,
            Self::from_inner(state),
            Self::from_inner(kept),
            links,
            top,
        )
    }

    fn engine_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: IntTensor<Self>,
        _: IntTensor<Self>,
        _: IntTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: IntTensor<Self>,
        _: FloatTensor<Self>,
        _: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        // Reached only by stacking one autodiff decorator on another, which Burn does not do.
        unreachable!("linear_cross_entropy: Burn's autodiff is of first order")
    }
}

#[derive(Debug)]
struct EngineBackward;

#[derive(Clone, Debug)]
struct EngineState<B: EngineBackend> {
    /// Hidden states, classifier, bias, common weights, weights of each row.
    floats: [FloatTensor<B>; 5],
    /// Targets, picks, places of what is kept, classes of the largest logits.
    ints: [IntTensor<B>; 4],
    /// Row statistics.
    rows: FloatTensor<B>,
    state: FloatTensor<B>,
    kept: FloatTensor<B>,
    spec: Spec,
}

impl<B: EngineBackend> Backward<B, 3> for EngineBackward {
    type State = EngineState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let EngineState {
            floats,
            ints,
            rows,
            state,
            kept,
            spec,
        } = ops.state;
        let [hidden, classifier, bias, weights, dense] = floats;
        let [targets, picks, links, top] = ints;
        let (hidden, classifier, bias) = B::engine_backward(
            hidden, classifier, bias, targets, picks, top, weights, dense, rows, state, kept,
            links, cotangent, spec,
        );
        for (node, gradient) in ops.parents.into_iter().zip([hidden, classifier, bias]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
