//! Lists of neighbours.

use super::cutoffs::{Cutoffs, Table};
use super::grid::{Grid, Key};
use super::images::Images;
use super::lattice::{Lattice, edge_vector};
use super::search::{Found, Judge, search};
use crate::atoms::linalg::{self, Mat3, Vec3};
use crate::atoms::structure::check_positions;
use crate::atoms::{AtomsError, Cell, Structure};
use crate::cpu::RowsMut;
use crate::graph::{Graph, GraphError, Shift};
use core::sync::atomic::{AtomicU64, Ordering};
use rayon::prelude::*;

/// Every ordered pair of atoms closer than a cutoff, periodic images included, as a [`Graph`].
///
/// **Direction.** An edge goes from the neighbour j (its source) to the centre i (its destination), and its vector
/// points the other way, from the centre to the neighbour: `D = r_source − r_destination + S · cell`. In the terms of
/// ASE, matscipy and vesin, i is the destination and j the source; in NequIP's and Allegro's, `edge_index[0]` is the
/// destination and `edge_index[1]` the source; in Equiformer's, `edge_index[0]` is the source.
///
/// **Edges.** Both i → j and j → i are there (unless [`Cutoffs`] differ by order), an atom's own images too where they are
/// near enough, never the atom itself. The test is strict, `|D|² < cutoff²`, with D computed as above from
/// the positions as given: no need to wrap them first.
///
/// **Order.** By (destination, source, shift); the same bits for any number of threads.
///
/// Shifts are empty for a structure that repeats along no axis.
///
/// # Example
/// ```
/// use core_tensor::atoms::{Cell, Cutoffs, NeighborList, Structure};
///
/// // Simple cubic polonium: one atom sees six images of itself.
/// let cell = Cell::orthorhombic([3.36; 3])?;
/// let crystal = Structure::new(vec![84], vec![[0.0; 3]])?.with_cell(cell);
/// let list = NeighborList::new(&crystal, &Cutoffs::uniform(3.5)?)?;
/// assert_eq!(list.graph().edges(), 6);
/// assert_eq!(list.graph().shifts()[0], [-1, 0, 0]);
/// assert_eq!(list.vectors(crystal.positions(), crystal.cell())[0], [-3.36, 0.0, 0.0]);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NeighborList {
    graph: Graph,
}

impl NeighborList {
    /// The neighbours in a structure.
    ///
    /// # Errors
    /// If the cell is so small against the cutoff that images of an atom exceed 2²⁰, or edges exceed 2³² − 1.
    pub fn new(structure: &Structure, cutoffs: &Cutoffs) -> Result<Self, AtomsError> {
        Self::build(
            structure.positions(),
            structure.species(),
            structure.cell(),
            cutoffs,
        )
    }

    /// [`new`](Self::new) of plain lists.
    ///
    /// # Errors
    /// As there, and if lengths differ or a position is not finite.
    pub fn build(
        positions: &[Vec3],
        species: &[u8],
        cell: Option<&Cell>,
        cutoffs: &Cutoffs,
    ) -> Result<Self, AtomsError> {
        if species.len() != positions.len() {
            return Err(AtomsError::Length {
                what: "species".into(),
                expected: positions.len(),
                got: species.len(),
            });
        }
        check_positions(positions)?;
        let table = cutoffs.table(species);
        let lattice = Lattice::new(cell);
        if table.largest == 0.0 || positions.is_empty() {
            let graph = Graph::from_sorted(positions.len(), vec![], vec![], vec![])?;
            return Ok(Self { graph });
        }
        let off = lattice.rounding(farthest(positions), table.largest);
        let images = Images::new(positions, &lattice, table.largest + off)?;
        let problem = Problem {
            positions,
            lattice: &lattice,
            images: &images,
            table: &table,
            off,
        };
        let bits = usize::BITS - (images.shifts.len() - 1).leading_zeros();
        // Keys stay positive.
        let narrow = (positions.len() as u64) << bits <= 1 << 31;
        let graph = if narrow {
            problem.solve::<i32>(bits)
        } else {
            problem.solve::<i64>(bits)
        }?;
        Ok(Self { graph })
    }

    pub(super) fn from_graph(graph: Graph) -> Self {
        Self { graph }
    }

    /// The edges.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The edges, without a copy.
    pub fn into_graph(self) -> Graph {
        self.graph
    }

    /// Vector of every edge, Å, from its destination (the centre) to its source (the neighbour): `r_source −
    /// r_destination + S · cell`.
    ///
    /// # Panics
    /// If there are not as many positions as nodes, or edges have shifts but there is no cell.
    pub fn vectors(&self, positions: &[Vec3], cell: Option<&Cell>) -> Vec<Vec3> {
        self.map(positions, cell, |v| v)
    }

