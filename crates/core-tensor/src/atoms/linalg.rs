//! Rows of three numbers.

/// A vector in Å, or three numbers along an axis each.
pub type Vec3 = [f64; 3];
/// Three rows.
pub type Mat3 = [Vec3; 3];

pub(super) const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

pub(super) fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn norm(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}

pub(super) fn scale(a: Vec3, s: f64) -> Vec3 {
    a.map(|x| x * s)
}

pub(super) fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// A row vector times a matrix. The order of the sums is that of `D = r_j − r_i + S·cell` in vesin.
#[inline(always)]
pub(super) fn row_times(v: Vec3, m: &Mat3) -> Vec3 {
    core::array::from_fn(|k| v[0] * m[0][k] + v[1] * m[1][k] + v[2] * m[2][k])
}

pub(super) fn times(a: &Mat3, b: &Mat3) -> Mat3 {
    a.map(|row| row_times(row, b))
}

pub(super) fn determinant(m: &Mat3) -> f64 {
    dot(m[0], cross(m[1], m[2]))
}

/// Inverse of a matrix that is known to have one.
pub(super) fn inverse(m: &Mat3) -> Mat3 {
    let det = determinant(m);
    let columns = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])];
    core::array::from_fn(|i| core::array::from_fn(|k| columns[k][i] / det))
}

/// A unit vector at right angles to `a`.
pub(super) fn perpendicular(a: Vec3) -> Vec3 {
    // The axis that `a` has least of.
    let least = (0..3)
        .min_by(|&i, &k| a[i].abs().total_cmp(&a[k].abs()))
        .expect("three axes");
    let b = cross(a, IDENTITY[least]);
    scale(b, 1.0 / norm(b))
}

/// `rows` with those that are `None` replaced by unit vectors at right angles to all others.
pub(super) fn complete(rows: [Option<Vec3>; 3]) -> Mat3 {
    let unit = |v: Vec3| scale(v, 1.0 / norm(v));
    let given = rows.iter().flatten().count();
    match given {
        3 => rows.map(|row| row.expect("three given")),
        0 => IDENTITY,
        2 => {
            let missing = rows.iter().position(Option::is_none).expect("one missing");
            let (next, last) = ((missing + 1) % 3, (missing + 2) % 3);
            let (b, c) = (rows[next].expect("given"), rows[last].expect("given"));
            let mut full = IDENTITY;
            full[next] = b;
            full[last] = c;
            full[missing] = unit(cross(unit(b), unit(c)));
            full
        }
        _ => {
            let at = rows.iter().position(Option::is_some).expect("one given");
            let a = rows[at].expect("given");
            let b = perpendicular(unit(a));
            let mut full = IDENTITY;
            full[at] = a;
            full[(at + 1) % 3] = b;
            full[(at + 2) % 3] = unit(cross(unit(a), b));
            full
        }
    }
}
