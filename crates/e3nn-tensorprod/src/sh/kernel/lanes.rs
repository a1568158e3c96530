//! The recursions on a block of points, one point per lane.

use super::super::table::{Table, row};
use core_tensor::cpu::Real;

/// One value of every point of a block.
pub(super) type Lanes<T, const W: usize> = [T; W];
/// A vector for every point of a block.
pub(super) type Vectors<T, const W: usize> = [Lanes<T, W>; 3];

/// `f(i)` in every lane.
#[inline(always)]
pub(super) fn each<T: Real, const W: usize>(f: impl Fn(usize) -> T) -> Lanes<T, W> {
    let mut out = [T::ZERO; W];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

/// Scalar product.
#[inline(always)]
pub(super) fn dot<T: Real, const W: usize>(a: &Vectors<T, W>, b: &Vectors<T, W>) -> Lanes<T, W> {
    each(|i| a[0][i].fma(b[0][i], a[1][i].fma(b[1][i], a[2][i] * b[2][i])))
}

/// `c_m, s_m` of `(z + ix)^m` for `m < powers.len()`.
#[inline(always)]
pub(super) fn powers<T: Real, const W: usize>(u: &Vectors<T, W>, powers: &mut [[Lanes<T, W>; 2]]) {
    let [x, _, z] = u;
    let mut now = [[T::ONE; W], [T::ZERO; W]];
    for power in powers {
        *power = now;
        let [c, s] = now;
        now = [
            each(|i| c[i].fma(z[i], -(s[i] * x[i]))),
            each(|i| c[i].fma(x[i], s[i] * z[i])),
        ];
    }
}

/// The harmonics of degree `l`, orders `−l..=l`, by the recursion downwards in the order.
#[inline(always)]
pub(super) fn degree<T: Real, const W: usize>(
    l: usize,
    table: &Table<T>,
    y: &Lanes<T, W>,
    rho2: &Lanes<T, W>,
    powers: &[[Lanes<T, W>; 2]],
    out: &mut [Lanes<T, W>],
) {
    let (out, powers) = (&mut out[..=2 * l], &powers[..=l]);
    let steps = &table.step[row(l)..=row(l) + l];
    let (mut above, mut q) = ([T::ZERO; W], [table.seed[l]; W]);
    for m in (1..=l).rev() {
        let [c, s] = &powers[m];
        out[l + m] = each(|i| q[i] * c[i]);
        out[l - m] = each(|i| q[i] * s[i]);
        let [a, b] = steps[m - 1];
        let next = each(|i| (a * y[i]).fma(q[i], -(b * rho2[i] * above[i])));
        (above, q) = (q, next);
    }
    out[l] = q;
}

/// The gradient `[∂x, ∂y, ∂z]` of every harmonic of degree `l ≥ 1`, from those of degree `l − 1`, row by row.
///
/// The map is linear: from derivatives of degree `l − 1` along a direction it makes those of the gradient.
#[inline(always)]
pub(super) fn ladder<T: Real, const W: usize>(
    l: usize,
    table: &Table<T>,
    below: &[Lanes<T, W>],
    sink: &mut impl Sink<T>,
) {
    let below = &below[..2 * l - 1];
    let coefficients = &table.ladder[row(l)..=row(l) + l];
    let zero = [T::ZERO; W];
    // Y_{l−1, m} and Y_{l−1, −m}; 0 past the last order. References, so that nothing is copied.
    let at = |m: usize| {
        if m < l {
            (&below[l - 1 + m], &below[l - 1 - m])
        } else {
            (&zero, &zero)
        }
    };
    let [_, beta, gamma] = coefficients[0];
    let ((even, _), (a, b)) = (at(0), at(1));
    sink.row(l, |i| [-(beta * b[i]), gamma * even[i], -(beta * a[i])]);
    for (m, &[alpha, beta, gamma]) in coefficients.iter().enumerate().skip(1) {
        let ((a, b), (a_up, b_up), (a_down, b_down)) = (at(m), at(m + 1), at(m - 1));
        let b_down = if m == 1 { &zero } else { b_down };
        sink.row(l + m, |i| {
            let x = -(alpha.fma(b_down[i], beta * b_up[i]));
            [x, gamma * a[i], alpha.fma(a_down[i], -(beta * a_up[i]))]
        });
        sink.row(l - m, |i| {
            let x = alpha.fma(a_down[i], beta * a_up[i]);
            [x, gamma * b[i], alpha.fma(b_down[i], -(beta * b_up[i]))]
        });
    }
}

/// What becomes of the gradients that [`ladder`] finds.
pub(super) trait Sink<T> {
    /// Takes the gradient of the component at place `row = l + m`, by lane.
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]);
}
