//! Rotations of space and elements of O(3) in every usual form, with e3nn's conventions.
//!
//! A rotation acts on column vectors `(x, y, z)` from the left; in a composition the right factor acts first.
//! Euler angles mean `R_y(α) R_x(β) R_y(γ)`, so that a rotation by `(α, β, ·)` takes the polar axis `y` to
//! `(sin β sin α, cos β, sin β cos α)`. Quaternions are `(w, x, y, z)` with Hamilton's product.

mod frame;
mod orthogonal;
mod tensor;

pub use frame::edge_frame;
pub(crate) use frame::smallest;
pub use orthogonal::Orthogonal;
pub(crate) use tensor::constant;
pub use tensor::{matrix_from_angles, matrix_from_quaternion};

use core::ops::Mul;
use rand::Rng;

/// A 3 × 3 matrix, by rows.
pub type Matrix3 = [[f64; 3]; 3];

/// Euler angles of `R_y(alpha) R_x(beta) R_y(gamma)`, in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EulerAngles {
    /// The angle about y that is applied last.
    pub alpha: f64,
    /// The angle about x.
    pub beta: f64,
    /// The angle about y that is applied first.
    pub gamma: f64,
}

/// What is no rotation.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// A quaternion or an axis without a direction.
    #[error("{what} {values:?} has no direction: its norm is zero or not finite")]
    NoDirection {
        /// Quaternion or axis.
        what: &'static str,
        /// The values; the last is 0 for an axis.
        values: [f64; 4],
    },
    /// An angle that is NaN or infinite.
    #[error("the angle {0} is not finite")]
    Angle(f64),
    /// `MᵀM` is not the identity.
    #[error(
        "the matrix is not orthogonal: an entry of its square differs from the identity by {0:e}"
    )]
    NotOrthogonal(f64),
    /// A matrix with determinant −1 where a rotation is asked for.
    #[error("the matrix contains an inversion; `Orthogonal` takes it")]
    Improper,
}

/// How far entries of `MᵀM` may be from the identity: matrices in `f32` pass, mistakes do not.
const ORTHOGONAL: f64 = 1e-5;

/// A rotation of three-dimensional space. Held as a unit quaternion, which no form is lost in.
///
/// ```
/// use e3nn_tensorprod::rotation::Rotation;
///
/// // A half turn, where the antisymmetric part of the matrix vanishes.
/// let half = Rotation::from_axis_angle([1.0, 2.0, 2.0], std::f64::consts::PI)?;
/// let (axis, angle) = Rotation::from_matrix(half.matrix())?.axis_angle();
/// assert!((angle - std::f64::consts::PI).abs() < 1e-15 && (axis[0].abs() - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), e3nn_tensorprod::rotation::RotationError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotation([f64; 4]);

