//! Spherical harmonics against e3nn, sphericart, the reference and finite differences.

mod common;
#[path = "common/golden_harmonics.rs"]
mod golden_harmonics;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::{GradCheck, check_gradients, differences, poison_outputs};
use e3nn_tensorprod::sh::{self, Evaluator, Normalization, Spec, reference, spherical_harmonics};
use golden_harmonics::{up_to, values};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(seed: u64, points: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..3 * points)
        .map(|_| rng.random_range(-1.5..1.5))
        .collect()
}

fn tensor(values: &[f64], columns: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let shape = [values.len() / columns, columns];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

#[test]
fn values_are_those_of_e3nn() {
    let _poison = poison_outputs();
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_harmonics::values_are_those_of_e3nn(&Device::flex(), dtype, bound);
    }
}

#[test]
fn first_and_second_derivatives_are_those_of_e3nn() {
    let _poison = poison_outputs();
    for (dtype, bounds) in [(DType::F64, [1e-12, 1e-10]), (DType::F32, [1e-5, 1e-5])] {
        golden_harmonics::derivatives_are_those_of_e3nn(&Device::flex(), dtype, bounds);
    }
}

#[test]
fn degrees_to_30_are_those_of_sphericart() {
    let _poison = poison_outputs();
    for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        golden_harmonics::tensors_are_those_of_sphericart(&Device::flex(), dtype, 30, bound);
    }
    let points = Golden::open("sphericart_l30").values("xyz");
    let points = points.as_chunks::<3>().0;
    let y = sh::evaluate::<f64>(&up_to(30), points, false, Normalization::Component);
    for axis in 0..3 {
        let rows = y.gradients.chunks(31 * 31).skip(axis).step_by(3);
        let slopes: Vec<f64> = rows.flatten().copied().collect();
        golden_harmonics::are_those_of_sphericart(&y.values, &slopes, axis, 30, 1e-13);
    }
}

/// Unit vectors all over the sphere, many near the poles.
fn directions() -> Vec<[f64; 3]> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut all = vec![
        [0.0, 1.0, 0.0],
        [0.0, -1.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, -1.0],
    ];
    for i in 0..400 {
        let alpha = rng.random_range(0.0..6.3_f64);
        let beta = match i % 4 {
            0 => 10_f64.powf(rng.random_range(-12.0..0.0)),
            1 => core::f64::consts::PI - 10_f64.powf(rng.random_range(-12.0..0.0)),
            _ => rng.random_range(0.0..3.2),
        };
        all.push([
            beta.sin() * alpha.sin(),
            beta.cos(),
            beta.sin() * alpha.cos(),
        ]);
    }
    all
}

#[test]
fn norms_are_right_at_any_degree() {
    let points = directions();
    for l in [0, 1, 2, 6, 7, 30, 100, 200] {
        let y = Evaluator::<f64>::new(&[l], true, Normalization::Norm).values(&points);
        for (row, v) in y.chunks(2 * l + 1).zip(&points) {
            let norm: f64 = row.iter().map(|y| y * y).sum();
            assert!((norm - 1.0).abs() < 1e-12, "l = {l}, {v:?}: {norm}");
        }
        // f32 tensors, whatever the degree.
        let flat: Vec<f64> = points.iter().flatten().copied().collect();
        let v = tensor(&flat, 3, &Device::flex(), DType::F32);
        let y = values(spherical_harmonics(&[l], v, true, Normalization::Norm));
        for row in y.chunks(2 * l + 1) {
            let norm: f64 = row.iter().map(|y| y * y).sum();
            assert!((norm - 1.0).abs() < 3e-6, "f32, l = {l}: {norm}");
        }
    }
}

#[test]
fn f32_is_accurate() {
    let points: Vec<[f32; 3]> = directions().iter().map(|v| v.map(|x| x as f32)).collect();
    let wide: Vec<[f64; 3]> = points.iter().map(|v| v.map(f64::from)).collect();
    for (lmax, bound) in [(6, 1.2e-6), (12, 3e-6)] {
        let n = Normalization::Component;
        let got = sh::evaluate::<f32>(&up_to(lmax), &points, false, n);
        let want = sh::evaluate::<f64>(&up_to(lmax), &wide, false, n);
        let got: Vec<f64> = got.values.iter().map(|&y| f64::from(y)).collect();
        let d = differences(&got, &want.values, 0.0, bound);
        println!("lmax {lmax}: {d}");
        assert_eq!(d.worst, None, "{d}");
    }
}

