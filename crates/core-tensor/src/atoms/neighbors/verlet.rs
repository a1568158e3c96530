//! Lists that outlive small moves.

use super::cutoffs::Cutoffs;
use super::lattice::{Lattice, edge_vector};
use super::list::{NeighborList, farthest};
use crate::atoms::cell::FARTHEST;
use crate::atoms::linalg::{self, IDENTITY, Mat3, Vec3};
use crate::atoms::structure::check_positions;
use crate::atoms::{AtomsError, Cell};
use crate::cpu::map_parts;
use crate::graph::{Graph, Shift};

/// Neighbours of atoms that move, as in molecular dynamics: pairs are searched for up to `cutoff + skin`, and searched for
/// again only when an atom has moved so far that a pair may have come closer than the cutoff unseen.
///
/// Moves are measured against the deformation of the cell. With reference positions r, cell H, and now r′, H′, the
/// deformation is F = H⁻¹H′ and an atom's own move u = r′ − rF. A pair that was at least `cutoff + skin` apart is
/// now at least (1 − ‖F − 1‖)(cutoff + skin) − 2 max|u| apart, ‖·‖ the Frobenius norm; the pairs hold while that exceeds
/// the cutoff. Under a constant cell that is Verlet's criterion, max|u| < skin/2 (Phys. Rev. 159, 98).
///
/// Positions must be followed continuously: an atom that is wrapped back into the cell has moved by a period, and the pairs
/// are searched for again (rightly so, for shifts change).
///
/// # Example
/// ```
/// use core_tensor::atoms::{Cutoffs, VerletList};
///
/// let mut list = VerletList::new(vec![18, 18], Cutoffs::uniform(5.0)?, 1.0)?;
/// for step in 0..10 {
///     let x = 5.4 - 0.1 * f64::from(step);
///     let neighbors = list.update(&[[0.0; 3], [x, 0.0, 0.0]], None)?;
///     assert_eq!(neighbors.graph().edges(), if x < 5.0 { 2 } else { 0 });
/// }
/// assert_eq!(list.searches(), 2);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct VerletList {
    species: Vec<u8>,
    cutoffs: Cutoffs,
    skin: f64,
    reference: Option<Reference>,
    searches: u64,
}

/// Atoms that one thread looks at, at a time.
const ATOMS: usize = 1 << 10;

/// Where everything was when pairs were searched for.
#[derive(Debug, Clone)]
struct Reference {
    positions: Vec<Vec3>,
    periodic: [bool; 3],
    inverse: Mat3,
    pairs: Graph,
}

impl VerletList {
    /// A list for atoms of these atomic numbers, with a skin in Å.
    ///
    /// # Errors
    /// If the skin is negative, not finite, or beyond 10¹² Å.
    pub fn new(species: Vec<u8>, cutoffs: Cutoffs, skin: f64) -> Result<Self, AtomsError> {
        if !(0.0..FARTHEST).contains(&skin) {
            return Err(AtomsError::Skin(skin));
        }
        Ok(Self {
            species,
            cutoffs,
            skin,
            reference: None,
            searches: 0,
        })
    }

    /// How often pairs were searched for.
    pub fn searches(&self) -> u64 {
        self.searches
    }

    /// The neighbours now: the same list as [`NeighborList::build`] makes.
    ///
    /// # Errors
    /// As there; the list then stays as it was.
    pub fn update(
        &mut self,
        positions: &[Vec3],
        cell: Option<&Cell>,
    ) -> Result<NeighborList, AtomsError> {
        let pairs = self.pairs(positions, cell)?.clone();
        self.closer(&pairs, positions, cell)
    }

