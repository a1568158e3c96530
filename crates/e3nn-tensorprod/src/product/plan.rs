//! A tensor product, compiled: [`ProductPlan`].

use super::mode::pairs;
use super::{
    ConnectionMode, Instruction, IrrepNormalization, PathNormalization, ProductError, tables::Table,
};
use crate::irreps::{Irreps, MulIrrep};
use crate::wigner::{W3jConvention, wigner_3j_in};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the paths of a product are scaled.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Normalization {
    /// See [`IrrepNormalization`].
    pub irrep: IrrepNormalization,
    /// See [`PathNormalization`].
    pub path: PathNormalization,
    /// Variance of the components of each block of the first input; absent, 1.
    pub in1_var: Option<Vec<f64>>,
    /// Variance of the components of each block of the second input; absent, 1.
    pub in2_var: Option<Vec<f64>>,
    /// Variance wanted of the components of each block of the output; absent, 1.
    pub out_var: Option<Vec<f64>>,
}

/// One path of a [`ProductPlan`].
#[derive(Debug, Clone)]
pub struct Path {
    /// The instruction it comes from.
    pub instruction: Instruction,
    /// What multiplies the 3j symbols: `√(α · out_var · path_weight / x)`.
    pub coefficient: f64,
    /// Multiplicities of the blocks: first input, second input, output.
    pub mul: [usize; 3],
    /// Degrees of the blocks.
    pub l: [usize; 3],
    /// Where the blocks begin in a row of their tensor.
    pub offset: [usize; 3],
    /// Where the weights of the path lie in a row of weights; empty without.
    pub weights: Range<usize>,
    /// The 3j symbols times the coefficient, for either input inside.
    pub(crate) tables: [Table; 2],
    /// Which of the tables the CPU uses: 0 walks the copies of the first input inside, 1 those of the second.
    pub(crate) inner: usize,
    /// All pairs of copies that meet, those of one copy of the outer operand together.
    pub(crate) meetings: Vec<Pair>,
}

/// A pair of copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Copy of the inner operand.
    pub(crate) a: u32,
    /// Copy of the outer operand.
    pub(crate) b: u32,
    /// Its first weight, within the path.
    pub(crate) weight: u32,
    /// The first copy of the output that it feeds.
    pub(crate) out: u32,
}

impl Path {
    /// Numbers of components of one copy: `2l + 1`.
    pub fn dims(&self) -> [usize; 3] {
        self.l.map(|l| 2 * l + 1)
    }

    /// Number of pairs of copies of the inputs that meet.
    pub fn pairs(&self) -> usize {
        let [m1, m2, _] = self.mul;
        match self.instruction.mode {
            ConnectionMode::Uvw
            | ConnectionMode::Uvu
            | ConnectionMode::Uvv
            | ConnectionMode::Uvuv => m1 * m2,
            ConnectionMode::Uuw | ConnectionMode::Uuu => m1,
            ConnectionMode::UvuTriangle | ConnectionMode::UvwTriangle => pairs(m1),
        }
    }

    /// The coefficient times the 3j symbols, `[2l₁+1, 2l₂+1, 2l₃+1]` row-major.
    pub fn symbols(&self) -> Vec<f64> {
        let [d1, d2, d3] = self.dims();
        let mut all = vec![0.0; d1 * d2 * d3];
        let table = &self.tables[0];
        for p in 0..table.pairs() {
            let (i, k) = (table.inner[p] as usize, table.out[p] as usize);
            for e in table.starts[p] as usize..table.starts[p + 1] as usize {
                all[(i * d2 + table.outer[e] as usize) * d3 + k] = table.values[e];
            }
        }
        all
    }

    /// Copies of the output that one pair feeds.
    pub fn fan(&self) -> usize {
        match self.instruction.mode {
            ConnectionMode::Uvw | ConnectionMode::Uuw | ConnectionMode::UvwTriangle => self.mul[2],
            _ => 1,
        }
    }

    /// For a pair of copies: the first of its [`fan`](Self::fan) weights within the path, and the first of as many
    /// copies of the output.
    fn place(&self, u: usize, v: usize) -> (usize, usize) {
        let [m1, m2, m3] = self.mul;
        // Pairs (0, 1) … (0, m − 1), (1, 2), …
        let triangle = |u: usize, v: usize| u * (2 * m1 - u - 1) / 2 + v - u - 1;
        match self.instruction.mode {
            ConnectionMode::Uvw => ((u * m2 + v) * m3, 0),
            ConnectionMode::Uvu => (u * m2 + v, u),
            ConnectionMode::Uvv => (u * m2 + v, v),
            ConnectionMode::Uuw => (u * m3, 0),
            ConnectionMode::Uuu => (u, u),
            ConnectionMode::Uvuv => (u * m2 + v, u * m2 + v),
            ConnectionMode::UvuTriangle => (triangle(u, v), triangle(u, v)),
            ConnectionMode::UvwTriangle => (triangle(u, v) * m3, 0),
        }
    }

