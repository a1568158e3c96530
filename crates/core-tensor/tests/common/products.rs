//! Products of matrices that tests on the CPU and on the GPU share.

#![allow(dead_code, reason = "a test uses what it needs")]

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::differences;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a factor lies in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    Rows,
    Transposed,
    /// Columns of a wider matrix.
    Part,
}

pub(crate) const LAYOUTS: [[Layout; 2]; 3] = [
    [Layout::Rows; 2],
    [Layout::Transposed; 2],
    [Layout::Part, Layout::Transposed],
];

/// Sizes that are no multiples of a tile; vectors; sums long enough to be cut.
pub(crate) const MATRICES: [[[usize; 2]; 2]; 13] = [
    [[1, 1], [1, 1]],
    [[5, 3], [3, 3]],
    [[300, 9], [9, 9]],
    [[64, 64], [64, 64]],
    [[65, 33], [33, 17]],
    [[100, 512], [512, 70]],
    [[1, 512], [512, 40]],
    [[40, 512], [512, 1]],
    [[17, 1], [1, 20]],
    [[0, 3], [3, 4]],
    [[3, 0], [0, 4]],
    [[3, 4], [4, 0]],
    [[0, 0], [0, 0]],
];

/// Batches of tiny and of larger matrices, and factors that are the same in all of them.
pub(crate) const BATCHES: [[[usize; 3]; 2]; 9] = [
    [[7, 9, 9], [7, 9, 9]],
    [[5, 40, 33], [5, 33, 20]],
    [[1, 20, 24], [6, 24, 20]],
    [[6, 20, 18], [1, 18, 20]],
    [[6, 1, 18], [1, 18, 20]],
    [[1, 3, 4], [5, 4, 2]],
    [[4, 3, 0], [4, 0, 2]],
    [[0, 3, 2], [0, 2, 3]],
    [[1, 3, 2], [0, 2, 3]],
];

pub(crate) const NESTED: [[[usize; 4]; 2]; 3] = [
    [[2, 1, 20, 17], [1, 3, 17, 20]],
    [[2, 3, 4, 5], [1, 1, 5, 6]],
    [[2, 3, 4, 5], [2, 1, 5, 6]],
];

/// Two factors with tangents, and what value and tangent of their product are multiplied by.
pub(crate) struct Case<const D: usize> {
    shapes: [[usize; D]; 2],
    layouts: [Layout; 2],
    factors: [Vec<f64>; 2],
    tangents: [Vec<f64>; 2],
    cotangents: [Vec<f64>; 2],
}

fn len<const D: usize>(shape: [usize; D]) -> usize {
    shape.iter().product()
}

impl<const D: usize> Case<D> {
    pub(crate) fn new(shapes: [[usize; D]; 2], layouts: [Layout; 2]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(len(shapes[0]) as u64);
        // Numbers that f32 holds.
        let mut draw = |len: usize| -> Vec<f64> {
            let mut one = || f64::from(rng.random_range(-1.0_f32..1.0));
            (0..len).map(|_| one()).collect()
        };
        let out = output(shapes);
        Self {
            shapes,
            layouts,
            factors: shapes.map(|shape| draw(len(shape))),
            tangents: shapes.map(|shape| draw(len(shape))),
            cotangents: [(); 2].map(|()| draw(len(out))),
        }
    }

    /// Value and tangent of the product, and the gradients of `Σ v ∘ c + Σ v̇ ∘ ċ` by both factors and by their tangents:
    /// first and second derivatives.
    pub(crate) fn run(
        &self,
        device: &Device,
        dtype: DType,
        f: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
    ) -> Vec<TensorData> {
        let device = device.clone().autodiff();
        let tensor = |values: &Vec<f64>, shape: [usize; D]| {
            let data = TensorData::new(values.clone(), shape);
            Tensor::<D>::from_data(data, (&device, dtype))
        };
        let leaf = |values, i: usize| tensor(values, self.shapes[i]).require_grad();
        let factors = [0, 1].map(|i| leaf(&self.factors[i], i));
        let tangents = [0, 1].map(|i| leaf(&self.tangents[i], i));
        let [a, b] = [0, 1].map(|i| {
            let laid = |x: &Tensor<D>| laid(x.clone(), self.layouts[i]);
            Dual::new(laid(&factors[i]), laid(&tangents[i]))
        });
        let product = a.bilinear(b, f);
        let (value, tangent) = (product.value, product.tangent.unwrap());
        let [c, dc] = [0, 1].map(|i| tensor(&self.cotangents[i], output(self.shapes)));
        let loss = (value.clone() * c).sum() + (tangent.clone() * dc).sum();
        let grads = loss.backward();
        let mut all = vec![value.into_data(), tangent.into_data()];
        all.extend(
            factors
                .iter()
                .chain(&tangents)
                .map(|x| x.grad(&grads).unwrap().into_data()),
        );
        all
    }

    /// Against Burn's product in f64 on the CPU: RMS error within `bound` of the RMS value, every error within three times that of
    /// the largest value.
    pub(crate) fn check(
        &self,
        device: &Device,
        dtype: DType,
        bound: f64,
        f: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
    ) {
        let got = self.run(device, dtype, f);
        let want = self.run(&Device::flex(), DType::F64, |a, b| {
            if a.dims().contains(&0) || b.dims().contains(&0) {
                // Burn's product reads beyond them. Tied to the factors, whose gradients are zeros or have no values.
                let zeros = Tensor::zeros(output(self.shapes), (&a.device(), DType::F64));
                zeros + (a.sum() + b.sum()).reshape([1; D]) * 0.0
            } else {
                a.matmul(b)
            }
        });
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            assert_eq!(
                (got.shape(), got.dtype()),
                (want.shape(), dtype),
                "result {i}"
            );
            let what = format!(
                "{:?}, {:?}, {dtype:?}, result {i}",
                self.shapes, self.layouts
            );
            let values = |data: &TensorData| -> Vec<f64> { data.iter().collect() };
            let ratio = differences(&values(&got), &values(&want), 0.0, 0.0).rms_ratio;
            assert!(ratio <= bound, "{what}: relative error {ratio:e}");
            let scale = want.iter::<f64>().fold(0.0_f64, |m, x| m.max(x.abs()));
            assert_close!(got, want, 0.0, 3.0 * bound * scale, "{what}");
        }
    }
}

/// The shape of a product.
pub(crate) fn output<const D: usize>([a, b]: [[usize; D]; 2]) -> [usize; D] {
    core::array::from_fn(|axis| match axis {
        axis if axis == D - 1 => b[axis],
        axis if axis == D - 2 || a[axis] != 1 => a[axis],
        axis => b[axis],
    })
}

/// The same values, laid in memory another way.
fn laid<const D: usize>(x: Tensor<D>, layout: Layout) -> Tensor<D> {
    let columns = x.dims()[D - 1];
    match layout {
        _ if x.dims().contains(&0) => x,
        Layout::Rows => x,
        Layout::Transposed => {
            // Twice the same transpose with an operation between, so that nothing cancels.
            let transposed = x.swap_dims(D - 2, D - 1) * 1.0;
            transposed.swap_dims(D - 2, D - 1)
        }
        Layout::Part => Tensor::cat(vec![x.clone(), x], D - 1).narrow(D - 1, 0, columns),
    }
}
