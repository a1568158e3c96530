//! The scan kernels on the CPU against the reference: values and every gradient.

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData, s};
use common::{Random, Setup, all_cells, compare, setups};
use core_tensor::assert_close;
use core_tensor::testing::{
    GradCheck, Mode, check_gradients, for_each_mode, poison_outputs, strategies,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use seq_rnn_parallel_scan::scan::{reference, scan};
use seq_rnn_parallel_scan::{
    Candidate, Cell, ScanOptions, Transition, linear_scan, log_scan, min_gru,
};

#[test]
fn every_cell_and_option_matches_the_reference() {
    let _poison = poison_outputs();
    let device = Device::flex().autodiff();
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 3e-6)] {
        let mut random = Random::new(1, &device, dtype);
        for cell in all_cells() {
            for shape in [[1, 17, 5], [3, 8, 33]] {
                for setup in setups(shape[0], shape[1]) {
                    compare(
                        &mut random,
                        cell,
                        shape,
                        &setup,
                        bound,
                        scan,
                        reference::scan,
                    );
                }
            }
        }
    }
}

#[test]
fn awkward_sizes_match_the_reference() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(2, &device, DType::F32);
    let cell = Cell::MinGru {
        candidate: Candidate::G,
        transition: Transition::Positive,
    };
    let setup = Setup {
        initial: true,
        ..Setup::default()
    };
    let sizes = [
        [1, 1, 1],
        [2, 0, 3],
        [2, 64, 63],
        [2, 65, 64],
        [1, 2, 65],
        [1, 129, 1000],
        [5, 1, 16],
        [1, 3, 2050],
    ];
    for shape in sizes {
        for cell in [Cell::Linear, cell] {
            compare(
                &mut random,
                cell,
                shape,
                &setup,
                3e-6,
                scan,
                reference::scan,
            );
        }
    }
}

/// Burn 0.22.1's own operations fail on an empty batch and on no channels, so there is no reference.
#[test]
fn no_rows_and_no_channels_are_no_errors() {
    let device = Device::flex().autodiff();
    for [batch, width] in [[0, 3], [2, 0], [0, 0]] {
        let x = Tensor::<3>::zeros([batch, 4, 2 * width], &device).require_grad();
        let options = ScanOptions::default();
        let out = min_gru(x.clone(), Candidate::G, Transition::Positive, options);
        assert_eq!(out.states.dims(), [batch, 4, width]);
        assert_eq!(out.last.dims(), [batch, width]);
        let grads = out.states.sum().backward();
        assert_eq!(x.grad(&grads).unwrap().dims(), [batch, 4, 2 * width]);
    }
}

#[test]
fn half_precision_stores_rounded_and_carries_unrounded() {
    let device = Device::flex();
    for (dtype, epsilon) in [
        (DType::BF16, 2.0_f64.powi(-7)),
        (DType::F16, 2.0_f64.powi(-10)),
    ] {
        let mut random = Random::new(3, &device, dtype);
        let planes = random.uniform([2, 300, 2 * 40], -3.0, 3.0);
        let run = |planes: Tensor<3>| {
            min_gru(
                planes,
                Candidate::Tanh,
                Transition::Positive,
                ScanOptions::default(),
            )
        };
        let (got, want) = (run(planes.clone()), run(planes.cast(DType::F32)));
        assert_eq!((got.states.dtype(), got.last.dtype()), (dtype, DType::F32));
        // Rounded once when stored: half a unit in the last place, at any length.
        assert_close!(got.states, want.states, epsilon / 2.0 * 1.01, 1e-7);
        assert_close!(got.last, want.last, 0.0, 0.0);
    }
}

#[test]
fn half_precision_gradients() {
    let device = Device::flex().autodiff();
    for (dtype, bound) in [(DType::BF16, 2e-2), (DType::F16, 3e-3)] {
        let mut random = Random::new(4, &device, dtype);
        let cell = Cell::MinLstm {
            candidate: Candidate::Tanh,
            normalized: true,
        };
        for checkpoint in [None, Some(7)] {
            let setup = Setup {
                initial: true,
                checkpoint,
                ..Setup::default()
            };
            compare(
                &mut random,
                cell,
                [2, 50, 20],
                &setup,
                bound,
                scan,
                |cell, planes, options| {
                    // The reference in f32 on the same rounded numbers.
                    let seq_rnn_parallel_scan::Planes::Packed(planes) = planes else {
                        unreachable!()
                    };
                    let dtype = planes.dtype();
                    let out = reference::scan(cell, planes.cast(DType::F32), options);
                    seq_rnn_parallel_scan::ScanOutput {
                        states: out.states.cast(dtype),
                        ..out
                    }
                },
            );
        }
    }
}

