//! Gradient of a product: two products of the same kind.

use super::ProductBackend;
use core_tensor::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
};

impl<B: ProductBackend, C: CheckpointStrategy> ProductBackend for Autodiff<B, C> {
    fn fixed_order_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let (a, b) = (a.into_primitive(), b.into_primitive());
        match ProductBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let output = B::fixed_order_product(a.clone(), b.clone());
                prep.finish(Factors::<B> { a, b }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fixed_order_product(a, b)),
        }
    }
}

#[derive(Debug)]
struct ProductBackward;

#[derive(Clone, Debug)]
struct Factors<B: ProductBackend> {
    a: FloatTensor<B>,
    b: FloatTensor<B>,
}

impl<B: ProductBackend> Backward<B, 2> for ProductBackward {
    type State = Factors<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let Factors { a, b } = ops.state;
        let [node_a, node_b] = ops.parents;
        if let Some(node) = node_a {
            let gradient = B::fixed_order_product(cotangent.clone(), B::float_transpose(b));
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = node_b {
            let gradient = B::fixed_order_product(B::float_transpose(a), cotangent);
            grads.register::<B>(node.id, gradient);
        }
    }
}
