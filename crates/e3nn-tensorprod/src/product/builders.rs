//! The usual products.

use super::{
    ConnectionMode, Instruction, IrrepNormalization, Normalization, ProductError,
    TensorProductConfig,
};
use crate::irreps::{Irrep, Irreps, MulIrrep, SortOrder};
use serde::{Deserialize, Serialize};

/// In which order the instructions of a [depth-wise](TensorProductConfig::depthwise) product, and so its weights, follow
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum InstructionOrder {
    /// As they are found: features outside, harmonics, then outputs. NequIP, SevenNet, Equiformer.
    #[default]
    Found,
    /// By the block of the output they end in. MACE; OpenEquivariance's and cuEquivariance's channel-wise products.
    ByOutput,
}

/// The paths of a [depth-wise](TensorProductConfig::depthwise) product and its output, sorted but not merged.
pub(crate) fn depthwise_paths(
    features: &Irreps,
    harmonics: &Irreps,
    targets: &Irreps,
    order: InstructionOrder,
    sort: SortOrder,
) -> (Irreps, Vec<Instruction>) {
    let (mut out, mut instructions) = (Vec::new(), Vec::new());
    for (i1, a) in features.iter().enumerate() {
        for (i2, b) in harmonics.iter().enumerate() {
            for irrep in a.irrep.product(b.irrep) {
                if targets.iter().any(|target| target.irrep == irrep) {
                    let path = Instruction::new(i1, i2, out.len(), ConnectionMode::Uvu);
                    instructions.push(path);
                    out.push((a.mul, irrep));
                }
            }
        }
    }
    let (irreps_out, mut instructions) = sort_outputs(out, instructions, sort);
    if order == InstructionOrder::ByOutput {
        instructions.sort_by_key(|path| path.out);
    }
    (irreps_out, instructions)
}

impl TensorProductConfig {
    /// All paths that there are, each with a weight for every triple of copies: `out_w = Σ_uv w_uvw x_u ⊗ y_v`.
    /// e3nn's `FullyConnectedTensorProduct`.
    pub fn fully_connected(irreps_in1: &Irreps, irreps_in2: &Irreps, irreps_out: &Irreps) -> Self {
        let mut instructions = Vec::new();
        for (i1, a) in irreps_in1.iter().enumerate() {
            for (i2, b) in irreps_in2.iter().enumerate() {
                for (out, c) in irreps_out.iter().enumerate() {
                    if contains(*a, *b, c.irrep) {
                        instructions.push(Instruction::new(i1, i2, out, ConnectionMode::Uvw));
                    }
                }
            }
        }
        Self::new(
            irreps_in1.clone(),
            irreps_in2.clone(),
            irreps_out.clone(),
            instructions,
        )
    }

    /// The product of the irreps of two inputs one by one: `out_u = x_u ⊗ y_u`, without weights, only with the irreps
    /// in `filter` if given. Blocks of the inputs are merged, then split to common multiplicities; outputs are in the
    /// order of the inputs. e3nn's `ElementwiseTensorProduct`.
    ///
    /// # Errors
    /// If the inputs have not as many irreps.
    pub fn elementwise(
        irreps_in1: &Irreps,
        irreps_in2: &Irreps,
        filter: Option<&[Irrep]>,
    ) -> Result<Self, ProductError> {
        let (in1, in2) = (irreps_in1.simplify(), irreps_in2.simplify());
        if in1.num_irreps() != in2.num_irreps() {
            return Err(ProductError::UnequalCounts {
                in1: in1.to_string(),
                in2: in2.to_string(),
                got1: in1.num_irreps(),
                got2: in2.num_irreps(),
            });
        }
        let (mut left, mut right) = (in1.to_vec(), in2.to_vec());
        let mut i = 0;
        while i < left.len() {
            let mul = left[i].mul.min(right[i].mul);
            for side in [&mut left, &mut right] {
                let block = side[i];
                if block.mul > mul {
                    side[i].mul = mul;
                    let rest = block.mul - mul;
                    side.insert(i + 1, MulIrrep { mul: rest, ..block });
                }
            }
            i += 1;
        }
        let (mut out, mut instructions) = (Vec::new(), Vec::new());
        for (i, (a, b)) in left.iter().zip(&right).enumerate() {
            for irrep in a.irrep.product(b.irrep).filter(|irrep| keep(filter, irrep)) {
                let path = Instruction::new(i, i, out.len(), ConnectionMode::Uuu);
                instructions.push(path.unweighted());
                out.push((a.mul, irrep));
            }
        }
        Ok(Self::new(
            left.into_iter().collect(),
            right.into_iter().collect(),
            Irreps::new(out),
            instructions,
        ))
    }

