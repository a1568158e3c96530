//! Why a product with edges cannot be made: [`EdgeProductError`].

use crate::product::{ConnectionMode, ProductError};
use crate::sh::HarmonicsError;

/// Why an [`EdgeProduct`](super::EdgeProduct) cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeProductError {
    /// The product itself is wrong.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// The second input is no harmonics of a vector, nor of a pseudovector.
    #[error(transparent)]
    Harmonics(#[from] HarmonicsError),
    /// Harmonics with several copies.
    #[error("edge product: block {block} of the harmonics has multiplicity {mul}, expected 1")]
    HarmonicMultiplicity {
        /// Place of the block.
        block: usize,
        /// Its multiplicity.
        mul: usize,
    },
    /// A path that the frames of edges do not have.
    #[error(
        "edge product: instruction {instruction} has mode {mode}{}; in the frames of edges there are uvw with weights, and uvu",
        if *.weighted { "" } else { " without weights" }
    )]
    Mode {
        /// Which instruction, from 0.
        instruction: usize,
        /// Its mode.
        mode: ConnectionMode,
        /// Whether it has weights.
        weighted: bool,
    },
    /// Orders cannot be left out of the direct plan.
    #[error(
        "edge product: mmax = {mmax} leaves out orders of degree {lmax}, which the direct plan cannot"
    )]
    DirectTruncation {
        /// The largest order wanted.
        mmax: usize,
        /// The largest degree of features or outputs.
        lmax: usize,
    },
    /// A size of 0 where there must be something.
    #[error("edge product: {0} must not be 0")]
    Zero(&'static str),
}
