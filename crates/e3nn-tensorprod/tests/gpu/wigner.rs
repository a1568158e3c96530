//! Wigner D matrices.

use crate::device;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::rotation::Rotation;
use e3nn_tensorprod::wigner::wigner_d_from_matrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LMAX: usize = 6;

fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}

/// All degrees and their tangents, and gradients of a sum of both by matrices and directions.
fn everything(batch: usize, device: &Device, dtype: DType) -> Vec<TensorData> {
    let device = device.clone().autodiff();
    let mut rng = ChaCha8Rng::seed_from_u64(batch as u64);
    let matrices = (0..batch).flat_map(|_| Rotation::random(&mut rng).matrix().concat());
    let matrices = matrices.map(|x| x as f32).collect();
    let r = tensor(matrices, [batch, 3, 3], &device, dtype).require_grad();
    let mut draw = |shape: [usize; 3]| {
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0));
        tensor(values.collect(), shape, &device, dtype)
    };
    let direction = draw([batch, 3, 3]).require_grad();
    let all = wigner_d_from_matrix(LMAX, Dual::new(r.clone(), direction.clone()));
    let mut results = Vec::new();
    let mut loss = (r.clone() * direction.clone()).sum();
    for d in all {
        let shape = d.dims();
        let (value, tangent) = (d.value.clone(), d.tangent_or_zeros());
        loss = loss + (value.clone() * draw(shape) + tangent.clone() * draw(shape)).sum();
        results.extend([value.into_data(), tangent.into_data()]);
    }
    let grads = loss.backward();
    let gradients = [r, direction].map(|x| x.grad(&grads).expect("a gradient").into_data());
    results.extend(gradients);
    results
}

#[test]
fn values_tangents_and_gradients() {
    // The last is large enough that units take several rotations.
    for batch in [1, 2, 63, 64, 65, 1000, 2001] {
        let got = everything(batch, &device(), DType::F32);
        let want = everything(batch, &Device::flex(), DType::F64);
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
            assert_close!(
                got,
                want,
                2e-6,
                2e-6 * scale,
                "{batch} rotations, result {i}"
            );
        }
    }
    let none = Tensor::<3>::empty([0, 3, 3], (&device(), DType::F32));
    let shapes = wigner_d_from_matrix(2, none).into_iter().map(|d| d.dims());
    assert_eq!(
        shapes.collect::<Vec<_>>(),
        [[0, 1, 1], [0, 3, 3], [0, 5, 5]]
    );
}

#[test]
fn reruns_have_the_same_bits() {
    let first = everything(1000, &device(), DType::F32);
    assert!((0..3).all(|_| everything(1000, &device(), DType::F32) == first));
}
