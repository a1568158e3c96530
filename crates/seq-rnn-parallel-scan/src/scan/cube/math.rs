//! Elementary functions for the kernels, accurate near 0 and where they saturate.
//!
//! WGSL allows its `exp` an error that grows with the argument, its `tanh` an overflow, and every
//! device has its own of both. In f32 they are therefore the same straight-line polynomials as on the
//! CPU (`core_tensor::cpu::Real`); only exponentials of values up to 0 occur, so that nothing overflows. f64
//! exists on devices with an IEEE library only, and uses that.

use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// The upper bits of ln 2, so few that a product with an exponent is exact, and the rest.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// Below this, `e^x` is 0 in f32.
const EXP_LOWEST: f32 = -104.0;

/// Whether `F` is computed by polynomials: f32, unlike f64.
#[cube]
fn by_polynomial<F: Float>() -> comptime_type!(bool) {
    let elem = elem_type_of::<F>();
    comptime!(elem != ElemType::Float(FloatKind::F64))
}

/// `e^x = 2ⁿ e^r` with `|r| ≤ ln 2 / 2`, for `x ≤ 0`: `e^r − 1`, and two factors whose product is 2ⁿ
/// (one would leave the range of exponents before the result does).
#[cube]
fn reduce(x: f32) -> (f32, f32, f32) {
    // Written so that NaN passes.
    let x = select(x < f32::new(EXP_LOWEST), f32::new(EXP_LOWEST), x);
    let n = (x * f32::new(LOG2_E)).round();
    let r = fma(n, f32::new(-LN2_HIGH), x);
    let p = fma(r, f32::new(1.0 / 5040.0), f32::new(1.0 / 720.0));
    let p = fma(p, r, f32::new(1.0 / 120.0));
    let p = fma(p, r, f32::new(1.0 / 24.0));
    let p = fma(p, r, f32::new(1.0 / 6.0));
    let p = fma(p, r, f32::new(0.5));
    let p = fma(p, r, f32::new(1.0)) * r;
    // The rest of n ln 2 comes in as a factor of its own: taken off `r`, a driver that reassociates
    // (Mesa does) would merge it with the first product and lose both.
    let rest = n * f32::new(-LN2_LOW);
    let q = fma(rest * f32::new(0.5), rest, rest);
    let p = p + fma(p, q, q);
    let n = i32::cast_from(n);
    let half = n / 2i32;
    let first = f32::reinterpret(u32::cast_from(half + 127i32) << 23u32);
    let second = f32::reinterpret(u32::cast_from(n - half + 127i32) << 23u32);
    (p, first, second)
}

/// `e^x` for `x ≤ 0`.
#[cube]
pub(super) fn exp_of_negative<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let (p, first, second) = reduce(f32::cast_from(x));
        F::cast_from(fma(first, p, first) * second)
    } else {
        x.exp()
    }
}

/// `σ(x) = 1 / (1 + e^−x)` and `σ(−x) = 1 − σ(x)`, both with full relative accuracy.
#[cube]
pub(super) fn sigmoid_pair<F: Float>(x: F) -> (F, F) {
    let one = F::new(1.0_f32);
    let e = exp_of_negative::<F>(-x.abs());
    let large = one / (one + e);
    let small = e * large;
    let positive = x >= F::new(0.0_f32);
    (
        select(positive, large, small),
        select(positive, small, large),
    )
}

/// `tanh(x)`, accurate near 0.
#[cube]
pub(super) fn tangent_h<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let x = f32::cast_from(x);
        let (p, first, second) = reduce(-(x.abs() + x.abs()));
        let scale = first * second;
        // e^y − 1 = 2ⁿ p + (2ⁿ − 1); near 0, n is 0 and p is it.
        let e = fma(scale, p, scale - f32::new(1.0));
        let t = -e / (e + f32::new(2.0));
        F::cast_from(select(x < f32::new(0.0), -t, t))
    } else {
        x.tanh()
    }
}

/// `ln(1 + y)` for `0 ≤ y ≤ 1`, as `2 artanh(y / (2 + y))`: no cancellation.
#[cube]
fn log_one_plus<F: Float>(y: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let y = f32::cast_from(y);
        let s = y / (y + f32::new(2.0));
        let q = s * s;
        let p = fma(q, f32::new(1.0 / 15.0), f32::new(1.0 / 13.0));
        let p = fma(p, q, f32::new(1.0 / 11.0));
        let p = fma(p, q, f32::new(1.0 / 9.0));
        let p = fma(p, q, f32::new(1.0 / 7.0));
        let p = fma(p, q, f32::new(1.0 / 5.0));
        let p = fma(p, q, f32::new(1.0 / 3.0)) * q;
        let twice = s + s;
        F::cast_from(fma(twice, p, twice))
    } else {
        y.log1p()
    }
}

/// `ln(1 + e^x)` without overflow.
#[cube]
pub(super) fn softplus<F: Float>(x: F) -> F {
    let zero = F::new(0.0_f32);
    select(x > zero, x, zero) + log_one_plus::<F>(exp_of_negative::<F>(-x.abs()))
}

/// `ln(e^x + e^y)` for finite `x` and `y`, without overflow.
#[cube]
pub(super) fn log_add_exp<F: Float>(x: F, y: F) -> F {
    let larger = select(x > y, x, y);
    larger + log_one_plus::<F>(exp_of_negative::<F>(-(x - y).abs()))
}
