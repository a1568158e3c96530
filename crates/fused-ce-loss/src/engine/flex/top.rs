//! The largest logits of a row that arrives tile by tile.

use core_tensor::cpu::Real;

/// Merges lists of the largest values; equal values rank by class.
pub(super) struct TopList<T> {
    best: Vec<(T, u32)>,
}

/// Whether `a` ranks before `b`.
fn before<T: Real>(a: (T, u32), b: (T, u32)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1 < b.1)
}

/// Puts `entry` into a sorted list, whose last entry falls out, if it ranks before that one.
fn insert<T: Real>(list: &mut [(T, u32)], entry: (T, u32)) {
    if !list.last().is_some_and(|&last| before(entry, last)) {
        return;
    }
    let at = list.partition_point(|&other| before(other, entry));
    list[at..].rotate_right(1);
    list[at] = entry;
}

impl<T: Real> TopList<T> {
    /// A list of `count` places.
    pub(super) fn new(count: usize) -> Self {
        Self {
            best: vec![(T::NEG_INFINITY, u32::MAX); count],
        }
    }

    /// Takes all of another list.
    pub(super) fn extend(&mut self, other: &[(T, u32)]) {
        other
            .iter()
            .for_each(|&entry| insert(&mut self.best, entry));
    }

    /// Takes the logits of classes `first, first + 1, …` into `list`.
    pub(super) fn scan(row: &[T], first: usize, list: &mut [(T, u32)]) {
        for (c, chunk) in row.chunks(64).enumerate() {
            let least = list[list.len() - 1].0;
            // Rare after the first few tiles, and a test that vectorises.
            if chunk.iter().fold(false, |any, &x| any | (x >= least)) {
                for (i, &x) in chunk.iter().enumerate() {
                    insert(list, (x, (first + c * 64 + i) as u32));
                }
            }
        }
    }

    /// Writes the classes; −1 where there are fewer classes than places.
    pub(super) fn write(&self, out: &mut [i32]) {
        for (out, &(_, class)) in out.iter_mut().zip(&self.best) {
            *out = if class == u32::MAX { -1 } else { class as i32 };
        }
    }

    /// Writes the logits.
    pub(super) fn write_values(&self, out: &mut [T]) {
        out.iter_mut()
            .zip(&self.best)
            .for_each(|(out, &(z, _))| *out = z);
    }
}
