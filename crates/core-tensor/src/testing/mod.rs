//! The test kit: comparisons that fail on NaN, gradient checks, output poisoning and proptest
//! strategies, for the crates of this workspace and for layers of your own.

mod bench;
mod close;
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
mod gpu;
mod gradcheck;
mod modes;
mod peer;
mod poison;
pub mod strategies;

pub use bench::{check_only, median};
pub use close::{Differences, IntoTestData, assert_close_values, differences};
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
pub use gpu::gpu_device;
pub use gradcheck::{GradCheck, check_gradients};
pub use modes::{Mode, for_each_mode};
pub use peer::Peer;
pub use poison::{PoisonGuard, poison_outputs};