impl Rotation {
    /// The rotation that does nothing.
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0]);

    /// The rotation of a quaternion `(w, x, y, z)` of any norm but zero. `q` and `−q` are the same rotation.
    ///
    /// # Errors
    /// If the norm is zero or not finite.
    pub fn from_quaternion(q: [f64; 4]) -> Result<Self, RotationError> {
        match unit(q) {
            Some(q) => Ok(Self(q)),
            None => Err(RotationError::NoDirection {
                what: "quaternion",
                values: q,
            }),
        }
    }

    /// The right-handed rotation by `angle` (radians) about an axis of any length but zero.
    ///
    /// # Errors
    /// If the axis has length zero, or it or the angle is not finite.
    pub fn from_axis_angle(axis: [f64; 3], angle: f64) -> Result<Self, RotationError> {
        if !angle.is_finite() {
            return Err(RotationError::Angle(angle));
        }
        let [x, y, z] = axis;
        let Some([_, x, y, z]) = unit([0.0, x, y, z]) else {
            return Err(RotationError::NoDirection {
                what: "axis",
                values: [x, y, z, 0.0],
            });
        };
        let (s, c) = (angle / 2.0).sin_cos();
        Ok(Self([c, s * x, s * y, s * z]))
    }

    /// `R_y(α) R_x(β) R_y(γ)`.
    ///
    /// # Panics
    /// If an angle is not finite.
    pub fn from_angles(angles: EulerAngles) -> Self {
        let EulerAngles { alpha, beta, gamma } = angles;
        assert!(
            [alpha, beta, gamma].iter().all(|angle| angle.is_finite()),
            "Rotation::from_angles: expected finite angles, got {angles:?}"
        );
        let about_y = |angle: f64| Self([(angle / 2.0).cos(), 0.0, (angle / 2.0).sin(), 0.0]);
        let about_x = Self([(beta / 2.0).cos(), (beta / 2.0).sin(), 0.0, 0.0]);
        about_y(alpha) * about_x * about_y(gamma)
    }

    /// The rotation of an orthogonal matrix of determinant 1, by Shepperd's method: accurate for any angle.
    ///
    /// # Errors
    /// If the matrix is not orthogonal within 1e-5, or contains an inversion.
    pub fn from_matrix(m: Matrix3) -> Result<Self, RotationError> {
        let element = Orthogonal::from_matrix(m)?;
        if element.inversion {
            return Err(RotationError::Improper);
        }
        Ok(element.rotation)
    }

    /// Shepperd's method for a matrix that is known to be a rotation.
    fn from_proper(m: Matrix3) -> Self {
        let trace = m[0][0] + m[1][1] + m[2][2];
        // Four times the square of each component of the quaternion; the largest is the safe divisor.
        let squares = [
            1.0 + trace,
            1.0 + 2.0 * m[0][0] - trace,
            1.0 + 2.0 * m[1][1] - trace,
            1.0 + 2.0 * m[2][2] - trace,
        ];
        let largest = (0..4).max_by(|&i, &j| squares[i].total_cmp(&squares[j]));
        let (x, y, z) = (m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]);
        let (xy, xz, yz) = (m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]);
        let q = match largest {
            Some(1) => [x, squares[1], xy, xz],
            Some(2) => [y, xy, squares[2], yz],
            Some(3) => [z, xz, yz, squares[3]],
            _ => [squares[0], x, y, z],
        };
        Self(unit(q).expect("the largest component of a unit quaternion is at least 1/2"))
    }

    /// Uniformly distributed over all rotations (Haar measure), after Shoemake (1992).
    pub fn random(rng: &mut impl Rng) -> Self {
        let [u, s, t] = [(); 3].map(|()| rng.random_range(0.0..1.0_f64));
        let (sin_s, cos_s) = (core::f64::consts::TAU * s).sin_cos();
        let (sin_t, cos_t) = (core::f64::consts::TAU * t).sin_cos();
        let (a, b) = ((1.0 - u).sqrt(), u.sqrt());
        Self([b * cos_t, a * sin_s, a * cos_s, b * sin_t])
    }

    /// The unit quaternion `(w, x, y, z)`; its sign has no meaning.
    pub fn quaternion(self) -> [f64; 4] {
        self.0
    }

    /// The matrix.
    pub fn matrix(self) -> Matrix3 {
        let [w, x, y, z] = self.0;
        [
            [
                1.0 - 2.0 * (y * y + z * z),
                2.0 * (x * y - w * z),
                2.0 * (x * z + w * y),
            ],
            [
                2.0 * (x * y + w * z),
                1.0 - 2.0 * (x * x + z * z),
                2.0 * (y * z - w * x),
            ],
            [
                2.0 * (x * z - w * y),
                2.0 * (y * z + w * x),
                1.0 - 2.0 * (x * x + y * y),
            ],
        ]
    }

    /// Euler angles: `α` and `γ` in (−π, π], `β` in [0, π]. Accurate at the poles too; at a pole itself (`β` exactly
    /// 0 or π), where only a sum or difference is defined, `α = 0`.
    pub fn angles(self) -> EulerAngles {
        let [w, x, y, z] = self.0;
        let (near, far) = (w.hypot(y), x.hypot(z));
        // (w, y) = cos(β/2) (cos, sin)((α+γ)/2), (x, −z) = sin(β/2) (cos, sin)((α−γ)/2).
        let (sum, difference) = (y.atan2(w), (-z).atan2(x));
        let (alpha, gamma) = if far == 0.0 {
            (0.0, 2.0 * sum)
        } else if near == 0.0 {
            (0.0, -2.0 * difference)
        } else {
            (sum + difference, sum - difference)
        };
        EulerAngles {
            alpha: wrap(alpha),
            beta: 2.0 * far.atan2(near),
            gamma: wrap(gamma),
        }
    }

    /// Axis of length 1 and angle in [0, π]. Accurate for any angle, half turns and tiny ones included; the axis of
    /// the identity is `y`.
    pub fn axis_angle(self) -> ([f64; 3], f64) {
        let [w, x, y, z] = self.0;
        match unit([0.0, x, y, z]) {
            None => ([0.0, 1.0, 0.0], 0.0),
            Some([_, a, b, c]) => {
                let length = x.hypot(y).hypot(z);
                let sign = if w < 0.0 { -1.0 } else { 1.0 };
                ([sign * a, sign * b, sign * c], 2.0 * length.atan2(w.abs()))
            }
        }
    }

    /// The rotation back.
    pub fn inverse(self) -> Self {
        let [w, x, y, z] = self.0;
        Self([w, -x, -y, -z])
    }

    /// The vector rotated.
    pub fn apply(self, v: [f64; 3]) -> [f64; 3] {
        self.matrix()
            .map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }
}

impl Mul for Rotation {
    type Output = Self;

    /// The composition: `other` acts first.
    fn mul(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        let product = [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ];
        // Rounding would add up over long chains.
        Self(unit(product).expect("a product of unit quaternions is not zero"))
    }
}

/// A quaternion over its norm, if it has one; scaled first, so that squares neither under- nor overflow.
fn unit(q: [f64; 4]) -> Option<[f64; 4]> {
    let largest = q.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    if largest == 0.0 || !q.iter().all(|c| c.is_finite()) {
        return None;
    }
    let q = q.map(|c| c / largest);
    let norm = q.iter().map(|c| c * c).sum::<f64>().sqrt();
    Some(q.map(|c| c / norm))
}

/// An angle between −2π and 2π brought to (−π, π].
fn wrap(angle: f64) -> f64 {
    use core::f64::consts::{PI, TAU};
    if angle > PI {
        angle - TAU
    } else if angle <= -PI {
        angle + TAU
    } else {
        angle
    }
}
