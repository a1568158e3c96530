//! What the tests share: golden files, random tensors, and the comparison of an op with its
//! reference in value and in every gradient.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses its own part"
)]

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seq_rnn_parallel_scan::{Candidate, Cell, Planes, ScanOptions, ScanOutput, Transition};
use serde_json::Value;

/// A golden file: numbers made by other people's code (see `tests/golden/README.md`).
pub fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

/// The array `{shape, data}` as a tensor.
pub fn array<const D: usize>(value: &Value, device: &Device, dtype: DType) -> Tensor<D> {
    let list = |v: &Value| -> Vec<f64> {
        v.as_array()
            .expect("array")
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let shape: Vec<usize> = list(&value["shape"])
        .into_iter()
        .map(|n| n as usize)
        .collect();
    Tensor::from_data(
        TensorData::new(list(&value["data"]), shape),
        (device, dtype),
    )
}

/// Reproducible random tensors.
pub struct Random {
    rng: ChaCha8Rng,
    pub device: Device,
    pub dtype: DType,
}

impl Random {
    pub fn new(seed: u64, device: &Device, dtype: DType) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            device: device.clone(),
            dtype,
        }
    }

    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
        let values: Vec<f64> = (0..shape.iter().product())
            .map(|_| self.rng.random_range(low..high))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), (&self.device, self.dtype))
    }

    pub fn mask(&mut self, shape: [usize; 2], share: f64) -> Tensor<2, Bool> {
        let values: Vec<bool> = (0..shape.iter().product())
            .map(|_| self.rng.random_bool(share))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// The options that a scan is tested under, apart from its tensors.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    pub reverse: bool,
    pub reset: bool,
    pub initial: bool,
    pub separate: bool,
    pub cu_seqlens: Option<Vec<usize>>,
    pub checkpoint: Option<usize>,
    pub algorithm: seq_rnn_parallel_scan::Algorithm,
}

/// Every cell.
pub fn all_cells() -> Vec<Cell> {
    let mut cells = vec![Cell::Linear, Cell::Log];
    for candidate in [Candidate::Linear, Candidate::G, Candidate::Tanh] {
        for transition in [
            Transition::Positive,
            Transition::Signed,
            Transition::SignedCoupled,
        ] {
            cells.push(Cell::MinGru {
                candidate,
                transition,
            });
        }
        for normalized in [false, true] {
            cells.push(Cell::MinLstm {
                candidate,
                normalized,
            });
        }
    }
    cells
}

/// Every option at least once, with others; for a single batch entry packed sequences too.
pub fn setups(batch: usize, time: usize) -> Vec<Setup> {
    let plain = Setup {
        initial: true,
        ..Setup::default()
    };
    let mut setups = vec![
        plain.clone(),
        Setup {
            separate: true,
            initial: false,
            ..plain.clone()
        },
        Setup {
            reverse: true,
            ..plain.clone()
        },
        Setup {
            reset: true,
            ..plain.clone()
        },
        Setup {
            checkpoint: Some(5),
            ..plain.clone()
        },
        Setup {
            checkpoint: Some(4),
            reset: true,
            reverse: true,
            separate: true,
            ..plain.clone()
        },
    ];
    if batch == 1 {
        let at = vec![0, time / 3, time / 3, time / 2, time];
        setups.push(Setup {
            cu_seqlens: Some(at.clone()),
            ..plain
        });
        let rest = Setup {
            reverse: true,
            reset: true,
            checkpoint: Some(3),
            ..plain
        };
        setups.push(Setup {
            cu_seqlens: Some(at),
            ..rest
        });
    }
    setups
}

/// An implementation to compare.
pub type Scan = fn(Cell, Planes, ScanOptions) -> ScanOutput;

/// Compares states, last states and all gradients of two implementations on the same random inputs.
pub fn compare(
    random: &mut Random,
    cell: Cell,
    shape: [usize; 3],
    setup: &Setup,
    bound: f64,
    got: Scan,
    want: Scan,
) {
    let inputs = Inputs::draw(random, cell, shape, setup);
    let (got, want) = (inputs.run(cell, setup, got), inputs.run(cell, setup, want));
    assert_all_close(got, want, bound, &format!("{cell:?} {shape:?} {setup:?}"));
}

