//! What the tests share: problems, their golden files, and the comparison of implementations in value and in
//! every gradient.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses its own part"
)]

pub mod check;
pub mod grid;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fused_ce_loss::{Classifier, LossConfig, LossOptions, LossOutput, Report, Smoothing, Targets};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// An array on the host.
#[derive(Debug, Clone)]
pub struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Values {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Self {
            shape: shape.to_vec(),
            data,
        }
    }

    pub fn tensor<const D: usize>(&self, device: &Device, dtype: DType) -> Tensor<D> {
        let data = TensorData::new(self.data.clone(), self.shape.clone());
        Tensor::from_data(data, (device, dtype))
    }

    /// Every value rounded to `dtype`.
    pub fn rounded(&self, dtype: DType) -> Self {
        let data = TensorData::new(self.data.clone(), self.shape.clone());
        Self::new(
            &self.shape,
            data.convert_dtype(dtype).iter::<f64>().collect(),
        )
    }
}

#[derive(Debug, Clone)]
pub enum Labels {
    Classes(Vec<usize>, Vec<i64>),
    Probabilities(Values),
    TopK {
        shape: Vec<usize>,
        classes: Vec<i64>,
        probabilities: Values,
        tail: bool,
    },
}

/// A loss to compute.
#[derive(Debug, Clone)]
pub struct Problem {
    /// `[N, D]`.
    pub hidden: Values,
    /// `[V, D]`.
    pub weight: Values,
    pub bias: Option<Values>,
    pub labels: Labels,
    pub class_weight: Option<Values>,
    pub token_weight: Option<Values>,
    pub config: LossConfig,
}

/// An implementation.
pub type Loss = fn(Tensor<2>, Classifier, Targets, &LossOptions) -> LossOutput;
/// A number to differentiate.
pub type Goal<'a> = &'a dyn Fn(&LossOutput) -> Tensor<1>;

/// A number that depends on every output there is.
pub fn mixed(out: &LossOutput) -> Tensor<1> {
    let mut sum = out.loss.clone().sum() + (out.lse.clone() * 0.1).sum();
    if let Some(entropy) = &out.entropy {
        sum = sum + entropy.clone().sum() * 0.3;
    }
    if let Some(top) = &out.top_log_probs {
        sum = sum + top.clone().sum().reshape([1]) * 0.2;
    }
    sum
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub goal: f64,
    pub loss: Vec<f64>,
    pub lse: Vec<f64>,
    pub entropy: Vec<f64>,
    pub top_classes: Vec<f64>,
    pub top_log_probs: Vec<f64>,
    pub correct: Vec<bool>,
    pub counted: Vec<bool>,
    /// Gradients by hidden states, weight `[V, D]` and bias.
    pub gradients: [Vec<f64>; 3],
    pub report: Report,
}

pub const NAMES: [&str; 3] = ["hidden", "weight", "bias"];

pub fn list<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// How to run a problem.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub dtype: DType,
    /// Whether the weight is given as `[D, V]`.
    pub columns: bool,
    /// Whether classifier and bias have no gradient.
    pub frozen: bool,
}

impl Setup {
    pub const F64: Self = Self {
        dtype: DType::F64,
        columns: false,
        frozen: false,
    };
    pub const F32: Self = Self {
        dtype: DType::F32,
        columns: false,
        frozen: false,
    };
}

impl Problem {
    pub fn rows(&self) -> usize {
        self.hidden.shape[0]
    }

    /// Largest `|⟨hidden, weight⟩ + bias|`.
    pub fn largest_product(&self) -> f64 {
        let width = self.hidden.shape[1];
        let classes = self.weight.data.chunks(width).enumerate();
        let mut largest = 0.0_f64;
        for (v, c) in classes {
            let bias = self.bias.as_ref().map_or(0.0, |b| b.data[v]);
            for e in self.hidden.data.chunks(width) {
                let z = e.iter().zip(c).map(|(e, c)| e * c).sum::<f64>() + bias;
                largest = largest.max(z.abs());
            }
        }
        largest
    }

