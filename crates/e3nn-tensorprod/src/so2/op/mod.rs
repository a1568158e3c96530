//! The numerical ops in the frames of edges: trilinear forms and their partial derivatives.
//!
//! Each is `Φ(x, f, y) = ⟨F(x, f), y⟩` with `F` bilinear, so its three partial derivatives, [`Slot::Output`] being `F`
//! itself, are closed under differentiation: the gradient of one of them for a cotangent is another, with the cotangent in
//! the place of what was computed.
//!
//! | form | input | factor | output |
//! |---|---|---|---|
//! | [`Form::Rotate`] | features | Wigner D of edges | features in frames |
//! | [`Form::Mix`] | features in frames | matrices, shared | features in frames |
//! | [`Form::Paths`] | features in frames | weights of edges | features in frames |
//! | [`Form::Spread`] | the number 1 | weights of paths | matrices |

mod backward;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod mix;
mod paths;
mod reference;
#[cfg(any(feature = "flex", feature = "cube"))]
mod rotate;
mod spread;
#[cfg(any(test, feature = "testing"))]
mod testing;

#[cfg(feature = "cube")]
pub(crate) use cube::FrameUploads;
pub(crate) use mix::{Mix, Term};
pub(crate) use paths::{Contact, PathForm, PathTerm};
pub(crate) use spread::{Entry, Spread};
#[cfg(feature = "testing")]
pub use testing::every_form;

use super::FrameLayout;
use burn::tensor::Tensor;
#[cfg(feature = "cube")]
use core_tensor::ext::TensorSpec;
use core_tensor::ext::{
    Backend, Dispatch, FloatTensor, backend_extension, compute_dtype, has_kernel, zeros,
};
use std::sync::Arc;

/// The arguments of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Input,
    Factor,
    Output,
}

impl Slot {
    /// The two other slots, in the order in which operands are given.
    pub(crate) fn others(self) -> [Self; 2] {
        match self {
            Self::Input => [Self::Factor, Self::Output],
            Self::Factor => [Self::Input, Self::Output],
            Self::Output => [Self::Input, Self::Factor],
        }
    }
}

/// A trilinear form.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// `⟨D x, y⟩`, with the Wigner matrices of degrees up to `lmax` of every edge.
    Rotate { layout: FrameLayout, lmax: usize },
    /// `⟨x W, y⟩`, order by order, with matrices that all edges share.
    Mix(Arc<Mix>),
    /// The same path by path, with weights of every edge.
    Paths(Arc<PathForm>),
    /// Matrices from weights of paths: linear, the input being the number 1.
    Spread(Arc<Spread>),
}

/// Values of all Wigner matrices of degrees below `l`: `Σ (2k + 1)²`.
pub(crate) fn wigner_offset(l: usize) -> usize {
    l * (4 * l * l).saturating_sub(1) / 3
}

impl Form {
    /// Shape of a slot for so many edges.
    fn shape(&self, slot: Slot, edges: usize) -> [usize; 2] {
        let [input, factor, output] = match self {
            Self::Rotate { layout, lmax } => [
                [edges, layout.irreps().dim()],
                [edges, wigner_offset(lmax + 1)],
                [edges, layout.dim()],
            ],
            Self::Mix(mix) => [[edges, mix.inputs], [1, mix.numel], [edges, mix.outputs]],
            Self::Paths(form) => [
                [edges, form.inputs],
                [edges, form.numel],
                [edges, form.outputs],
            ],
            Self::Spread(spread) => [[1, 1], [1, spread.numel], [1, spread.outputs]],
        };
        match slot {
            Slot::Input => input,
            Slot::Factor => factor,
            Slot::Output => output,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Rotate { .. } => "edge frames",
            Self::Mix(_) => "SO(2) linear map",
            Self::Paths(_) => "product in edge frames",
            Self::Spread(_) => "weights in edge frames",
        }
    }
}

/// Everything about a partial derivative that is no tensor.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) form: Form,
    /// What is computed from the two other slots.
    pub(crate) slot: Slot,
    pub(crate) edges: usize,
}

#[cfg(any(feature = "flex", feature = "cube"))]
impl Spec {
    pub(crate) fn shape(&self, slot: Slot) -> [usize; 2] {
        self.form.shape(slot, self.edges)
    }
}

/// What a backend with such kernels provides.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub(crate) trait FrameBackend: Backend {
    /// The partial derivative by `spec.slot` from the operands of the two other slots, in the order of [`Slot::others`],
    /// both f32 or both f64, none empty.
    #[fusion(meta = |a, _b, spec: &Spec| TensorSpec::new(spec.shape(spec.slot).into(), a.dtype))]
    fn frame_form(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self>;
}

/// A partial derivative of a form, differentiable by both operands. Half-precision types are computed in f32.
///
/// # Panics
/// If shapes or dtypes disagree.
pub(crate) fn trilinear(form: &Form, slot: Slot, operands: [Tensor<2>; 2]) -> Tensor<2> {
    let places = slot.others();
    let batched = usize::from(places[0] == Slot::Factor);
    let edges = operands[batched].dims()[0];
    let dtype = operands[0].dtype();
    for (place, operand) in places.into_iter().zip(&operands) {
        let (want, got) = (form.shape(place, edges), operand.dims());
        let name = form.name();
        assert!(
            want == got,
            "{name}: {place:?} has shape {got:?}, expected {want:?}"
        );
        assert!(
            operand.dtype() == dtype,
            "{name}: {place:?} has dtype {:?}, expected {dtype:?} as the other operand",
            operand.dtype()
        );
    }
    let device = operands[0].device();
    let empty = |slot: Slot| form.shape(slot, edges).contains(&0);
    if empty(slot) || places.into_iter().any(empty) {
        return zeros(form.shape(slot, edges), &device, dtype);
    }
    if !has_kernel(&device, dtype) {
        #[cfg(feature = "cube")]
        core_tensor::ext::cube::fall_back(
            form.name(),
            "only CPUs and GPUs have a kernel; on this device it runs in plain tensor operations",
        );
        return reference::trilinear(form, slot, operands);
    }
    let wide = compute_dtype(dtype);
    let [a, b] = operands.map(|t| if wide == dtype { t } else { t.cast(wide) });
    let spec = Spec {
        form: form.clone(),
        slot,
        edges,
    };
    let out = Dispatch::frame_form(a.into_dispatch(), b.into_dispatch(), spec);
    let out = Tensor::<2>::from_dispatch(out);
    if wide == dtype { out } else { out.cast(dtype) }
}
