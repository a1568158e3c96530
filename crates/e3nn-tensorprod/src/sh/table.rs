//! Coefficients of the recursions.

use super::spec::Normalization;

/// Where the coefficients of degree `l`, order 0, lie; those of order `m ≤ l` follow.
#[inline(always)]
pub(super) const fn row(l: usize) -> usize {
    l * (l + 1) / 2
}

/// Coefficients for degrees up to some `lmax`, the normalisation folded in.
///
/// With `ρ² = x² + z²` and `c_m + i s_m = (z + ix)^m`, a harmonic is `Y_{l,0} = q_{l,0}`, `Y_{l,m} = √2 q_{l,m} c_m`,
/// `Y_{l,−m} = √2 q_{l,m} s_m`, where for `m = l − 1, …, 0`
///
/// `q_{l,m} = a_{l,m} y q_{l,m+1} − b_{l,m} ρ² q_{l,m+2}`, `a = 2(m+1)/√k`, `b = √((l−m−1)(l+m+2)/k)`, `k = (l−m)(l+m+1)`
///
/// from `q_{l,l} = ∏_{k=1..l} √((2k+1)/2k)`: all coefficients are of the order of 1, so no degree overflows.
///
/// The gradient of degree `l` is a linear map of the harmonics of degree `l − 1`. With `R = (2l+1)/(2l−1)`, `m ≥ 1`:
///
/// - `∂_y Y_{l,±m} = γ Y_{l−1,±m}`, `γ = √(R (l−m)(l+m))`
/// - `∂_z Y_{l,±m} = α Y_{l−1,±(m−1)} − β Y_{l−1,±(m+1)}`, `α = ½ √(R (l+m)(l+m−1))`, `β = ½ √(R (l−m)(l−m−1))`
/// - `∂_x Y_{l,±m} = ∓(α Y_{l−1,∓(m−1)} + β Y_{l−1,∓(m+1)})`
///
/// where for `m = 1` `Y_{l−1,−0}` is 0 and `α` is larger by √2; for `m = 0`, `∂_z Y_{l,0} = −β Y_{l−1,1}` and
/// `∂_x Y_{l,0} = −β Y_{l−1,−1}` with `β` larger by √2.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    /// `q_{l,l}`, times √2 for `l > 0`.
    pub(super) seed: Vec<T>,
    /// `[a, b]` at `row(l) + m`; the last of each degree is unused.
    pub(super) step: Vec<[T; 2]>,
    /// `[α, β, γ]` at `row(l) + m`.
    pub(super) ladder: Vec<[T; 3]>,
}

impl<T> Table<T> {
    /// The coefficients for degrees `0..=lmax`, computed in f64.
    pub(super) fn new(
        lmax: usize,
        normalization: Normalization,
        round: impl Fn(f64) -> T + Copy,
    ) -> Self {
        let size = row(lmax + 1);
        let (mut seed, mut step) = (Vec::with_capacity(lmax + 1), Vec::with_capacity(size));
        let mut ladder = Vec::with_capacity(size);
        let mut highest = 1.0_f64;
        for l in 0..=lmax {
            let scale = normalization.scale(l);
            let below = scale / normalization.scale(l.saturating_sub(1));
            let root = |n: usize| (n as f64).sqrt();
            let twice = (2 * l + 1) as f64;
            if l > 0 {
                highest *= (twice / (2 * l) as f64).sqrt();
            }
            let sqrt2 = if l > 0 {
                core::f64::consts::SQRT_2
            } else {
                1.0
            };
            seed.push(round(highest * sqrt2 * scale));
            let ratio = below * (twice / (2.0 * l as f64 - 1.0).abs()).sqrt();
            for m in 0..=l {
                let k = ((l - m) * (l + m + 1)) as f64;
                // q carries the √2 of m > 0; the step to m = 0 takes it off.
                let off = if m == 0 { sqrt2.recip() } else { 1.0 };
                step.push(if m == l {
                    [0.0, 0.0].map(round)
                } else {
                    let b = ((l - m - 1) * (l + m + 2)) as f64 / k;
                    [off * 2.0 * (m + 1) as f64 / k.sqrt(), off * b.sqrt()].map(round)
                });
                let extra = |at: bool| if at { core::f64::consts::SQRT_2 } else { 1.0 };
                let alpha = if m == 0 {
                    0.0
                } else {
                    0.5 * extra(m == 1) * ratio * root((l + m) * (l + m - 1))
                };
                let beta = 0.5 * extra(m == 0) * ratio * root((l - m) * (l - m).saturating_sub(1));
                ladder.push([alpha, beta, ratio * root((l - m) * (l + m))].map(round));
            }
        }
        Self { seed, step, ladder }
    }
}