    /// Length of every edge, Å.
    ///
    /// # Panics
    /// As [`vectors`](Self::vectors).
    pub fn lengths(&self, positions: &[Vec3], cell: Option<&Cell>) -> Vec<f64> {
        self.map(positions, cell, linalg::norm)
    }

    fn map<T: Send>(
        &self,
        positions: &[Vec3],
        cell: Option<&Cell>,
        f: impl Fn(Vec3) -> T + Sync,
    ) -> Vec<T> {
        assert!(
            self.graph.shifts().is_empty() || cell.is_some(),
            "edge vectors: edges have shifts, but there is no cell"
        );
        let vectors = cell.map_or([[0.0; 3]; 3], Cell::vectors);
        map_edges(&self.graph, positions, |_| &vectors, f)
    }
}

/// `f` of every edge's vector, in the cell of its centre.
pub(super) fn map_edges<'a, T: Send>(
    graph: &Graph,
    positions: &[Vec3],
    cell_of: impl Fn(usize) -> &'a Mat3 + Sync,
    f: impl Fn(Vec3) -> T + Sync,
) -> Vec<T> {
    assert_eq!(
        positions.len(),
        graph.nodes(),
        "edge vectors: expected a position per node, got {} for {}",
        positions.len(),
        graph.nodes()
    );
    let shifts = graph.shifts();
    let vector = |e: usize| {
        let [i, j] = [graph.destinations()[e], graph.sources()[e]].map(|n| n as usize);
        let shift = shifts.get(e).copied().unwrap_or_default();
        f(edge_vector(positions[i], positions[j], shift, cell_of(i)))
    };
    // A few edges are not worth waking threads for.
    const SOME: usize = 1 << 13;
    let edges = 0..graph.edges();
    if edges.len() <= SOME {
        edges.map(vector).collect()
    } else {
        edges
            .into_par_iter()
            .with_min_len(SOME)
            .map(vector)
            .collect()
    }
}

/// Largest coordinates, without sign.
pub(super) fn farthest(positions: &[Vec3]) -> Vec3 {
    core::array::from_fn(|k| positions.iter().map(|r| r[k].abs()).fold(0.0, f64::max))
}

/// What a search works on.
struct Problem<'a> {
    positions: &'a [Vec3],
    lattice: &'a Lattice,
    images: &'a Images,
    table: &'a Table,
    /// How far off rounding in f64 may put a distance.
    off: f64,
}

/// Atoms below which a second thread costs more than it saves.
const FEW: usize = 512;
/// Tasks per thread, so that none waits long for another.
const TASKS: usize = 8;

