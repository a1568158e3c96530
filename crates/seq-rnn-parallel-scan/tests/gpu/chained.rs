//! The chain of cubes: the states of the serial kernel to the bit, whatever the order in which cubes run.

use super::common::{Inputs, Random, Setup, assert_all_close, setups};
use super::{MIN_GRU, device, matches_reference};
use burn::tensor::{DType, Tensor, TensorData, s};
use seq_rnn_parallel_scan::scan::scan;
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, ScanOptions, Transition};

fn run(inputs: &Inputs, cell: Cell, setup: &Setup, algorithm: Algorithm) -> Vec<TensorData> {
    let setup = Setup {
        algorithm,
        ..setup.clone()
    };
    inputs.run(cell, &setup, scan)
}

/// The same bits in states and last states. Gradients are products that a compiler may round in another
/// order: the same to 1e-6 of the largest.
fn same_as_serial(inputs: &Inputs, cell: Cell, setup: &Setup, what: &str) {
    let mut want = run(inputs, cell, setup, Algorithm::Serial);
    let mut got = run(inputs, cell, setup, Algorithm::Chained);
    let gradients = (got.split_off(2), want.split_off(2));
    for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
        let bits = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
        assert!(bits(got) == bits(want), "{what}, result {i}");
    }
    assert_all_close(gradients.0, gradients.1, 1e-6, what);
}

/// Around the lengths of a piece forwards (128) and backwards (64), for several pieces, sequences
/// and groups of channels.
#[test]
fn bits_of_the_serial_kernel() {
    let device = device().autodiff();
    let signed = Cell::MinGru {
        candidate: Candidate::Tanh,
        transition: Transition::SignedCoupled,
    };
    let lstm = Cell::MinLstm {
        candidate: Candidate::G,
        normalized: true,
    };
    let mut random = Random::new(11, &device, DType::F32);
    for (cell, shape) in [
        (MIN_GRU, [1, 1, 1]),
        (signed, [2, 63, 5]),
        (Cell::Linear, [2, 64, 32]),
        (lstm, [1, 65, 33]),
        (Cell::Log, [3, 127, 2]),
        (Cell::Linear, [2, 128, 64]),
        (MIN_GRU, [2, 129, 70]),
        (signed, [1, 700, 33]),
    ] {
        for setup in setups(shape[0], shape[1]) {
            let inputs = Inputs::draw(&mut random, cell, shape, &setup);
            same_as_serial(
                &inputs,
                cell,
                &setup,
                &format!("{cell:?} {shape:?} {setup:?}"),
            );
        }
    }
}

/// Packed sequences of no, few and many pieces, in every combination of options.
#[test]
fn packed_sequences_of_every_length() {
    let at = vec![0, 0, 1, 64, 128, 257, 257, 700, 828, 830];
    let mut random = Random::new(12, &device().autodiff(), DType::F32);
    for bits in 0..8 {
        let setup = Setup {
            reverse: bits & 1 != 0,
            reset: bits & 2 != 0,
            checkpoint: (bits & 4 != 0).then_some(48),
            initial: true,
            cu_seqlens: Some(at.clone()),
            ..Setup::default()
        };
        let shape = [1, 830, 37];
        let inputs = Inputs::draw(&mut random, MIN_GRU, shape, &setup);
        same_as_serial(&inputs, MIN_GRU, &setup, &format!("{setup:?}"));
        let setup = Setup {
            algorithm: Algorithm::Chained,
            ..setup
        };
        matches_reference(13, MIN_GRU, shape, &setup);
    }
}

/// Twenty runs, in which tickets fall as they may.
#[test]
fn twenty_reruns() {
    for (cell, reverse) in [(MIN_GRU, false), (Cell::Log, true)] {
        let setup = Setup {
            initial: true,
            reset: true,
            reverse,
            ..Setup::default()
        };
        let mut random = Random::new(14, &device().autodiff(), DType::F32);
        let inputs = Inputs::draw(&mut random, cell, [3, 1000, 70], &setup);
        let first = run(&inputs, cell, &setup, Algorithm::Chained);
        for rerun in 1..20 {
            let again = run(&inputs, cell, &setup, Algorithm::Chained);
            assert!(again == first, "{cell:?}, run {rerun}");
        }
    }
}

/// The same bits in any split, as the serial kernel promises.
#[test]
fn same_bits_in_any_split() {
    let (device, width) = (device(), 33);
    let mut random = Random::new(15, &device, DType::F32);
    let planes = random.uniform([1, 600, 2 * width], -4.0, 4.0);
    let options = || ScanOptions::default().with_algorithm(Algorithm::Chained);
    let full = scan(MIN_GRU, planes.clone(), options());
    for at in [
        vec![0, 1, 130, 600],
        vec![0, 128, 256, 600],
        vec![0, 599, 600],
    ] {
        let mut state = Tensor::<2>::zeros([1, width], &device);
        for w in at.windows(2) {
            let piece = planes.clone().slice(s![.., w[0]..w[1]]);
            let out = scan(MIN_GRU, piece, options().with_initial(state));
            let want = full.states.clone().slice(s![.., w[0]..w[1]]);
            assert!(out.states.into_data() == want.into_data());
            state = out.last;
        }
        assert!(state.into_data() == full.last.clone().into_data());
    }
}

/// Carries of every kind of bits get through: infinities, NaN (which stays NaN), both zeros.
#[test]
fn every_carry_gets_through() {
    let device = device();
    let all_ones = f32::from_bits(u32::MAX);
    let carries = [
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        all_ones,
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        -1.5,
    ];
    let n = carries.len();
    // Four pieces that keep the state as it is.
    let planes = |value: f32| Tensor::<3>::full([1, 512, n], value, &device);
    let initial = TensorData::new(carries.to_vec(), [1, n]);
    let options = ScanOptions::default()
        .with_initial(Tensor::from_data(initial, &device))
        .with_algorithm(Algorithm::Chained);
    let out = scan(Cell::Linear, [planes(1.0), planes(-0.0)], options);
    let got: Vec<f32> = out.last.into_data().try_to_vec().unwrap();
    for (got, want) in got.into_iter().zip(carries) {
        assert!(
            got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
            "{got:?} {want:?}"
        );
    }
}
