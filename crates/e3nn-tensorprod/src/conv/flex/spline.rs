//! Weights from a table of cubic Hermite splines, and gradients of distances.

use super::super::table::Knots;
use super::lanes::Lanes;
use core_tensor::cpu::{Isa, Kernel};

/// Factors of the four rows of an interval (value and slope left, value and slope right) for the value, its first and its
/// second derivative by the distance; and the first row.
fn factors<T: Lanes>(knots: Knots, r: T) -> (usize, [[T; 4]; 3]) {
    let (k, s, inside) = knots.locate(r.to_f64());
    let h = knots.spacing;
    let right = s * s * (3.0 - 2.0 * s);
    let value = [
        1.0 - right,
        h * s * (1.0 - s) * (1.0 - s),
        right,
        -h * s * s * (1.0 - s),
    ];
    let slope = 6.0 * s * (1.0 - s) / h;
    let first = [
        -slope,
        1.0 - s * (4.0 - 3.0 * s),
        slope,
        s * (3.0 * s - 2.0),
    ];
    let bend = (6.0 - 12.0 * s) / (h * h);
    let second = [-bend, (6.0 * s - 4.0) / h, bend, (6.0 * s - 2.0) / h];
    let outside = |f: [f64; 4]| if inside || s.is_nan() { f } else { [0.0; 4] };
    let all = [value, outside(first), outside(second)];
    (2 * k, all.map(|f| f.map(T::from_f64)))
}

/// The weights of distances, and their tangents `w'(r) ṙ`.
pub(super) fn evaluate<T: Lanes>(
    isa: Isa,
    knots: Knots,
    table: &[T],
    weights: usize,
    r: &[T],
    r_dot: Option<&[T]>,
    [w, w_dot]: [&mut [T]; 2],
) {
    for (e, &at) in r.iter().enumerate() {
        let (row, [value, first, _]) = factors(knots, at);
        let rows = &table[row * weights..(row + 4) * weights];
        let combine = |factors: [T; 4], out: &mut [T]| {
            isa.run(Combine {
                rows,
                factors,
                out: &mut out[e * weights..(e + 1) * weights],
            });
        };
        combine(value, w);
        if let Some(r_dot) = r_dot {
            combine(first.map(|f| f * r_dot[e]), w_dot);
        }
    }
}

/// Gradients of distances `Σ ∂w w'(r) + ∂ẇ w''(r) ṙ` and of their tangents `Σ ∂ẇ w'(r)`.
#[allow(
    clippy::too_many_arguments,
    reason = "values, tangents and gradients of one call"
)]
pub(super) fn gradients<T: Lanes>(
    isa: Isa,
    knots: Knots,
    table: &[T],
    weights: usize,
    r: &[T],
    r_dot: Option<&[T]>,
    [gw, gw_dot]: [&[T]; 2],
    [gr, gr_dot]: [&mut [T]; 2],
) {
    for (e, &at) in r.iter().enumerate() {
        let (row, [_, first, second]) = factors(knots, at);
        let rows = &table[row * weights..(row + 4) * weights];
        let dot = |factors: [T; 4], gradient: &[T]| {
            isa.run(Dot {
                rows,
                factors,
                gradient: &gradient[e * weights..(e + 1) * weights],
            })
        };
        gr[e] = dot(first, gw);
        if !gr_dot.is_empty() {
            gr_dot[e] = dot(first, gw_dot);
            if let Some(r_dot) = r_dot {
                gr[e] = gr[e] + dot(second.map(|f| f * r_dot[e]), gw_dot);
            }
        }
    }
}

struct Combine<'a, T> {
    rows: &'a [T],
    factors: [T; 4],
    out: &'a mut [T],
}

impl<T: Lanes> Kernel for Combine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let n = self.out.len();
        let [a, b, c, d] = core::array::from_fn(|i| &self.rows[i * n..][..n]);
        let [fa, fb, fc, fd] = self.factors;
        for i in 0..n {
            self.out[i] = fa.fma(a[i], fb.fma(b[i], fc.fma(c[i], fd * d[i])));
        }
    }
}

struct Dot<'a, T> {
    rows: &'a [T],
    factors: [T; 4],
    gradient: &'a [T],
}

/// Sums that run side by side.
const LANES: usize = 16;

impl<T: Lanes> Kernel for Dot<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let n = self.gradient.len();
        let [a, b, c, d] = core::array::from_fn(|i| &self.rows[i * n..][..n]);
        let [fa, fb, fc, fd] = self.factors;
        let g = self.gradient;
        let at = |i: usize| fa.fma(a[i], fb.fma(b[i], fc.fma(c[i], fd * d[i])));
        let mut sums = [T::ZERO; LANES];
        let whole = n / LANES * LANES;
        for i in (0..whole).step_by(LANES) {
            for l in 0..LANES {
                sums[l] = g[i + l].fma(at(i + l), sums[l]);
            }
        }
        for i in whole..n {
            sums[i - whole] = g[i].fma(at(i), sums[i - whole]);
        }
        sums.into_iter().fold(T::ZERO, |sum, x| sum + x)
    }
}
