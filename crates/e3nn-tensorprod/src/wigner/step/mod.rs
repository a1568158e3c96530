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

#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod flex;
mod plan;
pub(crate) mod reference;

pub(crate) use plan::{Slot, Step, Term, X, Y, Z, steps};

use burn::tensor::Tensor;
#[cfg(feature = "flex")]
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension};
use std::sync::Arc;

/// Everything about a partial derivative of the form that is no tensor.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    step: Arc<Step>,
    /// What is computed from the two other slots.
    slot: Slot,
}

/// What a backend with such a kernel provides.
#[cfg(feature = "flex")]
#[backend_extension(Autodiff, Flex)]
pub(crate) trait StepBackend: Backend {
    /// The partial derivative by `spec.slot` from the operands of the two other slots, in the order of
    /// [`Slot::others`], all `[batch, size, size]` with `batch > 0` and of one dtype, f32 or f64.
    fn wigner_step(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self>;
}

/// `D^{l+1}` of a batch, `[batch, 2l+3, 2l+3]`, from `D^l` `[batch, 2l+1, 2l+1]` and `R` `[batch, 3, 3]`, both f32 or both
/// f64. Bilinear. A kernel on the CPU, plain tensor operations elsewhere.
pub(crate) fn advance(step: &Arc<Step>, d: Tensor<3>, r: Tensor<3>) -> Tensor<3> {
    if d.dims()[0] == 0 {
        return reference::advance(step, d, r);
    }
    #[cfg(feature = "flex")]
    {
        if core_tensor::ext::flex::takes(&d.device(), d.dtype()) {
            let spec = Spec {
                step: step.clone(),
                slot: Slot::Next,
            };
            let next = Dispatch::wigner_step(d.into_dispatch(), r.into_dispatch(), spec);
            return Tensor::from_dispatch(next);
        }
    }
    #[cfg(feature = "cube")]
    core_tensor::ext::cube::fall_back(
        "Wigner D matrices",
        "no kernel for this device; they are computed by plain tensor operations",
    );
    reference::advance(step, d, r)
}
