//! The same by trying every pair: quadratic, and obviously right.

use super::Cutoffs;
use super::lattice::{Lattice, edge_vector};
use crate::atoms::linalg::{self, Vec3};
use crate::atoms::{AtomsError, Cell};
use crate::graph::{Graph, Shift};

/// [`NeighborList::build`](super::NeighborList::build), every pair of atoms and every image tried in turn.
///
/// # Errors
/// If edges exceed 2³² − 1.
///
/// # Panics
/// If lengths differ, or a position is not finite.
pub fn neighbors(
    positions: &[Vec3],
    species: &[u8],
    cell: Option<&Cell>,
    cutoffs: &Cutoffs,
) -> Result<Graph, AtomsError> {
    assert_eq!(
        positions.len(),
        species.len(),
        "reference: a species per position"
    );
    let lattice = Lattice::new(cell);
    // The given vectors, completed at right angles: no use is made of the reduced ones.
    let full = linalg::complete(core::array::from_fn(|k| {
        lattice.periodic[k].then_some(lattice.vectors[k])
    }));
    let inverse = linalg::inverse(&full);
    let heights = crate::atoms::cell::heights(&inverse);
    let (mut sources, mut destinations, mut shifts) = (vec![], vec![], Vec::<Shift>::new());
    for (i, &center) in positions.iter().enumerate() {
        for (j, &neighbor) in positions.iter().enumerate() {
            let cutoff = cutoffs.of(species[i], species[j]);
            let apart = core::array::from_fn(|k| neighbor[k] - center[k]);
            let fractional = linalg::row_times(apart, &inverse);
            let [a, b, c] = core::array::from_fn(|k| {
                let most = cutoff / heights[k] + 1e-6;
                if lattice.periodic[k] {
                    (-fractional[k] - most).ceil() as i32..=(-fractional[k] + most).floor() as i32
                } else {
                    0..=0
                }
            });
            for x in a {
                for y in b.clone() {
                    for z in c.clone() {
                        let shift = [x, y, z];
                        let d = edge_vector(center, neighbor, shift, &lattice.vectors);
                        if linalg::dot(d, d) < cutoff * cutoff && !(i == j && shift == [0; 3]) {
                            sources.push(j as u32);
                            destinations.push(i as u32);
                            shifts.push(shift);
                        }
                    }
                }
            }
        }
    }
    let none: &[Shift] = &[];
    let shifts = if lattice.is_periodic() { &shifts } else { none };
    Ok(Graph::new(
        positions.len(),
        &sources,
        &destinations,
        shifts,
    )?)
}
