//! The GPU kernels against f64 on the CPU, and against the golden files.
//!
//! `cargo test -p e3nn-tensorprod --features core-tensor/testing,core-tensor/strict,e3nn-tensorprod/wgpu --test gpu` runs on
//! any Vulkan driver, also on a software one.
#![cfg(all(
    feature = "flex",
    feature = "import",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

#[path = "../common/mod.rs"]
mod common;
mod conv;
#[path = "../common/convolution.rs"]
mod convolution;
#[path = "../common/edges.rs"]
mod edges;
mod equivariance;
mod golden;
#[path = "../common/golden_batch_norm.rs"]
mod golden_batch_norm;
#[path = "../common/golden_forces.rs"]
mod golden_forces;
#[path = "../common/golden_harmonics.rs"]
mod golden_harmonics;
#[path = "../common/golden_import.rs"]
mod golden_import;
#[path = "../common/golden_linear.rs"]
mod golden_linear;
#[path = "../common/golden_nn.rs"]
mod golden_nn;
#[path = "../common/golden_products.rs"]
mod golden_products;
#[path = "../common/golden_radial.rs"]
mod golden_radial;
#[path = "../common/golden_s2.rs"]
mod golden_s2;
#[path = "../common/golden_symbols.rs"]
mod golden_symbols;
#[path = "../common/golden_weights.rs"]
mod golden_weights;
#[path = "../common/golden_wigner.rs"]
mod golden_wigner;
mod harmonics;
mod products;
#[path = "../common/random.rs"]
mod random;
mod so2;
mod wigner;

use burn::tensor::Device;
use core_tensor::testing::{PoisonGuard, gpu_device, poison_outputs};
use std::sync::OnceLock;

/// The device under test; outputs of kernels start as NaN in the whole program.
fn device() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    gpu_device()
}