    pub fn targets(&self, device: &Device, dtype: DType) -> Targets {
        let compute = if dtype == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        let targets = match &self.labels {
            Labels::Classes(shape, ids) => {
                let data = TensorData::new(ids.clone(), [ids.len()]);
                // In the type of the device's integers, unless that cannot hold them.
                let wide = ids.iter().any(|&y| i32::try_from(y).is_err());
                let flat = if wide {
                    Tensor::<1, Int>::from_data(data, (device, DType::I64))
                } else {
                    Tensor::<1, Int>::from_data(data, device)
                };
                let [rows, time] = match shape[..] {
                    [n] => [1, n],
                    [b, t] => [b, t],
                    _ => panic!("targets of rank {}", shape.len()),
                };
                if ids.is_empty() {
                    Targets::classes(flat)
                } else {
                    Targets::classes(flat.reshape([rows, time]))
                }
            }
            Labels::Probabilities(q) => Targets::probabilities(q.tensor(device, compute)),
            Labels::TopK {
                shape,
                classes,
                probabilities,
                tail,
            } => {
                let data = TensorData::new(classes.clone(), shape.clone());
                let classes = Tensor::<2, Int>::from_data(data, device);
                Targets::top_k(classes, probabilities.tensor(device, compute), *tail)
            }
        };
        match &self.token_weight {
            Some(w) => targets.with_weights(w.tensor(device, compute)),
            None => targets,
        }
    }

    pub fn options(&self, device: &Device, dtype: DType) -> LossOptions {
        let options = self.config.build().expect("options");
        match &self.class_weight {
            Some(w) => {
                let compute = if dtype == DType::F64 {
                    DType::F64
                } else {
                    DType::F32
                };
                options.with_class_weights(w.tensor(device, compute))
            }
            None => options,
        }
    }

    /// Number of rows that count.
    pub fn live(&self) -> usize {
        match &self.labels {
            Labels::Classes(_, ids) => ids
                .iter()
                .filter(|&&y| y != self.config.ignore_index)
                .count(),
            _ => self.rows(),
        }
    }

    /// Runs `loss` and differentiates `goal`.
    pub fn run(&self, device: &Device, setup: Setup, loss: Loss, goal: Goal<'_>) -> Outcome {
        self.run_with(device, setup, &loss, goal)
    }

    /// As [`Problem::run`].
    pub fn run_with(
        &self,
        device: &Device,
        setup: Setup,
        loss: &dyn Fn(Tensor<2>, Classifier, Targets, &LossOptions) -> LossOutput,
        goal: Goal<'_>,
    ) -> Outcome {
        let Setup {
            dtype,
            columns,
            frozen,
        } = setup;
        let device = device.clone().autodiff();
        let track = |x: Tensor<2>| if frozen { x } else { x.require_grad() };
        let hidden = self.hidden.tensor::<2>(&device, dtype).require_grad();
        let mut weight = self.weight.tensor::<2>(&device, dtype);
        if columns {
            // A contiguous [D, V], not a view.
            let turned = weight.transpose().into_data();
            weight = Tensor::from_data(turned, (&device, dtype));
        }
        let weight = track(weight);
        let bias = self.bias.as_ref().map(|b| b.tensor::<1>(&device, dtype));
        let bias = bias.map(|b| if frozen { b } else { b.require_grad() });
        let mut classifier = if columns {
            Classifier::from_columns(weight.clone())
        } else {
            Classifier::from_rows(weight.clone())
        };
        if let Some(bias) = &bias {
            classifier = classifier.with_bias(bias.clone());
        }
        let targets = self.targets(&device, dtype);
        let out = loss(
            hidden.clone(),
            classifier,
            targets,
            &self.options(&device, dtype),
        );
        let goal = goal(&out);
        let grads = goal.backward();
        let of_weight = weight
            .grad(&grads)
            .map(|g| if columns { g.transpose() } else { g });
        let bools = |x: Tensor<1, burn::tensor::Bool>| x.into_data().iter::<bool>().collect();
        Outcome {
            goal: goal.inner().into_scalar::<f64>(),
            gradients: [
                list(
                    hidden
                        .grad(&grads)
                        .expect("a gradient of the hidden states"),
                ),
                of_weight.map(list).unwrap_or_default(),
                bias.and_then(|b| b.grad(&grads))
                    .map(list)
                    .unwrap_or_default(),
            ],
            report: out.report(),
            loss: list(out.loss.inner()),
            lse: list(out.lse.inner()),
            entropy: out.entropy.map(|x| list(x.inner())).unwrap_or_default(),
            top_classes: out
                .top_classes
                .map(|x| x.into_data().iter::<f64>().collect())
                .unwrap_or_default(),
            top_log_probs: out
                .top_log_probs
                .map(|x| list(x.inner()))
                .unwrap_or_default(),
            correct: out.correct.map(bools).unwrap_or_default(),
            counted: bools(out.counted),
        }
    }
}

