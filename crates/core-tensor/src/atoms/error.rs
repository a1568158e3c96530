//! What can be wrong with a structure.

/// Why a cell, a structure or a list of neighbours was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AtomsError {
    /// A cell vector has a component that is NaN or infinite, or absurdly large.
    #[error("cell vector {axis} is {vector:?}")]
    CellNotFinite {
        /// Which.
        axis: usize,
        /// Its components, Å.
        vector: [f64; 3],
    },
    /// The cell repeats along an axis without a vector.
    #[error("the cell is periodic along axis {0}, whose vector is zero")]
    MissingVector(usize),
    /// Cell vectors are linearly dependent: they span no volume.
    #[error("the cell vectors {0:?} are linearly dependent")]
    DegenerateCell([[f64; 3]; 3]),
    /// An atom's position is NaN, infinite, or too far away for f64 to tell its neighbours apart.
    #[error("atom {atom} is at {position:?}")]
    Position {
        /// Which.
        atom: usize,
        /// Its position, Å.
        position: [f64; 3],
    },
    /// Lists that have an entry per atom differ in length.
    #[error("{what}: expected {expected} entries, got {got}")]
    Length {
        /// The list.
        what: String,
        /// Number of entries that were expected.
        expected: usize,
        /// Number of entries that were given.
        got: usize,
    },
    /// An atomic number above 118.
    #[error("atom {atom} has atomic number {number}")]
    Element {
        /// Which.
        atom: usize,
        /// Its number.
        number: u8,
    },
    /// A name that a structure uses itself, or that occurs twice.
    #[error("property {0:?} is reserved, or empty, or there already")]
    Name(String),
    /// A cutoff that is no length from 10⁻¹² to 10¹² Å (zero is allowed for a pair of elements: no edges).
    #[error("cutoff {0} Å, expected 1e-12 to 1e12")]
    Cutoff(f64),
    /// A Verlet skin that is not a length from 0 to 10¹² Å.
    #[error("skin {0} Å")]
    Skin(f64),
    /// The cell is so small, or the cutoff so large, that an atom would see more than 2²⁰ images of each other atom.
    #[error("cell with heights {heights:?} Å is too small for a cutoff of {cutoff} Å")]
    TooManyImages {
        /// Distances between faces of the (reduced) cell along its periodic axes, infinite along others.
        heights: [f64; 3],
        /// Largest cutoff.
        cutoff: f64,
    },
    /// The list has more nodes or edges than indices of 32 bits count.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
}
