//! Accuracy of the elementary functions, saturation, NaN and log 0.

use super::{ALGORITHMS, device};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::scan::{reference, scan};
use seq_rnn_parallel_scan::{Candidate, Cell, ScanOptions, Transition, log_scan};

use super::common::{Random, all_cells};

/// One step of a cell on every point `[p, q, r, h]`, on the GPU and in f64 on the CPU.
fn one_step(cell: Cell, points: &[[f32; 4]]) -> (TensorData, TensorData) {
    let n = cell.planes();
    let data = |from: usize, to: usize| -> TensorData {
        // One channel, one step, a sequence per point.
        let values: Vec<f32> = points.iter().flat_map(|p| p[from..to].to_vec()).collect();
        TensorData::new(values, [points.len(), to - from])
    };
    let run = |device: &Device, dtype: DType, f: super::Scan| {
        let planes = Tensor::<2>::from_data(data(0, n), (device, dtype));
        let initial = Tensor::<2>::from_data(data(3, 4), (device, dtype));
        let planes = planes.unsqueeze_dim::<3>(1);
        let options = ScanOptions::default().with_initial(initial);
        f(cell, planes.into(), options).last.into_data()
    };
    (
        run(&device(), DType::F32, scan),
        run(&Device::flex(), DType::F64, reference::scan),
    )
}

fn grid(low: f32, high: f32) -> impl Iterator<Item = f32> {
    (0..=20_000).map(move |i| low + (high - low) * i as f32 / 20_000.0)
}

#[test]
fn gates_are_accurate_to_a_few_ulp() {
    let bound = 6.0 * f64::from(f32::EPSILON);
    let lstm = Cell::MinLstm {
        candidate: Candidate::Linear,
        normalized: false,
    };
    // σ(x), down to where f32 holds no more normal numbers.
    let sigma: Vec<_> = grid(-86.0, 86.0).map(|x| [x, 0.0, 0.0, 1.0]).collect();
    let (got, want) = one_step(lstm, &sigma);
    assert_close!(got, want, bound, 0.0, "sigmoid");
    // 1 − σ(x), which is no difference.
    let gru = Cell::MinGru {
        candidate: Candidate::Linear,
        transition: Transition::Positive,
    };
    let keep: Vec<_> = grid(-86.0, 86.0).map(|x| [x, 0.0, 0.0, 1.0]).collect();
    let (got, want) = one_step(gru, &keep);
    assert_close!(got, want, bound, 0.0, "complement");
    let signed = Cell::MinGru {
        candidate: Candidate::Linear,
        transition: Transition::Signed,
    };
    for (low, high) in [(-12.0, 12.0), (-1e-2, 1e-2), (-1e-6, 1e-6)] {
        let points: Vec<_> = grid(low, high).map(|x| [0.0, 0.0, x, 1.0]).collect();
        let (got, want) = one_step(signed, &points);
        assert_close!(got, want, bound, 0.0, "tanh");
    }
    // log(1 + e^x), as the sum of two logarithms.
    let points: Vec<_> = grid(-80.0, 80.0).map(|x| [x, 0.0, 0.0, 0.0]).collect();
    let (got, want) = one_step(Cell::Log, &points);
    assert_close!(got, want, bound, 0.0, "logaddexp");
}

#[test]
fn extreme_gates_stay_finite() {
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
    let device = device().autodiff();
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
        for algorithm in ALGORITHMS {
            let options = ScanOptions::default().with_algorithm(algorithm);
            let out = scan(cell, planes.clone(), options);
            let grads = out.states.clone().sum().backward();
            for data in [
                out.states.into_data(),
                planes.grad(&grads).unwrap().into_data(),
            ] {
                assert!(data.iter::<f32>().all(f32::is_finite), "{cell:?}");
            }
        }
    }
}

#[test]
fn nan_stays_in_its_channel_and_row() {
    let device = device();
    let mut random = Random::new(8, &device, DType::F32);
    let planes = random.uniform([3, 80, 2 * 8], -1.0, 1.0);
    let poisoned = planes.clone().slice_assign(
        [1..2, 5..6, 8 + 3..8 + 4],
        Tensor::full([1, 1, 1], f32::NAN, &device),
    );
    let cell = Cell::MinGru {
        candidate: Candidate::Linear,
        transition: Transition::Positive,
    };
    for algorithm in ALGORITHMS {
        let run = |planes: Tensor<3>| {
            let options = ScanOptions::default().with_algorithm(algorithm);
            let states = scan(cell, planes, options).states;
            states.into_data().try_to_vec::<f32>().unwrap()
        };
        let (clean, got) = (run(planes.clone()), run(poisoned.clone()));
        for (i, (got, clean)) in got.iter().zip(&clean).enumerate() {
            let (row, t, channel) = (i / 640, i / 8 % 80, i % 8);
            let expected = row == 1 && channel == 3 && t >= 5;
            assert_eq!(
                got.is_nan(),
                expected,
                "row {row}, step {t}, channel {channel}"
            );
            assert!(expected || got == clean);
        }
    }
}

#[test]
fn log_zero_comes_and_goes() {
    let device = device();
    let none = f32::NEG_INFINITY;
    // Nothing, nothing added, something, kept, forgotten.
    let log_a = [0.0, -1.0, -2.0, -0.5, none];
    let log_b = [none, none, 1.0, none, none];
    let want = [none, none, 1.0, 0.5, none];
    let repeat = |x: [f32; 5]| {
        let values: Vec<f32> = x.iter().copied().cycle().take(80).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, 80, 1])
    };
    for algorithm in ALGORITHMS {
        let options = ScanOptions::default().with_algorithm(algorithm);
        let out = log_scan(repeat(log_a), repeat(log_b), options);
        let want: Vec<f32> = want.iter().copied().cycle().take(80).collect();
        assert_eq!(out.states.into_data().try_to_vec::<f32>().unwrap(), want);
    }
    // h grows by e^50 a step: beyond f32 after two steps, in log space without loss.
    for algorithm in ALGORITHMS {
        let log_a = Tensor::<3>::full([1, 1000, 1], 50.0, &device);
        let log_b = Tensor::<3>::zeros([1, 1000, 1], &device);
        let options = ScanOptions::default().with_algorithm(algorithm);
        let last: f32 = log_scan(log_a, log_b, options).last.into_scalar();
        assert!((f64::from(last) - 999.0 * 50.0).abs() < 1e-2, "{last}");
    }
}