    /// Copies of the inner operand that meet copy `b` of the outer one.
    fn partners(&self, b: usize) -> Range<usize> {
        match self.instruction.mode {
            ConnectionMode::Uvw
            | ConnectionMode::Uvu
            | ConnectionMode::Uvv
            | ConnectionMode::Uvuv => 0..self.mul[self.inner],
            ConnectionMode::Uuw | ConnectionMode::Uuu => b..b + 1,
            // u < v, and the inner operand is u for 0, v for 1.
            _ if self.inner == 0 => 0..b,
            _ => b + 1..self.mul[1],
        }
    }

    fn meetings(&self) -> Vec<Pair> {
        let small = |n: usize| u32::try_from(n).expect("below 2^32 weights and copies");
        let outer = 0..self.mul[1 - self.inner];
        let pairs = outer.flat_map(|b| self.partners(b).map(move |a| (a, b)));
        let pairs = pairs.map(|(a, b)| {
            let (u, v) = if self.inner == 0 { (a, b) } else { (b, a) };
            let (weight, out) = self.place(u, v);
            Pair {
                a: small(a),
                b: small(b),
                weight: small(weight),
                out: small(out),
            }
        });
        pairs.collect()
    }

    /// The table in use.
    pub(crate) fn table(&self) -> &Table {
        &self.tables[self.inner]
    }
}

/// A tensor product of two inputs, compiled: irreps, paths with their coefficients folded into sparse 3j symbols,
/// and where everything lies. Weightless and without a device; cheap to share.
///
/// `out = Σ_paths coefficient · Σ_{uv} w ∘ Z_uv` with `Z_uvk = Σ_ij C_ijk x_ui y_vj`, connected as
/// [`ConnectionMode`] says, e3nn's `TensorProduct`.
#[derive(Debug, Clone)]
pub struct ProductPlan {
    irreps: [Irreps; 3],
    paths: Vec<Path>,
    weight_numel: usize,
    output_mask: Vec<bool>,
    /// What kernels look up, on GPUs.
    #[cfg(feature = "cube")]
    pub(super) uploads: Arc<super::op::Uploads>,
    #[cfg(feature = "cube")]
    pub(super) steps: Arc<super::op::AllSteps>,
}

impl ProductPlan {
    /// Checks and compiles.
    ///
    /// # Errors
    /// If an instruction names a block that is not there, an output that is not in the product of its inputs, or
    /// multiplicities that do not suit its mode; if a path weight or variance is negative or not finite, or a list
    /// of variances has not one entry per block; if a path has more than 2²⁸ pairs of copies, or 2³² weights or 3j symbols.
    pub fn new(
        irreps_in1: &Irreps,
        irreps_in2: &Irreps,
        irreps_out: &Irreps,
        instructions: &[Instruction],
        normalization: &Normalization,
        convention: W3jConvention,
    ) -> Result<Arc<Self>, ProductError> {
        let irreps = [irreps_in1.clone(), irreps_in2.clone(), irreps_out.clone()];
        for (n, instruction) in instructions.iter().enumerate() {
            check(n, instruction, &irreps)?;
        }
        let coefficients = coefficients(instructions, &irreps, normalization)?;
        let slices = irreps.each_ref().map(Irreps::slices);
        let mut weight_numel = 0;
        let mut paths = Vec::with_capacity(instructions.len());
        for (&instruction, coefficient) in instructions.iter().zip(coefficients) {
            let places = [instruction.in1, instruction.in2, instruction.out];
            let blocks: [MulIrrep; 3] = core::array::from_fn(|s| irreps[s][places[s]]);
            let mul = blocks.map(|block| block.mul);
            let l = blocks.map(|block| block.irrep.l());
            let weights = if instruction.has_weight {
                let numel: usize = instruction.mode.weight_shape(mul).iter().product();
                weight_numel..weight_numel + numel
            } else {
                weight_numel..weight_numel
            };
            weight_numel = weights.end;
            let symbols = wigner_3j_in(convention, l[0], l[1], l[2]);
            let mut path = Path {
                instruction,
                coefficient,
                mul,
                l,
                offset: core::array::from_fn(|s| slices[s][places[s]].start),
                weights,
                tables: [0, 1].map(|inner| Table::new(symbols.nonzeros(), coefficient, l, inner)),
                inner: 0,
                meetings: Vec::new(),
            };
            // Contracted with the outer operand once per copy of it, with the inner once per pair.
            let cost = |inner: usize| {
                let table = &path.tables[inner];
                path.mul[1 - inner] * table.entries() + path.pairs() * table.pairs()
            };
            path.inner = usize::from(cost(1) < cost(0));
            path.meetings = path.meetings();
            paths.push(path);
        }
        let reached = |out: usize| {
            paths.iter().any(|path| {
                path.instruction.out == out && path.coefficient != 0.0 && path.pairs() > 0
            })
        };
        let blocks = irreps_out.iter().enumerate();
        let output_mask = blocks
            .flat_map(|(i, block)| core::iter::repeat_n(reached(i), block.dim()))
            .collect();
        Ok(Arc::new(Self {
            irreps,
            paths,
            weight_numel,
            output_mask,
            #[cfg(feature = "cube")]
            uploads: Arc::default(),
            #[cfg(feature = "cube")]
            steps: Arc::default(),
        }))
    }

