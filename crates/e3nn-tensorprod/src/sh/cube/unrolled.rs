//! Degrees known when the kernel is compiled: every value of a point is a register, every coefficient a constant.

use super::super::table::{Table, row};
use super::place::{BEND, GRADIENT, Place, add, no_sums, place, write};
use super::rows::{dim, gradient_rows, next_row};
use super::{POINTS, Variant, constant};
use cubecl::prelude::*;

/// The harmonics of degrees `0..=lmax` in order, each by the recursion downwards in the order.
#[cube]
fn values<F: Float>(
    p: Place<F>,
    #[comptime] table: &Table<f64>,
    #[comptime] lmax: usize,
) -> Sequence<F> {
    // c_m, s_m of (z + ix)^m.
    let mut c = Sequence::<F>::new();
    let mut s = Sequence::<F>::new();
    c.push(F::new(1.0_f32));
    s.push(F::new(0.0_f32));
    #[unroll]
    for m in 0..lmax {
        let (a, b) = (c[m], s[m]);
        c.push(fma(a, p.z, -(b * p.x)));
        s.push(fma(a, p.x, b * p.z));
    }
    let rho2 = fma(p.x, p.x, p.z * p.z);
    let mut all = Sequence::<F>::new();
    #[unroll]
    for l in 0..comptime!(lmax + 1) {
        // q of orders l, l − 1, …, 0.
        let mut q = Sequence::<F>::new();
        q.push(constant::<F>(comptime!(table.seed[l])));
        #[unroll]
        for i in 0..l {
            let [a, b] = comptime!(table.step[row(l) + l - i - 1]);
            let ay = p.y * constant::<F>(a);
            if comptime!(i == 0) {
                q.push(ay * q[0]);
            } else {
                let below = rho2 * constant::<F>(b) * q[comptime!(i - 1)];
                q.push(fma(ay, q[i], -below));
            }
        }
        #[unroll]
        for i in 0..comptime!(2 * l + 1) {
            let m = comptime!(i.abs_diff(l));
            let factor = q[comptime!(l - m)];
            if comptime!(i < l) {
                all.push(factor * s[m]);
            } else if comptime!(i == l) {
                all.push(factor);
            } else {
                all.push(factor * c[m]);
            }
        }
    }
    all
}

/// `Σ factor · all[place]`.
#[cube]
fn combined<F: Float>(all: &Sequence<F>, #[comptime] terms: Vec<(usize, f64)>) -> F {
    if comptime!(terms.is_empty()) {
        F::new(0.0_f32)
    } else if comptime!(terms.len() == 1) {
        let (at, factor) = comptime!(terms[0]);
        all[at] * constant::<F>(factor)
    } else {
        let (first, first_factor) = comptime!(terms[0]);
        let (second, second_factor) = comptime!(terms[1]);
        fma(
            all[first],
            constant::<F>(first_factor),
            all[second] * constant::<F>(second_factor),
        )
    }
}

/// The derivatives along the direction of degrees `0..=lmax`, from the values of those below.
#[cube]
fn tangents<F: Float>(
    p: Place<F>,
    values: &Sequence<F>,
    #[comptime] table: &Table<f64>,
    #[comptime] lmax: usize,
) -> Sequence<F> {
    let mut all = Sequence::<F>::new();
    all.push(F::new(0.0_f32));
    #[unroll]
    for l in 1..comptime!(lmax + 1) {
        #[unroll]
        for i in 0..comptime!(2 * l + 1) {
            let rows = comptime!(gradient_rows(table, l, i));
            let x = combined::<F>(values, comptime!(rows[0].clone()));
            let y = combined::<F>(values, comptime!(rows[1].clone()));
            let z = combined::<F>(values, comptime!(rows[2].clone()));
            all.push(fma(x, p.dx, fma(y, p.dy, z * p.dz)));
        }
    }
    all
}

