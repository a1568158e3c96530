//! The scan kernels on a GPU against the reference, which runs in f64 on the CPU on the same numbers.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

mod common;

use burn::tensor::{DType, Device};
use common::{Random, Setup, compare_across};
use core_tensor::testing::{PoisonGuard, poison_outputs};
use seq_rnn_parallel_scan::scan::{reference, scan};
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, Transition};
use std::sync::OnceLock;

/// The device under test, with autodiff; outputs of kernels start as NaN.
fn device() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    #[cfg(feature = "cuda")]
    return Device::cuda(0).autodiff();
    #[cfg(all(feature = "vulkan", not(feature = "cuda")))]
    return Device::vulkan(Default::default()).autodiff();
    #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
    return Device::wgpu(Default::default()).autodiff();
}

/// Relative to each value and to the largest of its tensor.
const BOUND: f64 = 4e-6;
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Serial, Algorithm::Sweep, Algorithm::Chunked];

fn matches(seed: u64, cell: Cell, shape: [usize; 3], setup: &Setup) {
    let mut random = Random::new(seed, &device(), DType::F32);
    let oracle = (
        reference::scan as common::Scan,
        &Device::flex().autodiff(),
        DType::F64,
    );
    compare_across(&mut random, cell, shape, setup, BOUND, scan, oracle);
}

#[test]
fn first() {
    let cell = Cell::MinGru {
        candidate: Candidate::G,
        transition: Transition::Positive,
    };
    for algorithm in ALGORITHMS {
        let start = std::time::Instant::now();
        let setup = Setup {
            algorithm,
            initial: true,
            ..Setup::default()
        };
        matches(1, cell, [2, 70, 33], &setup);
        println!("{algorithm:?} {:?}", start.elapsed());
        let start = std::time::Instant::now();
        matches(1, cell, [2, 71, 33], &setup);
        println!("{algorithm:?} {:?}", start.elapsed());
    }
}
