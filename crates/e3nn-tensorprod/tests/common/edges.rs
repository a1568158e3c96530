//! Products with harmonics of edges, their inputs, and the direct product beside the one in frames.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::{PoisonGuard, poison_outputs};
use e3nn_tensorprod::product::{ConnectionMode, Instruction};
use e3nn_tensorprod::sh::spherical_harmonics;
use e3nn_tensorprod::so2::{EdgeProduct, EdgeProductConfig, Plan, PlanChoice};
use e3nn_tensorprod::testing::Equivariance;
use e3nn_tensorprod::{TensorProductConfig, irreps};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::OnceLock;

pub fn cpu() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    Device::flex()
}

/// Reproducible tensors.
pub struct Random(pub ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn tensor(&mut self, shape: [usize; 2], dtype: DType) -> Tensor<2> {
        let count = shape[0] * shape[1];
        let values: Vec<f64> = (0..count).map(|_| self.0.random_range(-1.7..1.7)).collect();
        Tensor::from_data(TensorData::new(values, shape), (&cpu(), dtype))
    }

    /// Vectors of lengths between 0.3 and 3.
    pub fn vectors(&mut self, edges: usize, dtype: DType) -> Tensor<2> {
        let v = self.tensor([edges, 3], dtype);
        let length = v.clone().square().sum_dim(1).sqrt();
        let factors = self.tensor([edges, 1], dtype).abs() + 0.3;
        v / length * factors
    }
}

/// A product and its inputs.
pub struct Case {
    pub config: EdgeProductConfig,
    pub x: Tensor<2>,
    pub vectors: Tensor<2>,
    pub w: Option<Tensor<2>>,
}

impl Case {
    pub fn new(config: EdgeProductConfig, edges: usize, per_edge: bool, seed: u64) -> Self {
        Self::of(config, edges, per_edge, seed, DType::F64)
    }

    pub fn of(
        mut config: EdgeProductConfig,
        edges: usize,
        per_edge: bool,
        seed: u64,
        dtype: DType,
    ) -> Self {
        config.product.internal_weights = false;
        let plan = config.product.plan().expect("a product");
        let mut random = Random::new(seed);
        let rows = if per_edge { edges } else { 1 };
        let numel = plan.weight_numel();
        Self {
            x: random.tensor([edges, plan.irreps_in1().dim()], dtype),
            vectors: random.vectors(edges, dtype),
            w: (numel > 0).then(|| random.tensor([rows, numel], dtype)),
            config,
        }
    }