impl Problem<'_> {
    fn solve<K: Key>(&self, bits: u32) -> Result<Graph, AtomsError> {
        let mut grid = Grid::<K>::new(self.images, self.table.largest + self.off, bits);
        grid.rounding += self.off;
        let found = self.find(&grid)?;

        let atoms = self.positions.len();
        let mut offsets = vec![0_usize; atoms + 1];
        for part in &found {
            for (&atom, &count) in part.atoms.iter().zip(&part.counts) {
                offsets[atom as usize + 1] = count as usize;
            }
        }
        for atom in 0..atoms {
            offsets[atom + 1] += offsets[atom];
        }
        let edges = offsets[atoms];
        if u32::try_from(edges).is_err() {
            return Err(GraphError::Size(edges).into());
        }
        let periodic = self.lattice.is_periodic();
        let mut sources = vec![0_u32; edges];
        let mut destinations = vec![0_u32; edges];
        let mut shifts = vec![[0_i32; 3]; if periodic { edges } else { 0 }];
        {
            let (to, from) = (
                RowsMut::new(&mut destinations, edges),
                RowsMut::new(&mut sources, edges),
            );
            let across = RowsMut::new(&mut shifts, if periodic { edges } else { 0 });
            self.each(found.len(), |part| {
                let Found {
                    atoms,
                    counts,
                    keys,
                } = &found[part];
                let mut keys = keys.as_slice();
                for (&atom, &count) in atoms.iter().zip(counts) {
                    let (row, rest) = keys.split_at(count as usize);
                    keys = rest;
                    let place = offsets[atom as usize]..offsets[atom as usize + 1];
                    if row.is_empty() {
                        continue;
                    }
                    // SAFETY: places of different atoms do not overlap, and every atom is in one part once.
                    #[allow(unsafe_code)]
                    let (to, from) =
                        unsafe { (to.piece(0, place.clone()), from.piece(0, place.clone())) };
                    to.fill(atom);
                    for (from, key) in from.iter_mut().zip(row) {
                        *from = key.atom(bits);
                    }
                    if periodic {
                        // SAFETY: as above.
                        #[allow(unsafe_code)]
                        let across = unsafe { across.piece(0, place) };
                        self.write_shifts(atom, row, bits, across);
                    }
                }
            });
        }
        Ok(Graph::from_sorted(atoms, sources, destinations, shifts)?)
    }

    /// Neighbours of all atoms, a few rows of bins to a part.
    fn find<K: Key>(&self, grid: &Grid<K>) -> Result<Vec<Found<K>>, AtomsError> {
        let rows = grid.rows();
        let parts = if self.is_small() {
            1
        } else {
            rows.min(TASKS * crate::cpu::threads())
        };
        let total = AtomicU64::new(0);
        let part = |part: usize| {
            // More edges than can be numbered: no use looking on.
            if total.load(Ordering::Relaxed) > u64::from(u32::MAX) {
                return Found::default();
            }
            let rows = rows * part / parts..rows * (part + 1) / parts;
            let found = search(grid, self.images.home, self.table.largest, self, rows);
            total.fetch_add(found.keys.len() as u64, Ordering::Relaxed);
            found
        };
        let found = if parts == 1 {
            vec![part(0)]
        } else {
            (0..parts).into_par_iter().map(part).collect()
        };
        let total = total.into_inner();
        if total > u64::from(u32::MAX) {
            return Err(GraphError::Size(total as usize).into());
        }
        Ok(found)
    }

    fn is_small(&self) -> bool {
        self.positions.len() < FEW
    }

    fn each(&self, parts: usize, task: impl Fn(usize) + Send + Sync) {
        crate::cpu::for_each_task(parts, task);
    }

    /// Shifts of the edges of one atom, between positions as given.
    #[inline(always)]
    fn write_shifts<K: Key>(&self, atom: u32, row: &[K], bits: u32, across: &mut [Shift]) {
        let Images { shifts, wraps, .. } = self.images;
        if wraps.is_empty() {
            for (across, key) in across.iter_mut().zip(row) {
                *across = shifts[key.shift(bits) as usize];
            }
            return;
        }
        let center = wraps[atom as usize];
        for (across, key) in across.iter_mut().zip(row) {
            let (shift, wrap) = (
                shifts[key.shift(bits) as usize],
                wraps[key.atom(bits) as usize],
            );
            *across = core::array::from_fn(|k| shift[k] + wrap[k] - center[k]);
        }
    }
}

impl Judge for Problem<'_> {
    fn always(&self) -> bool {
        !self.table.is_uniform()
    }

    #[inline(never)]
    fn exact(&self, center: u32, neighbor: u32, shift: u32) -> bool {
        let (i, j) = (center as usize, neighbor as usize);
        let mut across = self.images.shifts[shift as usize];
        if !self.images.wraps.is_empty() {
            let (at, from) = (self.images.wraps[i], self.images.wraps[j]);
            across = core::array::from_fn(|k| across[k] + from[k] - at[k]);
        }
        let vectors: &Mat3 = &self.lattice.vectors;
        let d = edge_vector(self.positions[i], self.positions[j], across, vectors);
        linalg::dot(d, d) < self.table.square(i, j)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of 64 bits are for some hundred million atoms; they must find the same edges.
    #[test]
    fn wide_keys_give_the_same_list() {
        let positions: Vec<Vec3> = (0..40)
            .map(|k| [0.37, 0.71, 0.13].map(|x| (f64::from(k) * x).fract() * 6.0 - 1.0))
            .collect();
        let cell = Cell::new(
            [[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, -1.0, 3.0]],
            [true; 3],
        )
        .unwrap();
        let table = Cutoffs::uniform(3.0).unwrap().table(&[1; 40]);
        let lattice = Lattice::new(Some(&cell));
        let off = lattice.rounding(farthest(&positions), 3.0);
        let images = Images::new(&positions, &lattice, 3.0 + off).unwrap();
        let problem = Problem {
            positions: &positions,
            lattice: &lattice,
            images: &images,
            table: &table,
            off,
        };
        let narrow = problem.solve::<i32>(12).unwrap();
        let wide = problem.solve::<i64>(33).unwrap();
        assert!(narrow.edges() > 1000);
        assert_eq!(narrow.sources(), wide.sources());
        assert_eq!(narrow.destinations(), wide.destinations());
        assert_eq!(narrow.shifts(), wide.shifts());
    }
}
