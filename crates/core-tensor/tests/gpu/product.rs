//! `product::matmul`, and the kernels that it takes where Burn's product would round, within a relative error of 10⁻⁶ of f64
//! on the CPU: values, first and second derivatives. TF32 is off by more than 10⁻⁴.

use crate::device;
use crate::products::{BATCHES, Case, LAYOUTS, Layout, MATRICES, NESTED};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::ext::Dispatch;
use core_tensor::product::{MatmulBackend, highest, matmul};

const BOUND: f64 = 1e-6;

/// The operation alone.
fn launched<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::matmul_highest(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

fn agree<const D: usize>(shapes: [[usize; D]; 2]) {
    for layouts in LAYOUTS {
        Case::new(shapes, layouts).check(&device(), DType::F32, BOUND, highest);
    }
}

#[test]
fn kernels_of_matrices() {
    MATRICES.into_iter().for_each(agree);
}

#[test]
fn kernels_of_batches() {
    BATCHES.into_iter().for_each(agree);
    NESTED.into_iter().for_each(agree);
}

/// Sums that are computed in parts, with and without terms left over; by tiles and by elements.
#[test]
fn long_sums() {
    for shapes in [
        [[3, 5000], [5000, 4]],
        [[70, 2048], [2048, 40]],
        [[70, 2050], [2050, 40]],
    ] {
        for layouts in LAYOUTS {
            Case::new(shapes, layouts).check(&device(), DType::F32, BOUND, highest);
        }
    }
}

/// A gradient by a factor that is the same in all batches is a long sum.
#[test]
fn shared_factors() {
    let shapes = [[2, 600, 20], [1, 20, 24]];
    for f in [highest::<3>, launched::<3>] {
        Case::new(shapes, [Layout::Rows; 2]).check(&device(), DType::F32, BOUND, f);
    }
    let shapes = [[2, 2, 3, 20], [1, 1, 20, 24]];
    Case::new(shapes, LAYOUTS[2]).check(&device(), DType::F32, BOUND, highest);
}

/// More matrices than a device has cubes along an axis.
#[test]
fn many_matrices() {
    let shapes = [[70_000, 2, 3], [70_000, 3, 2]];
    Case::new(shapes, [Layout::Rows; 2]).check(&device(), DType::F32, BOUND, highest);
}

/// What layers call.
#[test]
fn full_precision() {
    let rows = [Layout::Rows; 2];
    for shapes in [
        [[300, 9], [9, 9]],
        [[65, 33], [33, 17]],
        [[100, 512], [512, 70]],
        [[3, 0], [0, 4]],
        [[0, 3], [3, 4]],
    ] {
        Case::new(shapes, rows).check(&device(), DType::F32, BOUND, matmul);
    }
    for shapes in [[[5, 40, 33], [5, 33, 20]], [[6, 20, 18], [1, 18, 20]]] {
        Case::new(shapes, rows).check(&device(), DType::F32, BOUND, matmul);
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
        let values = |len: usize| (0..len).map(|i| (1.7 * i as f32).sin()).collect();
        let draw = |shape: [usize; 2]| {
            let data = TensorData::new::<f32, _>(values(shape[0] * shape[1]), shape);
            Tensor::<2>::from_data(data, (&device(), dtype))
        };
        for [a, b] in [[[33, 40], [40, 20]], [[9, 9], [9, 9]]] {
            let (a, b) = (draw(a), draw(b));
            let wide =
                |x: &Tensor<2>| Tensor::<2>::from_data(x.to_data(), (&Device::flex(), DType::F64));
            let want = wide(&a).matmul(wide(&b));
            let got = highest(a, b);
            assert_eq!(got.dtype(), dtype);
            assert_close!(got, want, 1.1 * epsilon, 1e-5);
        }
    }
}

#[test]
fn reruns_have_the_same_bits() {
    for shapes in [[[100, 512], [512, 70]], [[3, 5000], [5000, 4]]] {
        let case = Case::new(shapes, [Layout::Rows; 2]);
        let first = case.run(&device(), DType::F32, highest);
        for _ in 0..3 {
            assert!(case.run(&device(), DType::F32, highest) == first);
        }
    }
}

/// Fusion never compares the shape that an operation promises with that it returns: what is promised is what a tensor says,
/// what is returned is what its data say.
#[test]
fn promised_shapes_are_the_real_ones() {
    fn promised<const D: usize>([a, b]: [[usize; D]; 2]) {
        let ones = |shape: [usize; D]| {
            let values = vec![1.0_f32; shape.iter().product()];
            Tensor::<D>::from_data(TensorData::new(values, shape), &device())
        };
        let c = launched(ones(a), ones(b));
        let (dims, dtype) = (c.dims().to_vec(), c.dtype());
        let data = c.into_data();
        assert_eq!((data.shape().to_vec(), data.dtype()), (dims, dtype));
    }
    MATRICES.into_iter().for_each(promised);
    BATCHES.into_iter().for_each(promised);
    NESTED.into_iter().for_each(promised);
}