/// Logarithms of hundreds, which half precision rounds by up to a whole unit: the gradient is that of the unrounded states.
#[test]
fn half_precision_gradients_in_log_space() {
    let device = Device::flex().autodiff();
    for (dtype, bound) in [(DType::BF16, 5e-3), (DType::F16, 1e-3)] {
        let mut random = Random::new(9, &device, dtype);
        let planes = random.uniform([2, 70, 20], -200.0, 200.0);
        let weights = random.uniform([2, 70, 10], -1.0, 1.0).cast(DType::F32);
        let gradient = |dtype| {
            let planes = planes.clone().detach().cast(dtype).detach().require_grad();
            let out = scan(Cell::Log, planes.clone(), ScanOptions::default());
            let states = out.states.cast(DType::F32) * weights.clone();
            let objective = states.sum() + out.last.cast(DType::F32).sum();
            planes.grad(&objective.backward()).unwrap()
        };
        let (got, want) = (gradient(dtype), gradient(DType::F64));
        let largest: f64 = want.clone().abs().max().into_scalar();
        assert_close!(got.cast(DType::F64), want, 0.0, bound * largest);
    }
}

/// The time of checkpoints grows with the number of packed sequences, not with its square: eight times as many took over
/// forty times as long.
#[test]
fn checkpoints_of_many_packed_sequences() {
    let device = Device::flex();
    let mut random = Random::new(10, &device, DType::F32);
    let mut seconds = |count: usize| {
        let planes = random.uniform([1, 2 * count, 2], -1.0, 1.0);
        let at: Vec<usize> = (0..=count).map(|s| 2 * s).collect();
        let options = ScanOptions::default()
            .with_cu_seqlens(at)
            .with_checkpoint(2);
        let once = || {
            let start = std::time::Instant::now();
            scan(Cell::Linear, planes.clone(), options.clone());
            start.elapsed().as_secs_f64()
        };
        (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
    };
    let (few, many) = (seconds(8_000), seconds(64_000));
    assert!(many < 24.0 * few, "{few:e} s, {many:e} s");
}

#[test]
fn strided_views_are_read_in_place() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(5, &device, DType::F64);
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
        let copy = |x: &Tensor<3>| Tensor::from_data(x.to_data(), (&device, DType::F64));
        let got = linear_scan(a.clone(), b.clone(), ScanOptions::default());
        let want = linear_scan(copy(&a), copy(&b), ScanOptions::default());
        assert_close!(got.states, want.states, 0.0, 0.0);
    }
}

#[test]
fn gradients_match_finite_differences() {
    let mut rng = proptest::test_runner::TestRunner::deterministic();
    for cell in all_cells() {
        let n = cell.planes();
        let mut draw = |len| {
            strategies::values(len)
                .new_tree(&mut rng)
                .unwrap()
                .current()
                .iter()
                // The paper's g has a kink at 0, where no difference quotient is its slope.
                .map(|x| {
                    if x.abs() < 1e-3 {
                        0.5
                    } else {
                        x.clamp(-2.5, 2.5)
                    }
                })
                .collect::<Vec<f64>>()
        };
        let inputs = vec![draw(2 * 4 * n * 2), draw(2 * 2)];
        let weights = Tensor::<3>::from_data(
            TensorData::new(draw(16), [2, 4, 2]),
            (&Device::flex().autodiff(), DType::F64),
        );
        check_gradients(
            &Device::flex(),
            &inputs,
            GradCheck {
                rtol: 1e-6,
                ..GradCheck::default()
            },
            |x| {
                let planes = x[0].clone().reshape([2, 4, n * 2]);
                let out = scan(
                    cell,
                    planes,
                    ScanOptions::default().with_initial(x[1].clone().reshape([2, 2])),
                );
                (out.states * weights.clone()).sum() + out.last.powi_scalar(2).sum()
            },
        );
    }
}

