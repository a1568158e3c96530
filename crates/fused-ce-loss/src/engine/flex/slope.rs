//! Gradient of a row of logits.

use super::logits::LogitShape;
use core_tensor::cpu::{Kernel, Real};

/// Coefficients of a row: with log-probabilities `log p_v = (z_v − max) − log`,
/// `g_v = p_v (normaliser − surprise (log p_v + entropy)) + sum · u_v + dense · q_v` before corrections at single
/// classes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope<T> {
    pub(super) max: T,
    pub(super) log: T,
    pub(super) entropy: T,
    pub(super) normaliser: T,
    pub(super) surprise: T,
    pub(super) sum: T,
    pub(super) dense: T,
}

/// Turns logits into their gradient, in place.
pub(super) struct Differentiate<'a, T> {
    pub(super) row: &'a mut [T],
    pub(super) slope: Slope<T>,
    pub(super) weights: Option<&'a [T]>,
    pub(super) dense: Option<&'a [T]>,
}

impl<T: Real> Kernel for Differentiate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            row,
            slope,
            weights,
            dense,
        } = self;
        let Slope {
            max,
            log,
            entropy,
            normaliser,
            surprise,
            ..
        } = slope;
        if surprise == T::ZERO {
            for x in row.iter_mut() {
                *x = ((*x - max) - log).exponential() * normaliser;
            }
        } else {
            for x in row.iter_mut() {
                let log_p = (*x - max) - log;
                let p = log_p.exponential();
                let g = p * (normaliser - surprise * (log_p + entropy));
                *x = if p == T::ZERO { T::ZERO } else { g };
            }
        }
        if let Some(u) = weights {
            row.iter_mut()
                .zip(u)
                .for_each(|(g, &u)| *g = slope.sum.fma(u, *g));
        }
        if let Some(q) = dense {
            row.iter_mut()
                .zip(q)
                .for_each(|(g, &q)| *g = slope.dense.fma(q, *g));
        }
    }
}

/// `dz/dx = (1 − (z τ / s)²) / τ` of a row of logits, into `out`.
pub(super) struct Chain<'a, T> {
    pub(super) row: &'a [T],
    pub(super) out: &'a mut [T],
    pub(super) shape: LogitShape<T>,
}

impl<T: Real> Kernel for Chain<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rate = T::ONE / self.shape.temperature;
        match self.shape.cap {
            Some(cap) => {
                let inverse = self.shape.temperature / cap;
                for (out, &z) in self.out.iter_mut().zip(self.row) {
                    let t = z * inverse;
                    // (1 − t)(1 + t) keeps its accuracy where the cap saturates.
                    *out = (T::ONE - t) * (T::ONE + t) * rate;
                }
            }
            None => self.out.fill(rate),
        }
    }
}

/// `x ← x · y` over a row.
pub(super) struct Scale<'a, T> {
    pub(super) row: &'a mut [T],
    pub(super) by: &'a [T],
}

impl<T: Real> Kernel for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.row
            .iter_mut()
            .zip(self.by)
            .for_each(|(x, &y)| *x = *x * y);
    }
}
