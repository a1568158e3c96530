//! The frame of an edge: [`edge_frame`].

use burn::tensor::{DType, Tensor};
use core_tensor::dual::{Dual, Value};

use super::tensor::constant;

/// Rotations `[edges, 3, 3]` that take the direction of each vector `[edges, 3]` to the polar axis: `R v/|v| = y`.
/// `V` is a tensor or a [`Dual`].
///
/// What such a rotation does around `y` is free, and no choice is smooth for all directions. Here directions with
/// `y ≥ 0` are taken to `y` by the shortest rotation; the others are first turned by half a turn about `x`. With
/// `v/|v| = (x, ±y, ±z)`, `y ≥ 0`, the shortest rotation is
///
/// ```text
///     | 1 − x²/(1+y)   −x    −xz/(1+y)    |
/// R = | x               y     z           |
///     | −xz/(1+y)      −z     1 − z²/(1+y) |
/// ```
///
/// so that the gradient is bounded by a few times `1/|v|` for every direction, the poles `±y` included. The matrix
/// jumps where `y` changes sign; what is computed in the frame and rotated back with an operation that commutes with
/// rotations about `y` (an SO(2) convolution) does not. A vector shorter than the smallest normal number gives the
/// identity and no gradient.
///
/// # Panics
/// If the shape is not `[edges, 3]`.
pub fn edge_frame<V: Value<2>>(vectors: V) -> V::Rank<3> {
    let v: Dual<2> = vectors.into();
    let [edges, three] = v.dims();
    assert_eq!(
        three, 3,
        "edge_frame: expected [edges, 3], got [{edges}, {three}]"
    );
    if edges == 0 {
        return V::Rank::<3>::from_dual(v.reshape([0, 3, 3]));
    }
    let unit = direction(v);
    // Signs of the chart: plain numbers, not followed by gradients.
    let below = unit.value.clone().narrow(1, 1, 1).lower_elem(0.0);
    let one = Tensor::<2>::ones([edges, 1], (&unit.device(), unit.dtype()));
    let sign = one.clone().mask_fill(below, -1.0);
    let signs = Tensor::cat(vec![one, sign.clone(), sign], 1);
    let unit = unit * signs.clone();

    let [x, y, z] = [0, 1, 2].map(|i| unit.clone().narrow(1, i, 1));
    let inverse = (y.clone() + 1.0).recip();
    let (xc, zc) = (x.clone() * inverse.clone(), z.clone() * inverse);
    let mixed = -(x.clone() * zc.clone());
    let rows = vec![
        1.0 - x.clone() * xc,
        -x.clone(),
        mixed.clone(),
        x,
        y,
        z.clone(),
        mixed,
        -z.clone(),
        1.0 - z * zc,
    ];
    let shortest = Dual::cat(rows, 1).reshape([edges, 3, 3]);
    // Times the half turn diag(1, −1, −1) where the chart has it.
    V::Rank::<3>::from_dual(shortest * signs.reshape([edges, 1, 3]))
}

/// `v/|v|`, and `y` where `v` is shorter than the smallest normal number.
fn direction(v: Dual<2>) -> Dual<2> {
    let [edges, _] = v.dims();
    // Largest components of 1, by a number that is constant: directions do not depend on it, and squares neither
    // underflow nor overflow.
    let size = v.value.clone().detach().abs().max_dim(1);
    let zero = size.clone().lower_elem(smallest(v.dtype()));
    let scale = size.mask_fill(zero.clone(), 1.0).recip();
    let y = constant(vec![0.0, 1.0, 0.0], [1, 3], &v.value).expand([edges, 3]);
    let v = (v * scale).mask_where(zero.expand([edges, 3]), y);
    v.clone() / v.square().sum_dim(1).sqrt()
}

/// The smallest normal number of the dtype that kernels compute in.
pub(crate) fn smallest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F16 => 2.0_f64.powi(-14),
        _ => f64::from(f32::MIN_POSITIVE),
    }
}
