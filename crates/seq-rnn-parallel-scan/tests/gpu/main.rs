//! The scan kernels on a GPU against the reference, which runs in f64 on the CPU on the same numbers.
//!
//! `cargo test --features wgpu --test gpu` runs on any Vulkan driver, also on a software one.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

mod chained;
#[path = "../common/mod.rs"]
mod common;
mod exact;
mod matches;
mod numbers;

use burn::tensor::{DType, Device};
use common::{Random, Scan, Setup, compare_across};
use core_tensor::testing::{PoisonGuard, gpu_device, poison_outputs};
use seq_rnn_parallel_scan::scan::{chain_anywhere, reference, scan};
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, Transition};
use std::sync::OnceLock;

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Serial,
    Algorithm::Sweep,
    Algorithm::Chunked,
    Algorithm::Chained,
];

/// The paper's cell.
const MIN_GRU: Cell = Cell::MinGru {
    candidate: Candidate::G,
    transition: Transition::Positive,
};

/// The device under test; outputs of kernels start as NaN in the whole program, and chains run on every
/// device.
///
/// Mesa's software driver leaves a loop after 65,535 rounds, too few to wait for a thread that the system
/// has put aside. On a single thread it runs the workgroups of a launch one after the other, so
/// that in a chain whoever is waited for has finished.
fn device() -> Device {
    static START: OnceLock<PoisonGuard> = OnceLock::new();
    START.get_or_init(|| {
        // SAFETY: the driver, which alone reads the environment past the lock of the standard library,
        // is not loaded before the first device.
        #[allow(unsafe_code, reason = "there is no other way to tell the driver")]
        unsafe {
            std::env::set_var("LP_NUM_THREADS", "1");
        }
        chain_anywhere();
        poison_outputs()
    });
    gpu_device()
}

/// Values and gradients, to 4e-6 of each value plus as much of the largest.
fn matches_reference(seed: u64, cell: Cell, shape: [usize; 3], setup: &Setup) {
    let mut random = Random::new(seed, &device().autodiff(), DType::F32);
    let cpu = Device::flex().autodiff();
    let oracle = (reference::scan as Scan, &cpu, DType::F64);
    compare_across(&mut random, cell, shape, setup, 4e-6, scan, oracle);
}
