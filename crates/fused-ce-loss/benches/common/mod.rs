//! The arrays of the benches: generated as `benches/peers/README.md` defines, or read from a file.
#![allow(dead_code, unreachable_pub, reason = "every bench uses its own part")]

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fused_ce_loss::{Classifier, LossConfig, LossOutput, Plan, linear_cross_entropy};
use safetensors::SafeTensors;
use std::time::Instant;

/// What is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Nothing.
    Forward,
    /// Hidden states and classifier.
    Train,
    /// The hidden states alone.
    Frozen,
    /// As [`Pass::Train`], with about 80 % of the targets ignored.
    Ignored,
    /// As [`Pass::Train`], with a weight `[D, V]`.
    Columns,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
            Self::Frozen => "frozen",
            Self::Ignored => "ignored",
            Self::Columns => "columns",
        }
    }
}

/// Loss and products `Σ dE·E`, `Σ dC·C`, which are equal: they tell a wrong gradient.
#[derive(Debug, Clone, Copy)]
pub struct Digest {
    pub loss: f64,
    pub hidden_dot: f64,
    pub weight_dot: f64,
    pub hidden_rms: f64,
    pub weight_rms: f64,
}

/// The arrays of a case.
#[derive(Debug, Clone)]
pub struct Arrays {
    pub hidden: Tensor<2>,
    pub weight: Tensor<2>,
    pub targets: Tensor<1, Int>,
}

/// Output `k` of the SplitMix64 sequence with a seed.
fn splitmix(seed: u64, k: u64) -> u64 {
    let mut x = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn uniform(seed: u64, shape: [usize; 2], scale: f32) -> TensorData {
    let value = |k| {
        let odd = 2 * (splitmix(seed, k) >> 40) as i32 + 1 - (1 << 24);
        odd as f32 * 2.0_f32.powi(-24) * scale
    };
    let values: Vec<f32> = (0..(shape[0] * shape[1]) as u64).map(value).collect();
    TensorData::new(values, shape)
}

impl Arrays {
    pub fn generated([n, d, v]: [usize; 3], device: &Device, dtype: DType) -> Self {
        let targets: Vec<i64> = (0..n as u64)
            .map(|k| (splitmix(3, k) % v as u64) as i64)
            .collect();
        let scale = 1.0 / (d as f64).sqrt();
        Self {
            hidden: Tensor::from_data(uniform(1, [n, d], 6.0), (device, dtype)),
            weight: Tensor::from_data(uniform(2, [v, d], scale as f32), (device, dtype)),
            targets: Tensor::from_data(TensorData::new(targets, [n]), device),
        }
    }

    /// From a safetensors file with `hidden`, `weight`, `targets`.
    pub fn stored(path: &str, device: &Device, dtype: DType) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
        let get = |key: &str| {
            file.tensor(key)
                .unwrap_or_else(|e| panic!("{path}: {key}: {e}"))
        };
        let matrix = |key: &str| {
            let view = get(key);
            let values: Vec<f32> = view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&b| f32::from_le_bytes(b))
                .collect();
            Tensor::from_data(
                TensorData::new(values, view.shape().to_vec()),
                (device, dtype),
            )
        };
        let targets: Vec<i64> = get("targets")
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from_le_bytes(b))
            .collect();
        let n = targets.len();
        Self {
            hidden: matrix("hidden"),
            weight: matrix("weight"),
            targets: Tensor::from_data(TensorData::new(targets, [n]), device),
        }
    }

    /// N, D, V.
    pub fn shape(&self) -> [usize; 3] {
        let ([n, d], [v, _]) = (self.hidden.dims(), self.weight.dims());
        [n, d, v]
    }

    /// With about 80 % of the targets ignored.
    fn sparse_targets(&self) -> Tensor<1, Int> {
        let [n] = self.targets.dims();
        let drop: Vec<bool> = (0..n as u64)
            .map(|k| !splitmix(4, k).is_multiple_of(5))
            .collect();
        let drop = Tensor::from_data(TensorData::new(drop, [n]), &self.targets.device());
        self.targets.clone().mask_fill(drop, -100)
    }

    /// Seconds of one pass, and what came out.
    pub fn run(&self, config: LossConfig, pass: Pass) -> (f64, LossOutput, Digest) {
        let options = config.build().expect("options");
        let device = self.hidden.device().autodiff();
        let lift = |x: &Tensor<2>| Tensor::<2>::from_data(x.to_data(), (&device, x.dtype()));
        let (mut hidden, mut weight) = (lift(&self.hidden), lift(&self.weight));
        if pass != Pass::Forward {
            hidden = hidden.require_grad();
        }
        if pass == Pass::Columns {
            let turned = weight.transpose().into_data();
            weight = Tensor::from_data(turned, (&device, self.weight.dtype()));
        }
        if !matches!(pass, Pass::Forward | Pass::Frozen) {
            weight = weight.require_grad();
        }
        let targets = if pass == Pass::Ignored {
            self.sparse_targets()
        } else {
            self.targets.clone()
        };
        let targets = Tensor::<1, Int>::from_data(targets.to_data(), &device);
        let (e, c) = (hidden.clone(), weight.clone());
        let c = if pass == Pass::Columns {
            Classifier::from_columns(c)
        } else {
            Classifier::from_rows(c)
        };
        let start = Instant::now();
        let out = linear_cross_entropy(e, c, targets, &options);
        let grads = (pass != Pass::Forward).then(|| out.loss.backward());
        let seconds = start.elapsed().as_secs_f64();
        let of = |x: &Tensor<2>| {
            let Some(g) = grads.as_ref().and_then(|g| x.grad(g)) else {
                return (f64::NAN, f64::NAN);
            };
            let (g, x) = (g.cast(DType::F32), x.clone().inner().cast(DType::F32));
            let count = g.shape().num_elements() as f64;
            let square: f64 = g.clone().powi_scalar(2).sum().into_scalar();
            let dot: f64 = (g * x).sum().into_scalar();
            (dot, (square / count).sqrt())
        };
        let ((hidden_dot, hidden_rms), (weight_dot, weight_rms)) = (of(&hidden), of(&weight));
        let loss = out.loss.clone().inner().into_scalar();
        (
            seconds,
            out,
            Digest {
                loss,
                hidden_dot,
                weight_dot,
                hidden_rms,
                weight_rms,
            },
        )
    }
}

/// The settings of a bench.
pub fn config(plan: Plan) -> LossConfig {
    LossConfig::new()
        .with_plan(plan)
        .with_memory_budget(1 << 30)
}