/// Root mean square of the difference over that of `want`; what is zero in `want` has to be zero.
pub fn rms_ratio(got: &[f64], want: &[f64]) -> f64 {
    core_tensor::testing::differences(got, want, 0.0, 0.0).rms_ratio
}

#[track_caller]
pub fn assert_rms(got: &[f64], want: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let ratio = rms_ratio(got, want);
    assert!(
        ratio <= bound,
        "{what}: RMS ratio {ratio:.2e} > {bound:.0e}"
    );
}

/// Losses and outputs of rows: `bound` is relative to every value, and to the largest.
#[track_caller]
pub fn assert_rows(got: &[f64], want: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let largest = want.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let gap = if g == w { 0.0 } else { (g - w).abs() };
        assert!(
            gap <= bound * largest,
            "{what}: element {i} is {g:e}, want {w:e} (largest {largest:e})"
        );
    }
}

/// A golden file.
pub struct Golden {
    pub name: String,
    pub spec: Value,
    bytes: Vec<u8>,
}

impl Golden {
    pub fn all() -> Vec<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let entries = std::fs::read_dir(folder).expect("the golden files");
        let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "safetensors"));
        paths.sort();
        assert_eq!(paths.len(), 28, "golden files in {folder}");
        paths
            .iter()
            .map(|path| {
                let bytes = std::fs::read(path).expect("a readable file");
                let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
                let metadata = metadata.metadata().as_ref().expect("metadata");
                Self {
                    name: metadata["case"].clone(),
                    spec: serde_json::from_str(&metadata["spec"]).expect("a spec"),
                    bytes,
                }
            })
            .collect()
    }

    pub fn get(&self, key: &str) -> Option<Values> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(key).ok()?;
        let data = match view.dtype() {
            Dtype::F32 => numbers(view.data(), |b| f32::from_le_bytes(b).into()),
            Dtype::F64 => numbers(view.data(), f64::from_le_bytes),
            Dtype::I64 => numbers(view.data(), |b| i64::from_le_bytes(b) as f64),
            other => panic!("{key}: dtype {other:?}"),
        };
        Some(Values {
            shape: view.shape().to_vec(),
            data,
        })
    }

    /// The values under `key`, flat.
    pub fn list(&self, key: &str) -> Vec<f64> {
        self.get(key)
            .unwrap_or_else(|| panic!("{}: no {key}", self.name))
            .data
    }

    pub fn problem(&self) -> Problem {
        let number = |key: &str| self.spec[key].as_f64();
        let get = |key: &str| self.get(key);
        let integers = |key: &str| {
            let x = get(key).expect("classes");
            (
                x.shape,
                x.data.iter().map(|&v| v as i64).collect::<Vec<_>>(),
            )
        };
        let mut hidden = get("hidden").expect("hidden");
        let width = *hidden.shape.last().expect("a width");
        hidden.shape = vec![hidden.data.len() / width, width];
        let labels = match self.spec["target"].as_str().expect("a kind of target") {
            "index" => {
                let (shape, ids) = integers("targets");
                Labels::Classes(shape, ids)
            }
            "prob" => Labels::Probabilities(get("target_probs").expect("probabilities")),
            kind => {
                let (shape, classes) = integers("topk_ids");
                let probabilities = get("topk_probs").expect("probabilities");
                Labels::TopK {
                    shape,
                    classes,
                    probabilities,
                    tail: kind == "topk_tail",
                }
            }
        };
        let alpha = number("label_smoothing").expect("a number");
        let smoothing = match self.spec["smoothing"].as_str() {
            _ if alpha == 0.0 => Smoothing::None,
            Some("megatron") => Smoothing::Megatron(alpha),
            _ => Smoothing::Torch(alpha),
        };
        let mut config = LossConfig::new()
            .with_ignore_index(self.spec["ignore_index"].as_i64().expect("an index"))
            .with_temperature(number("temperature").expect("a number"))
            .with_smoothing(smoothing)
            .with_z_loss(number("z_loss").expect("a number"))
            .with_shift(number("shift").expect("a number") as usize);
        config.softcap = number("softcap");
        Problem {
            hidden,
            weight: get("weight").expect("weight"),
            bias: get("bias"),
            labels,
            class_weight: get("class_weight"),
            token_weight: get("token_weight"),
            config,
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty());
    chunks.iter().map(|&b| read(b)).collect()
}