/// [`compare`], where `want` runs on another device in another dtype, on the same numbers.
pub fn compare_across(
    random: &mut Random,
    cell: Cell,
    shape: [usize; 3],
    setup: &Setup,
    bound: f64,
    got: Scan,
    want: (Scan, &Device, DType),
) {
    let inputs = Inputs::draw(random, cell, shape, setup);
    let (want, device, dtype) = want;
    let want = inputs.copy_to(device, dtype).run(cell, setup, want);
    let got = inputs.run(cell, setup, got);
    assert_all_close(got, want, bound, &format!("{cell:?} {shape:?} {setup:?}"));
}

/// `bound` is relative to each value and to the largest of its tensor.
pub fn assert_all_close(got: Vec<TensorData>, want: Vec<TensorData>, bound: f64, what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
        let scale = want
            .iter::<f64>()
            .filter(|x| x.is_finite())
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        assert_close!(got, want, bound, bound * scale, "{what}, result {i}");
    }
}

/// The tensors of a comparison.
pub struct Inputs {
    pub planes: Vec<Tensor<3>>,
    pub initial: Tensor<2>,
    pub reset: Tensor<2, Bool>,
    weight_states: Tensor<3>,
    weight_last: Tensor<2>,
}

impl Inputs {
    pub fn draw(
        random: &mut Random,
        cell: Cell,
        [batch, time, width]: [usize; 3],
        setup: &Setup,
    ) -> Self {
        let n = cell.planes();
        let sequences = setup.cu_seqlens.as_ref().map_or(batch, |at| at.len() - 1);
        let (low, high) = if cell == Cell::Linear {
            (-1.0, 1.0)
        } else {
            (-3.0, 3.0)
        };
        let (tensors, columns) = if setup.separate {
            (n, width)
        } else {
            (1, n * width)
        };
        Self {
            planes: (0..tensors)
                .map(|_| {
                    random
                        .uniform([batch, time, columns], low, high)
                        .require_grad()
                })
                .collect(),
            initial: random.uniform([sequences, width], -1.0, 1.0).require_grad(),
            reset: random.mask([batch, time], 0.2),
            weight_states: random.uniform([batch, time, width], -1.0, 1.0),
            weight_last: random.uniform([sequences, width], -1.0, 1.0),
        }
    }

    /// The same numbers elsewhere.
    pub fn copy_to(&self, device: &Device, dtype: DType) -> Self {
        fn copy<const D: usize>(x: &Tensor<D>, device: &Device, dtype: DType) -> Tensor<D> {
            Tensor::from_data(x.to_data(), (device, dtype))
        }
        Self {
            planes: self
                .planes
                .iter()
                .map(|x| copy(x, device, dtype).require_grad())
                .collect(),
            initial: copy(&self.initial, device, dtype).require_grad(),
            reset: Tensor::from_data(self.reset.to_data(), device),
            weight_states: copy(&self.weight_states, device, dtype),
            weight_last: copy(&self.weight_last, device, dtype),
        }
    }

    /// The arguments of a scan.
    pub fn arguments(&self, setup: &Setup) -> (Planes, ScanOptions) {
        let planes = if setup.separate {
            Planes::Separate(self.planes.clone())
        } else {
            Planes::Packed(self.planes[0].clone())
        };
        let options = ScanOptions {
            initial: setup.initial.then(|| self.initial.clone()),
            reverse: setup.reverse,
            reset: setup.reset.then(|| self.reset.clone()),
            cu_seqlens: setup.cu_seqlens.clone(),
            checkpoint: setup.checkpoint,
            algorithm: setup.algorithm,
        };
        (planes, options)
    }

    /// States, last states, and the gradients of planes and initial state of a weighted sum of both.
    pub fn run(&self, cell: Cell, setup: &Setup, scan: Scan) -> Vec<TensorData> {
        let (planes, options) = self.arguments(setup);
        let out = scan(cell, planes, options);
        let dtype = out.last.dtype();
        let loss = (out.states.clone().cast(dtype) * self.weight_states.clone().cast(dtype)).sum()
            + (out.last.clone() * self.weight_last.clone().cast(dtype)).sum();
        let grads = loss.backward();
        let mut all = vec![out.states.inner().into_data(), out.last.inner().into_data()];
        all.extend(self.planes.iter().map(|x| {
            x.grad(&grads)
                .map_or_else(|| TensorData::zeros::<f32, _>(x.dims()), Tensor::into_data)
        }));
        if setup.initial {
            all.push(self.initial.grad(&grads).unwrap().into_data());
        }
        all
    }
}