#[test]
fn gradients_in_every_mode() {
    let run = |device: &Device| {
        let mut random = Random::new(6, device, DType::F32);
        let planes = random.uniform([2, 20, 12], -2.0, 2.0);
        let planes = if device.is_autodiff() {
            planes.require_grad()
        } else {
            planes
        };
        let out = min_gru(
            planes.clone() * 1.5,
            Candidate::G,
            Transition::Positive,
            ScanOptions::default(),
        );
        (planes, out)
    };
    let (planes, out) = run(&Device::flex().autodiff());
    let want = planes.grad(&out.states.sum().backward()).unwrap();
    for_each_mode(&Device::flex(), |mode, device| {
        let (planes, out) = run(device);
        assert_close!(out.states.clone(), run(&Device::flex()).1.states, 0.0, 0.0);
        if mode != Mode::Plain {
            let grads = out.states.sum().backward();
            assert_close!(
                planes.grad(&grads).unwrap(),
                want.clone(),
                0.0,
                0.0,
                "{mode:?}"
            );
        }
    });
}

#[test]
fn extreme_gates_stay_finite_and_exact() {
    let device = Device::flex().autodiff();
    let values = [
        -100.0,
        -88.9,
        -30.0,
        0.0,
        30.0,
        88.9,
        100.0,
        f32::MAX,
        f32::MIN,
    ];
    for cell in all_cells() {
        if matches!(cell, Cell::Linear | Cell::Log) {
            continue;
        }
        let n = cell.planes();
        let combinations = values.len().pow(n as u32);
        let pick = |i: usize, p: usize| {
            let v = values[i / values.len().pow(p as u32) % values.len()];
            // The candidate is not a logit: a huge one makes a huge state, by definition.
            v.clamp(-1e3, 1e3)
        };
        let data: Vec<f32> = (0..combinations)
            .flat_map(|i| (0..n).map(move |p| pick(i, p)))
            .collect();
        let planes = Tensor::<3>::from_data(TensorData::new(data, [1, combinations, n]), &device)
            .require_grad();
        let out = scan(cell, planes.clone(), ScanOptions::default());
        let grads = out.states.clone().sum().backward();
        for data in [
            out.states.into_data(),
            planes.grad(&grads).unwrap().into_data(),
        ] {
            assert!(data.iter::<f32>().all(f32::is_finite), "{cell:?}");
        }
    }
    // Gates of exactly 0 and 1.
    let a = Tensor::<3>::from_floats([[[0.0], [1.0], [1.0], [0.0]]], &device);
    let b = Tensor::<3>::from_floats([[[3.0], [1.0], [0.0], [7.0]]], &device);
    let out = linear_scan(a.clone(), b.clone(), ScanOptions::default());
    assert_eq!(
        out.states.to_data().try_to_vec::<f32>().unwrap(),
        [3.0, 4.0, 4.0, 7.0]
    );
    let out = log_scan(a.log(), b.log(), ScanOptions::default());
    assert_close!(
        out.states.exp(),
        Tensor::<3>::from_floats([[[3.0], [4.0], [4.0], [7.0]]], &device),
        1e-6,
        0.0
    );
}

#[test]
fn log_space_holds_what_a_float_cannot() {
    // h grows by e^50 a step: beyond f32 after two steps, in log space without loss.
    let device = Device::flex();
    let log_a = Tensor::<3>::full([1, 1000, 1], 50.0, &device);
    let log_b = Tensor::<3>::zeros([1, 1000, 1], &device);
    let out = log_scan(log_a, log_b, ScanOptions::default());
    let last: f32 = out.last.into_scalar();
    assert!((f64::from(last) - 999.0 * 50.0).abs() < 1e-2, "{last}");
}

#[test]
fn nan_stays_in_its_channel_and_row() {
    let device = Device::flex();
    let mut random = Random::new(8, &device, DType::F32);
    let planes = random.uniform([3, 20, 2 * 8], -1.0, 1.0);
    let run = |planes: Tensor<3>| {
        min_gru(
            planes,
            Candidate::Linear,
            Transition::Positive,
            ScanOptions::default(),
        )
        .states
    };
    let clean = run(planes.clone()).into_data().try_to_vec::<f32>().unwrap();
    let poisoned = planes.slice_assign(
        [1..2, 5..6, 8 + 3..8 + 4],
        Tensor::full([1, 1, 1], f32::NAN, &device),
    );
    let got = run(poisoned).into_data().try_to_vec::<f32>().unwrap();
    for (i, (got, clean)) in got.iter().zip(&clean).enumerate() {
        let (row, t, channel) = (i / 160, i / 8 % 20, i % 8);
        let expected = row == 1 && channel == 3 && t >= 5;
        assert_eq!(
            got.is_nan(),
            expected,
            "row {row}, step {t}, channel {channel}"
        );
        assert!(expected || got == clean);
    }
}

