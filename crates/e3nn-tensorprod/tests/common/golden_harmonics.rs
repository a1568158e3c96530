//! The generator's spherical harmonics on a device.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor, s};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics, spherical_harmonics_gradient};

pub const NORMALIZATIONS: [(Normalization, &str); 3] = [
    (Normalization::Component, "component"),
    (Normalization::Norm, "norm"),
    (Normalization::Integral, "integral"),
];

pub fn up_to(lmax: usize) -> Vec<usize> {
    (0..=lmax).collect()
}

pub fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// `|got − want| ≤ bound · max(1, |v|^l)`: solid harmonics of long vectors are large.
#[track_caller]
pub fn close_by_degree(
    got: &[f64],
    want: &[f64],
    xyz: &[f64],
    lmax: usize,
    unit: bool,
    bound: f64,
) {
    let dim = (lmax + 1) * (lmax + 1);
    for (p, v) in xyz.as_chunks::<3>().0.iter().enumerate() {
        let r = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        for i in 0..dim {
            let size = if unit {
                1.0
            } else {
                r.powi(i.isqrt() as i32).max(1.0)
            };
            let (g, w) = (got[p * dim + i], want[p * dim + i]);
            assert!(
                (g - w).abs() <= bound * size,
                "point {p} {v:?}, component {i}: {g:e}, {w:e}"
            );
        }
    }
}

/// Values of every normalisation, of unit vectors and solid.
pub fn values_are_those_of_e3nn(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("spherical_harmonics");
    let xyz = golden.values("xyz");
    let v: Tensor<2> = golden.tensor("xyz", device, dtype);
    let check = |name: &str, lmax: usize, unit: bool, n: Normalization| {
        let y = spherical_harmonics(&up_to(lmax), v.clone(), unit, n);
        close_by_degree(&values(y), &golden.values(name), &xyz, lmax, unit, bound);
    };
    for (n, name) in NORMALIZATIONS {
        check(&format!("{name}_unit_l0_8"), 8, true, n);
        check(&format!("{name}_solid_l0_8"), 8, false, n);
    }
    check("component_unit_l0_12", 12, true, Normalization::Component);
}

/// First and second derivatives.
pub fn derivatives_are_those_of_e3nn(device: &Device, dtype: DType, [first, second]: [f64; 2]) {
    let golden = Golden::open("spherical_harmonics_grad");
    let device = device.clone().autodiff();
    for (kind, unit) in [("unit", true), ("solid", false)] {
        let get =
            |name: &str| -> Tensor<2> { golden.tensor(&format!("{kind}.{name}"), &device, dtype) };
        let scaled = |got: Tensor<2>, name: &str, bound: f64| {
            let want = get(name);
            let scale: f64 = want.clone().abs().max().into_scalar();
            assert_close!(got, want, bound, bound * scale, "{kind} {name}");
        };
        let v: Tensor<2> = golden.tensor("xyz", &device, dtype).require_grad();
        let n = Normalization::Component;
        let run = |v: Dual<2>| spherical_harmonics(&up_to(8), v, unit, n);
        // Reverse.
        let out = spherical_harmonics(&up_to(8), v.clone(), unit, n);
        scaled(out.clone(), "out", first);
        let cot = get("cot").require_grad();
        let grads = (out * cot.clone()).sum().backward();
        scaled(Tensor::from_inner(v.grad(&grads).unwrap()), "g0", first);
        // Forward over reverse: ⟨g0, v0⟩ = ⟨tangent, cot⟩.
        let y = run(Dual::new(v.clone(), get("v0")));
        let grads = (y.tangent.unwrap() * cot.clone()).sum().backward();
        scaled(Tensor::from_inner(v.grad(&grads).unwrap()), "h0", second);
        scaled(
            Tensor::from_inner(cot.grad(&grads).unwrap()),
            "hcot",
            second,
        );
        // Reverse over the gradient as an op.
        let g = spherical_harmonics_gradient(&up_to(8), v.clone(), cot.clone(), unit, n);
        scaled(g.clone(), "g0", first);
        let grads = (g * get("v0")).sum().backward();
        scaled(Tensor::from_inner(v.grad(&grads).unwrap()), "h0", second);
        scaled(
            Tensor::from_inner(cot.grad(&grads).unwrap()),
            "hcot",
            second,
        );
    }
}

/// Solid harmonics up to `lmax` at the points of the file and their derivatives along an axis, by rows. The bound is relative
/// to what a component of the degree can be: `√(2l+1)` for values, times `l` for derivatives.
pub fn are_those_of_sphericart(y: &[f64], slopes: &[f64], axis: usize, lmax: usize, bound: f64) {
    let golden = Golden::open("sphericart_l30");
    let (want, gradients) = (golden.values("component_l0_30"), golden.values("grad_xyz"));
    let (all, dim) = (31 * 31, (lmax + 1) * (lmax + 1));
    assert_eq!([y.len(), slopes.len()], [want.len() / all * dim; 2]);
    for (at, (y, slope)) in y.iter().zip(slopes).enumerate() {
        let (p, i) = (at / dim, at % dim);
        let l = i.isqrt() as f64;
        let size = (2.0 * l + 1.0).sqrt();
        let gap = (y - want[p * all + i]).abs();
        assert!(
            gap <= bound * size,
            "point {p}, component {i}: off by {gap:e}"
        );
        let gap = (slope - gradients[(p * 3 + axis) * all + i]).abs();
        assert!(
            gap <= bound * size * l.max(1.0),
            "point {p}, axis {axis}, component {i}: off by {gap:e}"
        );
    }
}

/// The same of tensors, derivatives as tangents.
pub fn tensors_are_those_of_sphericart(device: &Device, dtype: DType, lmax: usize, bound: f64) {
    let golden = Golden::open("sphericart_l30");
    let v: Tensor<2> = golden.tensor("xyz", device, dtype);
    for axis in 0..3 {
        let along = v.zeros_like().slice_fill(s![.., axis..axis + 1], 1.0);
        let y = Dual::new(v.clone(), along);
        let y = spherical_harmonics(&up_to(lmax), y, false, Normalization::Component);
        let slopes = values(y.tangent.expect("a tangent"));
        are_those_of_sphericart(&values(y.value), &slopes, axis, lmax, bound);
    }
}
