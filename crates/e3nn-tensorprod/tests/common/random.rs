//! Random lists of paths of every mode.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use e3nn_tensorprod::product::{ConnectionMode, Instruction, RowClasses, WeightRows};
use e3nn_tensorprod::{Irrep, Irreps, Parity, ProductPlan, TensorProductConfig};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// How weights are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Shared,
    PerRow,
    ByClass,
}

/// A path with blocks of its own, or with some of those of the first path.
#[derive(Debug, Clone)]
pub struct RandomPath {
    mode: ConnectionMode,
    l: [usize; 2],
    /// Which of the allowed degrees of the output.
    which: usize,
    odd: [bool; 2],
    mul: [usize; 3],
    has_weight: bool,
    reuse: [bool; 3],
}

/// A product and a batch.
#[derive(Debug, Clone)]
pub struct Problem {
    paths: Vec<RandomPath>,
    pub batch: usize,
    rows: Rows,
    seed: u64,
}

/// Products of up to four paths with multiplicities from 0 to beyond every tile, and batches around the lanes.
pub fn random_paths() -> impl Strategy<Value = Problem> {
    let mul = prop_oneof![1 => Just(0_usize), 8 => 1..6_usize, 1 => Just(9), 1 => Just(37)];
    let path = (
        proptest::sample::select(&ConnectionMode::ALL[..]),
        [0..4_usize, 0..4],
        0..8_usize,
        any::<[bool; 2]>(),
        [mul.clone(), mul.clone(), mul],
        any::<bool>(),
        any::<[bool; 3]>(),
    );
    let path = path.prop_map(|(mode, l, which, odd, mul, has_weight, reuse)| RandomPath {
        mode,
        l,
        which,
        odd,
        mul,
        has_weight,
        reuse,
    });
    let batch = proptest::sample::select(&[0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 161][..]);
    let rows = proptest::sample::select(&[Rows::Shared, Rows::PerRow, Rows::ByClass][..]);
    let paths = proptest::collection::vec(path, 0..=4);
    (paths, batch, rows, any::<u64>()).prop_map(|(paths, batch, rows, seed)| Problem {
        paths,
        batch,
        rows,
        seed,
    })
}

impl Problem {
    pub fn plan(&self) -> Arc<ProductPlan> {
        let mut blocks: [Vec<(usize, Irrep)>; 3] = Default::default();
        let mut instructions = Vec::new();
        for path in &self.paths {
            let parity = path
                .odd
                .map(|odd| if odd { Parity::Odd } else { Parity::Even });
            let mut a = (path.mul[0], Irrep::new(path.l[0], parity[0]));
            let mut b = (path.mul[1], Irrep::new(path.l[1], parity[1]));
            if path.reuse[0] && !blocks[0].is_empty() {
                a = blocks[0][0];
            }
            if path.reuse[1] && !blocks[1].is_empty() {
                b = blocks[1][0];
            }
            // The mode decides about the rest.
            use ConnectionMode::*;
            let pairs = |m: usize| m * m.saturating_sub(1) / 2;
            if matches!(path.mode, Uuw | Uuu | UvuTriangle | UvwTriangle) && b.0 != a.0 {
                b.0 = a.0;
            }
            let has_weight = path.has_weight || matches!(path.mode, Uvw | UvwTriangle);
            let mul = match path.mode {
                Uuw if !has_weight => 1,
                Uvw | Uuw | UvwTriangle => path.mul[2],
                Uvu | Uuu => a.0,
                Uvv => b.0,
                Uvuv => a.0 * b.0,
                UvuTriangle => pairs(a.0),
            };
            let allowed: Vec<Irrep> = a.1.product(b.1).collect();
            let c = (mul, allowed[path.which % allowed.len()]);
            let place = |s: usize, block: (usize, Irrep), blocks: &mut [Vec<(usize, Irrep)>; 3]| {
                let known = blocks[s].iter().position(|&other| other == block);
                known.filter(|_| path.reuse[s]).unwrap_or_else(|| {
                    blocks[s].push(block);
                    blocks[s].len() - 1
                })
            };
            let at = [(0, a), (1, b), (2, c)].map(|(s, block)| place(s, block, &mut blocks));
            let mut instruction = Instruction::new(at[0], at[1], at[2], path.mode);
            if !has_weight {
                instruction = instruction.unweighted();
            }
            instructions.push(instruction);
        }
        let [a, b, c] = blocks.map(Irreps::new);
        let config = TensorProductConfig::new(a, b, c, instructions);
        config.plan().unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }

    pub fn rows(&self) -> WeightRows {
        match self.rows {
            Rows::Shared => WeightRows::Shared,
            Rows::PerRow => WeightRows::PerRow,
            Rows::ByClass => {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 1);
                // Class 3 has no rows.
                let class: Vec<usize> = (0..self.batch).map(|_| rng.random_range(0..3)).collect();
                WeightRows::ByClass(RowClasses::new(&class, 4).unwrap())
            }
        }
    }

    fn random(&self, shape: [usize; 2], stream: u64, device: &Device, dtype: DType) -> Tensor<2> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        let values: Vec<f64> = (0..shape[0] * shape[1])
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), (device, dtype))
    }

    pub fn inputs(
        &self,
        plan: &ProductPlan,
        rows: &WeightRows,
        device: &Device,
        dtype: DType,
    ) -> [Tensor<2>; 3] {
        let shapes = [
            [self.batch, plan.irreps_in1().dim()],
            [self.batch, plan.irreps_in2().dim()],
            [rows.count(self.batch), plan.weight_numel()],
        ];
        core::array::from_fn(|i| self.random(shapes[i], i as u64, device, dtype))
    }

    pub fn cotangent(&self, plan: &ProductPlan, device: &Device, dtype: DType) -> Tensor<2> {
        self.random([self.batch, plan.irreps_out().dim()], 9, device, dtype)
    }
}
