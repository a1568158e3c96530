//! Where points lie on the unit sphere, and derivatives by the vectors from those by their directions.

use super::Scalar;
use super::lanes::{Lanes, Vectors, dot, each};

/// Where a block of points lies on the unit sphere; for solid harmonics, where it lies.
pub(super) struct Place<T, const W: usize> {
    /// `v / |v|`, 0 for the zero vector; or `v`.
    pub(super) u: Vectors<T, W>,
    /// `1 / |v|`, 0 for the zero vector; or 1.
    pub(super) inverse: Lanes<T, W>,
}

impl<T: Scalar, const W: usize> Place<T, W> {
    #[inline(always)]
    pub(super) fn new(v: Vectors<T, W>, normalize: bool) -> Self {
        if !normalize {
            return Self {
                u: v,
                inverse: [T::ONE; W],
            };
        }
        // Divided by the largest component first, so that squares keep in range.
        let largest: Lanes<T, W> = each(|i| {
            v[0][i]
                .absolute()
                .larger(v[1][i].absolute())
                .larger(v[2][i].absolute())
        });
        let least = T::min_positive_value();
        let scale: Lanes<T, W> = each(|i| {
            let inverse = T::ONE / largest[i];
            if largest[i] >= least {
                inverse
            } else {
                T::ZERO
            }
        });
        let v: Vectors<T, W> = v.map(|v| each(|i| v[i] * scale[i]));
        let square = dot(&v, &v);
        let root: Lanes<T, W> = each(|i| {
            let inverse = T::ONE / num_traits::Float::sqrt(square[i]);
            if square[i] > T::ZERO {
                inverse
            } else {
                T::ZERO
            }
        });
        Self {
            u: v.map(|v| each(|i| v[i] * root[i])),
            inverse: each(|i| scale[i] * root[i]),
        }
    }

    /// How `u` moves when `v` moves by `tangent`, and the change of `|v|`.
    #[inline(always)]
    pub(super) fn direction(
        &self,
        tangent: &Vectors<T, W>,
        normalize: bool,
    ) -> (Vectors<T, W>, Lanes<T, W>) {
        if !normalize {
            return (*tangent, [T::ZERO; W]);
        }
        let speed = dot(&self.u, tangent);
        let across =
            |k: usize| each(|i| (tangent[k][i] - self.u[k][i] * speed[i]) * self.inverse[i]);
        ([across(0), across(1), across(2)], speed)
    }

    /// The gradient by `v` from that by `u`: `(g − u (u·g)) / |v|`.
    #[inline(always)]
    pub(super) fn project(&self, g: &Vectors<T, W>, normalize: bool) -> Vectors<T, W> {
        if !normalize {
            return *g;
        }
        let along = dot(&self.u, g);
        let part = |k: usize| each(|i| (g[k][i] - self.u[k][i] * along[i]) * self.inverse[i]);
        [part(0), part(1), part(2)]
    }

    /// The derivative of [`project`](Self::project) along the direction, where `g` moves by `bend`.
    #[inline(always)]
    pub(super) fn bend(
        &self,
        g: &Vectors<T, W>,
        bend: &Vectors<T, W>,
        moved: &Vectors<T, W>,
        speed: &Lanes<T, W>,
        normalize: bool,
    ) -> Vectors<T, W> {
        if !normalize {
            return *bend;
        }
        let Self { u, inverse } = self;
        let along = dot(u, g);
        let (turned, grown) = (dot(moved, g), dot(u, bend));
        let part = |k: usize| {
            each(|i| {
                let across = g[k][i] - u[k][i] * along[i];
                let change = bend[k][i] - moved[k][i] * along[i] - u[k][i] * (turned[i] + grown[i]);
                (change - across * (speed[i] * inverse[i])) * inverse[i]
            })
        };
        [part(0), part(1), part(2)]
    }
}