/// Awkward numbers of points, degrees in any order, every output, kernel against reference.
#[test]
fn kernels_match_the_reference() {
    let _poison = poison_outputs();
    let cases: [&[usize]; 6] = [
        &[0],
        &[1],
        &[2, 0, 1, 1],
        &[3, 4, 5],
        &[0, 1, 2, 3, 4, 5, 6],
        &[7, 2, 11],
    ];
    for degrees in cases {
        for points in [1, 2, 7, 8, 9, 15, 16, 17, 1025] {
            for (unit, n) in [
                (true, Normalization::Norm),
                (false, Normalization::Integral),
            ] {
                let spec = Spec {
                    degrees: degrees.into(),
                    normalize: unit,
                    normalization: n,
                };
                let run = |fast: bool, dtype: DType| -> Vec<Tensor<2>> {
                    let device = Device::flex().autodiff();
                    let draw = |seed: u64, columns: usize| {
                        let x: Vec<f64> = random(seed, points * columns);
                        tensor(&x[..points * columns], columns, &device, dtype).require_grad()
                    };
                    let (v, t) = (draw(1, 3), draw(2, 3));
                    let (g, h) = (draw(4, spec.dim()), draw(5, spec.dim()));
                    let x = Dual::new(v.clone(), t.clone());
                    let y = if fast {
                        spherical_harmonics(degrees, x, unit, n)
                    } else {
                        reference::spherical_harmonics(&spec, x)
                    };
                    let tangent = y.tangent_or_zeros();
                    let loss = y.value.clone() * g + tangent.clone() * h;
                    let grads = loss.sum().backward();
                    let zero = || v.clone().inner().zeros_like();
                    vec![
                        y.value.inner(),
                        tangent.inner(),
                        v.grad(&grads).unwrap_or_else(zero),
                        t.grad(&grads).unwrap_or_else(zero),
                    ]
                };
                for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 2e-6)] {
                    for (got, want) in run(true, dtype).into_iter().zip(run(false, DType::F64)) {
                        let scale: f64 = want.clone().abs().max().into_scalar();
                        assert_close!(
                            got.cast(DType::F64),
                            want,
                            bound,
                            bound * scale.max(1e-3),
                            "{degrees:?}, {points} points, unit {unit}, {dtype:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_of_the_tangent_against_finite_differences() {
    for unit in [true, false] {
        let inputs = [random(1, 5), random(2, 5)];
        check_gradients(&Device::flex(), &inputs, GradCheck::default(), |x| {
            let [v, t] = [0, 1].map(|i| x[i].clone().reshape([5, 3]));
            let y =
                spherical_harmonics(&[2, 0, 3], Dual::new(v, t), unit, Normalization::Component);
            (y.tangent.unwrap() * y.value.sin()).sum().reshape([1])
        });
    }
}

#[test]
fn poles_and_zero_have_finite_derivatives() {
    let special = [
        [0.0, 0.0, 0.0],
        [-0.0, 0.0, -0.0],
        [0.0, 1.0, 0.0],
        [0.0, -10.0, 0.0],
        [1e-300, 0.0, 0.0],
        [0.0, 1e200, 1e200],
        [0.0, 0.0, 5e-324],
    ];
    let y = sh::evaluate::<f64>(&up_to(4), &special, true, Normalization::Component);
    assert!(y.values.iter().chain(&y.gradients).all(|y| y.is_finite()));
    let (dim, zero) = (25, [0, 1, 6]);
    for p in zero {
        assert_eq!(y.values[p * dim], 1.0);
        assert!(
            y.values[p * dim + 1..(p + 1) * dim]
                .iter()
                .all(|&y| y == 0.0)
        );
        assert!(
            y.gradients[3 * p * dim..3 * (p + 1) * dim]
                .iter()
                .all(|&g| g == 0.0)
        );
    }
    // Short and long vectors are normalised in full.
    let row = |p: usize| &y.values[p * dim..(p + 1) * dim];
    let x = sh::evaluate::<f64>(
        &up_to(4),
        &[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]],
        true,
        Normalization::Component,
    );
    for (p, q) in [(4, 0), (5, 1)] {
        let want = &x.values[q * dim..(q + 1) * dim];
        assert!(row(p).iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-14));
    }
    // As tensors: second derivatives at zero, and NaN in its own row only.
    let device = Device::flex().autodiff();
    let v = tensor(&special.as_flattened()[..12], 3, &device, DType::F64).require_grad();
    let t = v.ones_like();
    let y = spherical_harmonics(
        &[1, 2, 3],
        Dual::new(v.clone(), t),
        true,
        Normalization::Norm,
    );
    let grads = y.tangent.unwrap().sum().backward();
    let h = values(v.grad(&grads).unwrap());
    assert!(h.iter().all(|x| x.is_finite()) && h[..6].iter().all(|&x| x == 0.0));
    let nan = [[f64::NAN, 1.0, 0.0], [1.0, 2.0, 3.0]];
    let y = Evaluator::<f64>::new(&[1], true, Normalization::Norm).values(&nan);
    assert!(y[0].is_nan() && y[3..].iter().all(|y| y.is_finite()));
}

#[test]
fn bits_depend_on_the_point_alone() {
    let all = directions();
    let evaluator = Evaluator::<f64>::new(&up_to(5), true, Normalization::Component);
    let together = evaluator.values_and_gradients(&all);
    for p in [0, 3, 8, 17, 100] {
        let alone = evaluator.values_and_gradients(&all[p..=p]);
        assert_eq!(alone.values, together.values[p * 36..(p + 1) * 36]);
        assert_eq!(
            alone.gradients,
            together.gradients[3 * p * 36..3 * (p + 1) * 36]
        );
    }
}

#[test]
fn degrees_side_by_side_are_those_alone() {
    fn check<T: sh::Scalar>(degrees: &[usize], points: usize, normalize: bool) {
        let all: Vec<[T; 3]> = random(3, points)
            .as_chunks::<3>()
            .0
            .iter()
            .map(|v| v.map(T::from_f64))
            .collect();
        let evaluator =
            |degrees: &[usize]| Evaluator::<T>::new(degrees, normalize, Normalization::Component);
        let together = evaluator(degrees).values_and_gradients(&all);
        assert_eq!(together.values, evaluator(degrees).values(&all));
        let dim = evaluator(degrees).dim();
        let mut column = 0;
        for &l in degrees {
            let alone = evaluator(&[l]).values_and_gradients(&all);
            let width = 2 * l + 1;
            let pairs = [
                (&together.values, &alone.values),
                (&together.gradients, &alone.gradients),
            ];
            for (got, want) in pairs {
                for (row, want) in got.chunks(dim).zip(want.chunks(width)) {
                    assert_eq!(&row[column..column + width], want, "{degrees:?}, {l}");
                }
            }
            column += width;
        }
    }
    let lists = [
        up_to(1),
        vec![1, 0],
        vec![0, 1, 1],
        up_to(4),
        up_to(9),
        vec![2, 5, 6, 7, 0, 1, 12],
    ];
    for degrees in &lists {
        for points in [1, 15, 17, 127, 129, 1025] {
            for normalize in [false, true] {
                check::<f32>(degrees, points, normalize);
                check::<f64>(degrees, points, normalize);
            }
        }
    }
}

#[test]
fn empty_strided_and_half_precision_inputs() {
    let device = Device::flex();
    let n = Normalization::Component;
    let none = tensor(&[], 3, &device, DType::F32);
    assert_eq!(spherical_harmonics(&[0, 3], none, true, n).dims(), [0, 8]);
    let v = tensor(&random(9, 6), 3, &device, DType::F64);
    assert_eq!(spherical_harmonics(&[], v.clone(), true, n).dims(), [6, 0]);
    let strided = v.clone().transpose().flip([1]).flip([1]).transpose();
    let want = spherical_harmonics(&[2], v.clone(), true, n);
    assert_close!(
        spherical_harmonics(&[2], strided, true, n),
        want.clone(),
        0.0,
        0.0
    );
    let part = spherical_harmonics(&[2], v.clone().narrow(0, 2, 3), true, n);
    assert_close!(part, want.narrow(0, 2, 3), 0.0, 0.0);
    for dtype in [DType::BF16, DType::F16] {
        let half = v.clone().cast(dtype);
        let want = spherical_harmonics(&[0, 2], half.clone().cast(DType::F32), true, n).cast(dtype);
        let got = spherical_harmonics(&[0, 2], half, true, n);
        assert_eq!(got.dtype(), dtype);
        assert_close!(got, want, 0.0, 0.0);
    }
}

#[test]
#[should_panic(expected = "vectors have shape [2, 4], expected [N, 3]")]
fn wrong_shapes_are_refused() {
    let v = Tensor::<2>::zeros([2, 4], &Device::flex());
    spherical_harmonics(&[1], v, true, Normalization::Component);
}

#[test]
fn the_layer_is_equivariant_and_equals_the_function() {
    use e3nn_tensorprod::sh::{HarmonicsError, SphericalHarmonicsConfig};
    use e3nn_tensorprod::testing::{Argument, Equivariance, assert_equivariant};
    use e3nn_tensorprod::{Irrep, Irreps, Parity};
    let irreps: Irreps = "2e + 2x1o + 0e + 7o + 8e".parse().unwrap();
    for normalize in [true, false] {
        let config = SphericalHarmonicsConfig::new(irreps.clone()).with_normalize(normalize);
        let layer = config.init().unwrap();
        let vector = Argument::features("1o".parse().unwrap());
        let settings = Equivariance {
            elements: 20,
            ..Default::default()
        };
        let f = |x: &[Tensor<2>]| vec![layer.forward(x[0].clone())];
        assert_equivariant(f, &[vector], &[irreps.clone().into()], &settings);
        let v = tensor(&random(11, 5), 3, &Device::flex(), DType::F64);
        let want = spherical_harmonics(
            &[2, 1, 1, 0, 7, 8],
            v.clone(),
            normalize,
            Normalization::Component,
        );
        assert_close!(layer.forward(v), want, 0.0, 0.0);
    }
    let init = |irreps: &str, pseudovector: bool| {
        let config = SphericalHarmonicsConfig::new(irreps.parse().unwrap());
        config.with_pseudovector(pseudovector).init()
    };
    assert!(init("0e + 1e + 2e", true).is_ok());
    let HarmonicsError::WrongParity {
        block,
        got,
        want,
        vector,
    } = init("0e + 1o", true).unwrap_err()
    else {
        unreachable!("the only kind")
    };
    assert_eq!(
        (block, got, want),
        (1, Irrep::new(1, Parity::Odd), Irrep::new(1, Parity::Even))
    );
    assert_eq!(vector, Irrep::new(1, Parity::Even));
}