#[test]
#[should_panic(expected = "expected an initial state [sequences, channels] = [2, 4], got [1, 4]")]
fn a_wrong_initial_state_is_refused() {
    let device = Device::flex();
    let x = Tensor::<3>::zeros([2, 3, 4], &device);
    linear_scan(
        x.clone(),
        x,
        ScanOptions::default().with_initial(Tensor::zeros([1, 4], &device)),
    );
}

#[test]
#[should_panic(
    expected = "expected cu_seqlens to rise from 0 to the number of steps 3, got [0, 2]"
)]
fn wrong_cumulative_lengths_are_refused() {
    let x = Tensor::<3>::zeros([1, 3, 4], &Device::flex());
    linear_scan(
        x.clone(),
        x,
        ScanOptions::default().with_cu_seqlens(vec![0, 2]),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any split of the time axis with a carried state, single steps, and a packed batch have the bits
    /// of the full run.
    #[test]
    fn any_split_has_the_same_bits(
        at in strategies::cumulative_lengths(5, 40),
        width in strategies::awkward_size(70),
        seed in any::<u64>(),
        reverse in any::<bool>(),
    ) {
        let device = Device::flex();
        let time = *at.last().unwrap();
        let mut random = Random::new(seed, &device, DType::F32);
        let planes = random.uniform([1, time, 3 * width], -4.0, 4.0);
        let cell = Cell::MinGru { candidate: Candidate::G, transition: Transition::SignedCoupled };
        let options = || ScanOptions::default().with_reverse(reverse);
        let full = scan(cell, planes.clone(), options());
        let mut state = Tensor::<2>::zeros([1, width], &device);
        let mut pieces: Vec<_> = at.windows(2).collect();
        if reverse {
            pieces.reverse();
        }
        for w in pieces {
            let piece = planes.clone().slice(s![.., w[0]..w[1]]);
            let out = scan(cell, piece, options().with_initial(state));
            let want = full.states.clone().slice(s![.., w[0]..w[1]]);
            prop_assert!(out.states.into_data() == want.into_data());
            state = out.last;
        }
        prop_assert!(state.into_data() == full.last.into_data());
        let packed = scan(cell, planes.clone(), options().with_cu_seqlens(at.clone()));
        for (s, w) in at.windows(2).enumerate() {
            let alone = scan(cell, planes.clone().slice(s![.., w[0]..w[1]]), options());
            let got = packed.states.clone().slice(s![.., w[0]..w[1]]);
            prop_assert!(got.into_data() == alone.states.into_data());
            prop_assert!(packed.last.clone().narrow(0, s, 1).into_data() == alone.last.into_data());
        }
    }

    /// A state lies between the smallest and the largest of initial state and candidates so far.
    #[test]
    fn min_gru_and_normalized_min_lstm_stay_in_the_hull(seed in any::<u64>(), time in 1..60_usize) {
        let device = Device::flex();
        let mut random = Random::new(seed, &device, DType::F32);
        let gru = Cell::MinGru { candidate: Candidate::Linear, transition: Transition::Positive };
        let lstm = Cell::MinLstm { candidate: Candidate::Linear, normalized: true };
        for (cell, gates) in [(gru, 1), (lstm, 2)] {
            let planes = random.uniform([1, time, gates + 1], -20.0, 20.0);
            let states = scan(cell, planes.clone(), ScanOptions::default()).states;
            let states = states.into_data().try_to_vec::<f32>().unwrap();
            let candidates = planes.narrow(2, gates, 1).into_data().try_to_vec::<f32>().unwrap();
            let (mut low, mut high) = (0.0_f32, 0.0_f32);
            for (h, c) in states.iter().zip(&candidates) {
                (low, high) = (low.min(*c), high.max(*c));
                prop_assert!(*h >= low - 1e-5 && *h <= high + 1e-5, "{h} not in [{low}, {high}]");
            }
        }
    }
}
