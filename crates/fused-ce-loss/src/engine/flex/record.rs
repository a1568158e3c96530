//! The logits that a filter may keep, recorded while the normaliser of their row is still growing.
//!
//! A probability relative to the sum so far is never smaller than the final one, so that what passes the test against the
//! sum so far contains what passes the final test; the random number of an entry is a function of its place. The
//! result therefore depends on neither tiles nor threads. Cut Cross-Entropy computes all logits again instead.

use super::random::{hash, key, uniform};
use crate::engine::spec::Spec;
use crate::engine::spec::state;
use crate::plan::{Filter, Plan, Tail};
use core_tensor::cpu::{Isa, Kernel, Real};

/// Entries of a list that are worth going through again for those that the sum has outgrown.
const PRUNE: usize = 1024;

/// Entries of one row from one group of classes, in the order of the classes.
#[derive(Debug, Clone)]
pub(super) struct RowRecord<T> {
    classes: Vec<u32>,
    logits: Vec<T>,
    limit: usize,
}

impl<T> Default for RowRecord<T> {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            logits: Vec::new(),
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
}

/// What a probability has to exceed: the threshold, or a share of it, uniform in `(0, 1)`, drawn for the entry.
#[derive(Debug, Clone, Copy)]
struct Bar<T> {
    height: T,
    key: Option<u32>,
}

impl<T: Real> Bar<T> {
    fn new(sieve: &Sieve, row: usize, scale: f64) -> Self {
        Self {
            height: T::from_f64(sieve.threshold * scale),
            key: sieve.seed.map(|seed| key(seed, row)),
        }
    }

    /// `values[i] −` the bar of class `class(i)`, in place.
    #[inline(always)]
    fn subtract(&self, values: &mut [T], class: impl Fn(usize) -> u32) {
        let height = self.height;
        match self.key {
            None => values.iter_mut().for_each(|p| *p = *p - height),
            Some(key) => {
                for (i, p) in values.iter_mut().enumerate() {
                    *p = *p - height * uniform::<T>(hash(key, class(i)));
                }
            }
        }
    }
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
        // What exceeds its bar becomes positive.
        let bar = Bar::<T>::new(&filter, row, running.sum * SLACK);
        bar.subtract(exponentials, |i| (first + i) as u32);
        for (c, chunk) in exponentials.chunks(32).enumerate() {
            if chunk.iter().fold(false, |any, &e| any | (e > T::ZERO)) {
                for (i, &e) in chunk.iter().enumerate() {
                    if e > T::ZERO {
                        let at = c * 32 + i;
                        record.classes.push((first + at) as u32);
                        record.logits.push(logits[at]);
                    }
                }
            }
        }
        if record.classes.len() > record.limit {
            let (max, log) = (T::from_f64(running.max), T::from_f64(running.sum.ln()));
            let bar = Bar::new(&filter, row, SLACK);
            Sift {
                record,
                bar,
                max,
                log,
            }
            .run();
            record.limit = PRUNE.max(2 * record.classes.len());
        }
    }
}

/// Drops the entries of a record that fall short of their bar.
struct Sift<'a, T> {
    record: &'a mut RowRecord<T>,
    bar: Bar<T>,
    max: T,
    log: T,
}

impl<T: Real> Kernel for Sift<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            record,
            bar,
            max,
            log,
        } = self;
        let mut excess = [T::ZERO; 64];
        let mut kept = 0;
        for first in (0..record.classes.len()).step_by(64) {
            let count = 64.min(record.classes.len() - first);
            let excess = &mut excess[..count];
            let classes = &record.classes[first..first + count];
            for (e, &z) in excess.iter_mut().zip(&record.logits[first..first + count]) {
                *e = ((z - max) - log).exponential();
            }
            bar.subtract(excess, |i| classes[i]);
            for (i, &e) in excess.iter().enumerate() {
                // Entries only ever move to the front.
                record.classes[kept] = record.classes[first + i];
                record.logits[kept] = record.logits[first + i];
                kept += usize::from(e > T::ZERO);
            }
        }
        record.classes.truncate(kept);
        record.logits.truncate(kept);
    }
}

impl<T: Real> RowRecord<T> {
    /// Keeps what passes against the final normaliser.
    pub(super) fn settle(&mut self, filter: &Sieve, row: usize, state: &[T]) {
        let bar = Bar::new(filter, row, 1.0);
        let (max, log) = (state[state::MAX], state[state::LOG]);
        Isa::detect().run(Sift {
            record: self,
            bar,
            max,
            log,
        });
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

    /// Appends the settled entries of a row.
    pub(super) fn push_row(&mut self, parts: impl Iterator<Item = RowRecord<T>>) {
        for part in parts {
            self.classes.extend(part.classes);
            self.logits.extend(part.logits);
        }
        let end = u32::try_from(self.classes.len());
        self.offsets
            .push(end.expect("linear_cross_entropy: more than 2³² entries kept"));
    }
}
