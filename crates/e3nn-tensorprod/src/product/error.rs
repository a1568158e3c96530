//! What can be wrong with a tensor product that comes from outside: [`ProductError`].

use super::ConnectionMode;

/// What can be wrong with the description of a tensor product or an equivariant linear map.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// A connection mode that does not exist.
    #[error("{0:?} is no connection mode (uvw, uvu, uvv, uuw, uuu, uvuv, uvu<v, u<vw)")]
    UnknownMode(String),
    /// An instruction names a block that its irreps do not have.
    #[error(
        "instruction {instruction}: {operand} has {blocks} blocks ({irreps}), so none numbered {block}"
    )]
    NoSuchBlock {
        /// Which instruction, from 0.
        instruction: usize,
        /// Which operand: `irreps_in1`, `irreps_in2` or `irreps_out`.
        operand: &'static str,
        /// The number given.
        block: usize,
        /// How many blocks there are.
        blocks: usize,
        /// The irreps of the operand.
        irreps: String,
    },
    /// The output of an instruction is not in the product of its inputs.
    #[error(
        "instruction {instruction}: {in1} (block {block1}) x {in2} (block {block2}) does not contain {out} (block {block_out} of the output)"
    )]
    Forbidden {
        /// Which instruction, from 0.
        instruction: usize,
        /// Irrep of the first input.
        in1: String,
        /// Its block.
        block1: usize,
        /// Irrep of the second input.
        in2: String,
        /// Its block.
        block2: usize,
        /// Irrep of the output.
        out: String,
        /// Its block.
        block_out: usize,
    },
    /// The multiplicities of an instruction do not suit its mode.
    #[error(
        "instruction {instruction}: mode {mode} {rule}; multiplicities are {multiplicities:?} (in1, in2, out)"
    )]
    Multiplicities {
        /// Which instruction, from 0.
        instruction: usize,
        /// Its mode.
        mode: ConnectionMode,
        /// What the mode asks for.
        rule: &'static str,
        /// Multiplicities of the blocks.
        multiplicities: [usize; 3],
    },
    /// Something of which there may not be that many.
    #[error("{what}, expected at most {most}")]
    TooLarge {
        /// What, and how many.
        what: String,
        /// How many there may be.
        most: u64,
    },
    /// A path weight or variance is negative or not finite.
    #[error("{what} is {value}, expected a finite number not below 0")]
    NotAVariance {
        /// Which number.
        what: String,
        /// What was given.
        value: f64,
    },
    /// A list has not one entry per block.
    #[error("{what} has {got} entries, expected one per block ({want})")]
    Length {
        /// Which list.
        what: &'static str,
        /// Entries given.
        got: usize,
        /// Number of blocks.
        want: usize,
    },
    /// Two irreps that are multiplied copy by copy have different numbers of copies.
    #[error(
        "elementwise product of {in1} and {in2}: {got1} and {got2} irreps, expected as many in both"
    )]
    UnequalCounts {
        /// The first irreps.
        in1: String,
        /// The second irreps.
        in2: String,
        /// Number of irreps in the first.
        got1: usize,
        /// Number of irreps in the second.
        got2: usize,
    },
    /// A linear map between different irreps.
    #[error(
        "instruction {instruction}: {input} (block {block_in}) and {output} (block {block_out} of the output) are different irreps"
    )]
    DifferentIrreps {
        /// Which instruction, from 0.
        instruction: usize,
        /// Irrep of the input.
        input: String,
        /// Its block.
        block_in: usize,
        /// Irrep of the output.
        output: String,
        /// Its block.
        block_out: usize,
    },
    /// A bias on what is not invariant.
    #[error("a bias on block {block} of the output, {irrep}; only 0e may have one")]
    BiasOnNonScalar {
        /// The block.
        block: usize,
        /// Its irrep.
        irrep: String,
    },
    /// Internal weights that differ from row to row.
    #[error("internal weights are shared by all rows; weights per row come from outside")]
    InternalPerRow,
    /// A row is of a class that does not exist.
    #[error("row {row} is of class {class}, but there are {classes} classes")]
    NoSuchClass {
        /// The row.
        row: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A size of 0 where there must be something.
    #[error("{0} must not be 0")]
    Zero(&'static str),
}
