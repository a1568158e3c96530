//! Which atoms see which.

mod batch;
mod cutoffs;
mod device;
mod grid;
mod images;
mod lattice;
mod list;
mod look;
pub mod reference;
mod search;
mod verlet;

pub use batch::Batch;
pub use cutoffs::Cutoffs;
pub use device::BatchTensors;
pub use list::NeighborList;
pub use verlet::VerletList;
