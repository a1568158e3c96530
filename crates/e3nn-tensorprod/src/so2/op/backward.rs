//! Gradients of the partial derivatives of a form: the others.

use super::{FrameBackend, Spec};
use crate::form::arguments;
use core_tensor::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

impl<B: FrameBackend, C: CheckpointStrategy> FrameBackend for Autodiff<B, C> {
    fn frame_form(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let operands = [a, b].map(|t| t.into_primitive());
        let [a, b] = operands.clone();
        let out = B::frame_form(a, b, spec.clone());
        match FormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(FormState::<B> { operands, spec }, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct FormBackward;

#[derive(Clone, Debug)]
struct FormState<B: FrameBackend> {
    operands: [FloatTensor<B>; 2],
    spec: Spec,
}

impl<B: FrameBackend> Backward<B, 2> for FormBackward {
    type State = FormState<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let FormState { operands, spec } = ops.state;
        let places = spec.slot.others();
        for (slot, node) in places.into_iter().zip(ops.parents) {
            let Some(node) = node else { continue };
            let [a, b] = arguments(slot.others(), &places, &operands, &cotangent);
            let spec = Spec {
                slot,
                ..spec.clone()
            };
            grads.register::<B>(node.id, B::frame_form(a, b, spec));
        }
    }
}
