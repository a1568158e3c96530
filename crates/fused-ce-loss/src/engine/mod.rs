//! One pass over hidden states and classifier that returns per-row statistics of the logits, and its gradient.
//!
//! Every loss of this crate is a small expression over these statistics ([`mod@column`]): the engine knows nothing of
//! reductions, smoothing or weights.

mod backward;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod spec;

pub use spec::{Layout, Needs, Spec, column};

use crate::classifier::Classifier;
use crate::loss::{Asked, Rows};
use burn::tensor::{DType, Device, Int, Tensor};
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
    if spec.engine.is_none() {
        #[cfg(feature = "cube")]
        if core_tensor::ext::cube::runs_on(&hidden.device()) {
            core_tensor::ext::cube::fall_back(
                "linear_cross_entropy",
                "f64 on a GPU runs in plain tensor operations, logits in memory",
            );
        }
        return crate::reference::statistics(hidden, classifier, asked, spec);
    }
    let tensors = Tensors::new(hidden, classifier, asked);
    let (rows, _, top) = tensors.forward(spec);
    (rows, top)
}

/// Where the engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// On the CPU, tile by tile in the caches.
    Cpu,
    /// On a GPU, panel by panel: Burn's products, and kernels between them.
    Gpu,
}

impl Engine {
    /// The engine for a device and a dtype, if there is one.
    pub(crate) fn on(device: &Device, dtype: DType) -> Option<Self> {
        #[cfg(feature = "flex")]
        if *device == Device::flex() {
            return Some(Self::Cpu);
        }
        #[cfg(feature = "cube")]
        if core_tensor::ext::cube::runs_on(device) {
            return (dtype != DType::F64).then_some(Self::Gpu);
        }
        let _ = (device, dtype);
        None
    }
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

    /// The same numbers, tracked by nobody.
    pub(crate) fn without_autodiff(self) -> Self {
        Self {
            hidden: self.hidden.without_autodiff(),
            weight: self.weight.without_autodiff(),
            bias: self.bias.without_autodiff(),
            ids: self.ids.without_autodiff(),
            picks: self.picks.without_autodiff(),
            common: self.common.without_autodiff(),
            dense: self.dense.without_autodiff(),
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

/// Shapes and dtypes that the GPU engine promises to Fusion.
#[cfg(feature = "cube")]
mod promised {
    use super::spec::{Spec, state};
    use crate::plan::Plan;
    use burn::tensor::DType;
    use core_tensor::ext::TensorSpec;

    /// Shape of what the plan keeps.
    pub(super) fn kept([n, v, d]: [usize; 3], spec: &Spec) -> [usize; 2] {
        match spec.plan {
            _ if spec.needs.nothing() => [1, 1],
            Plan::Store => [n, v],
            Plan::ForwardGradient => [n, d],
            _ => [1, 1],
        }
    }

    /// Shape of the classes of the largest logits.
    pub(super) fn top(n: usize, spec: &Spec) -> [usize; 2] {
        if spec.top == 0 { [1, 1] } else { [n, spec.top] }
    }

    type Forward = (TensorSpec, TensorSpec, TensorSpec, TensorSpec, TensorSpec);

    pub(super) fn forward(hidden: &TensorSpec, classifier: &TensorSpec, spec: &Spec) -> Forward {
        let [n, d] = hidden.shape.dims();
        let v = classifier.shape.num_elements() / d;
        let float = |shape: [usize; 2]| TensorSpec::new(shape.into(), DType::F32);
        (
            float([n, spec.columns()]),
            float([n, state::COLUMNS]),
            float(kept([n, v, d], spec)),
            TensorSpec::new([1].into(), DType::I32),
            TensorSpec::new(top(n, spec).into(), DType::I32),
        )
    }

    pub(super) fn backward(
        hidden: &TensorSpec,
        classifier: &TensorSpec,
        bias: &TensorSpec,
        spec: &Spec,
    ) -> (TensorSpec, TensorSpec, TensorSpec) {
        let or_dummy = |x: &TensorSpec, wanted: bool| {
            if wanted {
                x.clone()
            } else {
                TensorSpec::new([1].into(), x.dtype)
            }
        };
        (
            or_dummy(hidden, spec.needs.hidden),
            or_dummy(classifier, spec.needs.classifier),
            or_dummy(bias, spec.needs.bias),
        )
    }
}

/// What a backend provides.
///
/// Absent tensors are stood in for by dummies; the [`Spec`] tells which ones count.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait EngineBackend: Backend {
    /// Row statistics `[N, columns]`; the state of every row `[N, 4]`; what the plan keeps (logits, or the gradient by the
    /// hidden states in the making, or the logits that pass the filter) and where it belongs; classes of the largest
    /// logits `[N, top]`. All floats in the compute type. Rows that are ignored hold zeros, and −1 as classes.
    #[fusion(meta = |hidden, classifier, _bias, _targets, _picks, _weights, _dense, spec: &Spec| {
        promised::forward(hidden, classifier, spec)
    })]
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
    #[fusion(meta = |hidden, classifier, bias, _targets, _picks, _top, _weights, _dense, _rows, _state, _kept, _links, _cotangent, spec: &Spec| {
        promised::backward(hidden, classifier, bias, spec)
    })]
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
