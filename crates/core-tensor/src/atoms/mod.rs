//! Atomic structures, periodic cells, extxyz files and lists of neighbours: what interatomic potentials begin with.
//! Everything is f64 on the CPU; [`to_tensor`] is the way to Burn.
//!
//! - [`Structure`]: species, positions (Å), an optional [`Cell`], named properties per structure and per atom; [`element`]
//!   has symbols and masses.
//! - [`extxyz`]: a file as a stream of structures, and back, to the bit.
//! - [`NeighborList`]: every pair closer than a cutoff ([`Cutoffs`]: one, or one per ordered pair of elements) as a
//!   [`Graph`](crate::graph::Graph), in time linear in atoms; [`Batch`] for several structures as one graph,
//!   [`VerletList`] for atoms that move. [`mod@reference`] is the quadratic search that both are tested against.
//!
//! **Direction of an edge:** from the neighbour j (source) to the centre i (destination); its vector points from the centre to
//! the neighbour, `D = r_j − r_i + S · cell`. [`NeighborList`] says how others call these.
//!
//! # Example
//! ```
//! use core_tensor::atoms::{Cutoffs, NeighborList, extxyz::Reader};
//!
//! let file = r#"2
//! Lattice="3.0 0 0 0 3.0 0 0 0 3.0" Properties=species:S:1:pos:R:3:forces:R:3 energy=-7.5 pbc="T T T"
//! Cs 0.0 0.0 0.0 0.1 0.0 0.0
//! Cl 1.5 1.5 1.5 -0.1 0.0 0.0
//! "#;
//! let cutoffs = Cutoffs::uniform(2.7)?;
//! for structure in Reader::new(file.as_bytes()) {
//!     let structure = structure?;
//!     assert_eq!(structure.energy(), Some(-7.5));
//!     let list = NeighborList::new(&structure, &cutoffs)?;
//!     // Each has the other at the corners of a cube.
//!     assert_eq!(list.graph().offsets(), [0, 8, 16]);
//!     let lengths = list.lengths(structure.positions(), structure.cell());
//!     assert!(lengths.iter().all(|r| (r - 1.5 * 3_f64.sqrt()).abs() < 1e-12));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cell;
pub mod element;
mod error;
pub mod extxyz;
mod linalg;
mod neighbors;
mod structure;
mod tensor;

pub use cell::Cell;
pub use error::AtomsError;
pub use linalg::{Mat3, Vec3};
pub use neighbors::{Batch, BatchTensors, Cutoffs, NeighborList, VerletList, reference};
pub use structure::{Column, Data, Structure, Value};
pub use tensor::to_tensor;
