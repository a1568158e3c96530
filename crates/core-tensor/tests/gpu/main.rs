//! The GPU kernels against f64 on the CPU.
//!
//! `cargo test -p core-tensor --features wgpu,testing --test gpu` runs on any Vulkan driver, also on a software one.
#![cfg(all(
    feature = "testing",
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

mod graph;
#[path = "../common/graphs.rs"]
mod graphs;
mod product;
#[path = "../common/products.rs"]
mod products;

use burn::tensor::Device;
use core_tensor::testing::{PoisonGuard, gpu_device, poison_outputs};
use std::sync::OnceLock;

/// The device under test; outputs of kernels start as NaN in the whole program.
fn device() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    gpu_device()
}