    /// All of the product of two inputs, `x_u ⊗ y_v` for every pair, without weights, only with the irreps in
    /// `filter` if given. Blocks of the inputs are merged; the output is sorted but not merged. e3nn's
    /// `FullTensorProduct`.
    pub fn full(irreps_in1: &Irreps, irreps_in2: &Irreps, filter: Option<&[Irrep]>) -> Self {
        let (in1, in2) = (irreps_in1.simplify(), irreps_in2.simplify());
        let (mut out, mut instructions) = (Vec::new(), Vec::new());
        for (i1, a) in in1.iter().enumerate() {
            for (i2, b) in in2.iter().enumerate() {
                for irrep in a.irrep.product(b.irrep).filter(|irrep| keep(filter, irrep)) {
                    let path = Instruction::new(i1, i2, out.len(), ConnectionMode::Uvuv);
                    instructions.push(path.unweighted());
                    out.push((a.mul.saturating_mul(b.mul), irrep));
                }
            }
        }
        let (irreps_out, instructions) = sort_outputs(out, instructions, SortOrder::DegreeFirst);
        Self::new(in1, in2, irreps_out, instructions)
    }

    /// The depth-wise product of features with spherical harmonics: mode `uvu`, weighted, with every output whose
    /// irrep is among those of `targets`. The output is sorted by `sort` but not merged, so that every path has a
    /// block of its own (of which a [`Linear`](crate::Linear) on the merged irreps takes the sum).
    ///
    /// The convolution of NequIP, MACE, SevenNet and Equiformer; their weights differ in order.
    pub fn depthwise(
        features: &Irreps,
        harmonics: &Irreps,
        targets: &Irreps,
        order: InstructionOrder,
        sort: SortOrder,
    ) -> Self {
        let (irreps_out, instructions) = depthwise_paths(features, harmonics, targets, order, sort);
        Self::new(
            features.clone(),
            harmonics.clone(),
            irreps_out,
            instructions,
        )
    }

    /// All of the square of an input, each irrep once: `x_u ⊗ x_v` for `u < v`, and of `x_u ⊗ x_u` the even degrees;
    /// without weights, only with the irreps in `filter` if given. Blocks of the input are merged; the output is
    /// sorted but not merged. e3nn's `TensorSquare` without `irreps_out`.
    pub fn square(
        irreps_in: &Irreps,
        filter: Option<&[Irrep]>,
        normalization: IrrepNormalization,
    ) -> Self {
        let irreps = irreps_in.simplify();
        let (mut out, mut instructions) = (Vec::new(), Vec::new());
        for term in square_terms(&irreps, normalization) {
            for irrep in term.irreps().filter(|irrep| keep(filter, irrep)) {
                for (mode, path_weight) in term.paths(irrep) {
                    let (mode, mul) = match mode {
                        Meeting::Different => {
                            (ConnectionMode::Uvuv, term.a.mul.saturating_mul(term.b.mul))
                        }
                        Meeting::Ordered => {
                            (ConnectionMode::UvuTriangle, super::mode::pairs(term.a.mul))
                        }
                        Meeting::Same => (ConnectionMode::Uuu, term.a.mul),
                    };
                    let path = Instruction::new(term.i, term.j, out.len(), mode);
                    instructions.push(path.unweighted().with_path_weight(path_weight));
                    out.push((mul, irrep));
                }
            }
        }
        let (irreps_out, instructions) = sort_outputs(out, instructions, SortOrder::DegreeFirst);
        Self::squared(irreps, irreps_out, instructions)
    }

