//! The harmonics in plain tensor operations: what the kernels are tested against, and what runs where there is none.

use super::spec::Spec;
use super::table::{Table, row};
use burn::tensor::Tensor;
use core_tensor::dual::Dual;

/// `v / |v|`, 0 for the zero vector, where derivatives are 0 too.
fn unit(v: Dual<2>) -> Dual<2> {
    let square = v.clone().square().sum_dim(1);
    let zero = square.value.clone().detach().equal_elem(0.0);
    // 1 in the place of 0, so that no derivative is infinite before the mask takes it out.
    let length = square.mask_fill(zero.clone(), 1.0).sqrt();
    let [points, _] = v.dims();
    (v / length.expand([points, 3])).mask_fill(zero.expand([points, 3]), 0.0)
}

/// Spherical harmonics as [`spherical_harmonics`](super::spherical_harmonics), each recursion a few tensor operations.
pub fn spherical_harmonics(spec: &Spec, vectors: Dual<2>) -> Dual<2> {
    let u = if spec.normalize {
        unit(vectors)
    } else {
        vectors
    };
    let table = Table::new(spec.lmax(), spec.normalization, |x| x);
    let axis = |k: usize| u.clone().narrow(1, k, 1);
    let (x, y, z) = (axis(0), axis(1), axis(2));
    let rho2 = x.clone().square() + z.clone().square();
    let one = Dual::constant(y.value.ones_like());
    // c_m, s_m of (z + ix)^m.
    let mut powers = vec![[one.clone(), one.clone() * 0.0]];
    for m in 0..spec.lmax() {
        let [c, s] = powers[m].clone();
        powers.push([
            c.clone() * z.clone() - s.clone() * x.clone(),
            c * x.clone() + s * z.clone(),
        ]);
    }
    let mut columns = Vec::new();
    for &l in spec.degrees.iter() {
        let mut out: Vec<_> = (0..=2 * l).map(|_| one.clone()).collect();
        let (mut above, mut q) = (one.clone() * 0.0, one.clone() * table.seed[l]);
        for m in (1..=l).rev() {
            let [c, s] = powers[m].clone();
            out[l + m] = q.clone() * c;
            out[l - m] = q.clone() * s;
            let [a, b] = table.step[row(l) + m - 1];
            let next = y.clone() * q.clone() * a - rho2.clone() * above * b;
            (above, q) = (q, next);
        }
        out[l] = q;
        columns.extend(out);
    }
    Dual::cat(columns, 1)
}

/// `Σ_i g_i ∇Y_i(v)` by three derivatives along the axes.
pub fn gradient(spec: &Spec, vectors: Tensor<2>, cotangent: Tensor<2>) -> Tensor<2> {
    let columns = (0..3).map(|k| {
        let [points, _] = vectors.dims();
        let rest = vectors.zeros_like();
        let ones = vectors.clone().detach().ones_like().narrow(1, k, 1);
        let axis = rest.slice_assign([0..points, k..k + 1], ones);
        let y = spherical_harmonics(spec, Dual::new(vectors.clone(), axis));
        (y.tangent_or_zeros() * cotangent.clone()).sum_dim(1)
    });
    Tensor::cat(columns.collect(), 1)
}
