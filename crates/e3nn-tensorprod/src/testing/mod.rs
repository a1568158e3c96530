//! Equivariance checks for layers of your own, and irreps for property tests (feature `testing`).

mod arguments;
mod equivariance;
mod strategies;

pub use arguments::{Argument, Role};
pub use equivariance::{
    BlockError, Equivariance, EquivarianceReport, assert_equivariant, equivariance_error,
};
pub use strategies::random_irreps;
