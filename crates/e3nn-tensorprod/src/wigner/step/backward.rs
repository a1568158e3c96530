//! Gradients of the partial derivatives of the form: the others.

use super::{Spec, StepBackend};
use crate::form::arguments;
use core_tensor::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

impl<B: StepBackend, C: CheckpointStrategy> StepBackend for Autodiff<B, C> {
    fn wigner_step(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let operands = [a, b].map(|t| t.into_primitive());
        let [a, b] = operands.clone();
        let out = B::wigner_step(a, b, spec.clone());
        match StepBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(StepState::<B> { operands, spec }, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct StepBackward;

#[derive(Clone, Debug)]
struct StepState<B: StepBackend> {
    operands: [FloatTensor<B>; 2],
    spec: Spec,
}

impl<B: StepBackend> Backward<B, 2> for StepBackward {
    type State = StepState<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let StepState { operands, spec } = ops.state;
        let places = spec.slot.others();
        for (slot, node) in places.into_iter().zip(ops.parents) {
            let Some(node) = node else { continue };
            let [a, b] = arguments(slot.others(), &places, &operands, &cotangent);
            let step = spec.step.clone();
            grads.register::<B>(node.id, B::wigner_step(a, b, Spec { step, slot }));
        }
    }
}