    /// One path, for kernels on GPUs, which reads rows of `weight_numel` weights.
    #[cfg(feature = "cube")]
    pub(super) fn of_path(irreps: [Irreps; 3], path: Path, weight_numel: usize) -> Arc<Self> {
        Arc::new(Self {
            output_mask: Vec::new(),
            irreps,
            paths: vec![path],
            weight_numel,
            uploads: Arc::default(),
            steps: Arc::default(),
        })
    }

    /// Irreps of the first input.
    pub fn irreps_in1(&self) -> &Irreps {
        &self.irreps[0]
    }

    /// Irreps of the second input.
    pub fn irreps_in2(&self) -> &Irreps {
        &self.irreps[1]
    }

    /// Irreps of the output.
    pub fn irreps_out(&self) -> &Irreps {
        &self.irreps[2]
    }

    /// The paths, in the order of the instructions, which is that of their weights.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Number of weights of a row: those of all weighted paths, one after the other, each row-major.
    pub fn weight_numel(&self) -> usize {
        self.weight_numel
    }

    /// For every component of the output, whether a path reaches it; the others are always 0.
    pub fn output_mask(&self) -> &[bool] {
        &self.output_mask
    }

    /// Where the weights of an instruction lie in a row of weights, and their shape; absent for a path without
    /// weights.
    ///
    /// e3nn 0.6.0's `weight_view_for_instruction` counts paths without weights as if they had some.
    ///
    /// # Panics
    /// If there is no such instruction.
    pub fn weight_slice(&self, instruction: usize) -> Option<(Range<usize>, Vec<usize>)> {
        let path = &self.paths[instruction];
        let shape = || path.instruction.mode.weight_shape(path.mul);
        path.instruction
            .has_weight
            .then(|| (path.weights.clone(), shape()))
    }
}

fn check(n: usize, ins: &Instruction, irreps: &[Irreps; 3]) -> Result<(), ProductError> {
    let operands = [
        ("irreps_in1", ins.in1),
        ("irreps_in2", ins.in2),
        ("irreps_out", ins.out),
    ];
    for ((operand, block), irreps) in operands.into_iter().zip(irreps) {
        if block >= irreps.len() {
            return Err(ProductError::NoSuchBlock {
                instruction: n,
                operand,
                block,
                blocks: irreps.len(),
                irreps: irreps.to_string(),
            });
        }
    }
    let [a, b, c] = [irreps[0][ins.in1], irreps[1][ins.in2], irreps[2][ins.out]];
    if a.irrep.product(b.irrep).all(|irrep| irrep != c.irrep) {
        return Err(ProductError::Forbidden {
            instruction: n,
            in1: a.irrep.to_string(),
            block1: ins.in1,
            in2: b.irrep.to_string(),
            block2: ins.in2,
            out: c.irrep.to_string(),
            block_out: ins.out,
        });
    }
    let multiplicities = [a.mul, b.mul, c.mul];
    if let Some(rule) = ins.mode.problem(multiplicities, ins.has_weight) {
        return Err(ProductError::Multiplicities {
            instruction: n,
            mode: ins.mode,
            rule,
            multiplicities,
        });
    }
    check_size(n, ins, [a, b, c])?;
    is_variance(ins.path_weight, || {
        format!("path weight of instruction {n}")
    })
}

