//! Values and gradients against the reference.

use super::common::{self, Inputs, Random, Setup, all_cells, compare_across, setups};
use super::{ALGORITHMS, MIN_GRU, device, matches_reference};
use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::scan::{reference, scan};
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, ScanOptions, Transition, linear_scan};

#[test]
fn every_cell() {
    let plain = Setup {
        initial: true,
        ..Setup::default()
    };
    let rich = Setup {
        reverse: true,
        reset: true,
        separate: true,
        checkpoint: Some(5),
        ..plain.clone()
    };
    // A kernel is compiled for each of these, which is what takes time: with all options on, an algorithm per cell in turn
    // (`every_option` has all algorithms with them).
    for (n, cell) in all_cells().into_iter().enumerate() {
        for (m, algorithm) in ALGORITHMS.into_iter().enumerate() {
            let setups = [Some(&plain), (n % ALGORITHMS.len() == m).then_some(&rich)];
            for setup in setups.into_iter().flatten() {
                let setup = Setup {
                    algorithm,
                    ..setup.clone()
                };
                matches_reference(1, cell, [2, 70, 33], &setup);
            }
        }
    }
}

#[test]
fn every_option() {
    let signed = Cell::MinGru {
        candidate: Candidate::Tanh,
        transition: Transition::SignedCoupled,
    };
    for cell in [Cell::Linear, Cell::Log, signed] {
        for algorithm in ALGORITHMS {
            for shape in [[1, 77, 5], [3, 70, 40]] {
                for setup in setups(shape[0], shape[1]) {
                    let setup = Setup { algorithm, ..setup };
                    matches_reference(2, cell, shape, &setup);
                }
            }
        }
    }
}

#[test]
fn awkward_sizes() {
    let times = [0, 1, 2, 31, 32, 33, 64, 65, 257];
    let widths = [1, 2, 31, 33, 64, 70];
    for algorithm in ALGORITHMS {
        let setup = Setup {
            initial: true,
            algorithm,
            ..Setup::default()
        };
        for (i, time) in times.into_iter().enumerate() {
            // Every time, every width, and pairs enough.
            for width in [widths[i % 6], widths[(i + 3) % 6]] {
                matches_reference(3, MIN_GRU, [2, time, width], &setup);
            }
        }
        for shape in [[0, 4, 3], [2, 3, 0], [1, 1000, 33], [40, 3, 2]] {
            matches_reference(3, Cell::Linear, shape, &setup);
        }
        let packed = Setup {
            cu_seqlens: Some(vec![0, 0, 1, 1, 66, 66, 100, 100]),
            ..setup
        };
        matches_reference(3, MIN_GRU, [1, 100, 33], &packed);
        let nothing = Setup {
            cu_seqlens: Some(vec![0, 0, 0]),
            ..packed
        };
        matches_reference(3, MIN_GRU, [1, 0, 33], &nothing);
    }
}

#[test]
fn long_sequences() {
    for algorithm in [
        Algorithm::Auto,
        Algorithm::Sweep,
        Algorithm::Chunked,
        Algorithm::Chained,
    ] {
        for (cell, checkpoint) in [(MIN_GRU, None), (Cell::Linear, Some(128))] {
            let setup = Setup {
                algorithm,
                checkpoint,
                ..Setup::default()
            };
            matches_reference(4, cell, [1, 8192, 3], &setup);
        }
    }
}

#[test]
fn half_precision() {
    for (dtype, epsilon) in [
        (DType::BF16, 2.0_f64.powi(-8)),
        (DType::F16, 2.0_f64.powi(-11)),
    ] {
        if !device().supports_dtype(dtype) {
            println!("no {dtype:?} on this device");
            continue;
        }
        let mut random = Random::new(5, &device().autodiff(), dtype);
        for algorithm in ALGORITHMS {
            for checkpoint in [None, Some(7)] {
                let setup = Setup {
                    initial: true,
                    algorithm,
                    checkpoint,
                    ..Setup::default()
                };
                let inputs = Inputs::draw(&mut random, MIN_GRU, [2, 70, 20], &setup);
                let cpu = inputs.copy_to(&Device::flex().autodiff(), DType::F64);
                let got = inputs.run(MIN_GRU, &setup, scan);
                let want = cpu.run(MIN_GRU, &setup, reference::scan);
                assert_eq!((got[0].dtype(), got[1].dtype()), (dtype, DType::F32));
                // Carried in f32, rounded once when stored.
                assert_close!(got[0].clone(), want[0].clone(), epsilon * 1.01, 1e-6);
                assert_close!(got[1].clone(), want[1].clone(), 4e-6, 1e-6);
                common::assert_all_close(got, want, 8.0 * epsilon, &format!("{setup:?}"));
            }
        }
    }
}

#[test]
fn double_precision() {
    if !device().supports_dtype(DType::F64) {
        println!("no f64 on this device");
        return;
    }
    let mut random = Random::new(6, &device().autodiff(), DType::F64);
    let cpu = Device::flex().autodiff();
    // WGSL has f64 on some devices, but no exponential of it.
    let gates = cfg!(feature = "cuda");
    for cell in [Cell::Linear, MIN_GRU, Cell::Log] {
        if cell != Cell::Linear && !gates {
            continue;
        }
        for algorithm in ALGORITHMS {
            // A chain in f64 needs atomics of 64 bits, which WGSL does not have.
            if algorithm == Algorithm::Chained && !gates {
                continue;
            }
            let setup = Setup {
                initial: true,
                algorithm,
                ..Setup::default()
            };
            let oracle = (reference::scan as common::Scan, &cpu, DType::F64);
            compare_across(&mut random, cell, [2, 70, 20], &setup, 1e-13, scan, oracle);
        }
    }
}

#[test]
fn strided_views() {
    let mut random = Random::new(7, &device(), DType::F32);
    let whole = random.uniform([6, 40, 30], -1.0, 1.0);
    let views = |whole: &Tensor<3>| {
        [
            whole.clone().slice([1..4, 3..33, 2..12]),
            whole.clone().slice([2..5, 10..40, 15..25]),
        ]
    };
    let transposed = whole.clone().swap_dims(1, 2);
    for [a, b] in [
        views(&whole),
        views(&transposed).map(|v| v.slice([0..3, 0..20, 0..10])),
    ] {
        let copy = |x: &Tensor<3>| Tensor::from_data(x.to_data(), &device());
        let got = linear_scan(a.clone(), b.clone(), ScanOptions::default());
        let want = linear_scan(copy(&a), copy(&b), ScanOptions::default());
        assert_close!(got.states, want.states, 0.0, 0.0);
    }
}
