//! What a tensor product is made of: [`Instruction`] and its normalisation.

use super::ConnectionMode;
use serde::{Deserialize, Serialize};

/// One path of a tensor product: from a block of each input to a block of the output.
///
/// ```
/// use e3nn_tensorprod::product::{ConnectionMode, Instruction};
///
/// let path = Instruction::new(0, 1, 2, ConnectionMode::Uvu).unweighted().with_path_weight(2.0);
/// assert!(!path.has_weight);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// Block of the first input.
    pub in1: usize,
    /// Block of the second input.
    pub in2: usize,
    /// Block of the output.
    pub out: usize,
    /// How copies are connected.
    pub mode: ConnectionMode,
    /// Whether the path has weights.
    pub has_weight: bool,
    /// Factor of the variance that the path contributes; not negative. It enters the coefficient of the path
    /// under a square root, as in e3nn.
    pub path_weight: f64,
}

impl Instruction {
    /// A weighted path of path weight 1.
    pub const fn new(in1: usize, in2: usize, out: usize, mode: ConnectionMode) -> Self {
        Self {
            in1,
            in2,
            out,
            mode,
            has_weight: true,
            path_weight: 1.0,
        }
    }

    /// The path without weights.
    pub const fn unweighted(self) -> Self {
        Self {
            has_weight: false,
            ..self
        }
    }

    /// The path with another path weight.
    pub const fn with_path_weight(self, path_weight: f64) -> Self {
        Self {
            path_weight,
            ..self
        }
    }
}

/// What an irrep's size is taken to be when paths are scaled, e3nn's `irrep_normalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum IrrepNormalization {
    /// Every component has variance 1: factor `2 l_out + 1`.
    #[default]
    Component,
    /// Every irrep has squared norm 1: factor `(2 l₁ + 1)(2 l₂ + 1)`.
    Norm,
    /// Factor 1.
    None,
}

/// How paths into one block of the output share its variance, e3nn's `path_normalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum PathNormalization {
    /// In proportion to the number of terms of each path.
    #[default]
    Element,
    /// Equally.
    Path,
    /// Not at all.
    None,
}
