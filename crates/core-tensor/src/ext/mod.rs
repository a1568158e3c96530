//! The façade over Burn's extension machinery.
//!
//! A custom op is a trait marked [`backend_extension`] with one implementation per backend and one
//! gradient on [`Autodiff`]; everything that such a file needs from Burn comes from here, so that an
//! upgrade of Burn touches one crate. The marked trait must live in a crate that itself depends on
//! `burn` (the generated code names it) and forwards the backend features that it lists.
//!
//! What is easy to get wrong with Burn 0.22.1:
//!
//! - The selectors are `Flex`, `Cube`, `Autodiff` and `Fusion`; `Wgpu` or `Cuda` are none.
//! - An op on [`Autodiff`] finishes one tensor. An op with two differentiable results finishes two
//!   ops with the same parents, each with its own backward pass: gradients add up by linearity.
//! - Take node guards (`x.node()`) before `x.into_primitive()`; never store one in a state.
//! - The shape promised to [`fusion`](https://docs.rs/burn-fusion) is not compared with what the
//!   kernel returns: test it.
//! - After `Tensor::zeros` or `ones` without values, as of shape `[2, 0]`, Fusion runs what it fuses with it for none of its
//!   values, and leaves memory as it was. [`zeros`] makes such tensors another way.

mod poison;

#[cfg(feature = "cube")]
pub mod cube;
#[cfg(feature = "flex")]
pub mod flex;

pub use burn::backend::AutodiffBackend;
pub use burn::backend::autodiff::checkpoint::base::Checkpointer;
pub use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
pub use burn::backend::autodiff::checkpoint::state::BackwardStates;
pub use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
pub use burn::backend::autodiff::grads::Gradients;
pub use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
pub use burn::backend::autodiff::{Autodiff, NodeId};
#[cfg(feature = "cube")]
pub use burn::backend::fusion::custom::TensorSpec;
pub use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
pub use burn::backend::{Backend, Dispatch, TensorMetadata, backend_extension};
#[cfg(feature = "testing")]
pub(crate) use poison::set_poison;

use burn::tensor::{DType, Device, Tensor};

/// Whether kernels for the CPU backend take a tensor of this dtype on this device; never without feature `flex`.
pub fn has_cpu_kernel(device: &Device, dtype: DType) -> bool {
    #[cfg(feature = "flex")]
    return flex::takes(device, dtype);
    #[cfg(not(feature = "flex"))]
    {
        let _ = (device, dtype);
        false
    }
}

/// Whether kernels take a tensor of this dtype on this device: those for the CPU backend or those for GPU backends.
pub fn has_kernel(device: &Device, dtype: DType) -> bool {
    #[cfg(feature = "cube")]
    if cube::runs_on(device) {
        return true;
    }
    has_cpu_kernel(device, dtype)
}

/// Zeros of any shape. Without values the tensor comes from no operation that Fusion could fuse with others.
pub fn zeros<const D: usize>(shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    if shape.contains(&0) {
        Tensor::empty(shape, (device, dtype))
    } else {
        Tensor::zeros(shape, (device, dtype))
    }
}

/// The dtype that kernels compute and carry states in: `f64` for `f64`, otherwise `f32`.
pub fn compute_dtype(dtype: DType) -> DType {
    if dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}
