//! Statistics of a row of logits that arrives tile by tile, without its target.

use super::lanes::{reduce, reduce_pair};
use core_tensor::cpu::{Kernel, Real};

/// What is known of a row from some of its logits, the target left out of `max`, `sum` and `tilt`.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Partial {
    /// Largest logit `m`.
    pub(super) max: f64,
    /// `Σ e^{z − m}`.
    pub(super) sum: f64,
    /// `Σ e^{z − m} (z − m)`.
    pub(super) tilt: f64,
    /// `Σ u z`, target included.
    pub(super) weighted: f64,
    /// `Σ q z`, target included.
    pub(super) dense: f64,
}

impl Partial {
    pub(super) const EMPTY: Self = Self {
        max: f64::NEG_INFINITY,
        sum: 0.0,
        tilt: 0.0,
        weighted: 0.0,
        dense: 0.0,
    };

    /// Both together.
    pub(super) fn merge(self, other: Self) -> Self {
        let max = if self.max.is_nan() || other.max.is_nan() {
            f64::NAN
        } else {
            self.max.max(other.max)
        };
        let shifted = |p: Self| {
            if p.sum == 0.0 {
                return (0.0, 0.0);
            }
            let (gap, scale) = (p.max - max, (p.max - max).exp());
            let gap = if scale == 0.0 { 0.0 } else { gap };
            (p.sum * scale, (p.tilt + p.sum * gap) * scale)
        };
        let ((a_sum, a_tilt), (b_sum, b_tilt)) = (shifted(self), shifted(other));
        Self {
            max,
            sum: a_sum + b_sum,
            tilt: a_tilt + b_tilt,
            weighted: self.weighted + other.weighted,
            dense: self.dense + other.dense,
        }
    }
}

/// The [`Partial`] of a piece of a row, the target among it (if any) already replaced by [`Real::NEG_INFINITY`].
/// Its `max` is at least `floor`, the largest logit of earlier pieces.
pub(super) struct Scan<'a, T> {
    pub(super) row: &'a [T],
    pub(super) floor: T,
    pub(super) entropy: bool,
    /// Where `e^{z − max}` goes, if it is wanted.
    pub(super) exponentials: Option<&'a mut [T]>,
}

impl<T: Real> Kernel for Scan<'_, T> {
    type Output = Partial;

    #[inline(always)]
    fn run(self) -> Partial {
        let row = self.row;
        let max = reduce(self.floor, row, |a, x| x.larger(a), |a, b| a.larger(b));
        let mut found = Partial::EMPTY;
        if max == T::NEG_INFINITY {
            // Nothing but −∞, or NaN, which the sum must carry on.
            let skip = |a, x| if x == T::NEG_INFINITY { a } else { a + x };
            let sum = reduce(T::ZERO, row, skip, |a, b| a + b);
            if sum != T::ZERO {
                found = Partial {
                    max: f64::NAN,
                    sum: f64::NAN,
                    ..found
                };
            }
            if let Some(out) = self.exponentials {
                out.fill(sum);
            }
            return found;
        }
        let sum = match self.exponentials {
            Some(out) => {
                out.iter_mut()
                    .zip(row)
                    .for_each(|(e, &x)| *e = (x - max).exponential());
                reduce(T::ZERO, out, |a, e| a + e, |a, b| a + b)
            }
            None => reduce(
                T::ZERO,
                row,
                |a, x| a + (x - max).exponential(),
                |a, b| a + b,
            ),
        };
        found.max = max.to_f64();
        found.sum = sum.to_f64();
        if self.entropy {
            let tilt = reduce(
                T::ZERO,
                row,
                |a, x| {
                    let e = (x - max).exponential();
                    // 0 · −∞ counts as 0.
                    if e == T::ZERO { a } else { e.fma(x - max, a) }
                },
                |a, b| a + b,
            );
            found.tilt = tilt.to_f64();
        }
        found
    }
}

/// `Σ w z` over a piece of a row.
pub(super) struct Weigh<'a, T> {
    pub(super) row: &'a [T],
    pub(super) weights: &'a [T],
}

impl<T: Real> Kernel for Weigh<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        reduce_pair(
            T::ZERO,
            self.row,
            self.weights,
            // A class without weight may have a logit of −∞.
            |a, z, w| if w == T::ZERO { a } else { z.fma(w, a) },
            |a, b| a + b,
        )
        .to_f64()
    }
}
