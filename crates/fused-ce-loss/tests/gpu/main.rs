//! The GPU engine against plain tensor operations in f64 on the CPU, and against the golden files.
//!
//! `cargo test -p fused-ce-loss --features wgpu --test gpu` runs on any Vulkan driver, also on a software one.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

#[path = "../common/mod.rs"]
mod common;
mod exact;
mod golden;
mod options;

use burn::tensor::Device;
use core_tensor::testing::{PoisonGuard, gpu_device, poison_outputs};
use std::sync::OnceLock;

/// A budget that leaves the smallest panels there are: 256 rows against 256 classes.
const TINY: u64 = 1;

/// The device under test; outputs of kernels start as NaN in the whole program.
fn device() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    gpu_device()
}
