//! From `D^l` and the rotation matrix to `D^{l+1}`.
//!
//! With the 3j symbols `C^{(l+1,l,1)}`, whose first axis spans exactly the part of degree `l+1` of the product of
//! a tensor of degree `l` and a vector, `C (D^l ⊗ R) = D^{l+1} C`. Column `j` of `D^{l+1}` then follows from a single
//! product vector that `C` maps to a multiple of component `j`: from `e_j ⊗ y` for `|j| ≤ l`, and for
//! `j = ±(l+1)` from `e_l ⊗ z − e_{−l} ⊗ x` and `e_l ⊗ x + e_{−l} ⊗ z`, as in `(z + ix)^{l+1}`. Every entry is a sum of
//! at most five products (ten in the outer columns): a polynomial of degree `l+1` in the entries of `R`, without a pole.
//! The same idea as Ivanic and Ruedenberg, J. Phys. Chem. 100, 6342 (1996), with the symbols instead of their
//! coefficients. With `D(R) = D(Rᵀ)ᵀ` the recursion for columns is one for rows as well; batches use that.
//!
//! The step is bilinear, so the form `Φ(D, R, G) = ⟨G, step(D, R)⟩` has three partial derivatives, which are the step
//! and its gradients, and the gradients of each are the other two.

mod backward;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod plan;
pub(crate) mod reference;

pub(crate) use plan::{Slot, Step, Term, X, Y, Z, steps};

use burn::tensor::Tensor;
#[cfg(feature = "cube")]
use core_tensor::ext::TensorSpec;
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension, has_kernel, zeros};
#[cfg(any(feature = "flex", feature = "cube"))]
use plan::Form;
use std::sync::Arc;

/// Everything about a partial derivative of the form that is no tensor.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    step: Arc<Step>,
    /// What is computed from the two other slots.
    slot: Slot,
}

/// What a backend with such a kernel provides.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub(crate) trait StepBackend: Backend {
    /// The partial derivative by `spec.slot` from the operands of the two other slots, in the order of
    /// [`Slot::others`], all `[batch, size, size]` with `batch > 0` and of one dtype, f32 or f64.
    #[fusion(meta = |a, _b, spec: &Spec| promised(a, spec))]
    fn wigner_step(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self>;
}

/// Shape and dtype of the result.
#[cfg(feature = "cube")]
fn promised(a: &TensorSpec, spec: &Spec) -> TensorSpec {
    let [batch, ..] = a.shape.dims::<3>();
    let size = spec.step.size(spec.slot);
    TensorSpec::new([batch, size, size].into(), a.dtype)
}

/// `D^{l+1}` of a batch, `[batch, 2l+3, 2l+3]`, from `D^l` `[batch, 2l+1, 2l+1]` and `R` `[batch, 3, 3]`, both f32 or both
/// f64. Bilinear.
pub(crate) fn advance(step: &Arc<Step>, d: Tensor<3>, r: Tensor<3>) -> Tensor<3> {
    let [batch, ..] = d.dims();
    if batch == 0 {
        let size = step.size(Slot::Next);
        return zeros([0, size, size], &d.device(), d.dtype());
    }
    if !has_kernel(&d.device(), d.dtype()) {
        return reference::advance(step, d, r);
    }
    let spec = Spec {
        step: step.clone(),
        slot: Slot::Next,
    };
    let next = Dispatch::wigner_step(d.into_dispatch(), r.into_dispatch(), spec);
    Tensor::from_dispatch(next)
}
