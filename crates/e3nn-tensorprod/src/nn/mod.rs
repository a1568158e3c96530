//! Equivariant layers: activations, gates, norms, dropout, activations on the sphere, MACE's symmetric
//! contraction.
//!
//! All take and return values `[batch, irreps.dim]` in e3nn's order (`mul_ir`: block after block, within a
//! block copy after copy), as a [`Tensor`](burn::tensor::Tensor) or, for the gradient of forces, as a
//! [`Dual`](core_tensor::dual::Dual).

mod activation;
mod batch_norm;
mod blocks;
mod dropout;
mod error;
mod fully_connected;
mod function;
mod gate;
mod layer_norm;
mod norm_activation;
mod s2;
mod symmetric_contraction;

pub use activation::{Activation, ActivationConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig, Normalize, Reduce};
pub use dropout::{Dropout, DropoutConfig};
pub use error::NnError;
pub use fully_connected::{FullyConnectedNet, FullyConnectedNetConfig};
pub use function::{ScalarFunction, SecondMoment};
pub use gate::{Gate, GateConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig, LayerNormKind};
pub use norm_activation::{NormActivation, NormActivationConfig};
pub use s2::{FromS2Grid, S2Activation, S2ActivationConfig, S2Grid, S2Normalization, ToS2Grid};
pub use symmetric_contraction::{
    Contraction, SymmetricContraction, SymmetricContractionConfig, coupling_basis,
};
