//! The periodic part of a cell, in a basis and a frame that suit a search.

use crate::atoms::cell::heights;
use crate::atoms::linalg::{self, IDENTITY, Mat3, Vec3};
use crate::atoms::{AtomsError, Cell};
use crate::graph::Shift;

/// Beyond this many periods, integers and rounding are no longer safe.
const MOST_PERIODS: f64 = (1_u64 << 30) as f64;

/// Vectors along which a structure repeats, as given and reduced: the same lattice by shorter vectors closer to right
/// angles, so that a skewed cell costs no more than the crystal in it. Axes that do not repeat get unit vectors at right
/// angles to those that do, whatever vector they were given: they carry no shift.
#[derive(Debug, Clone)]
pub(super) struct Lattice {
    pub(super) periodic: [bool; 3],
    /// As given; zero rows along axes that do not repeat.
    pub(super) vectors: Mat3,
    /// Completed.
    pub(super) reduced: Mat3,
    /// Rows of `reduced` in terms of `vectors`.
    pub(super) combination: [[i64; 3]; 3],
    pub(super) inverse: Mat3,
    /// Rows are orthonormal axes; along the first of them lies the first periodic vector, and so on.
    pub(super) frame: Mat3,
}

impl Lattice {
    pub(super) fn new(cell: Option<&Cell>) -> Self {
        let periodic = cell.map_or([false; 3], Cell::periodic);
        let given = cell.map_or([[0.0; 3]; 3], Cell::vectors);
        let vectors: Mat3 = core::array::from_fn(|k| if periodic[k] { given[k] } else { [0.0; 3] });
        let combination = reduce(&vectors, periodic);
        let rows = combination.map(|row| linalg::row_times(row.map(|n| n as f64), &vectors));
        let reduced = linalg::complete(core::array::from_fn(|k| periodic[k].then_some(rows[k])));
        Self {
            periodic,
            vectors,
            reduced,
            combination,
            inverse: linalg::inverse(&reduced),
            frame: frame(&reduced, periodic),
        }
    }

    pub(super) fn is_periodic(&self) -> bool {
        self.periodic.contains(&true)
    }

    /// Heights along periodic axes, infinite along others.
    pub(super) fn heights(&self) -> Vec3 {
        let heights = heights(&self.inverse);
        core::array::from_fn(|k| {
            if self.periodic[k] {
                heights[k]
            } else {
                f64::INFINITY
            }
        })
    }

    /// A shift of reduced periods in terms of the given vectors.
    pub(super) fn shift(&self, periods: [i32; 3]) -> Shift {
        core::array::from_fn(|k| {
            let sum: i64 = (0..3)
                .map(|i| i64::from(periods[i]) * self.combination[i][k])
                .sum();
            sum as i32
        })
    }

    /// Reduced periods that bring an atom into the reduced cell.
    pub(super) fn periods_into_cell(&self, atom: usize, r: Vec3) -> Result<[i32; 3], AtomsError> {
        let fractional = linalg::row_times(r, &self.inverse);
        let mut periods = [0; 3];
        let mut widest = 0.0_f64;
        for (k, periods) in periods.iter_mut().enumerate() {
            if self.periodic[k] {
                let n = -fractional[k].floor();
                let combined = self.combination[k].iter().map(|c| c.unsigned_abs() as f64);
                widest = widest.max(n.abs() * combined.fold(1.0, f64::max));
                *periods = n as i32;
            }
        }
        if widest > MOST_PERIODS {
            return Err(AtomsError::Position { atom, position: r });
        }
        Ok(periods)
    }

    /// How far rounding may put an edge of at most `cutoff` off, whichever way it is computed, where coordinates
    /// are at most `farthest`.
    pub(super) fn rounding(&self, farthest: Vec3, cutoff: f64) -> f64 {
        // Some 30 roundings of a half unit each, of sums of terms of this size.
        const UNITS: f64 = 32.0 * f64::EPSILON;
        let mut terms: f64 = farthest.iter().sum();
        let heights = heights(&self.inverse);
        for k in (0..3).filter(|&k| self.periodic[k]) {
            let periods: f64 = (0..3).map(|j| farthest[j] * self.inverse[j][k].abs()).sum();
            let vector: f64 = (0..3)
                .map(|c| {
                    self.combination[k][c].unsigned_abs() as f64 * linalg::norm(self.vectors[c])
                })
                .sum();
            terms += (periods + 2.0 + cutoff / heights[k]) * vector;
        }
        UNITS * (terms + cutoff)
    }

