//! Gradient of the GELU: `g (Φ(x) + x φ(x))`. Cheap as it is, the output is computed again rather than
//! kept where gradients are checkpointed.

use super::GeluBackend;
use core::marker::PhantomData;
use core_tensor::ext::{
    Autodiff, Backward, BackwardStates, CheckpointStrategy, Checkpointer, FloatTensor, Gradients,
    NodeId, Ops, OpsKind, RetroForward,
};

impl<B: GeluBackend, C: CheckpointStrategy> GeluBackend for Autodiff<B, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let again = Again::<B> {
            input: x.id(),
            backend: PhantomData,
        };
        match GeluBackward
            .prepare::<C>([x.node()])
            .memory_bound()
            .retro_forward(again)
            .parents([&x])
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let input = prep.checkpoint(&x);
                prep.finish(input, B::exact_gelu(x.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::exact_gelu(x.into_primitive())),
        }
    }

    fn exact_gelu_backward(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        // Reached only by stacking one autodiff decorator on another, which Burn does not do.
        unreachable!("gelu: Burn's autodiff is of first order")
    }
}

#[derive(Debug)]
struct GeluBackward;

impl<B: GeluBackend> Backward<B, 1> for GeluBackward {
    type State = NodeId;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let x = checkpointer.retrieve_node_output(ops.state);
        let cotangent = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::exact_gelu_backward(x, cotangent));
        }
    }
}

/// The forward pass during the backward one.
#[derive(Debug)]
struct Again<B> {
    input: NodeId,
    backend: PhantomData<B>,
}

impl<B: GeluBackend> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, output: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.input);
        states.save(output, B::exact_gelu(x));
    }
}
