//! What becomes of the gradients that [`ladder`](super::lanes::ladder) finds.

use super::Scalar;
use super::lanes::{Lanes, Sink, Vectors, each};
use super::place::Place;

/// Gradients by `v`, for all components.
pub(super) struct Stored<'a, T, const W: usize> {
    pub(super) out: [&'a mut [Lanes<T, W>]; 3],
    pub(super) here: &'a [Lanes<T, W>],
    pub(super) place: &'a Place<T, W>,
    /// The degree, where the part along `u` is to be taken off.
    pub(super) along: Option<T>,
}

impl<T: Scalar, const W: usize> Sink<T> for Stored<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        // First all of it into registers: the outputs might be the inputs, for all the compiler knows.
        let [mut x, mut y, mut z] = [[T::ZERO; W]; 3];
        for i in 0..W {
            [x[i], y[i], z[i]] = gradient(i);
        }
        if let Some(degree) = self.along {
            let (Place { u, inverse }, here) = (self.place, &self.here[row]);
            let along: Lanes<T, W> = each(|i| degree * here[i]);
            x = each(|i| (x[i] - u[0][i] * along[i]) * inverse[i]);
            y = each(|i| (y[i] - u[1][i] * along[i]) * inverse[i]);
            z = each(|i| (z[i] - u[2][i] * along[i]) * inverse[i]);
        }
        let [out_x, out_y, out_z] = &mut self.out;
        (out_x[row], out_y[row], out_z[row]) = (x, y, z);
    }
}

/// Their products with a direction.
pub(super) struct Directed<'a, T, const W: usize> {
    pub(super) out: &'a mut [Lanes<T, W>],
    pub(super) moved: &'a Vectors<T, W>,
}

impl<T: Scalar, const W: usize> Sink<T> for Directed<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        let [u, v, w] = self.moved;
        self.out[row] = each(|i| {
            let [x, y, z] = gradient(i);
            u[i].fma(x, v[i].fma(y, w[i] * z))
        });
    }
}

/// Their sum, weighted.
pub(super) struct Summed<'a, T, const W: usize> {
    pub(super) weights: &'a [Lanes<T, W>],
    pub(super) sum: &'a mut Vectors<T, W>,
}

impl<T: Scalar, const W: usize> Sink<T> for Summed<'_, T, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, gradient: impl Fn(usize) -> [T; 3]) {
        let (g, [x, y, z]) = (&self.weights[row], &mut *self.sum);
        for i in 0..W {
            let [dx, dy, dz] = gradient(i);
            x[i] = g[i].fma(dx, x[i]);
            y[i] = g[i].fma(dy, y[i]);
            z[i] = g[i].fma(dz, z[i]);
        }
    }
}
