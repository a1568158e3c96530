//! The logits that a filter may keep, recorded while the normaliser of their row is still growing.
//!
//! A probability relative to the sum so far is never smaller than the final one, so that what passes the test against the
//! sum so far contains what passes the final test; the random number of an entry is a function of its place. The
//! result therefore depends on neither tiles nor threads. Cut Cross-Entropy computes all logits again instead.

use super::forward::state;
use crate::engine::spec::Spec;
use crate::plan::{Filter, Plan, Tail};
use core_tensor::cpu::{Kernel, Real};

/// Entries of a list that are worth going through again for those that the sum has outgrown.
const PRUNE: usize = 1024;

/// Entries of one row from one group of classes, in the order of the classes.
#[derive(Debug, Clone)]
pub(super) struct RowRecord<T> {
    entries: Vec<(u32, T)>,
    limit: usize,
}

impl<T> Default for RowRecord<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            limit: PRUNE,
        }
    }
}

/// Largest logit and `Σ e^{z − max}` so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) max: f64,
    pub(super) sum: f64,
}

/// A filter in the form that kernels test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sieve {
    pub(super) threshold: f64,
    /// Seed of the draws; `None` where the tail is dropped.
    pub(super) seed: Option<u32>,
}

impl Sieve {
    /// The filter of a call; that of another plan keeps nothing.
    pub(super) fn of(spec: &Spec) -> Self {
        match spec.plan {
            Plan::Filtered(filter) => Self::new(filter, spec.step),
            _ => Self {
                threshold: f64::INFINITY,
                seed: None,
            },
        }
    }

    fn new(filter: Filter, step: u64) -> Self {
        let seed = match filter.tail {
            Tail::Drop => None,
            Tail::Stochastic { seed } => {
                let mixed = (seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    .wrapping_mul(0xbf58_476d_1ce4_e5b9);
                Some((mixed >> 32) as u32 ^ mixed as u32)
            }
        };
        Self {
            threshold: filter.threshold,
            seed,
        }
    }

    /// An entry is kept if its probability exceeds this share of the threshold, uniform in `(0, 1)`.
    pub(super) fn share(&self, row: usize, class: u32) -> f64 {
        match self.seed {
            None => 1.0,
            Some(seed) => uniform::<f64>(hash(key(seed, row), class)),
        }
    }
}

/// The part of the hash that is common to a row.
fn key(seed: u32, row: usize) -> u32 {
    mix(mix(seed).wrapping_add((row as u32).wrapping_mul(0x9e37_79b9)))
}

/// A bijection of 32-bit words that changes half the bits for any change of one: two rounds of xor, shift and
/// multiply with the constants of "lowbias32".
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[inline(always)]
fn hash(key: u32, class: u32) -> u32 {
    mix(key ^ class.wrapping_mul(0x85eb_ca6b))
}

/// One of 2²³ equally spaced values in `(0, 1)`.
#[inline(always)]
fn uniform<T: Real>(word: u32) -> T {
    // Exact in f32: 23 bits and a half.
    let bits = T::from_i32((word >> 9) as i32);
    (bits + T::HALF) * T::from_f64(1.0 / f64::from(1 << 23))
}

/// Appends the logits of a tile that may pass.
pub(super) struct Select<'a, T> {
    pub(super) filter: Sieve,
    pub(super) row: usize,
    /// Class of the first logit.
    pub(super) first: usize,
    pub(super) logits: &'a [T],
    /// `e^{z − max}`; overwritten.
    pub(super) exponentials: &'a mut [T],
    pub(super) running: Running,
    pub(super) record: &'a mut RowRecord<T>,
}

/// Rounding may make a running sum a little larger than the final one.
const SLACK: f64 = 1.0 - 1e-5;

