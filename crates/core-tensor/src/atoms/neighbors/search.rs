//! The search itself: for every atom, the images closer than the cutoff, in ascending order.

use super::grid::{Grid, Key, LANES};
use super::look::{self, Bounds, Coordinates};
use crate::cpu::{Isa, Kernel};
use core::ops::Range;

/// What one thread found: the atoms of a few rows of bins, and the keys of their neighbours one after another.
#[derive(Debug, Default)]
pub(super) struct Found<K> {
    pub(super) atoms: Vec<u32>,
    pub(super) counts: Vec<u32>,
    pub(super) keys: Vec<K>,
}

/// Which candidates are neighbours.
pub(super) trait Judge: Sync {
    /// Whether every candidate needs [`exact`](Self::exact).
    fn always(&self) -> bool;
    /// Whether `neighbor`, in the image of that place, is an edge's length from `center`.
    fn exact(&self, center: u32, neighbor: u32, shift: u32) -> bool;
}

/// The atoms in some rows of bins and their neighbours.
pub(super) fn search<K: Key, J: Judge>(
    grid: &Grid<K>,
    home: u32,
    cutoff: f64,
    judge: &J,
    rows: Range<usize>,
) -> Found<K> {
    let off = grid.rounding;
    let below = |r: f64| if r > 0.0 { r * r * (1.0 - 1e-6) } else { -1.0 };
    Isa::detect().run(Search {
        grid,
        home,
        judge,
        rows,
        bounds: Bounds {
            certain: if judge.always() {
                -1.0
            } else {
                below(cutoff - off) as f32
            },
            possible: ((cutoff + off) * (cutoff + off) * (1.0 + 1e-6)) as f32,
        },
        wide: look::has_wide(),
    })
}

struct Search<'a, K, J> {
    grid: &'a Grid<K>,
    home: u32,
    judge: &'a J,
    rows: Range<usize>,
    bounds: Bounds,
    /// Whether to take the first look in AVX-512.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    wide: bool,
}

impl<K: Key, J: Judge> Kernel for Search<'_, K, J> {
    type Output = Found<K>;

    #[inline(always)]
    fn run(self) -> Found<K> {
        let Self { grid, home, .. } = self;
        let bits = grid.bits;
        let mut found = Found::default();
        let (mut runs, mut slots, mut near) = (Vec::new(), Vec::new(), Vec::new());
        for row in self.rows.clone() {
            let images = grid.run(row, 0..grid.bins[0]).len();
            found
                .keys
                .reserve((images as f64 * grid.neighbors) as usize);
            for bin in 0..grid.bins[0] {
                let inside = grid.run(row, bin..bin + 1);
                if !grid.keys[inside.clone()]
                    .iter()
                    .any(|k| k.shift(bits) == home)
                {
                    continue;
                }
                grid.around(row, bin, &mut runs);
                let most = runs.iter().map(ExactSizeIterator::len).sum::<usize>() + LANES;
                if near.len() < most {
                    near.resize(most, K::default());
                    slots.resize(most, 0);
                }
                for slot in inside.filter(|&s| grid.keys[s].shift(bits) == home) {
                    let count = self.gather(slot, &runs, &mut slots, &mut near);
                    found.atoms.push(grid.keys[slot].atom(bits));
                    found.counts.push(count as u32);
                    append_sorted(&mut near, count, &mut found.keys);
                }
            }
        }
        found
    }
}

impl<K: Key, J: Judge> Search<'_, K, J> {
    /// Collects the neighbours of the atom in `slot` among `runs` of images; their number.
    #[inline(always)]
    fn gather(
        &self,
        slot: usize,
        runs: &[Range<usize>],
        slots: &mut [u32],
        near: &mut [K],
    ) -> usize {
        let grid = self.grid;
        let from = Coordinates {
            x: &grid.x,
            y: &grid.y,
            z: &grid.z,
        };
        let settle = |at, doubtful| self.too_far(slot, at, doubtful);
        #[cfg(target_arch = "x86_64")]
        let count = if self.wide {
            // SAFETY: the processor was asked.
            #[allow(unsafe_code)]
            unsafe {
                look::wide(from, slot, runs, self.bounds, slots, settle)
            }
        } else {
            look::portable(from, slot, runs, self.bounds, slots, settle)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let count = look::portable(from, slot, runs, self.bounds, slots, settle);
        for (key, &slot) in near.iter_mut().zip(&slots[..count]) {
            *key = grid.keys[slot as usize];
        }
        count
    }

    /// Those of the doubtful lanes, counted from slot `at`, that are no neighbours.
    #[inline(never)]
    fn too_far(&self, slot: usize, at: usize, mut doubtful: u32) -> u32 {
        let bits = self.grid.bits;
        let center = self.grid.keys[slot].atom(bits);
        let mut no = 0;
        while doubtful != 0 {
            let lane = doubtful.trailing_zeros();
            let key = self.grid.keys[at + lane as usize];
            no |= u32::from(!self.judge.exact(center, key.atom(bits), key.shift(bits))) << lane;
            doubtful &= doubtful - 1;
        }
        no
    }
}

/// Longest row that is sorted by counting how many keys are less than each, which takes quadratic time but runs in lanes.
const RANKED: usize = 256;

/// Appends `keys[..count]`, no two of them equal, in ascending order. What follows them is overwritten.
#[inline(always)]
fn append_sorted<K: Key>(keys: &mut [K], count: usize, sorted: &mut Vec<K>) {
    let start = sorted.len();
    if count > RANKED {
        keys[..count].sort_unstable();
        sorted.extend_from_slice(&keys[..count]);
        return;
    }
    sorted.resize(start + count, K::default());
    let sorted = &mut sorted[start..];
    for first in (0..count).step_by(LANES) {
        let some = *keys[first..].first_chunk::<LANES>().expect("room");
        let ranks = K::ranks(&some, &keys[..count]);
        for (rank, key) in ranks.into_iter().zip(some).take(count - first) {
            sorted[rank] = key;
        }
    }
}
