//! Gradient of a convolution: one walk over the edges for all that is wanted.

use super::ConvBackend;
use super::spec::Call;
use core_tensor::ext::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, FloatTensor, Gradients, Ops,
    OpsKind, TensorMetadata,
};

impl<B: ConvBackend, C: CheckpointStrategy> ConvBackend for Autodiff<B, C> {
    fn conv_forward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        let inputs = [x, y, w, matrix, x_dot, y_dot, w_dot];
        let nodes = inputs.each_ref().map(|t| t.node());
        let inputs = inputs.map(|t| t.into_primitive());
        let forward = |[x, y, w, matrix, x_dot, y_dot, w_dot]: [FloatTensor<B>; 7], call| {
            B::conv_forward(x, y, w, matrix, x_dot, y_dot, w_dot, call)
        };
        match ConvBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = forward(inputs.clone(), call.clone());
                prep.finish(ConvState::<B> { inputs, call }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(forward(inputs, call)),
        }
    }

    fn conv_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: [bool; 4],
        _: Call,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        // Reached only by stacking one autodiff decorator on another, which Burn does not do.
        unreachable!("convolve: Burn's autodiff is of first order")
    }
}

#[derive(Debug)]
struct ConvBackward;

#[derive(Clone, Debug)]
struct ConvState<B: ConvBackend> {
    /// x, y, w, matrix, ẋ, ẏ, ẇ.
    inputs: [FloatTensor<B>; 7],
    call: Call,
}

impl<B: ConvBackend> Backward<B, 7> for ConvBackward {
    type State = ConvState<B>;

    fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let ConvState { inputs, call } = ops.state;
        let [x, y, w, matrix, x_dot, y_dot, w_dot] = inputs;
        let [
            node_x,
            node_y,
            node_w,
            node_matrix,
            node_x_dot,
            node_y_dot,
            node_w_dot,
        ] = ops.parents;
        let tangents = call.tangents;
        // What an absent tensor is stood in for by is no parent.
        let nodes = [
            (node_x, node_x_dot),
            (node_y, node_y_dot),
            (node_w, node_w_dot),
        ];
        let mut i = 0;
        let nodes = nodes.map(|(node, node_dot)| {
            let node_dot = node_dot.filter(|_| tangents[i]);
            i += 1;
            (node, node_dot)
        });
        let node_matrix = node_matrix.filter(|_| call.has_matrix());
        let [wants_x, wants_y, wants_w] = nodes.each_ref().map(|(n, d)| n.is_some() || d.is_some());
        let wanted = [wants_x, wants_y, wants_w, node_matrix.is_some()];
        let (gx, gy, gw, gm) =
            B::conv_backward(x, y, w, matrix, x_dot, y_dot, w_dot, gradient, wanted, call);
        for ((node, node_dot), gradient) in nodes.into_iter().zip([gx, gy, gw]) {
            for (part, node) in [node, node_dot].into_iter().enumerate() {
                if let Some(node) = node {
                    grads.register::<B>(node.id, part_of::<B>(gradient.clone(), part));
                }
            }
        }
        if let Some(node) = node_matrix {
            grads.register::<B>(node.id, gm);
        }
    }
}

/// Value or tangent of a packed gradient.
fn part_of<B: Backend>(packed: FloatTensor<B>, part: usize) -> FloatTensor<B> {
    let [parts, rows, columns] = packed.shape().dims();
    let packed = if parts == 1 {
        packed
    } else {
        let slices = [
            (part..part + 1).into(),
            (0..rows).into(),
            (0..columns).into(),
        ];
        B::float_slice(packed, &slices)
    };
    B::float_reshape(packed, [rows, columns].into())
}
