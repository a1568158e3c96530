//! Why a convolution could not be built.

use crate::irreps::Irrep;

/// Why a convolution could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvError {
    /// A path names a block that does not exist.
    #[error("convolution: path {path} names block {block} of the {operand}, {irreps}")]
    NoSuchBlock {
        /// Place of the path.
        path: usize,
        /// Which operand.
        operand: &'static str,
        /// The block.
        block: usize,
        /// Irreps of the operand.
        irreps: String,
    },
    /// The product of two irreps does not contain the third.
    #[error("convolution: path {path}: {input} x {harmonic} does not contain {output}")]
    Forbidden {
        /// Place of the path.
        path: usize,
        /// Irrep of the features.
        input: Irrep,
        /// Irrep of the harmonics.
        harmonic: Irrep,
        /// Irrep of the output.
        output: Irrep,
    },
    /// A harmonic with several channels.
    #[error("convolution: path {path}: the harmonic has multiplicity {mul}, expected 1")]
    HarmonicMultiplicity {
        /// Place of the path.
        path: usize,
        /// Its multiplicity.
        mul: usize,
    },
    /// Features and output of a path have different numbers of channels.
    #[error("convolution: path {path} has {input} channels of features, {output} of output")]
    Multiplicities {
        /// Place of the path.
        path: usize,
        /// Channels of the features.
        input: usize,
        /// Channels of the output.
        output: usize,
    },
    /// No path leads from the inputs to the irreps that are wanted.
    #[error("convolution: no product of {input} and {harmonics} contains one of {wanted}")]
    NoPath {
        /// Irreps of the features.
        input: String,
        /// Irreps of the harmonics.
        harmonics: String,
        /// Irreps wanted.
        wanted: String,
    },
}
