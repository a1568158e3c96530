//! The GELU against f64 values of its formula, in value and gradient.

mod common;

use burn::tensor::activation::gelu as burns;
use burn::tensor::{DType, Device, Tensor, TensorData, s};
use common::Random;
use core_tensor::assert_close;
use core_tensor::cpu::Real;
use core_tensor::testing::{GradCheck, Mode, check_gradients, for_each_mode, poison_outputs};
use seq_rnn_parallel_scan::gelu;

/// `x Φ(x)` and its derivative in f64 (`Real::normal` is checked against 20 digits where it is).
fn want(x: f64) -> (f64, f64) {
    let (below, density) = x.normal();
    (x * below, below + x * density)
}

fn values(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

#[test]
fn values_and_gradients_to_a_few_units_in_the_last_place() {
    let _poison = poison_outputs();
    let x: Vec<f64> = (0..100_003).map(|i| f64::from(i) * 2.4e-4 - 12.0).collect();
    for (dtype, unit) in [
        (DType::F32, f64::from(f32::EPSILON)),
        (DType::F64, f64::EPSILON),
    ] {
        for_each_mode(&Device::flex(), |mode, device| {
            let x = Tensor::<1>::from_data(TensorData::new(x.clone(), [x.len()]), (device, dtype));
            let x = if mode == Mode::Plain {
                x
            } else {
                x.require_grad()
            };
            // Rounded to the dtype.
            let at = values(x.clone());
            let y = gelu(x.clone());
            for (&x, y) in at.iter().zip(values(y.clone())) {
                let (want, _) = want(x);
                assert!(
                    (y - want).abs() <= 4.0 * unit * want.abs(),
                    "{x}: {y:e}, {want:e}"
                );
            }
            if mode != Mode::Plain {
                // Two more operations, so that there is something to recompute.
                let grads = (y.exp() * 3.0).sum().backward();
                let got = values(x.grad(&grads).unwrap());
                for (&x, got) in at.iter().zip(got) {
                    let (y, slope) = want(x);
                    let factor = 3.0 * y.exp();
                    // Φ and x φ cancel at x ≈ −0.75; the exponent of e^y carries the error of y.
                    let bound = (8.0 + 4.0 * y.abs()) * unit * factor * slope.abs().max(0.3);
                    assert!(
                        (got - factor * slope).abs() <= bound,
                        "{x}: {got:e}, {slope:e}"
                    );
                }
            }
        });
    }
}

#[test]
fn gradient_against_finite_differences() {
    let mut random = Random::new(1, &Device::flex(), DType::F64);
    let x = values(random.uniform([60], -4.0, 4.0));
    check_gradients(&Device::flex(), &[x], GradCheck::default(), |x| {
        (gelu(x[0].clone()) * x[0].clone().sin()).sum()
    });
}

#[test]
fn half_precision_is_rounded_once() {
    let device = Device::flex();
    let mut random = Random::new(2, &device, DType::F32);
    let x = random.uniform([7, 333], -6.0, 6.0);
    for dtype in [DType::BF16, DType::F16] {
        let half = x.clone().cast(dtype);
        let want = gelu(half.clone().cast(DType::F32)).cast(dtype);
        let got = gelu(half);
        assert_eq!(got.dtype(), dtype);
        assert_close!(got, want, 0.0, 0.0);
    }
}

#[test]
fn any_shape_and_any_strides() {
    let _poison = poison_outputs();
    let device = Device::flex();
    let mut random = Random::new(3, &device, DType::F32);
    let x = random.uniform([5, 70, 60], -3.0, 3.0);
    let plain = gelu(x.clone());
    // Burn's, which loses digits to 1 + erf.
    assert_close!(plain.clone(), burns(x.clone()), 1e-6, 4e-7);
    assert_close!(
        gelu(x.clone().swap_dims(0, 2)),
        plain.clone().swap_dims(0, 2),
        0.0,
        0.0
    );
    let part = s![1..4, ..;2, 3..50];
    assert_close!(gelu(x.slice(part)), plain.slice(part), 0.0, 0.0);
    for shape in [[0, 3, 4], [2, 0, 4], [2, 3, 0]] {
        let x = Tensor::<3>::zeros(shape, &device.clone().autodiff()).require_grad();
        let y = gelu(x.clone());
        assert_eq!(y.dims(), shape);
        let grads = y.sum().backward();
        assert_eq!(x.grad(&grads).unwrap().dims(), shape);
    }
}

#[test]
fn infinities_and_nan() {
    let device = Device::flex().autodiff();
    let special = [
        f32::NEG_INFINITY,
        -1e30,
        -50.0,
        -0.0,
        50.0,
        1e30,
        f32::INFINITY,
        f32::NAN,
    ];
    let x = Tensor::<1>::from_floats(special, &device).require_grad();
    let y = gelu(x.clone());
    let slope = values(x.grad(&y.clone().sum().backward()).unwrap());
    let y = values(y);
    assert_eq!(y[..4], [0.0; 4]);
    assert_eq!(y[4..6], [50.0, f64::from(1e30_f32)]);
    assert_eq!(y[6], f64::INFINITY);
    assert_eq!(slope[..7], [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
    assert!(y[7].is_nan() && slope[7].is_nan());
}
