//! Tensor products of irreps: bilinear maps that commute with rotations and inversion, with e3nn's conventions.
//!
//! [`TensorProductConfig`] describes one, [`ProductPlan`] is one compiled, [`TensorProduct`] is the layer, [`op`] has the
//! numerical operation and its three partial derivatives.

mod builders;
mod error;
mod explain;
mod instruction;
mod layer;
mod mode;
pub mod op;
mod plan;
mod rows;
mod square;
mod tables;

pub use builders::InstructionOrder;
pub(crate) use builders::depthwise_paths;
pub use error::ProductError;
pub use explain::{Engine, Explanation, PathCost};
pub use instruction::{Instruction, IrrepNormalization, PathNormalization};
pub(crate) use layer::normal;
pub use layer::{TensorProduct, TensorProductConfig};
pub use mode::ConnectionMode;
pub use op::{Slot, partial, tensor_product, weighted_part};
#[cfg(feature = "flex")]
pub(crate) use plan::Pair;
pub use plan::{Normalization, Path, ProductPlan};
pub use rows::{RowClasses, WeightRows};
pub use square::{Norm, TensorSquare, TensorSquareConfig};
