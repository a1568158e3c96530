//! Gradients of the partial products, by partial products.

use super::{ProductBackend, Spec};
use crate::form::arguments;
use core_tensor::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

impl<B: ProductBackend, C: CheckpointStrategy> ProductBackend for Autodiff<B, C> {
    fn partial_product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node(), c.node()];
        let operands = [a, b, c].map(|t| t.into_primitive());
        let [a, b, c] = operands.clone();
        let out = B::partial_product(a, b, c, spec.clone());
        match PartialBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(PartialState::<B> { operands, spec }, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct PartialBackward;

#[derive(Clone, Debug)]
struct PartialState<B: ProductBackend> {
    operands: [FloatTensor<B>; 3],
    spec: Spec,
}

impl<B: ProductBackend> Backward<B, 3> for PartialBackward {
    type State = PartialState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let PartialState { operands, spec } = ops.state;
        let places = spec.slot.others();
        for (place, node) in places.into_iter().zip(ops.parents) {
            let Some(node) = node else { continue };
            let [a, b, c] = arguments(place.others(), &places, &operands, &cotangent);
            let gradient = B::partial_product(a, b, c, spec.gradient(place));
            grads.register::<B>(node.id, gradient);
        }
    }
}
