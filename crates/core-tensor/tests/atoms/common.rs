//! Random structures.

use core_tensor::atoms::{Cell, Mat3, Vec3};
use core_tensor::graph::Graph;
use proptest::prelude::*;

/// A stream of random numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn vector(&mut self, from: f64, to: f64) -> Vec3 {
        core::array::from_fn(|_| from + (to - from) * self.unit())
    }
}

/// Cells of all shapes and periodicities, some thin, some skewed, some left-handed, some without vectors.
pub fn cells() -> impl Strategy<Value = Cell> {
    let component = prop_oneof![3 => -2.0..2.0_f64, 1 => -9.0..9.0_f64, 1 => Just(0.0)];
    let matrix = proptest::array::uniform3(proptest::array::uniform3(component));
    let edge = prop_oneof![3 => 2.5..9.0_f64, 1 => 1.0..2.0_f64];
    let edges = proptest::array::uniform3(edge);
    let flags = proptest::array::uniform3(any::<bool>());
    (matrix, edges, flags, flags, any::<bool>()).prop_filter_map(
        "too flat",
        |(mut m, edges, periodic, missing, swap): (Mat3, _, [bool; 3], [bool; 3], _)| {
            for k in 0..3 {
                m[k][k] += edges[k];
                if missing[k] && !periodic[k] {
                    m[k] = [0.0; 3];
                }
            }
            if swap && periodic[0] && periodic[1] {
                m.swap(0, 1);
            }
            let cell = Cell::new(m, periodic).ok()?;
            // Smaller ones have more edges than a quadratic search likes.
            cell.heights().iter().all(|&h| h > 0.6).then_some(cell)
        },
    )
}

/// Fractional coordinates, some far outside, some on faces, some equal.
pub fn fractions(most: usize) -> impl Strategy<Value = Vec<Vec3>> {
    let one = prop_oneof![
        6 => 0.0..1.0_f64,
        2 => -4.0..5.0_f64,
        1 => prop_oneof![Just(0.0), Just(1.0), Just(0.5), Just(-1e-17)],
    ];
    proptest::collection::vec(proptest::array::uniform3(one), 0..most)
}

/// Everything about a graph's edges.
pub fn edges(graph: &Graph) -> Vec<(u32, u32, [i32; 3])> {
    let shift = |e| graph.shifts().get(e).copied().unwrap_or_default();
    let ends = graph.destinations().iter().zip(graph.sources());
    ends.enumerate()
        .map(|(e, (&i, &j))| (i, j, shift(e)))
        .collect()
}
