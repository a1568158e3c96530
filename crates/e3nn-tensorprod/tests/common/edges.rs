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
use e3nn_tensorprod::sh::spherical_harmonics;
use e3nn_tensorprod::so2::{EdgeProduct, EdgeProductConfig, Plan, PlanChoice};
use e3nn_tensorprod::testing::Equivariance;
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

    /// Values, tangents, and the gradients of both by all inputs and their tangents.
    pub fn agrees(&self, bound: f64) {
        cpu();
        let layer = self.layer();
        let mut random = Random::new(77);
        let mut like = |t: &Tensor<2>| random.tensor(t.dims(), t.dtype());
        let inputs: Vec<Tensor<2>> = [Some(&self.x), Some(&self.vectors), self.w.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let tangents: Vec<Tensor<2>> = inputs.iter().map(&mut like).collect();
        let out = [self.x.dims()[0], self.config.product.irreps_out.dim()];
        let cotangents = [0, 1].map(|_| random.tensor(out, self.x.dtype()));
        let run = |frames: bool| {
            let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
            let leaves: Vec<Tensor<2>> = inputs.iter().chain(&tangents).map(leaf).collect();
            let dual = |i: usize| Dual::new(leaves[i].clone(), leaves[inputs.len() + i].clone());
            let w = (inputs.len() > 2).then(|| dual(2));
            let y = match (frames, w) {
                (false, w) => self.direct(dual(0), dual(1), w),
                (true, Some(w)) => layer.forward_weighted(dual(0), dual(1), w),
                (true, None) => layer.forward(dual(0), dual(1)),
            };
            let tangent = y.tangent_or_zeros();
            let on = |t: &Tensor<2>| t.clone().autodiff();
            // Leaves that nothing depends on keep a gradient of 0.
            let leaf_sum = leaves.iter().map(|t| t.clone().sum() * 0.0);
            let sum = (y.value.clone() * on(&cotangents[0])).sum()
                + (tangent.clone() * on(&cotangents[1])).sum();
            let grads = leaf_sum.fold(sum, |sum, x| sum + x).backward();
            let gradients: Vec<Tensor<2>> = leaves
                .iter()
                .map(|t| t.grad(&grads).expect("a gradient"))
                .collect();
            (y.value.inner(), tangent.inner(), gradients)
        };
        let (got, want) = (run(true), run(false));
        let largest = |t: &Tensor<2>| {
            if t.dims().contains(&0) {
                0.0
            } else {
                t.clone().abs().max().into_scalar::<f64>()
            }
        };
        // A gradient by vectors is what is left of turns of the features, which are larger by the degree over the length:
        // 0 where nothing depends on the direction.
        let turns = 4.0 / 0.3 * largest(&want.2[0]).max(largest(&want.2[inputs.len()]));
        let close = |got: &Tensor<2>, want: &Tensor<2>, what: &str| {
            if got.dims().contains(&0) {
                return;
            }
            let least = if what.starts_with('v') { turns } else { 1.0 };
            let scale = largest(want).max(least).max(1.0);
            assert_close!(got.clone(), want.clone(), 0.0, bound * scale, "{what}");
        };
        close(&got.0, &want.0, "the value");
        close(&got.1, &want.1, "tangent");
        let names = if self.w.is_some() {
            vec!["x", "v", "w", "ẋ", "v̇", "ẇ"]
        } else {
            vec!["x", "v", "ẋ", "v̇"]
        };
        for ((got, want), name) in got.2.iter().zip(&want.2).zip(names) {
            close(got, want, name);
        }
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