    /// `r` moved by reduced periods, along the axes of the frame.
    pub(super) fn to_frame(&self, r: Vec3, periods: [i32; 3]) -> Vec3 {
        let step = linalg::row_times(periods.map(f64::from), &self.reduced);
        let moved = core::array::from_fn(|k| r[k] + step[k]);
        self.frame.map(|axis| linalg::dot(axis, moved))
    }
}

/// The vector of an edge, from the centre to the neighbour, Å: `D = r_j − r_i + S·cell`, rounded as vesin rounds it.
#[inline(always)]
pub(super) fn edge_vector(center: Vec3, neighbor: Vec3, shift: Shift, cell: &Mat3) -> Vec3 {
    let step = linalg::row_times(shift.map(f64::from), cell);
    core::array::from_fn(|k| neighbor[k] - center[k] + step[k])
}

/// Pairwise reduction: while some vector gets shorter by a multiple of another, it does.
fn reduce(vectors: &Mat3, periodic: [bool; 3]) -> [[i64; 3]; 3] {
    // Enough for any cell that f64 resolves; a cell not quite reduced is only slower.
    const ROUNDS: usize = 200;
    const LARGEST: f64 = 1e6;
    let mut combination = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    let mut rows = *vectors;
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (i, k) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            if periodic[i] && periodic[k] {
                let multiple =
                    (linalg::dot(rows[i], rows[k]) / linalg::dot(rows[k], rows[k])).round();
                if multiple == 0.0 || multiple.abs() > LARGEST {
                    continue;
                }
                let next: [i64; 3] = core::array::from_fn(|c| {
                    combination[i][c] - multiple as i64 * combination[k][c]
                });
                let row = linalg::row_times(next.map(|n| n as f64), vectors);
                let large = next.iter().any(|n| n.unsigned_abs() as f64 > LARGEST);
                // Ties and rounding must not go round in circles.
                if !large && linalg::norm(row) < linalg::norm(rows[i]) * (1.0 - 1e-12) {
                    (combination[i], rows[i], changed) = (next, row, true);
                }
            }
        }
        if !changed {
            break;
        }
    }
    combination
}

/// Gram–Schmidt of the rows, periodic ones first.
fn frame(rows: &Mat3, periodic: [bool; 3]) -> Mat3 {
    if !periodic.contains(&true) {
        return IDENTITY;
    }
    let mut order = [0, 1, 2];
    order.sort_by_key(|&k| !periodic[k]);
    let unit = |v: Vec3| linalg::scale(v, 1.0 / linalg::norm(v));
    let [first, second, _] = order.map(|k| unit(rows[k]));
    let along = linalg::dot(first, second);
    let second = unit(core::array::from_fn(|k| second[k] - along * first[k]));
    // Twice is enough: once more removes what rounding left.
    let along = linalg::dot(first, second);
    let second = unit(core::array::from_fn(|k| second[k] - along * first[k]));
    [first, second, unit(linalg::cross(first, second))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_cell_is_reduced_to_the_same_lattice() {
        let skewed = [[10.0, 0.0, 0.0], [1003.0, 9.0, 0.0], [-704.0, 1303.0, 11.0]];
        let lattice = Lattice::new(Some(&Cell::new(skewed, [true; 3]).unwrap()));
        let [a, b, c] = lattice.combination;
        let det = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
        assert_eq!(det.abs(), 1);
        assert!(
            lattice.heights().iter().all(|&h| h > 7.0),
            "{:?}",
            lattice.heights()
        );
        // The frame is orthonormal, and moving by periods is moving by the shift in given vectors.
        let product = linalg::times(&lattice.frame, &linalg::inverse(&lattice.frame));
        let transposed: Mat3 =
            core::array::from_fn(|i| core::array::from_fn(|k| lattice.frame[k][i]));
        let gram = linalg::times(&lattice.frame, &transposed);
        for i in 0..3 {
            for k in 0..3 {
                let one = f64::from(u8::from(i == k));
                assert!((gram[i][k] - one).abs() < 1e-14 && (product[i][k] - one).abs() < 1e-14);
            }
        }
        let periods = [3, -1, 2];
        let by_shift = linalg::row_times(lattice.shift(periods).map(f64::from), &skewed);
        let by_periods = linalg::row_times(periods.map(f64::from), &lattice.reduced);
        assert!((0..3).all(|k| (by_shift[k] - by_periods[k]).abs() < 1e-9));
    }
}
