//! One pass over hidden states and classifier that returns per-row statistics of the logits, and its gradient.
//!
//! Every loss of this crate is a small expression over these statistics ([`mod@column`]): the engine knows nothing of
//! reductions, smoothing or weights.

mod backward;
#[cfg(feature = "flex")]
mod flex;
pub mod spec;

pub use spec::{Layout, Needs, Spec, column};

use crate::classifier::Classifier;
use crate::loss::{Asked, Rows};
use burn::tensor::{Device, Int, Tensor};
use core_tensor::ext::compute_dtype;
use core_tensor::ext::{Backend, Dispatch, FloatTensor, IntTensor, backend_extension};

/// Row statistics, and the classes of the largest logits where they are wanted: from the engine where the device has
/// one, otherwise in plain tensor operations.
pub(crate) fn statistics(
    hidden: Tensor<2>,
    classifier: &Classifier,
    asked: &Asked,
    spec: &Spec,
) -> Rows {
    if !has_kernel(&hidden.device()) {
        return crate::reference::statistics(hidden, classifier, asked, spec);
    }
    let tensors = Tensors::new(hidden, classifier, asked);
    let (rows, _, top) = tensors.forward(spec);
    (rows, top)
}

/// Whether the engine runs on a device.
pub(crate) fn has_kernel(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return true;
    }
    let _ = device;
    false
}

/// The tensors of a call, absent ones stood in for.
#[derive(Debug, Clone)]
pub(crate) struct Tensors {
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    ids: Tensor<1, Int>,
    picks: Tensor<2, Int>,
    common: Tensor<1>,
    dense: Tensor<2>,
}

impl Tensors {
    pub(crate) fn new(hidden: Tensor<2>, classifier: &Classifier, asked: &Asked) -> Self {
        let (device, dtype) = (hidden.device(), hidden.dtype());
        let compute = compute_dtype(dtype);
        let Asked {
            ids,
            picks,
            common,
            dense,
        } = asked.clone();
        Self {
            weight: classifier.weight.clone(),
            bias: classifier
                .bias
                .clone()
                .unwrap_or_else(|| Tensor::zeros([1], (&device, dtype))),
            ids: ids.unwrap_or_else(|| Tensor::zeros([1], &device)),
            picks: picks.unwrap_or_else(|| Tensor::zeros([1, 1], &device)),
            common: common.unwrap_or_else(|| Tensor::zeros([1], (&device, compute))),
            dense: dense.unwrap_or_else(|| Tensor::zeros([1, 1], (&device, compute))),
            hidden,
        }
    }

    /// Row statistics, states of the rows, and classes of the largest logits.
    pub(crate) fn forward(self, spec: &Spec) -> (Tensor<2>, Tensor<2>, Option<Tensor<2, Int>>) {
        let (rows, state, _, _, top) = Dispatch::engine_forward(
            self.hidden.into_dispatch(),
            self.weight.into_dispatch(),
            self.bias.into_dispatch(),
            self.ids.into_dispatch(),
            self.picks.into_dispatch(),
            self.common.into_dispatch(),
            self.dense.into_dispatch(),
            spec.clone(),
        );
        let top = (spec.top > 0).then(|| Tensor::from_dispatch(top));
        (
            Tensor::from_dispatch(rows),
            Tensor::from_dispatch(state),
            top,
        )
    }

    /// Gradients by hidden states, weight and bias, all of them computed from all logits again.
    pub(crate) fn backward(
        self,
        [rows, state, cotangent]: [Tensor<2>; 3],
        top: Option<Tensor<2, Int>>,
        spec: &Spec,
    ) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let device = self.hidden.device();
        let top = top.unwrap_or_else(|| Tensor::zeros([1, 1], &device));
        let (hidden, weight, bias) = Dispatch::engine_backward(
            self.hidden.into_dispatch(),
            self.weight.into_dispatch(),
            self.bias.into_dispatch(),
            self.ids.into_dispatch(),
            self.picks.into_dispatch(),
            top.into_dispatch(),
            self.common.into_dispatch(),
            self.dense.into_dispatch(),
            rows.into_dispatch(),
            state.clone().into_dispatch(),
            state.into_dispatch(),
            Tensor::<1, Int>::zeros([1], &device).into_dispatch(),
            cotangent.into_dispatch(),
            spec.clone(),
        );
        let tensor = Tensor::from_dispatch;
        (tensor(hidden), tensor(weight), Tensor::from_dispatch(bias))
    }
}

/// What a backend provides.
///
/// Absent tensors are stood in for by dummies; the [`Spec`] tells which ones count.
#[backend_extension(Autodiff, Flex: cfg(feature = "flex"))]
pub trait EngineBackend: Backend {
    /// Row statistics `[N, columns]`; the state of every row `[N, 4]`; what the plan keeps (logits, or the gradient by the
    /// hidden states in the making, or the logits that pass the filter) and where it belongs; classes of the largest
    /// logits `[N, top]`. All floats in the compute type. Rows that are ignored hold zeros, and −1 as classes.
    #[allow(
        clippy::too_many_arguments,
        clippy::type_complexity,
        reason = "the macro takes and returns plain tensors only"
    )]
    fn engine_forward(
        hidden: FloatTensor<Self>,
        classifier: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        picks: IntTensor<Self>,
        weights: FloatTensor<Self>,
        dense: FloatTensor<Self>,
        spec: Spec,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        IntTensor<Self>,
        IntTensor<Self>,
    );

    /// Gradients by hidden states, classifier and bias from that by the row statistics; dummies where none is needed.
    #[allow(
        clippy::too_many_arguments,
        reason = "the macro takes tensors as plain arguments only"
    )]
    fn engine_backward(
        hidden: FloatTensor<Self>,
        classifier: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        picks: IntTensor<Self>,
        top: IntTensor<Self>,
        weights: FloatTensor<Self>,
        dense: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        state: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        links: IntTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}
