//! Wigner D matrices of batches of rotations, differentiable.

use super::step::{Step, advance, reference as plain, steps};
use crate::rotation::matrix_from_quaternion;
use burn::tensor::Tensor;
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::{compute_dtype, zeros};
use std::sync::Arc;

/// Wigner D matrices `D^0 … D^lmax` of rotation matrices `[batch, 3, 3]`, each `[batch, 2l+1, 2l+1]`; `V` is a tensor or
/// a [`Dual`].
///
/// Every entry is a polynomial in the entries of the matrix ([`wigner_d_all`](super::wigner_d_all) has the
/// idea), so gradients have no pole. For matrices that are no rotations the values are those of the
/// polynomials and mean nothing; gradients are right along rotations. Half-precision types are computed in f32.
///
/// # Panics
/// If the shape is not `[batch, 3, 3]`.
pub fn wigner_d_from_matrix<V: Value<3>>(lmax: usize, matrices: V) -> Vec<V> {
    let all = recursion(lmax, matrices.into(), advance);
    all.into_iter().map(V::from_dual).collect()
}

/// All degrees, each from the one below by `advance`.
fn recursion(
    lmax: usize,
    r: Dual<3>,
    advance: impl Fn(&Arc<Step>, Tensor<3>, Tensor<3>) -> Tensor<3>,
) -> Vec<Dual<3>> {
    let dims = r.dims();
    let [batch, a, b] = dims;
    assert!(
        [a, b] == [3, 3],
        "wigner_d_from_matrix: expected [batch, 3, 3], got {dims:?}"
    );
    let stored = r.dtype();
    let r = r.linear(|t| t.cast(compute_dtype(stored)));
    let one = if batch == 0 {
        zeros([0, 1, 1], &r.device(), r.dtype())
    } else {
        Tensor::ones([batch, 1, 1], (&r.device(), r.dtype()))
    };
    let mut all = vec![Dual::constant(one)];
    if lmax > 0 {
        all.push(r.clone());
    }
    for step in steps(lmax) {
        let last = all[step.l].clone();
        all.push(last.bilinear(r.clone(), |d, r| advance(&step, d, r)));
    }
    let all = all.into_iter().map(|d| d.linear(|t| t.cast(stored)));
    all.collect()
}

/// [`wigner_d_from_matrix`] of quaternions `[batch, 4]` `(w, x, y, z)` of any norm but zero.
///
/// # Panics
/// If the shape is not `[batch, 4]`.
pub fn wigner_d_from_quaternion<V: Value<2>>(lmax: usize, q: V) -> Vec<V::Rank<3>> {
    let matrices: Dual<3> = matrix_from_quaternion::<Dual<2>>(q.into());
    let all = wigner_d_from_matrix(lmax, matrices);
    all.into_iter().map(V::Rank::<3>::from_dual).collect()
}

/// [`wigner_d_from_matrix`] in plain tensor operations, as it runs on devices without a kernel: slower, to compare with.
///
/// # Panics
/// As [`wigner_d_from_matrix`].
pub fn wigner_d_reference(lmax: usize, matrices: Tensor<3>) -> Vec<Tensor<3>> {
    recursion(lmax, matrices.into(), |step, d, r| {
        plain::advance(step, d, r)
    })
    .into_iter()
    .map(|d| d.value)
    .collect()
}