/// `Y(v)`, or with a direction its derivative; a unit per point.
#[cube(launch, address_type = "dynamic")]
pub(super) fn harmonics<F: Float>(
    vectors: &Tensor<F>,
    directions: ComptimeOption<&Tensor<F>>,
    out: &mut Tensor<F>,
    points: usize,
    #[comptime] variant: Variant,
    #[define(F)] _dtype: ElemType,
) {
    let first = CUBE_POS * POINTS;
    let unit = UNIT_POS as usize;
    let active = first + unit < points;
    // Units beyond the last point repeat it.
    let point = select(active, first + unit, points - 1);
    let p = place::<F>(
        vectors,
        directions,
        point,
        comptime!(variant.spec.normalize),
    );
    let table = comptime!(variant.table());
    let lmax = comptime!(variant.spec.lmax());
    let all = values::<F>(p, comptime!(&table), lmax);
    let result = if comptime!(variant.moved) {
        tangents::<F>(p, &all, comptime!(&table), lmax)
    } else {
        all
    };
    let width = comptime!(variant.spec.dim());
    let stride = comptime!(variant.stride());
    let mut staged =
        Shared::<[F]>::new_slice(comptime!(if variant.staged { POINTS * stride } else { 1 }));
    #[unroll]
    for n in 0..comptime!(variant.spec.degrees.len()) {
        let (l, column) = comptime!(dim(&variant.spec, n));
        #[unroll]
        for i in 0..comptime!(2 * l + 1) {
            let value = result[comptime!(l * l + i)];
            if comptime!(variant.staged) {
                staged[unit * stride + comptime!(column + i)] = value;
            } else if active {
                out[point * width + comptime!(column + i)] = value;
            }
        }
    }
    if comptime!(variant.staged) {
        // Neighbouring units write neighbouring values.
        sync_cube();
        let end = points * width;
        #[unroll]
        for k in 0..width {
            let within = k * POINTS + unit;
            let at = first * width + within;
            if at < end {
                out[at] = staged[next_row(within, width, stride)];
            }
        }
    }
}

/// `Σ_i g_i ∇Y_i(v)`, or with a direction its derivative; a unit per point.
#[cube(launch, address_type = "dynamic")]
pub(super) fn contracted<F: Float>(
    vectors: &Tensor<F>,
    directions: ComptimeOption<&Tensor<F>>,
    cotangents: &Tensor<F>,
    out: &mut Tensor<F>,
    points: usize,
    #[comptime] variant: Variant,
    #[define(F)] _dtype: ElemType,
) {
    let first = CUBE_POS * POINTS;
    let unit = UNIT_POS as usize;
    let active = first + unit < points;
    let point = select(active, first + unit, points - 1);
    let width = comptime!(variant.spec.dim());
    let stride = comptime!(variant.stride());
    let mut staged =
        Shared::<[F]>::new_slice(comptime!(if variant.staged { POINTS * stride } else { 1 }));
    if comptime!(variant.staged) {
        let end = points * width;
        #[unroll]
        for k in 0..width {
            let within = k * POINTS + unit;
            let at = first * width + within;
            if at < end {
                staged[next_row(within, width, stride)] = cotangents[at];
            }
        }
        sync_cube();
    }
    let p = place::<F>(
        vectors,
        directions,
        point,
        comptime!(variant.spec.normalize),
    );
    let table = comptime!(variant.table());
    let below = comptime!(variant.spec.lmax().saturating_sub(1));
    let all = values::<F>(p, comptime!(&table), below);
    let moved = if comptime!(variant.moved) {
        tangents::<F>(p, &all, comptime!(&table), below)
    } else {
        Sequence::<F>::new()
    };
    let mut sums = no_sums::<F>();
    #[unroll]
    for n in 0..comptime!(variant.spec.degrees.len()) {
        let (l, column) = comptime!(dim(&variant.spec, n));
        #[unroll]
        for i in 0..comptime!(if l == 0 { 0 } else { 2 * l + 1 }) {
            let g = if comptime!(variant.staged) {
                // Beyond the last point nothing was staged, and nothing is written.
                staged[unit * stride + comptime!(column + i)]
            } else {
                cotangents[point * width + comptime!(column + i)]
            };
            let rows = comptime!(gradient_rows(&table, l, i));
            let x = combined::<F>(&all, comptime!(rows[0].clone()));
            let y = combined::<F>(&all, comptime!(rows[1].clone()));
            let z = combined::<F>(&all, comptime!(rows[2].clone()));
            add::<F>(&mut sums, GRADIENT, g, x, y, z);
            if comptime!(variant.moved) {
                let x = combined::<F>(&moved, comptime!(rows[0].clone()));
                let y = combined::<F>(&moved, comptime!(rows[1].clone()));
                let z = combined::<F>(&moved, comptime!(rows[2].clone()));
                add::<F>(&mut sums, BEND, g, x, y, z);
            }
        }
    }
    if active {
        write::<F>(
            out,
            point,
            p,
            &sums,
            comptime!(variant.spec.normalize),
            comptime!(variant.moved),
        );
    }
}
