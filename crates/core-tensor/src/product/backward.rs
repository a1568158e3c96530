//! Gradient of a product: two products of the same kind.

use super::MatmulBackend;
use crate::ext::{
    Autodiff, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops, OpsKind,
    TensorMetadata,
};
use burn::tensor::Shape;

impl<B: MatmulBackend, C: CheckpointStrategy> MatmulBackend for Autodiff<B, C> {
    fn matmul_highest(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let tracked = [a.is_tracked(), b.is_tracked()];
        let (a, b) = (a.into_primitive(), b.into_primitive());
        match MatmulBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let factors = Factors::<B> {
                    shapes: [a.shape(), b.shape()],
                    a: tracked[1].then(|| a.clone()),
                    b: tracked[0].then(|| b.clone()),
                };
                prep.finish(factors, B::matmul_highest(a, b))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::matmul_highest(a, b)),
        }
    }
}

#[derive(Debug)]
struct MatmulBackward;

/// The factors that gradients are multiplied by: each where the other one is tracked.
#[derive(Clone, Debug)]
struct Factors<B: MatmulBackend> {
    a: Option<FloatTensor<B>>,
    b: Option<FloatTensor<B>>,
    shapes: [Shape; 2],
}

impl<B: MatmulBackend> Backward<B, 2> for MatmulBackward {
    type State = Factors<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let cotangent = grads.consume::<B>(&ops.node);
        let Factors { a, b, shapes } = ops.state;
        let [node_a, node_b] = ops.parents;
        let [shape_a, shape_b] = shapes;
        if let (Some(node), Some(b)) = (node_a, b) {
            let gradient = B::matmul_highest(cotangent.clone(), B::float_transpose(b));
            grads.register::<B>(node.id, summed::<B>(gradient, &shape_a));
        }
        if let (Some(node), Some(a)) = (node_b, a) {
            let gradient = B::matmul_highest(B::float_transpose(a), cotangent);
            grads.register::<B>(node.id, summed::<B>(gradient, &shape_b));
        }
    }
}

/// Sums over the axes along which a factor was repeated.
fn summed<B: MatmulBackend>(gradient: FloatTensor<B>, shape: &Shape) -> FloatTensor<B> {
    let axes = (0..shape.num_dims()).filter(|&axis| shape[axis] == 1);
    axes.fold(gradient, |x, axis| {
        if x.shape()[axis] == 1 {
            x
        } else {
            B::float_sum_dim(x, axis)
        }
    })
}
