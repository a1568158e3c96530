//! Where a point lies, and what the division by the length does to derivatives.

use super::constant;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

/// Where a point lies on the unit sphere (for solid harmonics, where it lies), and how it moves along a direction.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Place<F: Float> {
    /// `u = v / |v|`, 0 for the zero vector; or `v`.
    pub(super) x: F,
    pub(super) y: F,
    pub(super) z: F,
    /// `1 / |v|`, 0 for the zero vector; or 1.
    pub(super) inverse: F,
    /// The movement of `u`.
    pub(super) dx: F,
    pub(super) dy: F,
    pub(super) dz: F,
    /// The change of `|v|`.
    pub(super) speed: F,
}

/// The smallest normal number.
#[cube]
fn least<F: Float>() -> F {
    let elem = elem_type_of::<F>();
    constant::<F>(comptime!(if elem == ElemType::Float(FloatKind::F64) {
        f64::MIN_POSITIVE
    } else {
        f64::from(f32::MIN_POSITIVE)
    }))
}

/// The place of a row of `vectors` `[N, 3]`, and its movement along that of `tangents`.
#[cube]
pub(super) fn place<F: Float>(
    vectors: &Tensor<F>,
    tangents: ComptimeOption<&Tensor<F>>,
    point: usize,
    #[comptime] normalize: bool,
) -> Place<F> {
    let at = 3 * point;
    let zero = F::new(0.0_f32);
    let one = F::new(1.0_f32);
    let vx = vectors[at];
    let vy = vectors[at + 1];
    let vz = vectors[at + 2];
    let (tx, ty, tz) = #[comptime]
    match tangents {
        ComptimeOption::Some(tangents) => (tangents[at], tangents[at + 1], tangents[at + 2]),
        ComptimeOption::None => (zero, zero, zero),
    };
    if comptime!(normalize) {
        // Divided by the largest component first, so that squares keep in range.
        let (ax, ay, az) = (vx.abs(), vy.abs(), vz.abs());
        let largest = select(ax > ay, ax, ay);
        let largest = select(largest > az, largest, az);
        let some = largest >= least::<F>();
        let largest = select(some, largest, one);
        let (px, py, pz) = (vx / largest, vy / largest, vz / largest);
        let square = fma(px, px, fma(py, py, pz * pz));
        let root = select(some, one / select(some, square, one).sqrt(), zero);
        let (x, y, z) = (px * root, py * root, pz * root);
        let inverse = root / largest;
        let speed = fma(x, tx, fma(y, ty, z * tz));
        Place::<F> {
            x,
            y,
            z,
            inverse,
            dx: (tx - x * speed) * inverse,
            dy: (ty - y * speed) * inverse,
            dz: (tz - z * speed) * inverse,
            speed,
        }
    } else {
        Place::<F> {
            x: vx,
            y: vy,
            z: vz,
            inverse: one,
            dx: tx,
            dy: ty,
            dz: tz,
            speed: zero,
        }
    }
}

/// Where `Σ_i g_i ∇_u Y_i` lies in an array of six numbers, and where its derivative along the direction does.
pub(super) const GRADIENT: usize = 0;
pub(super) const BEND: usize = 3;

/// Six zeros.
#[cube]
pub(super) fn no_sums<F: Float>() -> Array<F> {
    let mut sums = Array::<F>::new(6usize);
    #[unroll]
    for k in 0..6 {
        sums[k] = F::new(0.0_f32);
    }
    sums
}

/// Adds `g (x, y, z)` to three of the numbers.
#[cube]
pub(super) fn add<F: Float>(sums: &mut Array<F>, #[comptime] to: usize, g: F, x: F, y: F, z: F) {
    sums[to] = fma(g, x, sums[to]);
    sums[to + 1] = fma(g, y, sums[to + 1]);
    sums[to + 2] = fma(g, z, sums[to + 2]);
}

/// Writes the derivative by `v`: the projected gradient `(g − u (u·g)) / |v|`, or with a direction the derivative of that
/// along it.
#[cube]
pub(super) fn write<F: Float>(
    out: &mut Tensor<F>,
    point: usize,
    p: Place<F>,
    sums: &Array<F>,
    #[comptime] normalize: bool,
    #[comptime] moved: bool,
) {
    let at = 3 * point;
    let (gx, gy, gz) = (sums[0], sums[1], sums[2]);
    let (hx, hy, hz) = (sums[3], sums[4], sums[5]);
    if comptime!(normalize) {
        let along = fma(p.x, gx, fma(p.y, gy, p.z * gz));
        let (ax, ay, az) = (gx - p.x * along, gy - p.y * along, gz - p.z * along);
        if comptime!(moved) {
            let turned = fma(p.dx, gx, fma(p.dy, gy, p.dz * gz));
            let grown = turned + fma(p.x, hx, fma(p.y, hy, p.z * hz));
            let shrunk = p.speed * p.inverse;
            out[at] = (hx - p.dx * along - p.x * grown - ax * shrunk) * p.inverse;
            out[at + 1] = (hy - p.dy * along - p.y * grown - ay * shrunk) * p.inverse;
            out[at + 2] = (hz - p.dz * along - p.z * grown - az * shrunk) * p.inverse;
        } else {
            out[at] = ax * p.inverse;
            out[at + 1] = ay * p.inverse;
            out[at + 2] = az * p.inverse;
        }
    } else if comptime!(moved) {
        out[at] = hx;
        out[at + 1] = hy;
        out[at + 2] = hz;
    } else {
        out[at] = gx;
        out[at + 1] = gy;
        out[at + 2] = gz;
    }
}
