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
use crate::loss::{Asked, compute_dtype};
use burn::tensor::{Int, Tensor};
use core_tensor::ext::{Backend, Dispatch, FloatTensor, IntTensor, backend_extension};

/// Row statistics `[N, columns]`, and the classes of the largest logits where they are wanted.
pub(crate) fn statistics(
    hidden: Tensor<2>,
    classifier: &Classifier,
    asked: &Asked,
    spec: &Spec,
) -> (Tensor<2>, Option<Tensor<2, Int>>) {
    let (device, dtype) = (hidden.device(), hidden.dtype());
    let absent = |dtype| Tensor::<1>::zeros([1], (&device, dtype)).into_dispatch();
    let no_ids = || Tensor::<1, Int>::zeros([1], &device).into_dispatch();
    let (
        Asked {
            ids,
            picks,
            common,
            dense,
        },
        compute,
    ) = (asked.clone(), compute_dtype(dtype));
    let (statistics, _, _, _, top) = Dispatch::engine_forward(
        hidden.into_dispatch(),
        classifier.weight.clone().into_dispatch(),
        classifier
            .bias
            .clone()
            .map_or_else(|| absent(dtype), Tensor::into_dispatch),
        ids.map_or_else(no_ids, Tensor::into_dispatch),
        picks.map_or_else(no_ids, Tensor::into_dispatch),
        common.map_or_else(|| absent(compute), Tensor::into_dispatch),
        dense.map_or_else(|| absent(compute), Tensor::into_dispatch),
        spec.clone(),
    );
    let top = (spec.top > 0).then(|| Tensor::from_dispatch(top));
    (Tensor::from_dispatch(statistics), top)
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
