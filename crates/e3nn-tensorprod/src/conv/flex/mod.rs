//! CPU kernel: threads over nodes; for the edges that arrive at a node, channels in blocks of one or two vectors, paths
//! within a block, edges innermost, so that the sums of a path stay in registers.
//!
//! Edges are taken in chunks of [`tables::CHUNK`]. For a chunk, the harmonics are contracted with the coefficients first,
//! `A_path[a, c] = Σ_b C_abc y_b`; a message is then `Σ_a A[a, c] · w · x_a`, all channels alike.
//!
//! The sums of a node run over its edges in order, cut at fixed places; the gradient of a node's features adds up edges in
//! order. So nothing depends on threads or on how tasks are cut.

mod backward;
mod forward;
mod gradients;
mod lanes;
mod pieces;
mod relayout;
mod sources;
mod spline;
mod sums;
mod tables;
mod weights;
mod work;

use super::ConvBackend;
use super::spec::{Call, Weighting};
use burn::tensor::DType;
use core_tensor::cpu::{Isa, Storage};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::TensorMetadata;
use core_tensor::ext::flex::{Flex, FlexTensor, tensor};
use lanes::Lanes;
use pieces::Pieces;
use pulp::Arch;
use relayout::{by_component, in_layout};
use std::borrow::Cow;
use weights::Weights;

/// Runs `$body` with `$T` bound to the type of an `f32` or `f64` tensor.
macro_rules! with_real {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            other => unreachable!("convolve: dtype {other:?} was converted"),
        }
    };
}

impl ConvBackend for Flex {
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
        let inputs = [x, y, w, matrix, x_dot, y_dot, w_dot].map(|t| t.to_contiguous());
        let (nodes, [_, _, width]) = (call.graph.nodes(), call.paths.dims());
        with_real!(inputs[0].dtype(), T => {
            let out = Problem::<T>::new(&inputs, &call).sums();
            let out = in_layout(out, call.paths.irreps_out(), call.paths.layout());
            tensor(out, [call.parts(), nodes, width])
        })
    }

    fn conv_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; 4],
        call: Call,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let inputs = [x, y, w, matrix, x_dot, y_dot, w_dot].map(|t| t.to_contiguous());
        let gradient = gradient.to_contiguous();
        let paths = &call.paths;
        let given = [&inputs[2], &inputs[3]].map(|t| t.shape().dims());
        let ([x, y, w], matrix) = call.gradient_shapes(given, wanted);
        with_real!(inputs[0].dtype(), T => {
            let g = by_component(values::<T>(&gradient), paths.irreps_out(), paths.layout());
            let [gx, gy, gw, gm] = Problem::<T>::new(&inputs, &call).gradients(&g, wanted);
            let gx = in_layout(gx, paths.irreps_in(), paths.layout());
            (
                tensor(gx, x),
                tensor(gy, y),
                tensor(gw, w),
                tensor(gm, matrix),
            )
        })
    }
}

/// The values of a contiguous tensor.
fn values<T: Storage>(x: &FlexTensor) -> &[T] {
    x.as_slice::<T>().expect("contiguous, of this dtype")
}

/// A convolution over borrowed values, features component by component.
struct Problem<'a, T: Lanes> {
    call: &'a Call,
    pieces: Pieces<T>,
    isa: Isa,
    arch: Arch,
    x: Cow<'a, [T]>,
    x_dot: Option<Cow<'a, [T]>>,
    y: &'a [T],
    y_dot: Option<&'a [T]>,
    weights: Weights<'a, T>,
    /// As many as the longest row that an absent tangent stands for.
    zeros: Vec<T>,
}

impl<'a, T: Lanes + Storage> Problem<'a, T> {
    fn new(inputs: &'a [FlexTensor; 7], call: &'a Call) -> Self {
        let paths = &call.paths;
        let turned = |x| by_component(values::<T>(x), paths.irreps_in(), paths.layout());
        let [x, y, w, matrix, x_dot, y_dot, w_dot] = inputs;
        let [dx, dy, dw] = call.tangents;
        Self {
            call,
            pieces: Pieces::new(paths, call.dual()),
            isa: Isa::detect(),
            arch: Arch::new(),
            x: turned(x),
            x_dot: dx.then(|| turned(x_dot)),
            y: values(y),
            y_dot: dy.then(|| values(y_dot)),
            weights: match call.weighting {
                Weighting::Stored => Weights::Stored {
                    w: values(w),
                    w_dot: dw.then(|| values(w_dot)),
                },
                Weighting::Product => Weights::Product {
                    h: values(w),
                    h_dot: dw.then(|| values(w_dot)),
                    matrix: values(matrix),
                    hidden: matrix.shape()[0],
                },
                Weighting::Spline(knots) => Weights::Spline {
                    r: values(w),
                    r_dot: dw.then(|| values(w_dot)),
                    table: values(matrix),
                    knots,
                },
            },
            zeros: vec![T::ZERO; paths.dims()[0].max(paths.weight_numel())],
        }
    }
}
