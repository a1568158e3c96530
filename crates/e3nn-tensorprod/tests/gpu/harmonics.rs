//! Spherical harmonics.

use crate::device;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::sh::{
    Normalization, Spec, reference, spherical_harmonics, spherical_harmonics_gradient,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers that f32 holds exactly, so that both sides see the same.
fn draw(seed: u64, rows: usize, columns: usize) -> TensorData {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut next = || f64::from(rng.random_range(-1.5..1.5_f32));
    let values: Vec<f64> = (0..rows * columns).map(|_| next()).collect();
    TensorData::new(values, [rows, columns])
}

fn tensor(data: &TensorData, device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(data.clone(), (device, dtype))
}

/// Values, tangents and gradients of a loss of both, by vectors and directions; then the gradient as an op and the
/// gradients of that.
fn everything(
    spec: &Spec,
    points: usize,
    device: &Device,
    dtype: DType,
    fast: bool,
) -> Vec<TensorData> {
    let device = device.clone().autodiff();
    let input = |seed, columns| tensor(&draw(seed, points, columns), &device, dtype);
    let tracked = |seed, columns| input(seed, columns).require_grad();
    // The reference tracks nothing of degree 0 by itself.
    let all = |tracked: [&Tensor<2>; 2]| {
        let [a, b] = tracked.map(|x| x.clone().square().sum());
        a + b
    };
    let data = |x: Option<Tensor<2>>| x.expect("tracked").into_data();
    let (n, unit) = (spec.normalization, spec.normalize);

    let (v, t) = (tracked(1, 3), tracked(2, 3));
    let x = Dual::new(v.clone(), t.clone());
    let y = if fast {
        spherical_harmonics(&spec.degrees, x, unit, n)
    } else {
        reference::spherical_harmonics(spec, x)
    };
    let (y, tangent) = (y.value.clone(), y.tangent_or_zeros());
    let loss = y.clone() * input(3, spec.dim()) + tangent.clone() * input(4, spec.dim());
    let grads = (loss.sum() + all([&v, &t])).backward();
    let mut results = vec![
        y.into_data(),
        tangent.into_data(),
        data(v.grad(&grads)),
        data(t.grad(&grads)),
    ];

    let (v, cot) = (tracked(1, 3), tracked(5, spec.dim()));
    let gradients = if fast {
        spherical_harmonics_gradient(&spec.degrees, v.clone(), cot.clone(), unit, n)
    } else {
        reference::gradient(spec, v.clone(), cot.clone())
    };
    let loss = (gradients.clone() * input(6, 3)).sum();
    let grads = (loss + all([&v, &cot])).backward();
    results.extend([
        gradients.into_data(),
        data(v.grad(&grads)),
        data(cot.grad(&grads)),
    ]);
    results
}

fn agrees(spec: &Spec, points: usize, bound: f64) {
    let got = everything(spec, points, &device(), DType::F32, true);
    let want = everything(spec, points, &Device::flex(), DType::F64, false);
    for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
        assert_eq!(got.dtype(), DType::F32);
        let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
        assert_close!(
            got,
            want,
            bound,
            bound * scale,
            "{spec:?}, {points} points, result {i}"
        );
    }
}

fn spec(degrees: &[usize], normalize: bool, normalization: Normalization) -> Spec {
    Spec {
        degrees: degrees.into(),
        normalize,
        normalization,
    }
}

#[test]
fn every_output_agrees_with_the_reference() {
    let cases: [&[usize]; 6] = [
        &[0],
        &[1],
        &[2, 0, 1, 1],
        &[0, 1, 2, 3, 4],
        &[3, 8, 5],
        &[7, 2, 11],
    ];
    for degrees in cases {
        for (normalize, n) in [
            (true, Normalization::Norm),
            (false, Normalization::Integral),
        ] {
            for points in [1, 2, 63, 64, 65, 1000] {
                agrees(&spec(degrees, normalize, n), points, 2e-6);
            }
        }
    }
}

#[test]
fn degrees_beyond_the_range_of_f32() {
    agrees(&spec(&[24], true, Normalization::Component), 65, 5e-6);
    if !device().supports_dtype(DType::F64) {
        println!("no f64 on this device: higher degrees run on the CPU, which `strict` forbids");
        return;
    }
    agrees(&spec(&[26, 40], true, Normalization::Norm), 65, 2e-6);
}

#[test]
fn f64() {
    if !device().supports_dtype(DType::F64) {
        println!("no f64 on this device");
        return;
    }
    for degrees in [&[2, 0, 1, 1][..], &[3, 8, 5], &[7, 2, 30]] {
        let spec = spec(degrees, true, Normalization::Component);
        let got = everything(&spec, 65, &device(), DType::F64, true);
        let want = everything(&spec, 65, &Device::flex(), DType::F64, false);
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
            assert_close!(got, want, 1e-12, 1e-12 * scale, "{spec:?}, result {i}");
        }
    }
}

