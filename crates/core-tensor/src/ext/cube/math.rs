//! Elementary functions for the kernels, accurate near 0 and where they saturate.
//!
//! WGSL allows its `exp` an error that grows with the argument, its `tanh` an overflow, and every
//! device has its own of both. In f32 they are therefore the same straight-line polynomials as on the
//! CPU ([`Real`](crate::cpu::Real)); only exponentials of values up to 0 occur, so that nothing overflows. f64
//! exists on devices with an IEEE library only, and uses that.
#![allow(missing_docs, reason = "the modules that `cube` makes have none")]

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
pub fn exp_of_negative<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let (p, first, second) = reduce(f32::cast_from(x));
        F::cast_from(fma(first, p, first) * second)
    } else {
        x.exp()
    }
}

/// `e^x − 1` for `x ≤ 0`, accurate near 0.
#[cube]
pub fn exp_minus_one_of_negative<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let (p, first, second) = reduce(f32::cast_from(x));
        let scale = first * second;
        // 2ⁿ p + (2ⁿ − 1); near 0, n is 0 and p is it.
        F::cast_from(fma(scale, p, scale - f32::new(1.0)))
    } else {
        x.exp() - F::new(1.0_f32)
    }
}

/// `σ(x) = 1 / (1 + e^−x)` and `σ(−x) = 1 − σ(x)`, both with full relative accuracy.
#[cube]
pub fn sigmoid_pair<F: Float>(x: F) -> (F, F) {
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
pub fn tangent_h<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let x = f32::cast_from(x);
        let e = exp_minus_one_of_negative::<f32>(-(x.abs() + x.abs()));
        let t = -e / (e + f32::new(2.0));
        F::cast_from(select(x < f32::new(0.0), -t, t))
    } else {
        x.tanh()
    }
}

/// `2 artanh(s)` for `|s| ≤ 1/3`: the logarithm of `(1 + s) / (1 − s)`.
#[cube]
fn twice_artanh(s: f32) -> f32 {
    let q = s * s;
    let p = fma(q, f32::new(1.0 / 15.0), f32::new(1.0 / 13.0));
    let p = fma(p, q, f32::new(1.0 / 11.0));
    let p = fma(p, q, f32::new(1.0 / 9.0));
    let p = fma(p, q, f32::new(1.0 / 7.0));
    let p = fma(p, q, f32::new(1.0 / 5.0));
    let p = fma(p, q, f32::new(1.0 / 3.0)) * q;
    let twice = s + s;
    fma(twice, p, twice)
}

/// `ln(1 + y)` for `0 ≤ y ≤ 1`, as `2 artanh(y / (2 + y))`: no cancellation.
#[cube]
pub fn log_one_plus<F: Float>(y: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let y = f32::cast_from(y);
        F::cast_from(twice_artanh(y / (y + f32::new(2.0))))
    } else {
        y.log1p()
    }
}

/// `ln(x)` for normal numbers `x > 0`; NaN and infinity pass.
#[cube]
pub fn log<F: Float>(x: F) -> F {
    let polynomial = by_polynomial::<F>();
    if comptime!(polynomial) {
        let x = f32::cast_from(x);
        // x = 2ⁿ m with m in [√½, √2): what lies below 1 counts from the power above.
        let bits = u32::reinterpret(x);
        let n = i32::cast_from((bits - 0x3F35_04F3u32) >> 23u32);
        // Below 1 the difference wraps around.
        let n = select(n > 255i32, n - 512i32, n);
        let m = f32::reinterpret(bits - (u32::cast_from(n) << 23u32));
        let s = (m - f32::new(1.0)) / (m + f32::new(1.0));
        let n = f32::cast_from(n);
        let y = fma(
            n,
            f32::new(LN2_HIGH),
            twice_artanh(s) + n * f32::new(LN2_LOW),
        );
        // NaN and infinity pass; compared as integers, since a compiler may take for granted that there are none.
        F::cast_from(select(bits >= 0x7F80_0000u32, x, y))
    } else {
        x.ln()
    }
}

/// `ln(1 + e^x)` without overflow.
#[cube]
pub fn softplus<F: Float>(x: F) -> F {
    let zero = F::new(0.0_f32);
    select(x > zero, x, zero) + log_one_plus::<F>(exp_of_negative::<F>(-x.abs()))
}

/// `ln(e^x + e^y)` for finite `x` and `y`, without overflow.
#[cube]
pub fn log_add_exp<F: Float>(x: F, y: F) -> F {
    let larger = select(x > y, x, y);
    larger + log_one_plus::<F>(exp_of_negative::<F>(-(x - y).abs()))
}