    /// The square of an input, mixed with weights to the given output. Blocks of input and output are merged. e3nn's
    /// `TensorSquare` with `irreps_out`.
    pub fn fully_connected_square(
        irreps_in: &Irreps,
        irreps_out: &Irreps,
        normalization: IrrepNormalization,
    ) -> Self {
        let (irreps, irreps_out) = (irreps_in.simplify(), irreps_out.simplify());
        let mut instructions = Vec::new();
        for term in square_terms(&irreps, normalization) {
            for (out, block) in irreps_out.iter().enumerate() {
                if contains(term.a, term.b, block.irrep) {
                    for (mode, path_weight) in term.paths(block.irrep) {
                        let mode = match mode {
                            Meeting::Different => ConnectionMode::Uvw,
                            Meeting::Ordered => ConnectionMode::UvwTriangle,
                            Meeting::Same => ConnectionMode::Uuw,
                        };
                        let path = Instruction::new(term.i, term.j, out, mode);
                        instructions.push(path.with_path_weight(path_weight));
                    }
                }
            }
        }
        Self::squared(irreps, irreps_out, instructions)
    }

    fn squared(irreps: Irreps, irreps_out: Irreps, instructions: Vec<Instruction>) -> Self {
        // Path weights hold what the normalisation of irreps would bring.
        let normalization = Normalization {
            irrep: IrrepNormalization::None,
            ..Normalization::default()
        };
        Self::new(irreps.clone(), irreps, irreps_out, instructions)
            .with_normalization(normalization)
    }
}

fn contains(a: MulIrrep, b: MulIrrep, irrep: Irrep) -> bool {
    a.irrep.product(b.irrep).any(|other| other == irrep)
}

fn keep(filter: Option<&[Irrep]>, irrep: &Irrep) -> bool {
    filter.is_none_or(|filter| filter.contains(irrep))
}

fn sort_outputs(
    out: Vec<(usize, Irrep)>,
    instructions: Vec<Instruction>,
    order: SortOrder,
) -> (Irreps, Vec<Instruction>) {
    let sorted = Irreps::new(out).sort(order);
    let moved = instructions.into_iter().map(|path| Instruction {
        out: sorted.p[path.out],
        ..path
    });
    let moved = moved.collect();
    (sorted.irreps, moved)
}

/// How copies meet in a term of a square.
enum Meeting {
    /// Of two blocks.
    Different,
    /// Of one block, `u < v`.
    Ordered,
    /// Each with itself.
    Same,
}

/// Two blocks `i ≤ j` of an input that is squared.
struct SquareTerm {
    i: usize,
    j: usize,
    a: MulIrrep,
    b: MulIrrep,
    normalization: IrrepNormalization,
}

fn square_terms(
    irreps: &Irreps,
    normalization: IrrepNormalization,
) -> impl Iterator<Item = SquareTerm> {
    let pairs = (0..irreps.len()).flat_map(|i| (i..irreps.len()).map(move |j| (i, j)));
    pairs.map(move |(i, j)| SquareTerm {
        i,
        j,
        a: irreps[i],
        b: irreps[j],
        normalization,
    })
}

impl SquareTerm {
    fn irreps(&self) -> impl Iterator<Item = Irrep> + use<> {
        self.a.irrep.product(self.b.irrep)
    }

    /// How an irrep of the output arises, with e3nn's path weights: those of `x_u ⊗ x_u` account for the components
    /// of one vector not being independent of themselves.
    fn paths(&self, irrep: Irrep) -> Vec<(Meeting, f64)> {
        let (d1, d2, d3) = (
            self.a.irrep.dim() as f64,
            self.b.irrep.dim() as f64,
            irrep.dim() as f64,
        );
        let independent = match self.normalization {
            IrrepNormalization::Component => d3,
            IrrepNormalization::Norm => d1 * d2,
            IrrepNormalization::None => 1.0,
        };
        if self.i != self.j {
            return vec![(Meeting::Different, independent)];
        }
        let mut paths = Vec::new();
        if self.a.mul > 1 {
            paths.push((Meeting::Ordered, independent));
        }
        if irrep.l().is_multiple_of(2) {
            let same = match (self.normalization, irrep.l()) {
                (IrrepNormalization::Component, 0) => d3 / (d1 + 2.0),
                (IrrepNormalization::Component, _) => d3 / 2.0,
                (IrrepNormalization::Norm, 0) => d3 * d1,
                (IrrepNormalization::Norm, _) => d1 * (d1 + 2.0) / 2.0,
                (IrrepNormalization::None, _) => 1.0,
            };
            paths.push((Meeting::Same, same));
        }
        paths
    }
}