    /// Pairs among which all neighbours are, for a model whose terms vanish beyond the cutoff: some are further apart,
    /// but none need be copied.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn pairs(&mut self, positions: &[Vec3], cell: Option<&Cell>) -> Result<&Graph, AtomsError> {
        check_positions(positions)?;
        if positions.len() != self.species.len() {
            return Err(AtomsError::Length {
                what: "positions".into(),
                expected: self.species.len(),
                got: positions.len(),
            });
        }
        let reference = match self.reference.take() {
            Some(reference) if self.holds(&reference, positions, cell) => reference,
            before => {
                let cutoffs = self.cutoffs.extended(self.skin);
                let list = NeighborList::build(positions, &self.species, cell, &cutoffs);
                if list.is_err() {
                    self.reference = before;
                }
                let pairs = list?.into_graph();
                self.searches += 1;
                Reference {
                    positions: positions.to_vec(),
                    periodic: cell.map_or([false; 3], Cell::periodic),
                    inverse: linalg::inverse(&periods(cell)),
                    pairs,
                }
            }
        };
        Ok(&self.reference.insert(reference).pairs)
    }

    /// Whether no pair can have come closer than the cutoff unseen.
    fn holds(&self, before: &Reference, positions: &[Vec3], cell: Option<&Cell>) -> bool {
        let table = self.cutoffs.table(&self.species);
        if before.periodic != cell.map_or([false; 3], Cell::periodic) {
            return false;
        }
        let deformation = linalg::times(&before.inverse, &periods(cell));
        let change = (0..9).map(|k| deformation[k / 3][k % 3] - IDENTITY[k / 3][k % 3]);
        let change = change.map(|x| x * x).sum::<f64>().sqrt();
        // Written so that NaN does not hold.
        let slack = self.skin - change * (table.largest + self.skin);
        let moved = map_parts(positions.len(), ATOMS, |part| {
            let moves = part.map(|atom| {
                let carried = linalg::row_times(before.positions[atom], &deformation);
                linalg::norm(core::array::from_fn(|k| positions[atom][k] - carried[k]))
            });
            moves.fold(0.0, f64::max)
        });
        let moved = moved.into_iter().fold(0.0, f64::max);
        let off = Lattice::new(cell).rounding(farthest(positions), table.largest);
        slack > 2.0 * moved + off
    }

    /// The pairs that are closer than the cutoff.
    fn closer(
        &self,
        pairs: &Graph,
        positions: &[Vec3],
        cell: Option<&Cell>,
    ) -> Result<NeighborList, AtomsError> {
        let table = self.cutoffs.table(&self.species);
        let vectors = cell.map_or([[0.0; 3]; 3], Cell::vectors);
        let nodes = pairs.nodes();
        let shifted = !pairs.shifts().is_empty();
        let parts = map_parts(nodes, ATOMS, |part| {
            let [first, end] = [part.start, part.end].map(|n| pairs.offsets()[n] as usize);
            let near: Vec<usize> = (first..end)
                .filter(|&e| {
                    let [i, j] = [pairs.destinations()[e], pairs.sources()[e]].map(|n| n as usize);
                    let shift = if shifted { pairs.shifts()[e] } else { [0; 3] };
                    let d = edge_vector(positions[i], positions[j], shift, &vectors);
                    linalg::dot(d, d) < table.square(i, j)
                })
                .collect();
            let pick = |list: &[u32]| near.iter().map(|&e| list[e]).collect();
            let shifts = near.iter().filter(|_| shifted).map(|&e| pairs.shifts()[e]);
            let lists: (Vec<u32>, Vec<u32>, Vec<Shift>) = (
                pick(pairs.sources()),
                pick(pairs.destinations()),
                shifts.collect(),
            );
            lists
        });
        let edges = parts.iter().map(|(sources, ..)| sources.len()).sum();
        let (mut sources, mut destinations) =
            (Vec::with_capacity(edges), Vec::with_capacity(edges));
        let mut shifts = Vec::with_capacity(if shifted { edges } else { 0 });
        for (from, to, across) in parts {
            sources.extend(from);
            destinations.extend(to);
            shifts.extend(across);
        }
        let graph = Graph::from_sorted(nodes, sources, destinations, shifts)?;
        Ok(NeighborList::from_graph(graph))
    }
}

/// Vectors along periodic axes, completed at right angles.
fn periods(cell: Option<&Cell>) -> Mat3 {
    let periodic = cell.map_or([false; 3], Cell::periodic);
    let vectors = cell.map_or([[0.0; 3]; 3], Cell::vectors);
    linalg::complete(core::array::from_fn(|k| periodic[k].then_some(vectors[k])))
}
