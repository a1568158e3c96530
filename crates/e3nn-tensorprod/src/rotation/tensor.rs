//! Rotation matrices of batches of quaternions and Euler angles, differentiable.

use burn::tensor::{Tensor, TensorData};
use core_tensor::dual::{Dual, Value};

/// Coefficients `C[i, (a, b)]` of `|q|² R(q)_i = Σ_ab C_i,ab q_a q_b` for `q = (w, x, y, z)` and the nine
/// entries of `R` by rows.
const QUADRATIC: [&[(usize, usize, f64)]; 9] = [
    &[(0, 0, 1.0), (1, 1, 1.0), (2, 2, -1.0), (3, 3, -1.0)],
    &[(1, 2, 2.0), (0, 3, -2.0)],
    &[(1, 3, 2.0), (0, 2, 2.0)],
    &[(1, 2, 2.0), (0, 3, 2.0)],
    &[(0, 0, 1.0), (1, 1, -1.0), (2, 2, 1.0), (3, 3, -1.0)],
    &[(2, 3, 2.0), (0, 1, -2.0)],
    &[(1, 3, 2.0), (0, 2, -2.0)],
    &[(2, 3, 2.0), (0, 1, 2.0)],
    &[(0, 0, 1.0), (1, 1, -1.0), (2, 2, -1.0), (3, 3, 1.0)],
];

/// Rotation matrices `[batch, 3, 3]` of quaternions `[batch, 4]` `(w, x, y, z)` of any norm that is a normal number, `V`
/// being a tensor or a [`Dual`]. A polynomial over the squared norm: the gradient has no pole.
///
/// # Panics
/// If the shape is not `[batch, 4]`.
pub fn matrix_from_quaternion<V: Value<2>>(q: V) -> V::Rank<3> {
    let q: Dual<2> = q.into();
    let [batch, four] = q.dims();
    assert_eq!(
        four, 4,
        "matrix_from_quaternion: expected [batch, 4], got [{batch}, {four}]"
    );
    let mut table = vec![0.0_f64; 16 * 9];
    for (i, entries) in QUADRATIC.iter().enumerate() {
        for &(a, b, value) in *entries {
            table[(4 * a + b) * 9 + i] = value;
        }
    }
    let table = constant(table, [16, 9], &q.value);
    // Largest components of 1, by a number that is constant: the matrix does not depend on it, and squares neither
    // underflow nor overflow.
    let q = if batch == 0 {
        q
    } else {
        let size = q.value.clone().detach().abs().max_dim(1);
        q * size.recip()
    };
    // All products of two components, then one matrix product with the table.
    let pairs = q.clone().reshape([batch, 4, 1]) * q.clone().reshape([batch, 1, 4]);
    let scaled = pairs.reshape([batch, 16]).affine(table, None);
    let matrix = scaled * q.square().sum_dim(1).recip();
    V::Rank::<3>::from_dual(matrix.reshape([batch, 3, 3]))
}

/// Rotation matrices `[batch, 3, 3]` of Euler angles `[batch, 3]` `(α, β, γ)`: `R_y(α) R_x(β) R_y(γ)`, `V` being a
/// tensor or a [`Dual`].
///
/// # Panics
/// If the shape is not `[batch, 3]`.
pub fn matrix_from_angles<V: Value<2>>(angles: V) -> V::Rank<3> {
    let angles: Dual<2> = angles.into();
    let [batch, three] = angles.dims();
    assert_eq!(
        three, 3,
        "matrix_from_angles: expected [batch, 3], got [{batch}, {three}]"
    );
    let half = angles * 0.5;
    let parts = |t: Dual<2>| [0, 1, 2].map(|i| t.clone().narrow(1, i, 1));
    let [ca, cb, cg] = parts(half.clone().cos());
    let [sa, sb, sg] = parts(half.sin());
    // The quaternions (cos, 0, sin, 0) of α and γ and (cos, sin, 0, 0) of β, multiplied out.
    let (cc, ss) = (ca.clone() * cg.clone(), sa.clone() * sg.clone());
    let (sc, cs) = (sa * cg, ca * sg);
    let w = (cc.clone() - ss.clone()) * cb.clone();
    let x = (cc + ss) * sb.clone();
    let y = (sc.clone() + cs.clone()) * cb;
    let z = (cs - sc) * sb;
    let q = Dual::cat(vec![w, x, y, z], 1);
    V::Rank::<3>::from_dual(matrix_from_quaternion(q))
}

/// Plain numbers as a tensor, on the device and in the dtype of another.
pub(crate) fn constant<const D: usize, const E: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    beside: &Tensor<E>,
) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_data(data, (&beside.device(), beside.dtype()))
}