/// Whether copies and weights can be numbered, and their tables held in memory.
fn check_size(n: usize, ins: &Instruction, blocks: [MulIrrep; 3]) -> Result<(), ProductError> {
    /// Copies of an input, or pairs of them; a pair takes 16 bytes.
    const PAIRS: u128 = 1 << 28;
    /// What 32 bits number.
    const NUMBERED: u128 = u32::MAX as u128;
    let [m1, m2, m3] = blocks.map(|block| block.mul as u128);
    let pairs = match ins.mode {
        ConnectionMode::Uvw | ConnectionMode::Uvu | ConnectionMode::Uvv | ConnectionMode::Uvuv => {
            m1 * m2
        }
        ConnectionMode::Uuw | ConnectionMode::Uuu => m1,
        ConnectionMode::UvuTriangle | ConnectionMode::UvwTriangle => m1 * m2 / 2,
    };
    let fan = match ins.mode {
        ConnectionMode::Uvw | ConnectionMode::Uuw | ConnectionMode::UvwTriangle => m3,
        _ => 1,
    };
    let dims = blocks.map(|block| 2 * block.irrep.l() as u128 + 1);
    let limits = [
        ("copies of the first input", m1, PAIRS),
        ("copies of the second input", m2, PAIRS),
        ("pairs of copies", pairs, PAIRS),
        ("copies of the output", m3, NUMBERED),
        ("weights", pairs.saturating_mul(fan), NUMBERED),
        (
            "3j symbols",
            (dims[0] * dims[1]).saturating_mul(dims[2]),
            NUMBERED,
        ),
    ];
    match limits.into_iter().find(|&(_, size, most)| size > most) {
        None => Ok(()),
        Some((what, size, most)) => Err(ProductError::TooLarge {
            what: format!("instruction {n}: {size} {what}"),
            most: most as u64,
        }),
    }
}

fn is_variance(value: f64, what: impl FnOnce() -> String) -> Result<(), ProductError> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(ProductError::NotAVariance {
            what: what(),
            value,
        })
    }
}

/// e3nn's coefficients of the paths.
fn coefficients(
    instructions: &[Instruction],
    irreps: &[Irreps; 3],
    normalization: &Normalization,
) -> Result<Vec<f64>, ProductError> {
    let lists = [
        ("in1_var", &normalization.in1_var),
        ("in2_var", &normalization.in2_var),
        ("out_var", &normalization.out_var),
    ];
    for ((what, list), irreps) in lists.into_iter().zip(irreps) {
        let Some(list) = list else { continue };
        if list.len() != irreps.len() {
            return Err(ProductError::Length {
                what,
                got: list.len(),
                want: irreps.len(),
            });
        }
        for (i, &value) in list.iter().enumerate() {
            is_variance(value, || format!("entry {i} of {what}"))?;
        }
    }
    let var = |list: &Option<Vec<f64>>, i: usize| list.as_ref().map_or(1.0, |list| list[i]);
    // Variance that a path brings before it is scaled, apart from α.
    let incoming = |ins: &Instruction| {
        let mul = [
            irreps[0][ins.in1].mul,
            irreps[1][ins.in2].mul,
            irreps[2][ins.out].mul,
        ];
        var(&normalization.in1_var, ins.in1)
            * var(&normalization.in2_var, ins.in2)
            * ins.mode.num_elements(mul) as f64
    };
    let one = |ins: &Instruction| {
        let dim = |s: usize, i: usize| irreps[s][i].irrep.dim() as f64;
        let alpha = match normalization.irrep {
            IrrepNormalization::Component => dim(2, ins.out),
            IrrepNormalization::Norm => dim(0, ins.in1) * dim(1, ins.in2),
            IrrepNormalization::None => 1.0,
        };
        let siblings = instructions.iter().filter(|other| other.out == ins.out);
        let x = match normalization.path {
            PathNormalization::Element => siblings.map(incoming).sum(),
            PathNormalization::Path => incoming(ins) * siblings.count() as f64,
            PathNormalization::None => 1.0,
        };
        let share = if x > 0.0 { alpha / x } else { alpha };
        (share * var(&normalization.out_var, ins.out) * ins.path_weight).sqrt()
    };
    Ok(instructions.iter().map(one).collect())
}
