//! Several structures as one graph.

use super::cutoffs::Cutoffs;
use super::list::{NeighborList, map_edges};
use crate::atoms::linalg::{Mat3, Vec3};
use crate::atoms::{AtomsError, Cell, Structure};
use crate::graph::{Graph, GraphError, Shift};
use rayon::prelude::*;

/// The atoms of several structures one after another, and one graph whose edges never lead from one to another.
///
/// # Example
/// ```
/// use core_tensor::atoms::{Batch, Cutoffs, Structure};
///
/// let pair = |x| Structure::new(vec![1, 1], vec![[0.0; 3], [x, 0.0, 0.0]]);
/// let batch = Batch::new(&[pair(0.7)?, pair(9.0)?, pair(0.8)?], &Cutoffs::uniform(2.0)?)?;
/// assert_eq!(batch.structure_of(), [0, 0, 1, 1, 2, 2]);
/// assert_eq!(batch.graph().sources(), [1, 0, 5, 4]);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    species: Vec<u8>,
    positions: Vec<Vec3>,
    structure_of: Vec<u32>,
    offsets: Vec<usize>,
    cells: Vec<Option<Cell>>,
    graph: Graph,
}

impl Batch {
    /// Puts structures together and finds the neighbours in each.
    ///
    /// # Errors
    /// As [`NeighborList::new`], and if all together have more atoms or edges than 2³² − 1.
    pub fn new(structures: &[Structure], cutoffs: &Cutoffs) -> Result<Self, AtomsError> {
        let lists: Result<Vec<NeighborList>, AtomsError> = structures
            .par_iter()
            .map(|structure| NeighborList::new(structure, cutoffs))
            .collect();
        let lists = lists?;
        let mut offsets = vec![0];
        for structure in structures {
            offsets.push(offsets[offsets.len() - 1] + structure.len());
        }
        let atoms = offsets[structures.len()];
        let edges = lists.iter().map(|list| list.graph().edges()).sum();
        if let Some(size) = [atoms, edges]
            .into_iter()
            .find(|&n| u32::try_from(n).is_err())
        {
            return Err(GraphError::Size(size).into());
        }
        let periodic = lists.iter().any(|list| !list.graph().shifts().is_empty());
        let (mut sources, mut destinations) =
            (Vec::with_capacity(edges), Vec::with_capacity(edges));
        let mut shifts: Vec<Shift> = Vec::with_capacity(if periodic { edges } else { 0 });
        for (list, &first) in lists.iter().zip(&offsets) {
            let (graph, first) = (list.graph(), first as u32);
            sources.extend(graph.sources().iter().map(|j| j + first));
            destinations.extend(graph.destinations().iter().map(|i| i + first));
            shifts.extend_from_slice(graph.shifts());
            if periodic {
                shifts.resize(sources.len(), [0; 3]);
            }
        }
        let each = |s: usize| core::iter::repeat_n(s as u32, structures[s].len());
        Ok(Self {
            species: structures
                .iter()
                .flat_map(Structure::species)
                .copied()
                .collect(),
            positions: structures
                .iter()
                .flat_map(Structure::positions)
                .copied()
                .collect(),
            structure_of: (0..structures.len()).flat_map(each).collect(),
            offsets,
            cells: structures.iter().map(|s| s.cell().copied()).collect(),
            graph: Graph::from_sorted(atoms, sources, destinations, shifts)?,
        })
    }

    /// Number of structures.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Atomic numbers.
    pub fn species(&self) -> &[u8] {
        &self.species
    }

    /// Positions, Å.
    pub fn positions(&self) -> &[Vec3] {
        &self.positions
    }

    /// The structure that each atom is of.
    pub fn structure_of(&self) -> &[u32] {
        &self.structure_of
    }

    /// `offsets[s]..offsets[s + 1]` are the atoms of structure `s`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The cell of each structure.
    pub fn cells(&self) -> &[Option<Cell>] {
        &self.cells
    }

    /// The edges of all structures; as in [`NeighborList`], from the neighbour to the centre.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Vector of every edge, Å, from its destination (the centre) to its source (the neighbour).
    pub fn vectors(&self) -> Vec<Vec3> {
        self.vectors_of(&self.positions)
    }

    /// Vectors of the edges between atoms at `positions`.
    pub(super) fn vectors_of(&self, positions: &[Vec3]) -> Vec<Vec3> {
        let vectors: Vec<Mat3> = self
            .cells
            .iter()
            .map(|cell| cell.map_or([[0.0; 3]; 3], |cell| cell.vectors()))
            .collect();
        let cell_of = |atom: usize| &vectors[self.structure_of[atom] as usize];
        map_edges(&self.graph, positions, cell_of, |v| v)
    }
}
