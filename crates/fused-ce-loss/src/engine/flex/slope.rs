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

impl<T: Real> Slope<T> {
    /// `g_v` without what weights add, from `log p_v` and `p_v`.
    #[inline(always)]
    pub(super) fn at(&self, log_p: T, p: T) -> T {
        if p == T::ZERO {
            return T::ZERO;
        }
        p * (self.normaliser - self.surprise * (log_p + self.entropy))
    }

    /// `g_y` of a target with `lse − z_y = nll`, whose part from that is `from_nll (p_y − 1)`.
    pub(super) fn at_target(&self, nll: T, from_nll: T) -> T {
        // p_y − 1 = e^{−nll} − 1 without cancellation.
        let (log_p, p) = (-nll, (-nll).exponential());
        let from_lse = self.normaliser - from_nll;
        let g = p * (from_lse - self.surprise * (log_p + self.entropy));
        from_nll.fma(log_p.exponential_minus_one(), g)
    }
}

/// `log p` of a logit.
#[inline(always)]
pub(super) fn log_share<T: Real>(z: T, slope: &Slope<T>) -> T {
    (z - slope.max) - slope.log
}

/// `dz/dx = (1 − (z τ / s)²) / τ` of one logit.
#[inline(always)]
pub(super) fn chain_of<T: Real>(z: T, shape: LogitShape<T>) -> T {
    let rate = T::ONE / shape.temperature;
    match shape.cap {
        Some(cap) => {
            let t = z * (shape.temperature / cap);
            // (1 − t)(1 + t) keeps its accuracy where the cap saturates.
            (T::ONE - t) * (T::ONE + t) * rate
        }
        None => rate,
    }
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
        if slope.surprise == T::ZERO {
            for x in row.iter_mut() {
                *x = log_share(*x, &slope).exponential() * slope.normaliser;
            }
        } else {
            for x in row.iter_mut() {
                let log_p = log_share(*x, &slope);
                *x = slope.at(log_p, log_p.exponential());
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
        for (out, &z) in self.out.iter_mut().zip(self.row) {
            *out = chain_of(z, self.shape);
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

/// `to ← to + x` over a row.
pub(super) struct Add<'a, T> {
    pub(super) row: &'a [T],
    pub(super) to: &'a mut [T],
}

impl<T: Real> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.to
            .iter_mut()
            .zip(self.row)
            .for_each(|(to, &x)| *to = *to + x);
    }
}
