//! A batch on a device.

use super::batch::Batch;
use crate::atoms::to_tensor;
use crate::dual::Dual;
use crate::force::deform;
use crate::graph::{End, Graph, gather, segment_sum};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// What a potential takes from a [`Batch`] beside the positions: the graph, the shifts of its edges through periodic cells, and
/// which atom belongs to which structure. Made by [`Batch::to_tensors`]; cheap to clone.
///
/// # Example
/// Springs between neighbours, with the forces and the virial that they give:
/// ```
/// use burn::module::Module;
/// use burn::tensor::{DType, Device};
/// use core_tensor::atoms::{Batch, BatchTensors, Cell, Cutoffs, Structure};
/// use core_tensor::dual::Dual;
/// use core_tensor::force::{Potential, predict};
/// use core_tensor::graph::{End, segment_sum};
///
/// #[derive(Module, Debug)]
/// struct Springs {}
///
/// impl Potential for Springs {
///     type System = BatchTensors;
///
///     fn energies(&self, batch: &BatchTensors, positions: Dual<2>, strain: Option<Dual<3>>) -> Dual<1> {
///         let stretch = batch.vectors(positions, strain).norm_dim(1) - 1.0;
///         let per_atom = segment_sum(stretch.square() * 0.25, batch.graph(), End::Destination);
///         batch.sum_by_structure(per_atom)
///     }
/// }
///
/// // A chain with a period of 1.5: a bond to the right, one to the left.
/// let chain = Structure::new(vec![1], vec![[0.0; 3]])?
///     .with_cell(Cell::new([[1.5, 0.0, 0.0], [0.0; 3], [0.0; 3]], [true, false, false])?);
/// let batch = Batch::new(&[chain], &Cutoffs::uniform(2.0)?)?;
/// let device = Device::flex().autodiff();
/// let (positions, tensors) = batch.to_tensors(DType::F64, &device);
/// let found = predict(&Springs {}, &tensors, positions, Some(1));
/// assert_eq!(found.energies.into_scalar::<f64>(), 0.125);
/// // −∂E/∂ε_xx = −(1.5 − 1) · 1.5.
/// assert_eq!(found.virials.unwrap().into_data().try_to_vec::<f64>().unwrap()[0], -0.75);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchTensors {
    graph: Graph,
    shifts: Option<Tensor<2>>,
    structure_of_edge: Tensor<1, Int>,
    structures: usize,
    /// An edge from every atom to its structure.
    membership: Graph,
}

impl Batch {
    /// Positions `[atoms, 3]` in Å, and what else a potential takes.
    ///
    /// # Panics
    /// If the dtype is no float type.
    pub fn to_tensors(&self, dtype: DType, device: &Device) -> (Tensor<2>, BatchTensors) {
        let graph = self.graph();
        let of = self.structure_of();
        // Between atoms at one place, what is left are the shifts.
        let shifts = || self.vectors_of(&vec![[0.0; 3]; of.len()]);
        let shifts = (!graph.shifts().is_empty()).then(shifts);
        let edges: Vec<i64> = graph
            .destinations()
            .iter()
            .map(|&i| i64::from(of[i as usize]))
            .collect();
        let count = edges.len();
        let atoms: Vec<u32> = (0..of.len() as u32).collect();
        let nodes = of.len().max(self.len());
        let tensors = BatchTensors {
            graph: graph.clone(),
            shifts: shifts.map(|rows| to_tensor(&rows, dtype, device)),
            structure_of_edge: Tensor::from_data(TensorData::new(edges, [count]), device),
            structures: self.len(),
            membership: Graph::new(nodes, &atoms, of, &[]).expect("ends below the number of nodes"),
        };
        (to_tensor(self.positions(), dtype, device), tensors)
    }
}

impl BatchTensors {
    /// The edges, from neighbour to centre.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Number of structures.
    pub fn structures(&self) -> usize {
        self.structures
    }

    /// Vectors of the edges `[edges, 3]`, from the centre (destination) to the neighbour (source), through periodic cells where
    /// the edge leads there, and deformed with the structure where there is a strain `[structures, 3, 3]` ([`deform`]).
    ///
    /// # Panics
    /// If positions are not `[atoms, 3]`, or a dtype is not that of the batch.
    pub fn vectors(&self, positions: Dual<2>, strain: Option<Dual<3>>) -> Dual<2> {
        let end = |end| gather(positions.clone(), &self.graph, end);
        let mut vectors = end(End::Source) - end(End::Destination);
        if let Some(shifts) = &self.shifts {
            vectors = vectors + Dual::constant(shifts.clone());
        }
        match strain {
            Some(strain) => deform(vectors, strain, self.structure_of_edge.clone()),
            None => vectors,
        }
    }

    /// Sums over the atoms of every structure, `[structures]`, of values `[atoms, 1]`, in the order of the atoms.
    ///
    /// # Panics
    /// If there is not one value per atom.
    pub fn sum_by_structure(&self, per_atom: Dual<2>) -> Dual<1> {
        let atoms = self.membership.edges();
        assert_eq!(
            per_atom.dims(),
            [atoms, 1],
            "sum_by_structure: expected one value per atom"
        );
        let sums = segment_sum(per_atom, &self.membership, End::Destination);
        sums.narrow(0, 0, self.structures)
            .reshape([self.structures])
    }
}
