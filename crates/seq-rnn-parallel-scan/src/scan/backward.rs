//! Gradient of a scan.
//!
//! With `s_t = ∂L/∂h_t` in total, `s_t = δ_t + a_{t+1} s_{t+1}` where `δ_t` is what comes from above; the
//! gradient of the planes at `t` is a function of `s_t`, `h_{t−1}` and the planes themselves
//! (the CPU cells have the formulas), and that of the initial state is `a_1 s_1`. One pass
//! backwards in time computes it all.
//!
//! Burn's autodiff finishes one tensor per operation. The states and the last state are therefore two
//! operations with the same parents, whose gradients add up; an output that the loss does not use
//! costs nothing.

use super::spec::Spec;
use super::{Cotangent, ScanBackend};
use core_tensor::ext::{
    Autodiff, AutodiffBackend, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata,
};

impl<B: ScanBackend, C: CheckpointStrategy> ScanBackend for Autodiff<B, C> {
    fn scan(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = || [x.node(), y.node(), z.node(), initial.node()];
        let (nodes_states, nodes_last) = (nodes(), nodes());
        let [x, y, z, initial, reset] = [x, y, z, initial, reset].map(|t| t.into_primitive());
        let inputs = [&x, &y, &z, &initial, &reset].map(Clone::clone);
        let (states, last, borders) = B::scan(x, y, z, initial, reset, spec.clone());
        let saved = if spec.checkpoint.is_some() {
            borders.clone()
        } else {
            states.clone()
        };
        let state = |kind| ScanState::<B> {
            inputs: inputs.clone(),
            saved: saved.clone(),
            kind,
            spec: spec.clone(),
        };
        let states = match ScanBackward
            .prepare::<C>(nodes_states)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state(Cotangent::States), states),
            OpsKind::UnTracked(prep) => prep.finish(states),
        };
        let last = match ScanBackward
            .prepare::<C>(nodes_last)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state(Cotangent::Last), last),
            OpsKind::UnTracked(prep) => prep.finish(last),
        };
        (states, last, Self::from_inner(borders))
    }

    fn scan_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Cotangent,
        _: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // Reached only by stacking one autodiff decorator on another, which Burn does not do.
        unreachable!("scan: Burn's autodiff is of first order")
    }
}

#[derive(Debug)]
struct ScanBackward;

#[derive(Clone, Debug)]
struct ScanState<B: ScanBackend> {
    /// x, y, z, initial, reset.
    inputs: [FloatTensor<B>; 5],
    saved: FloatTensor<B>,
    kind: Cotangent,
    spec: Spec,
}

impl<B: ScanBackend> Backward<B, 4> for ScanBackward {
    type State = ScanState<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let ScanState {
            inputs: [x, y, z, initial, reset],
            saved,
            kind,
            spec,
        } = ops.state;
        let [batch, time, columns] = x.shape().dims();
        let (planes, packed_planes) = (spec.cell.planes(), spec.packed_planes);
        let (gradient, initial) =
            B::scan_backward(x, y, z, initial, reset, saved, cotangent, kind, spec);
        let [node_x, node_y, node_z, node_initial] = ops.parents;
        if packed_planes {
            if let Some(node) = node_x {
                grads.register::<B>(node.id, gradient);
            }
        } else {
            for (p, node) in [node_x, node_y, node_z]
                .into_iter()
                .enumerate()
                .take(planes)
            {
                if let Some(node) = node {
                    let every = |n: usize| (0..n).into();
                    let slices = [(p..p + 1).into(), every(batch), every(time), every(columns)];
                    let part = B::float_slice(gradient.clone(), &slices);
                    grads.register::<B>(
                        node.id,
                        B::float_reshape(part, [batch, time, columns].into()),
                    );
                }
            }
        }
        if let Some(node) = node_initial {
            grads.register::<B>(node.id, initial);
        }
    }
}
