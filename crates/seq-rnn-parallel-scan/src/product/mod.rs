//! Products of matrices in which every row has the same bits, whatever the number of the others.
//!
//! A fast matrix product picks its blocks, and so the order of its sums, by the shape of the whole
//! problem. Here an element is one chain of fused multiply-adds over the inner index, cut at fixed
//! places, and neither rows, threads nor vectors have a part in it.

#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::Tensor;
#[cfg(feature = "flex")]
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension};

/// What a backend with such a kernel provides.
#[cfg(feature = "flex")]
#[backend_extension(Autodiff, Flex)]
pub(crate) trait ProductBackend: Backend {
    /// `[rows, inner] × [inner, columns]`, both of one float dtype.
    fn fixed_order_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// `[rows, inner] × [inner, columns]`, with gradients computed alike. On the CPU each row of the result is
/// a function of its row of `a` and of `b` alone, bit for bit; on every other device this is a plain
/// product, which is said once through `log`.
///
/// # Panics
/// If the inner sizes or the dtypes differ; on another device with feature `strict`.
pub(crate) fn product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    {
        if core_tensor::ext::flex::takes(&a.device(), a.dtype()) {
            assert_eq!(
                (a.dims()[1], a.dtype()),
                (b.dims()[0], b.dtype()),
                "product: inner sizes or dtypes differ"
            );
            let product = Dispatch::fixed_order_product(a.into_dispatch(), b.into_dispatch());
            return Tensor::from_dispatch(product);
        }
    }
    #[cfg(feature = "cube")]
    core_tensor::ext::cube::fall_back(
        "deterministic projections",
        "on this device a projection's bits may depend on the number of rows; only the CPU fixes them",
    );
    a.matmul(b)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::product;
    use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
    use core_tensor::assert_close;
    use core_tensor::testing::{GradCheck, check_gradients, poison_outputs};

    fn random(shape: [usize; 2], dtype: DType) -> Tensor<2> {
        let device = Device::flex();
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), (&device, dtype))
    }

    /// Whole matrix in f64, element by element.
    fn plain(a: &Tensor<2>, b: &Tensor<2>) -> TensorData {
        let ([rows, inner], [_, columns]) = (a.dims(), b.dims());
        let values = |x: &Tensor<2>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
        let (a, b) = (values(a), values(b));
        let element = |i: usize| {
            let (row, column) = (i / columns, i % columns);
            (0..inner)
                .map(|k| a[row * inner + k] * b[k * columns + column])
                .sum()
        };
        let c: Vec<f64> = (0..rows * columns).map(element).collect();
        TensorData::new(c, [rows, columns])
    }

    #[test]
    fn values_of_awkward_sizes() {
        let _poison = poison_outputs();
        for rows in [0, 1, 2, 5, 6, 7, 23, 24, 49, 97] {
            for inner in [0, 1, 63, 256, 257, 600] {
                for columns in [0, 1, 31, 32, 33, 100] {
                    for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 3e-5)] {
                        let (a, b) = (
                            random([rows, inner], dtype),
                            random([inner, columns], dtype),
                        );
                        let got = product(a.clone(), b.clone());
                        assert_close!(got.into_data(), plain(&a, &b), 0.0, bound);
                    }
                }
            }
        }
    }

    #[test]
    fn dtypes_and_strides() {
        // Half precision: sums of 300 terms in f32, rounded once.
        let bounds = [
            (DType::F64, 1e-14, 1e-13),
            (DType::BF16, 4e-3, 3e-5),
            (DType::F16, 5e-4, 3e-5),
        ];
        for (dtype, relative, absolute) in bounds {
            let (a, b) = (
                random([300, 9], dtype).transpose(),
                random([50, 300], dtype).transpose(),
            );
            let got = product(a.clone(), b.clone());
            assert_eq!(got.dtype(), dtype);
            assert_close!(got.into_data(), plain(&a, &b), relative, absolute);
        }
    }

    /// A large product is split between threads by columns as well.
    #[test]
    fn every_row_is_its_own() {
        let (a, b) = (
            random([130, 500], DType::F32),
            random([500, 300], DType::F32),
        );
        let all = product(a.clone(), b.clone());
        for (first, rows) in [(0, 1), (1, 129), (37, 24), (129, 1), (4, 5)] {
            let part = product(a.clone().narrow(0, first, rows), b.clone());
            assert_close!(part, all.clone().narrow(0, first, rows), 0.0, 0.0);
        }
    }

    #[test]
    fn gradients() {
        let draw = |len| -> Vec<f64> { random([1, len], DType::F64).into_data().iter().collect() };
        let inputs = [draw(3 * 7), draw(7 * 4)];
        check_gradients(&Device::flex(), &inputs, GradCheck::default(), |x| {
            let c = product(x[0].clone().reshape([3, 7]), x[1].clone().reshape([7, 4]));
            c.powi_scalar(3).sum()
        });
    }

    #[test]
    #[should_panic(expected = "inner sizes or dtypes differ")]
    fn other_sizes_are_refused() {
        product(random([2, 3], DType::F32), random([4, 2], DType::F32));
    }
}
