//! What a product costs: [`ProductPlan::explain`].

use super::{Path, ProductPlan};
use core::fmt;

/// The part of the CPU kernel that runs a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Each pair of copies feeds one copy of the output, directly.
    Pairs,
    /// Pairs are collected, and weights applied to tiles of registers as in a matrix product.
    Tiles,
}

/// What one path costs in a forward pass, per row of the batch.
#[derive(Debug, Clone)]
pub struct PathCost {
    /// The path, as `in1 x in2 -> out mode`.
    pub path: String,
    /// Multiplications and additions: with the symbols, with the inner operand, with the weights.
    pub flops: [usize; 3],
    /// Weights.
    pub weights: usize,
    /// Symbols that are not 0.
    pub symbols: usize,
    /// What runs it on the CPU.
    pub engine: Engine,
}

/// What a product costs in a forward pass, per row of the batch; as text, a table.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Path by path.
    pub paths: Vec<PathCost>,
    /// Values read and written per row: both inputs and the output.
    pub values: usize,
    /// Weights, read once per row if each row has its own.
    pub weights: usize,
}

impl Explanation {
    /// Multiplications and additions per row.
    pub fn flops(&self) -> usize {
        let all = self.paths.iter().flat_map(|path| path.flops);
        all.sum()
    }

    /// Bytes read and written per row, for values of that size, with weights of its own or not.
    pub fn bytes(&self, size: usize, own_weights: bool) -> usize {
        size * (self.values + if own_weights { self.weights } else { 0 })
    }
}

impl ProductPlan {
    /// What the product costs, path by path.
    pub fn explain(&self) -> Explanation {
        let dims = [self.irreps_in1(), self.irreps_in2(), self.irreps_out()];
        Explanation {
            paths: self.paths().iter().map(|path| self.cost(path)).collect(),
            values: dims.iter().map(|irreps| irreps.dim()).sum(),
            weights: self.weight_numel(),
        }
    }

    fn cost(&self, path: &Path) -> PathCost {
        let ins = &path.instruction;
        let table = path.table();
        let name = |mul: usize, irrep: crate::Irrep| format!("{mul}x{irrep}");
        let [a, b, c] = [
            self.irreps_in1()[ins.in1],
            self.irreps_in2()[ins.in2],
            self.irreps_out()[ins.out],
        ]
        .map(|block| name(block.mul, block.irrep));
        PathCost {
            path: format!("{a} x {b} -> {c} {}", ins.mode),
            flops: [
                2 * path.mul[1 - path.inner] * table.entries(),
                2 * path.pairs() * table.pairs(),
                2 * path.pairs() * path.fan() * table.dims[2],
            ],
            weights: path.weights.len(),
            symbols: table.entries(),
            engine: if path.fan() == 1 {
                Engine::Pairs
            } else {
                Engine::Tiles
            },
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40} {:>8} {:>8} {:>12} {:>7}",
            "path", "symbols", "weights", "flops/row", "engine"
        )?;
        for path in &self.paths {
            let flops: usize = path.flops.iter().sum();
            let engine = format!("{:?}", path.engine).to_lowercase();
            writeln!(
                f,
                "{:<40} {:>8} {:>8} {flops:>12} {engine:>7}",
                path.path, path.symbols, path.weights
            )?;
        }
        write!(
            f,
            "total: {} flops per row, {} bytes per row in f32 ({} with weights of its own)",
            self.flops(),
            self.bytes(4, false),
            self.bytes(4, true)
        )
    }
}