/// Zero, poles, tiny and large vectors: all outputs are finite, zero vectors count for nothing.
#[test]
fn zero_and_the_poles() {
    let special = [
        [0.0_f32, 0.0, 0.0],
        [-0.0, 0.0, -0.0],
        [0.0, 1.0, 0.0],
        [0.0, -10.0, 0.0],
        [2e-38, 0.0, 0.0],
        [0.0, 3e38, 3e38],
        [0.0, 0.0, 1e-3],
    ];
    let device = device().autodiff();
    let input = |rows: &[[f32; 3]]| {
        let data = TensorData::new(rows.as_flattened().to_vec(), [rows.len(), 3]);
        Tensor::<2>::from_data(data, (&device, DType::F32))
    };
    for degrees in [&[0, 1, 2, 3, 4][..], &[0, 1, 2, 3, 4, 9]] {
        let dim: usize = degrees.iter().map(|l| 2 * l + 1).sum();
        let n = Normalization::Component;
        let y = |rows: &[[f32; 3]]| spherical_harmonics(degrees, input(rows), true, n);
        let values = y(&special).into_data();
        let values: Vec<f32> = values.iter::<f32>().collect();
        assert!(values.iter().all(|y| y.is_finite()), "{values:?}");
        for zero in 0..2 {
            let row = &values[zero * dim..(zero + 1) * dim];
            assert!(row[0] == 1.0 && row[1..].iter().all(|&y| y == 0.0));
        }
        // Short and long vectors are normalised in full.
        let want = y(&[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]).into_data();
        let want: Vec<f32> = want.iter::<f32>().collect();
        for (i, want) in want.iter().enumerate() {
            let got = values[4 * dim + i];
            assert!((got - want).abs() < 2e-6, "{i}: {got}, {want}");
        }
        // Second derivatives, where 1/|v|² is in range.
        let rows = [special[0], special[1], special[2], special[3], special[6]];
        let v = input(&rows).require_grad();
        let y = spherical_harmonics(degrees, Dual::new(v.clone(), v.ones_like()), true, n);
        let loss = y.value.sum() + y.tangent.expect("a tangent").sum();
        let grads = loss.backward();
        let h = v.grad(&grads).expect("a gradient").into_data();
        let h: Vec<f32> = h.iter::<f32>().collect();
        assert!(h.iter().all(|x| x.is_finite()) && h[..6].iter().all(|&x| x == 0.0));
    }
}

#[test]
fn nan_stays_in_its_row() {
    let rows = vec![f32::NAN, 1.0, 0.0, 1.0, 2.0, 3.0];
    let v = Tensor::<2>::from_data(TensorData::new(rows, [2, 3]), (&device(), DType::F32));
    let y = spherical_harmonics(&[1, 3], v, true, Normalization::Norm).into_data();
    let y: Vec<f32> = y.iter::<f32>().collect();
    assert!(y[0].is_nan() && y[10..].iter().all(|y| y.is_finite()));
}

#[test]
fn reruns_have_the_same_bits() {
    for degrees in [&[0, 1, 2, 3][..], &[3, 9]] {
        let spec = spec(degrees, true, Normalization::Component);
        let first = everything(&spec, 1000, &device(), DType::F32, true);
        for _ in 0..3 {
            assert_eq!(everything(&spec, 1000, &device(), DType::F32, true), first);
        }
        // Of a point alone.
        let y = |v: Tensor<2>| spherical_harmonics(degrees, v, true, Normalization::Component);
        let v = tensor(&draw(1, 1000, 3), &device(), DType::F32);
        let together = y(v.clone()).narrow(0, 77, 1).into_data();
        assert_eq!(y(v.narrow(0, 77, 1)).into_data(), together);
    }
}

#[test]
fn empty_strided_and_half_precision_inputs() {
    let n = Normalization::Component;
    let device = device();
    let none = Tensor::<2>::empty([0, 3], (&device, DType::F32));
    assert_eq!(spherical_harmonics(&[0, 3], none, true, n).dims(), [0, 8]);
    let v = tensor(&draw(1, 9, 3), &device, DType::F32);
    assert_eq!(spherical_harmonics(&[], v.clone(), true, n).dims(), [9, 0]);
    let want = spherical_harmonics(&[2], v.clone(), true, n).into_data();
    let strided = tensor(&draw(1, 9, 3), &Device::flex(), DType::F32).transpose();
    let strided = Tensor::<2>::from_data(strided.into_data(), (&device, DType::F32)).transpose();
    let got = spherical_harmonics(&[2], strided, true, n);
    assert_close!(got, want, 0.0, 0.0);
    for dtype in [DType::BF16, DType::F16] {
        if !device.supports_dtype(dtype) {
            println!("no {dtype:?} on this device");
            continue;
        }
        let half = v.clone().cast(dtype);
        let want = spherical_harmonics(&[0, 2], half.clone().cast(DType::F32), true, n).cast(dtype);
        let got = spherical_harmonics(&[0, 2], half, true, n);
        assert_close!(got, want, 0.0, 0.0);
    }
}
