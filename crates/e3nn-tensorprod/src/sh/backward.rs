//! Gradients, by the ops themselves: that of the harmonics is [`HarmonicsBackend::harmonics_gradient`]; that of their
//! tangent is the curvature by the vectors and again the gradient by the direction.

use super::HarmonicsBackend;
use super::spec::Spec;
use core_tensor::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

impl<B: HarmonicsBackend, C: CheckpointStrategy> HarmonicsBackend for Autodiff<B, C> {
    fn harmonics(v: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let node = v.node();
        let v = v.into_primitive();
        let out = B::harmonics(v.clone(), spec.clone());
        match Values.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((v, spec), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn harmonics_tangent(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let nodes = [v.node(), tangent.node()];
        let (v, tangent) = (v.into_primitive(), tangent.into_primitive());
        let out = B::harmonics_tangent(v.clone(), tangent.clone(), spec.clone());
        match Tangents.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((v, tangent, spec), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn harmonics_gradient(
        v: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let nodes = [v.node(), cotangent.node()];
        let (v, cotangent) = (v.into_primitive(), cotangent.into_primitive());
        let out = B::harmonics_gradient(v.clone(), cotangent.clone(), spec.clone());
        match Contracted.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((v, cotangent, spec), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn harmonics_curvature(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Spec,
    ) -> FloatTensor<Self> {
        // Only gradients call it, and Burn's autodiff is of first order.
        unreachable!("spherical harmonics: third derivatives")
    }
}

#[derive(Debug)]
struct Values;

impl<B: HarmonicsBackend> Backward<B, 1> for Values {
    type State = (FloatTensor<B>, Spec);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let (v, spec) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::harmonics_gradient(v, cotangent, spec));
        }
    }
}

#[derive(Debug)]
struct Tangents;

impl<B: HarmonicsBackend> Backward<B, 2> for Tangents {
    type State = (FloatTensor<B>, FloatTensor<B>, Spec);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let (v, tangent, spec) = ops.state;
        let [node_v, node_tangent] = ops.parents;
        if let Some(node) = node_tangent {
            let gradient = B::harmonics_gradient(v.clone(), cotangent.clone(), spec.clone());
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = node_v {
            grads.register::<B>(node.id, B::harmonics_curvature(v, tangent, cotangent, spec));
        }
    }
}

#[derive(Debug)]
struct Contracted;

impl<B: HarmonicsBackend> Backward<B, 2> for Contracted {
    type State = (FloatTensor<B>, FloatTensor<B>, Spec);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let direction = grads.consume::<B>(&ops.node);
        let (v, cotangent, spec) = ops.state;
        let [node_v, node_cotangent] = ops.parents;
        if let Some(node) = node_cotangent {
            let gradient = B::harmonics_tangent(v.clone(), direction.clone(), spec.clone());
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = node_v {
            grads.register::<B>(
                node.id,
                B::harmonics_curvature(v, direction, cotangent, spec),
            );
        }
    }
}
