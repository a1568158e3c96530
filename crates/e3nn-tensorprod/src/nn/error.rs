//! Why a layer cannot be made.

use crate::irreps::{Irrep, Irreps, MulIrrep};

/// Why a layer cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NnError {
    /// There is not one function for every block.
    #[error("{layer}: {functions} functions for the {blocks} blocks of {irreps}")]
    FunctionCount {
        /// The layer.
        layer: &'static str,
        /// Functions given.
        functions: usize,
        /// Blocks, after equal neighbours were merged.
        blocks: usize,
        /// The irreps.
        irreps: Irreps,
    },
    /// A function of one variable acts on a block that is no scalar.
    #[error("{layer}: block {index} is {block}, and a function acts on l = 0 only")]
    NotScalar {
        /// The layer.
        layer: &'static str,
        /// Place of the block.
        index: usize,
        /// The block.
        block: MulIrrep,
    },
    /// A function that is neither even nor odd acts on pseudoscalars.
    #[error("{layer}: block {index} is {block}, and {function:?} is neither even nor odd")]
    Parity {
        /// The layer.
        layer: &'static str,
        /// Place of the block.
        index: usize,
        /// The block.
        block: MulIrrep,
        /// The function.
        function: super::ScalarFunction,
    },
    /// A gate lacks a gated irrep, or the other way round.
    #[error("gate: {gates} gates in {gate_irreps} for {gated} irreps in {gated_irreps}")]
    Gates {
        /// Number of gates.
        gates: usize,
        /// The gates.
        gate_irreps: Irreps,
        /// Number of gated irreps.
        gated: usize,
        /// What they gate.
        gated_irreps: Irreps,
    },
    /// The irreps are not those of a signal on the sphere.
    #[error(
        "S2: {irreps} is no signal on the sphere: expected one irrep of every degree from 0, all of parity p or all of p·(−1)^l"
    )]
    NotASignal {
        /// The irreps.
        irreps: Irreps,
    },
    /// A grid on the sphere is too coarse for its degree.
    #[error("S2: a grid of {beta} × {alpha} points does not hold degree {lmax}: expected an even number of at least {} latitudes and at least {} longitudes", super::s2::least_points(*.lmax).0, super::s2::least_points(*.lmax).1)]
    Grid {
        /// Latitudes.
        beta: usize,
        /// Longitudes.
        alpha: usize,
        /// Largest degree.
        lmax: usize,
    },
    /// The irreps of a layer over channels have different multiplicities.
    #[error("{layer}: {irreps} has blocks of different multiplicity, or an irrep twice")]
    Channels {
        /// The layer.
        layer: &'static str,
        /// The irreps.
        irreps: Irreps,
    },
    /// No product of the inputs, up to the asked correlation, contains an output.
    #[error(
        "symmetric contraction: no product of up to {correlation} of {irreps} contains {irrep}"
    )]
    Unreachable {
        /// Largest number of factors.
        correlation: usize,
        /// What is multiplied.
        irreps: Irreps,
        /// The output that it lacks.
        irrep: Irrep,
    },
    /// A number is out of its range.
    #[error("{layer}: {name} is {value}, expected {expected}")]
    Number {
        /// The layer.
        layer: &'static str,
        /// Which number.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range.
        expected: &'static str,
    },
}
