//! Degrees known when the kernel runs: the values of a point lie in arrays of its unit, coefficients in tables.

use super::place::{BEND, GRADIENT, Place, add, no_sums, place, write};
use cubecl::prelude::*;

/// What every kernel reads; in two buffers, since WebGPU promises eight to a kernel.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Tables<F: Float> {
    /// Degree and first column of each block of the output; then of every component for each axis two components of the
    /// degree below.
    pub(super) whole: OwnedTensor<u32>,
    /// The factors of those, then the coefficients of the recursion: the first of every degree, and pairs.
    pub(super) numbers: OwnedTensor<F>,
    pub(super) points: usize,
    /// Blocks, and columns, of the output.
    pub(super) count: usize,
    pub(super) width: usize,
}

/// What a kernel is compiled for, apart from its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Loops {
    pub(super) lmax: usize,
    pub(super) normalize: bool,
    pub(super) moved: bool,
}

/// `c_m, s_m` of `(z + ix)^m`.
#[cube]
fn powers<F: Float>(p: Place<F>, c: &mut Array<F>, s: &mut Array<F>, #[comptime] lmax: usize) {
    let mut a = F::new(1.0_f32);
    let mut b = F::new(0.0_f32);
    for m in 0..lmax + 1 {
        c[m] = a;
        s[m] = b;
        let next = fma(a, p.z, -(b * p.x));
        b = fma(a, p.x, b * p.z);
        a = next;
    }
}

/// The harmonics of degree `l`.
#[cube]
fn degree<F: Float>(
    tables: &Tables<F>,
    l: usize,
    p: Place<F>,
    c: &Array<F>,
    s: &Array<F>,
    out: &mut Array<F>,
    #[comptime] lmax: usize,
) {
    let seeds = comptime!(6 * (lmax + 1) * (lmax + 1));
    let steps = comptime!(seeds + lmax + 1);
    let rho2 = fma(p.x, p.x, p.z * p.z);
    let mut above = F::new(0.0_f32);
    let mut q = tables.numbers[seeds + l];
    for i in 0..l {
        let m = l - i;
        out[l + m] = q * c[m];
        out[l - m] = q * s[m];
        let at = steps + l * (l + 1) + 2 * (m - 1);
        let below = tables.numbers[at + 1] * rho2 * above;
        let next = fma(tables.numbers[at] * p.y, q, -below);
        above = q;
        q = next;
    }
    out[l] = q;
}

/// A component of the gradient, from the degree below.
#[cube]
fn axis<F: Float>(tables: &Tables<F>, at: usize, below: &Array<F>) -> F {
    let first = below[usize::cast_from(tables.whole[2 * tables.count + at])];
    let second = below[usize::cast_from(tables.whole[2 * tables.count + at + 1])];
    fma(first, tables.numbers[at], second * tables.numbers[at + 1])
}

/// Adds `g` times the gradient of the component at `at`.
#[cube]
fn add_axes<F: Float>(
    sums: &mut Array<F>,
    #[comptime] first: usize,
    g: F,
    tables: &Tables<F>,
    at: usize,
    below: &Array<F>,
) {
    let x = axis::<F>(tables, at, below);
    let y = axis::<F>(tables, at + 2, below);
    let z = axis::<F>(tables, at + 4, below);
    add::<F>(sums, first, g, x, y, z);
}

/// The derivatives along the direction of degree `l ≥ 1`, from the values of degree `l − 1`.
#[cube]
fn directed<F: Float>(
    tables: &Tables<F>,
    l: usize,
    p: Place<F>,
    below: &Array<F>,
    out: &mut Array<F>,
) {
    for i in 0..2 * l + 1 {
        let at = 6 * (l * l + i);
        let x = axis::<F>(tables, at, below);
        let y = axis::<F>(tables, at + 2, below);
        let z = axis::<F>(tables, at + 4, below);
        out[i] = fma(x, p.dx, fma(y, p.dy, z * p.dz));
    }
}

/// `Y(v)`, or with a direction its derivative; a unit per point.
#[cube(launch, address_type = "dynamic")]
pub(super) fn harmonics<F: Float>(
    vectors: &Tensor<F>,
    directions: ComptimeOption<&Tensor<F>>,
    tables: &Tables<F>,
    out: &mut Tensor<F>,
    #[comptime] loops: Loops,
    #[define(F)] _dtype: ElemType,
) {
    let point = ABSOLUTE_POS;
    if point >= tables.points {
        terminate!();
    }
    let p = place::<F>(vectors, directions, point, comptime!(loops.normalize));
    let lmax = comptime!(loops.lmax);
    let mut c = Array::<F>::new(comptime!(lmax + 1));
    let mut s = Array::<F>::new(comptime!(lmax + 1));
    powers::<F>(p, &mut c, &mut s, lmax);
    let mut values = Array::<F>::new(comptime!(2 * lmax + 1));
    let mut tangents = Array::<F>::new(comptime!(2 * lmax + 1));
    for block in 0..tables.count {
        let l = usize::cast_from(tables.whole[2 * block]);
        let at = point * tables.width + usize::cast_from(tables.whole[2 * block + 1]);
        if comptime!(loops.moved) {
            tangents[0] = F::new(0.0_f32);
            if l > 0 {
                degree::<F>(tables, l - 1, p, &c, &s, &mut values, lmax);
                directed::<F>(tables, l, p, &values, &mut tangents);
            }
            for i in 0..2 * l + 1 {
                out[at + i] = tangents[i];
            }
        } else {
            degree::<F>(tables, l, p, &c, &s, &mut values, lmax);
            for i in 0..2 * l + 1 {
                out[at + i] = values[i];
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
    tables: &Tables<F>,
    out: &mut Tensor<F>,
    #[comptime] loops: Loops,
    #[define(F)] _dtype: ElemType,
) {
    let point = ABSOLUTE_POS;
    if point >= tables.points {
        terminate!();
    }
    let p = place::<F>(vectors, directions, point, comptime!(loops.normalize));
    let lmax = comptime!(loops.lmax);
    let mut c = Array::<F>::new(comptime!(lmax + 1));
    let mut s = Array::<F>::new(comptime!(lmax + 1));
    powers::<F>(p, &mut c, &mut s, lmax);
    let mut values = Array::<F>::new(comptime!(2 * lmax + 1));
    let mut tangents = Array::<F>::new(comptime!(2 * lmax + 1));
    let mut sums = no_sums::<F>();
    for block in 0..tables.count {
        let l = usize::cast_from(tables.whole[2 * block]);
        let from = point * tables.width + usize::cast_from(tables.whole[2 * block + 1]);
        if l > 0 {
            if comptime!(loops.moved) {
                tangents[0] = F::new(0.0_f32);
                if l > 1 {
                    degree::<F>(tables, l - 2, p, &c, &s, &mut values, lmax);
                    directed::<F>(tables, l - 1, p, &values, &mut tangents);
                }
            }
            degree::<F>(tables, l - 1, p, &c, &s, &mut values, lmax);
            for i in 0..2 * l + 1 {
                let g = cotangents[from + i];
                let at = 6 * (l * l + i);
                add_axes::<F>(&mut sums, GRADIENT, g, tables, at, &values);
                if comptime!(loops.moved) {
                    add_axes::<F>(&mut sums, BEND, g, tables, at, &tangents);
                }
            }
        }
    }
    write::<F>(
        out,
        point,
        p,
        &sums,
        comptime!(loops.normalize),
        comptime!(loops.moved),
    );
}