    pub fn layer(&self) -> EdgeProduct {
        let config = self.config.clone().with_plan(PlanChoice::EdgeFrame);
        let layer = config.init(&cpu()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(layer.plan(), Plan::EdgeFrame);
        layer
    }

    /// The product of features and harmonics, by other code.
    pub fn direct(&self, x: Dual<2>, v: Dual<2>, w: Option<Dual<2>>) -> Dual<2> {
        let product = self.config.product.init(&cpu()).expect("a product");
        let degrees: Vec<usize> = self.config.product.irreps_in2.ls().collect();
        let y = spherical_harmonics(&degrees, v, true, self.config.normalization);
        match w {
            Some(w) => product.forward_weighted(x, y, w),
            None => product.forward(x, y),
        }
    }

    /// Value, tangent, and the gradients of a sum of both by all inputs and their tangents, each with its name; in frames or by
    /// other code.
    pub fn results(
        &self,
        device: &Device,
        dtype: DType,
        frames: bool,
    ) -> Vec<(&'static str, TensorData)> {
        cpu();
        let device = device.clone().autodiff();
        let layer = self.layer();
        let mut random = Random::new(77);
        let own = self.x.dtype();
        let inputs = [Some(&self.x), Some(&self.vectors), self.w.as_ref()];
        let inputs: Vec<Tensor<2>> = inputs.into_iter().flatten().cloned().collect();
        let tangents: Vec<Tensor<2>> = inputs
            .iter()
            .map(|t| random.tensor(t.dims(), own))
            .collect();
        let out = [self.x.dims()[0], self.config.product.irreps_out.dim()];
        let on = |t: &Tensor<2>| Tensor::<2>::from_data(t.to_data(), (&device, dtype));
        let cotangents = [0, 1].map(|_| on(&random.tensor(out, own)));
        let leaves = inputs.iter().chain(&tangents);
        let leaves: Vec<Tensor<2>> = leaves.map(|t| on(t).require_grad()).collect();
        let dual = |i: usize| Dual::new(leaves[i].clone(), leaves[inputs.len() + i].clone());
        let w = (inputs.len() > 2).then(|| dual(2));
        let y = match (frames, w) {
            (false, w) => self.direct(dual(0), dual(1), w),
            (true, Some(w)) => layer.forward_weighted(dual(0), dual(1), w),
            (true, None) => layer.forward(dual(0), dual(1)),
        };
        let tangent = y.tangent_or_zeros();
        // Leaves that nothing depends on keep a gradient of 0.
        let leaf_sum = leaves.iter().map(|t| t.clone().sum() * 0.0);
        let [a, b] = cotangents;
        let sum = (y.value.clone() * a).sum() + (tangent.clone() * b).sum();
        let grads = leaf_sum.fold(sum, |sum, x| sum + x).backward();
        let names = if self.w.is_some() {
            vec!["x", "v", "w", "ẋ", "v̇", "ẇ"]
        } else {
            vec!["x", "v", "ẋ", "v̇"]
        };
        let mut results = vec![
            ("the value", y.value.into_data()),
            ("the tangent", tangent.into_data()),
        ];
        let gradients = names.into_iter().zip(&leaves);
        results.extend(gradients.map(|(name, leaf)| {
            let gradient = leaf.grad(&grads).expect("a gradient");
            (name, gradient.into_data())
        }));
        results
    }

    /// Values, tangents, and the gradients of both by all inputs and their tangents are those of other code.
    pub fn agrees(&self, bound: f64) {
        let run = |frames: bool| self.results(&cpu(), self.x.dtype(), frames);
        compare(&run(true), &run(false), bound);
    }

    /// On a device the same comes out as on the CPU in f64.
    pub fn agrees_on(&self, device: &Device, dtype: DType, bound: f64) {
        let want = self.results(&cpu(), DType::F64, true);
        compare(&self.results(device, dtype, true), &want, bound);
    }
}

/// Asserts that results of a case are close, relative to the largest.
fn compare(got: &[(&'static str, TensorData)], want: &[(&'static str, TensorData)], bound: f64) {
    let largest = |name: &str| {
        let data = &want.iter().find(|(other, _)| *other == name).unwrap().1;
        data.iter::<f64>().fold(0.0_f64, |m, x| m.max(x.abs()))
    };
    // A gradient by vectors is what is left of turns of the features, which are larger by the degree over the length:
    // 0 where nothing depends on the direction.
    let turns = 4.0 / 0.3 * largest("x").max(largest("ẋ"));
    assert_eq!(got.len(), want.len());
    for ((name, got), (_, want)) in got.iter().zip(want) {
        let least = if name.starts_with('v') { turns } else { 1.0 };
        let scale = largest(name).max(least).max(1.0);
        assert_close!(got.clone(), want.clone(), 0.0, bound * scale, "{name}");
    }
}

pub fn thousand(dtype: DType, tolerance: f64) -> Equivariance {
    Equivariance {
        elements: 1000,
        dtype,
        tolerance,
        device: cpu(),
        ..Equivariance::default()
    }
}

/// Both modes in one product, into the same blocks, some paths without weights.
pub fn modes_side_by_side() -> EdgeProductConfig {
    use ConnectionMode::{Uvu, Uvw};
    let path = Instruction::new;
    let paths = vec![
        path(0, 0, 0, Uvu).unweighted(),
        path(0, 1, 1, Uvw),
        path(1, 1, 0, Uvw),
        path(1, 0, 1, Uvu),
        path(1, 2, 1, Uvu).unweighted(),
        path(1, 2, 1, Uvw),
        path(1, 1, 2, Uvu).with_path_weight(0.3),
    ];
    let [features, out] = [irreps!("4x0e+4x1o"), irreps!("4x0e+4x1o+4x1e")];
    EdgeProductConfig::new(TensorProductConfig::new(
        features,
        irreps!("0e+1o+2e"),
        out,
        paths,
    ))
}
