//! Atoms and images sorted into bins.

use super::images::Images;
use crate::atoms::linalg::Vec3;
use core::ops::Range;

/// Values that a kernel compares at a time; coordinates are padded by as many.
pub(super) const LANES: usize = 16;

/// A neighbour as one number, (atom, image) in ascending order: 32 bits while they are enough, for they sort faster.
pub(super) trait Key: Copy + Ord + Default + Send + Sync {
    fn new(atom: u32, shift: u32, bits: u32) -> Self;
    fn atom(self, bits: u32) -> u32;
    fn shift(self, bits: u32) -> u32;
    /// How many of `keys` are less than each of `some`.
    fn ranks(some: &[Self; LANES], keys: &[Self]) -> [usize; LANES];
}

macro_rules! key {
    ($int:ty) => {
        impl Key for $int {
            #[inline(always)]
            fn new(atom: u32, shift: u32, bits: u32) -> Self {
                (<$int>::from(atom as i32) << bits) | <$int>::from(shift as i32)
            }

            #[inline(always)]
            fn atom(self, bits: u32) -> u32 {
                (self >> bits) as u32
            }

            #[inline(always)]
            fn shift(self, bits: u32) -> u32 {
                (self & ((1 << bits) - 1)) as u32
            }

            #[inline(always)]
            fn ranks(some: &[Self; LANES], keys: &[Self]) -> [usize; LANES] {
                // Counted in numbers as wide as a key, so that lanes stay lanes.
                let mut ranks = [0 as $int; LANES];
                for &key in keys {
                    for (rank, &one) in ranks.iter_mut().zip(some) {
                        *rank += <$int>::from(key < one);
                    }
                }
                ranks.map(|rank| rank as usize)
            }
        }
    };
}
key!(i32);
key!(i64);

/// Images by bin, bins along x in a row: coordinates relative to a corner, in f32, for a first look.
#[derive(Debug)]
pub(super) struct Grid<K> {
    pub(super) x: Vec<f32>,
    pub(super) y: Vec<f32>,
    pub(super) z: Vec<f32>,
    pub(super) keys: Vec<K>,
    /// Bits of a key that hold the image.
    pub(super) bits: u32,
    /// Bins along x, y, z.
    pub(super) bins: [usize; 3],
    /// `starts[b]..starts[b + 1]` are the images in bin `b`.
    starts: Vec<u32>,
    /// How many bins away a neighbour may be.
    stencil: [usize; 3],
    /// How far f32 may put a distance off.
    pub(super) rounding: f64,
    /// Neighbours of an atom to make room for.
    pub(super) neighbors: f64,
}

/// Bins of `reach / parts` across, parts per axis: thin along x, where bins are read in one run anyway.
fn parts(per_reach: f64) -> Vec3 {
    // Thinner rows leave out more of what is too far, while they are full enough to be worth a start.
    if per_reach > DENSE {
        [4.0, 2.0, 2.0]
    } else {
        [4.0, 1.0, 1.0]
    }
}

/// Atoms in a cube of the cutoff from which on rows are half as thick.
const DENSE: f64 = 24.0;

impl<K: Key> Grid<K> {
    pub(super) fn new(found: &Images, reach: f64, bits: u32) -> Self {
        let images = &found.images;
        // The box around all atoms and all images that any of them may see.
        let origin = found.low.map(|x| x - reach);
        let extent: Vec3 = core::array::from_fn(|k| found.high[k] - found.low[k] + 2.0 * reach);
        let volume: f64 = extent.iter().map(|x| x / reach).product();
        let per_reach = images.len() as f64 / volume;
        let mut widths = parts(per_reach).map(|p| reach / p);
        let count = |widths: Vec3| -> Vec3 {
            core::array::from_fn(|k| (extent[k] / widths[k]).floor() + 1.0)
        };
        // No more bins than a few per image, however far apart they are.
        let most = 2.0 * images.len() as f64 + 64.0;
        while count(widths).iter().product::<f64>() > most {
            widths = widths.map(|w| 1.25 * w);
        }
        let bins = count(widths).map(|n| n as usize);
        let inverse = widths.map(|w| 1.0 / w);
        let bin = |at: Vec3| -> u32 {
            let [x, y, z] = core::array::from_fn(|k| {
                (((at[k] - origin[k]) * inverse[k]) as usize).min(bins[k] - 1)
            });
            ((z * bins[1] + y) * bins[0] + x) as u32
        };

        let of: Vec<u32> = images.iter().map(|image| bin(image.at)).collect();
        let mut starts = vec![0_u32; bins.iter().product::<usize>() + 2];
        of.iter().for_each(|&b| starts[b as usize + 2] += 1);
        for b in 2..starts.len() {
            starts[b] += starts[b - 1];
        }
        let padded = images.len() + LANES;
        let (mut x, mut y, mut z) = (vec![0.0; padded], vec![0.0; padded], vec![0.0; padded]);
        let mut keys = vec![K::default(); padded];
        for (image, &b) in images.iter().zip(&of) {
            let next = &mut starts[b as usize + 1];
            let slot = *next as usize;
            *next += 1;
            x[slot] = (image.at[0] - origin[0]) as f32;
            y[slot] = (image.at[1] - origin[1]) as f32;
            z[slot] = (image.at[2] - origin[2]) as f32;
            keys[slot] = K::new(image.atom, image.shift, bits);
        }
        let largest = extent.iter().copied().fold(reach, f64::max);
        Self {
            x,
            y,
            z,
            keys,
            bits,
            bins,
            starts,
            // A hair more than rounding of the division above.
            stencil: core::array::from_fn(|k| (reach * inverse[k] * (1.0 + 1e-9)).ceil() as usize),
            // Two coordinates, a difference and a square root, along three axes, with room.
            rounding: 8.0 * f64::from(f32::EPSILON) * largest,
            // A ball of the cutoff, and a little more.
            neighbors: (4.4 * per_reach).min(images.len() as f64),
        }
    }

    /// Rows of bins along x.
    pub(super) fn rows(&self) -> usize {
        self.bins[1] * self.bins[2]
    }

    /// Images in bins `bins` of a row.
    #[inline(always)]
    pub(super) fn run(&self, row: usize, bins: Range<usize>) -> Range<usize> {
        let first = row * self.bins[0];
        let [start, end] = [bins.start, bins.end].map(|b| self.starts[first + b] as usize);
        start..end
    }

    /// Writes down the runs of images among which neighbours of a bin are.
    pub(super) fn around(&self, row: usize, bin: usize, runs: &mut Vec<Range<usize>>) {
        let [across, rows, _] = self.bins;
        let (y, z) = (row % rows, row / rows);
        let near = |at: usize, axis: usize| {
            at.saturating_sub(self.stencil[axis])
                ..(at + self.stencil[axis] + 1).min(self.bins[axis])
        };
        runs.clear();
        for z in near(z, 2) {
            for y in near(y, 1) {
                let bins =
                    bin.saturating_sub(self.stencil[0])..(bin + self.stencil[0] + 1).min(across);
                let run = self.run(z * rows + y, bins);
                if !run.is_empty() {
                    runs.push(run);
                }
            }
        }
    }
}
