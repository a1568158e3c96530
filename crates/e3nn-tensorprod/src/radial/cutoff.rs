//! Functions that go to 0 smoothly at a cutoff.

use super::column;
use core::f64::consts::PI;
use core_tensor::dual::{Dual, Value};

/// e3nn-jax's `poly_envelope(n0, n1)`: the polynomial that is 1 at 0 with its first `n0` derivatives 0, and 0 at 1 with
/// its first `n1` derivatives 0; 0 beyond.
///
/// `u(x) = (1−x)^{n1+1} Σ_{k≤n0} C(k+n1, n1) x^k`, all of whose terms are positive: nothing cancels near
/// `x = 1`, where the expanded form loses all digits.
///
/// # Panics
/// If `x` is not `[N, 1]`.
pub fn poly_envelope<V: Value<2>>(x: V, n0: usize, n1: usize) -> V {
    let x: Dual<2> = x.into();
    column("poly_envelope", &x);
    let x = x.clamp(0.0, 1.0);
    // C(k + n1, n1) by k.
    let mut coefficients = vec![1.0_f64];
    for k in 1..=n0 {
        coefficients.push(coefficients[k - 1] * (k + n1) as f64 / k as f64);
    }
    // u' = −(n0 + n1 + 1) C(n0 + n1, n1) x^n0 (1−x)^n1.
    let steepness = (n0 + n1 + 1) as f64 * coefficients[n0];
    let power = i32::try_from(n1).expect("a few derivatives");
    let order = i32::try_from(n0).expect("a few derivatives");
    let value = Dual::constant(x.value.clone());
    let mut sum = value.clone() * 0.0 + coefficients[n0];
    for &c in coefficients[..n0].iter().rev() {
        sum = sum * value.clone() + c;
    }
    let value = sum * (1.0 - value).powi(power + 1);
    let tangent = x.tangent.map(|tangent| {
        let x = Dual::constant(x.value);
        let slope = x.clone().powi(order) * (1.0 - x).powi(power) * -steepness;
        slope.value * tangent
    });
    V::from_dual(Dual {
        value: value.value,
        tangent,
    })
}

/// The polynomial cutoff of DimeNet, of distances: with `x = r / r_max`,
/// `1 − (p+1)(p+2)/2 x^p + p(p+2) x^{p+1} − p(p+1)/2 x^{p+2}`, 0 from `r_max` on. Value and the first two derivatives
/// vanish there. NequIP and Allegro use p = 6, MACE 5.
///
/// Evaluated as `(1−x)³ Σ_{k<p} (k+1)(k+2)/2 x^k` ([`poly_envelope`] with `n0 = p − 1`, `n1 = 2`).
///
/// # Panics
/// If `r` is not `[N, 1]`, or p is 0.
pub fn polynomial_cutoff<V: Value<2>>(r: V, r_max: f64, p: usize) -> V {
    assert!(p > 0, "polynomial_cutoff: p is 0, expected at least 1");
    let r: Dual<2> = r.into();
    V::from_dual(poly_envelope(r / r_max, p - 1, 2))
}

/// Behler's cosine cutoff, `½ (cos(π r / r_max) + 1)`, 0 from `r_max` on. Value and first derivative vanish there.
///
/// Evaluated as `sin²(π (1 − x) / 2)`: exact near `r_max`.
///
/// # Panics
/// If `r` is not `[N, 1]`.
pub fn cosine_cutoff<V: Value<2>>(r: V, r_max: f64) -> V {
    let r: Dual<2> = r.into();
    column("cosine_cutoff", &r);
    let rest = 1.0 - (r / r_max).clamp(0.0, 1.0);
    V::from_dual((rest * (PI / 2.0)).sin().square())
}