/// A source of problems.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Normal deviates, rounded to f32.
    pub fn normal(&mut self, shape: &[usize], deviation: f64) -> Values {
        let mut one = || {
            let (u, v): (f64, f64) = (self.0.random_range(1e-12..1.0), self.0.random());
            let x = (-2.0 * u.ln()).sqrt() * (core::f64::consts::TAU * v).cos() * deviation;
            f64::from(x as f32)
        };
        Values::new(shape, (0..shape.iter().product()).map(|_| one()).collect())
    }

    pub fn uniform(&mut self, shape: &[usize], low: f64, high: f64) -> Values {
        let mut one = || f64::from(self.0.random_range(low..high) as f32);
        Values::new(shape, (0..shape.iter().product()).map(|_| one()).collect())
    }

    /// A distribution over the classes for every row, rounded to f32.
    pub fn distributions(&mut self, [n, v]: [usize; 2]) -> Values {
        let mut q = self.uniform(&[n, v], 0.0, 1.0);
        for row in q.data.chunks_mut(v) {
            let total: f64 = row.iter().sum();
            row.iter_mut()
                .for_each(|x| *x = f64::from((*x / total) as f32));
        }
        q
    }

    pub fn classes(&mut self, count: usize, classes: usize, ignored: f64, ignore: i64) -> Vec<i64> {
        (0..count)
            .map(|_| {
                let skip = self.0.random_bool(ignored);
                let y = self.0.random_range(0..classes) as i64;
                if skip { ignore } else { y }
            })
            .collect()
    }

    /// A problem as in Cut Cross-Entropy's own tests: hidden states of deviation 1/√D, classifier rows of deviation 1,
    /// half of them equal to hidden states, which makes some rows peaked; a fifth of the targets ignored.
    pub fn problem(&mut self, [n, v, d]: [usize; 3]) -> Problem {
        let hidden = self.normal(&[n, d], 1.0 / (d as f64).sqrt());
        let mut weight = self.normal(&[v, d], 1.0);
        let same = n.min(v) / 2 * d;
        weight.data[..same].copy_from_slice(&hidden.data[..same]);
        let labels = Labels::Classes(vec![n], self.classes(n, v, 0.2, -100));
        Problem {
            hidden,
            weight,
            bias: None,
            labels,
            class_weight: None,
            token_weight: None,
            config: LossConfig::new(),
        }
    }
}
