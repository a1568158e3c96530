#![doc = include_str!("../README.md")]

pub mod conv;
#[cfg(feature = "cube")]
mod cube;
mod form;
#[cfg(feature = "flex")]
mod gemm;
#[cfg(feature = "import")]
pub mod import;
pub mod irreps;
mod linear;
pub mod nn;
pub mod product;
pub mod radial;
pub mod rotation;
pub mod sh;
pub mod so2;
pub mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "recipes")]
pub mod tetris;
pub mod weights;
pub mod wigner;

pub use conv::{ConvError, ConvPath, Convolution, ConvolutionConfig, Paths, convolve};
pub use irreps::{
    Irrep, Irreps, IrrepsError, IrrepsProblem, MulIrrep, Parity, SortOrder, SortedIrreps,
};
pub use linear::{Biases, Linear, LinearConfig};
pub use product::{ProductError, ProductPlan, TensorProduct, TensorProductConfig};
pub use so2::{EdgeFrames, EdgeProduct, EdgeProductConfig, So2Linear, So2LinearConfig};
pub use tensor::{IrrepsTensor, Layout};
pub use wigner::{W3jConvention, Wigner3j, wigner_3j};