impl<T: Real> Kernel for Select<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            filter,
            row,
            first,
            logits,
            exponentials,
            running,
            record,
        } = self;
        let cutoff = T::from_f64(filter.threshold * running.sum * SLACK);
        // What exceeds its cutoff becomes positive.
        match filter.seed {
            None => exponentials.iter_mut().for_each(|e| *e = *e - cutoff),
            Some(seed) => {
                let key = key(seed, row);
                for (i, e) in exponentials.iter_mut().enumerate() {
                    *e = *e - cutoff * uniform::<T>(hash(key, (first + i) as u32));
                }
            }
        }
        for (c, chunk) in exponentials.chunks(32).enumerate() {
            if chunk.iter().fold(false, |any, &e| any | (e > T::ZERO)) {
                for (i, &e) in chunk.iter().enumerate() {
                    if e > T::ZERO {
                        let at = c * 32 + i;
                        record.entries.push(((first + at) as u32, logits[at]));
                    }
                }
            }
        }
        if record.entries.len() > record.limit {
            record.prune(&filter, row, running);
        }
    }
}

impl<T: Real> RowRecord<T> {
    /// Drops what the sum has outgrown.
    fn prune(&mut self, filter: &Sieve, row: usize, running: Running) {
        let cutoff = filter.threshold * running.sum * SLACK;
        let stays =
            |&(v, z): &(u32, T)| (z.to_f64() - running.max).exp() > cutoff * filter.share(row, v);
        self.entries.retain(stays);
        self.limit = PRUNE.max(2 * self.entries.len());
    }
}

/// The entries that passed, of all live rows.
#[derive(Debug)]
pub(super) struct Record<T> {
    /// Where each live row begins, and the end.
    pub(super) offsets: Vec<u32>,
    pub(super) classes: Vec<u32>,
    pub(super) logits: Vec<T>,
}

impl<T: Real> Record<T> {
    pub(super) fn new() -> Self {
        Self {
            offsets: vec![0],
            classes: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Appends what of `parts` passes against the final normaliser.
    pub(super) fn finish_row(
        &mut self,
        filter: &Sieve,
        row: usize,
        state: &[T],
        parts: impl Iterator<Item = RowRecord<T>>,
    ) {
        for part in parts {
            for (v, z) in part.entries {
                let p = probability(z, state).to_f64();
                if p >= filter.threshold || p > filter.threshold * filter.share(row, v) {
                    self.classes.push(v);
                    self.logits.push(z);
                }
            }
        }
        let end = u32::try_from(self.classes.len())
            .expect("linear_cross_entropy: more than 2³² entries kept");
        self.offsets.push(end);
    }
}

/// `e^{z − lse}`.
pub(super) fn probability<T: Real>(z: T, state: &[T]) -> T {
    ((z - state[state::MAX]) - state[state::LOG]).exponential()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of a row are uniform, and those of neighbouring rows and classes unrelated.
    #[test]
    fn shares_are_uniform_and_independent() {
        let sieve = Sieve {
            threshold: 1.0,
            seed: Some(3),
        };
        let share = |row, class| sieve.share(row, class);
        let n = 1 << 16;
        let mean = |f: &dyn Fn(u32) -> f64| (0..n).map(f).sum::<f64>() / f64::from(n);
        // Standard errors: 1/√12n, 1/√(180 n / 4), 1/12√n.
        let bound = 4.0 / f64::from(n).sqrt();
        assert!((mean(&|v| share(0, v)) - 0.5).abs() < bound * 0.29);
        assert!((mean(&|v| share(0, v).powi(2)) - 1.0 / 3.0).abs() < bound * 0.3);
        assert!((mean(&|v| share(v as usize, 7)) - 0.5).abs() < bound * 0.29);
        let centred = |row, class| share(row, class) - 0.5;
        assert!(mean(&|v| centred(0, v) * centred(1, v)).abs() < bound / 12.0);
        assert!(mean(&|v| centred(0, v) * centred(0, v + 1)).abs() < bound / 12.0);
        assert!((0..n).all(|v| (0.0..1.0).contains(&share(5, v)) && share(5, v) > 0.0));
    }

    #[test]
    fn single_precision_draws_the_same_numbers() {
        for word in [0, 1, 511, 512, u32::MAX, 0x8000_0000, 0x1234_5678] {
            assert_eq!(f64::from(uniform::<f32>(word)), uniform::<f64>(word));
        }
    }
}
