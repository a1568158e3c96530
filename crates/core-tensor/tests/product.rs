//! `product::matmul` on the CPU: Burn's product, with the gradients that GPUs use.
#![cfg(all(feature = "testing", feature = "flex"))]

#[path = "common/products.rs"]
mod products;

use burn::tensor::{DType, Device, Distribution, Tensor};
use core_tensor::assert_close;
use core_tensor::product::{highest, matmul};
use core_tensor::testing::{GradCheck, check_gradients};
use products::{BATCHES, Case, LAYOUTS, MATRICES, NESTED};

fn agree<const D: usize>(shapes: [[usize; D]; 2]) {
    for layouts in LAYOUTS {
        let case = Case::new(shapes, layouts);
        for (dtype, bound) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
            case.check(&Device::flex(), dtype, bound, matmul);
            case.check(&Device::flex(), dtype, bound, highest);
        }
    }
}

#[test]
fn values_and_derivatives_are_those_of_burn() {
    MATRICES.into_iter().for_each(agree);
    BATCHES.into_iter().for_each(agree);
    NESTED.into_iter().for_each(agree);
}

#[test]
fn half_precision_and_doubles_are_burns() {
    for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
        let draw = |shape: [usize; 2]| {
            let options = (&Device::flex(), dtype);
            Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), options)
        };
        let (a, b) = (draw([20, 30]), draw([30, 10]));
        let got = matmul(a.clone(), b.clone());
        assert_eq!(got.dtype(), dtype);
        assert_close!(got, a.matmul(b), 0.0, 0.0);
    }
}

#[test]
fn gradients() {
    let values = |len: usize| -> Vec<f64> { (0..len).map(|i| (1.7 * i as f64).sin()).collect() };
    let inputs = [values(2 * 3 * 7), values(7 * 4)];
    check_gradients(&Device::flex(), &inputs, GradCheck::precise(), |x| {
        let (a, b) = (x[0].clone().reshape([2, 3, 7]), x[1].clone());
        highest(a, b.reshape([1, 7, 4])).powi_scalar(3).sum() * 0.01
    });
}

/// A factor that nobody asks about has none.
#[test]
fn gradients_of_one_factor() {
    let device = Device::flex().autodiff();
    let [a, b] = [0.5, 2.0].map(|x| Tensor::<2>::full([3, 3], x, &device));
    for tracked in [0, 1] {
        let mut factors = [a.clone(), b.clone()];
        factors[tracked] = factors[tracked].clone().require_grad();
        let [a, b] = factors.clone();
        let grads = highest(a, b).sum().backward();
        let got = factors.map(|x| x.grad(&grads));
        assert!(got[1 - tracked].is_none());
        let want = Tensor::<2>::full([3, 3], [6.0, 1.5][tracked], &Device::flex());
        assert_close!(got[tracked].clone().unwrap(), want, 1e-7, 0.0);
    }
}

#[test]
#[should_panic(expected = "got [2, 3] and [4, 2]")]
fn other_inner_sizes_are_refused() {
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &Device::flex());
    matmul(zeros([2, 3]), zeros([4, 2]));
}

#[test]
#[should_panic(expected = "got [2, 3, 3] and [4, 3, 3]")]
fn other_batches_are_refused() {
    let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, &Device::flex());
    matmul(zeros([2, 3, 3]), zeros([4, 3, 3]));
}

#[test]
#[should_panic(expected = "dtypes differ")]
fn other_dtypes_are_refused() {
    let zeros = |dtype| Tensor::<2>::zeros([2, 2], (&Device::flex(), dtype));
    matmul(zeros(DType::F32), zeros(DType::F64));
}
