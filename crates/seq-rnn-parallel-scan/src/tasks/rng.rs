//! The random numbers of the tasks.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeSet;

/// Random numbers of one batch: ChaCha8 with a key made of the seed and the index of the batch as
/// its nonce, so that any batch can be made alone.
///
/// The draws are written out here and not taken from a library of distributions, so that a seed
/// means the same sequences in every version.
#[derive(Debug, Clone)]
pub struct TaskRng(ChaCha8Rng);

impl TaskRng {
    /// The numbers of batch `index` of the run `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        Self(rng)
    }

    /// Uniform in `0..n`, without bias.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "TaskRng: expected a range that is not empty");
        // The high word of a product is uniform once the few low words that would occur one time
        // too often are drawn again (Lemire, arXiv 1805.10941).
        let surplus = n.wrapping_neg() % n;
        loop {
            let wide = u64::from(self.0.next_u32()) * u64::from(n);
            if wide as u32 >= surplus {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Uniform in `min..=max`.
    ///
    /// # Panics
    /// If there are no such numbers, or 2³² of them or more.
    pub fn between(&mut self, min: usize, max: usize) -> usize {
        let count = max.checked_sub(min).and_then(|n| u32::try_from(n + 1).ok());
        min + self.below(count.expect("TaskRng: expected min <= max < min + 2^32 - 1")) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        let unit = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < p
    }

    /// `count` different numbers of `0..n` in rising order, every set of them equally likely
    /// (Floyd's algorithm).
    ///
    /// # Panics
    /// If `count` exceeds `n`.
    pub fn subset(&mut self, count: usize, n: usize) -> Vec<usize> {
        assert!(count <= n, "TaskRng: expected {count} numbers out of {n}");
        let mut chosen = BTreeSet::new();
        for last in n - count..n {
            let candidate = self.between(0, last);
            if !chosen.insert(candidate) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform() {
        let mut rng = TaskRng::new(1, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        // Six standard deviations of a binomial with n = 70,000 and p = 1/7.
        assert!(
            counts.iter().all(|&c| c.abs_diff(10_000) < 560),
            "{counts:?}"
        );

        let hits = (0..40_000).filter(|_| rng.chance(0.25)).count();
        assert!(hits.abs_diff(10_000) < 520, "{hits}");
    }

    #[test]
    fn every_subset_is_equally_likely() {
        let mut rng = TaskRng::new(2, 0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            *counts.entry(rng.subset(2, 5)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 10);
        assert!(counts.keys().all(|set| set[0] < set[1] && set[1] < 5));
        assert!(
            counts.values().all(|c| c.abs_diff(1000) < 180),
            "{counts:?}"
        );
        assert_eq!(rng.subset(4, 4), [0, 1, 2, 3]);
        assert!(rng.subset(0, 0).is_empty());
    }

    /// The numbers are part of what a seed means.
    #[test]
    fn numbers_stay_the_same() {
        let mut rng = TaskRng::new(42, 7);
        let draws: Vec<u32> = (0..8).map(|_| rng.below(1000)).collect();
        assert_eq!(draws, [209, 128, 428, 326, 807, 615, 364, 493]);
    }
}
