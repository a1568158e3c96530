//! Elements of O(3): [`Orthogonal`].

use super::{Matrix3, ORTHOGONAL, Rotation, RotationError};
use core::ops::Mul;
use rand::Rng;

/// An element of O(3): a rotation, with or without the inversion of space `v ↦ −v` (the two commute).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Orthogonal {
    /// The rotation.
    pub rotation: Rotation,
    /// Whether space is inverted too.
    pub inversion: bool,
}

impl Orthogonal {
    /// The element that does nothing.
    pub const IDENTITY: Self = Self {
        rotation: Rotation::IDENTITY,
        inversion: false,
    };

    /// The inversion `v ↦ −v`.
    pub const INVERSION: Self = Self {
        rotation: Rotation::IDENTITY,
        inversion: true,
    };

    /// The element of an orthogonal matrix of determinant 1 or −1.
    ///
    /// # Errors
    /// If the matrix is not orthogonal within 1e-5.
    pub fn from_matrix(m: Matrix3) -> Result<Self, RotationError> {
        let column = |i: usize| [m[0][i], m[1][i], m[2][i]];
        let mut worst = 0.0_f64;
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = column(i).iter().zip(column(j)).map(|(a, b)| a * b).sum();
                let gap = (product - f64::from(u8::from(i == j))).abs();
                // A NaN stays: nothing is greater.
                if gap > worst || gap.is_nan() {
                    worst = gap;
                }
            }
        }
        if worst.is_nan() || worst > ORTHOGONAL {
            return Err(RotationError::NotOrthogonal(worst));
        }
        let [a, b, c] = m;
        let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
        let inversion = determinant < 0.0;
        let sign = if inversion { -1.0 } else { 1.0 };
        Ok(Self {
            rotation: Rotation::from_proper(m.map(|row| row.map(|x| sign * x))),
            inversion,
        })
    }

    /// Uniformly distributed over O(3).
    pub fn random(rng: &mut impl Rng) -> Self {
        Self {
            rotation: Rotation::random(rng),
            inversion: rng.random(),
        }
    }

    /// The matrix, of determinant 1 or −1.
    pub fn matrix(self) -> Matrix3 {
        let sign = if self.inversion { -1.0 } else { 1.0 };
        self.rotation.matrix().map(|row| row.map(|x| sign * x))
    }

    /// The element that undoes this one.
    pub fn inverse(self) -> Self {
        Self {
            rotation: self.rotation.inverse(),
            ..self
        }
    }
}

impl From<Rotation> for Orthogonal {
    fn from(rotation: Rotation) -> Self {
        Self {
            rotation,
            inversion: false,
        }
    }
}

impl Mul for Orthogonal {
    type Output = Self;

    /// The composition: `other` acts first.
    fn mul(self, other: Self) -> Self {
        Self {
            rotation: self.rotation * other.rotation,
            inversion: self.inversion != other.inversion,
        }
    }
}
