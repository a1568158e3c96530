//! Tensor products beside e3nn, in turn, on the same machine in the same run.
//!
//! `PEER_PYTHON=… RAYON_NUM_THREADS=1 cargo bench -p e3nn-tensorprod --bench products` (see `benches/peers/products.py`);
//! without a peer it times this crate alone, with `--check` (or as a test) it only checks the problems.

use burn::tensor::{DType, Device, Distribution, Tensor};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::Peer;
use e3nn_tensorprod::product::op::reference;
use e3nn_tensorprod::product::{InstructionOrder, TensorSquareConfig, WeightRows};
use e3nn_tensorprod::{Irreps, LinearConfig, ProductPlan, SortOrder, TensorProductConfig};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

// Large buffers are recycled rather than mapped anew, as PyTorch's allocator does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn irreps(text: &str) -> Irreps {
    text.parse().expect("irreps")
}

/// What is done with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    Train,
    Force,
}

/// A product with its inputs.
struct Problem {
    name: String,
    plan: Arc<ProductPlan>,
    rows: WeightRows,
    /// x, y, w; y is x for a square and ones for a linear map.
    inputs: [Tensor<2>; 3],
}

impl Problem {
    fn new(name: &str, batch: usize, dtype: DType) -> Self {
        let device = Device::flex().autodiff();
        let plan = plan(name);
        let rows = if name == "depthwise" {
            WeightRows::PerRow
        } else {
            WeightRows::Shared
        };
        let normal = |height, width| {
            let distribution = Distribution::Normal(0.0, 1.0);
            Tensor::<2>::random([height, width], distribution, (&device, dtype)).require_grad()
        };
        let x = normal(batch, plan.irreps_in1().dim());
        let y = match name {
            "square" => x.clone(),
            "linear" | "linear-32" => Tensor::ones([batch, 1], (&device, dtype)),
            _ => normal(batch, plan.irreps_in2().dim()),
        };
        let w = normal(rows.count(batch), plan.weight_numel());
        Self {
            name: name.to_owned(),
            plan,
            rows,
            inputs: [x, y, w],
        }
    }

    fn out(&self) -> Tensor<2> {
        let [x, y, w] = self.inputs.clone();
        self.plan.apply(x, y, Some(w), &self.rows)
    }

    /// The energy `|out|²`, and its derivative along the direction of `x` given.
    fn dual(&self, direction: Tensor<2>) -> Tensor<1> {
        let [x, y, w] = self.inputs.clone().map(Dual::constant);
        let x = Dual::new(x.value, direction);
        let y = if self.name == "square" { x.clone() } else { y };
        let out = self.plan.apply(x, y, Some(w), &self.rows);
        (out.value * out.tangent.expect("a tangent")).sum() * 2.0
    }

    /// Values and gradients against the reference.
    fn check(&self) {
        let [x, y, w] = self.inputs.clone();
        let want = reference::tensor_product(&self.plan, x, y, Some(w), &self.rows);
        let got = self.out();
        assert_close!(got.clone(), want.clone(), 1e-10, 1e-10, "{}", self.name);
        let [got, want] = [got, want].map(|out| out.powi_scalar(2).sum().backward());
        for input in &self.inputs {
            if let (Some(got), Some(want)) = (input.grad(&got), input.grad(&want)) {
                assert_close!(got, want, 1e-10, 1e-10, "{}", self.name);
            }
        }
    }

    /// Seconds of one pass: the mean of as many as the clock, which counts in steps of milliseconds, resolves.
    fn time(&self, pass: Pass) -> f64 {
        let start = clock();
        let mut count = 0;
        while clock() - start < 0.1 {
            self.run(pass);
            count += 1;
        }
        (clock() - start) / f64::from(count)
    }

    fn run(&self, pass: Pass) {
        match pass {
            Pass::Forward => {
                let [x, y, w] = self.inputs.clone().map(|t| t.inner());
                self.plan.apply(x, y, Some(w), &self.rows);
            }
            Pass::Train => {
                self.out().powi_scalar(2).sum().backward();
            }
            Pass::Force => {
                // Forces, then the gradient of |F|² by a dual pass along 2 F.
                let x = &self.inputs[0];
                let [_, y, w] = self.inputs.clone().map(|t| t.detach());
                let free = x.clone().detach().require_grad();
                let y = if self.name == "square" {
                    free.clone()
                } else {
                    y
                };
                let out = self.plan.apply(free.clone(), y, Some(w), &self.rows);
                let grads = out.powi_scalar(2).sum().backward();
                let force = free.grad(&grads).expect("a gradient");
                self.dual(Tensor::from_inner(force * 2.0)).backward();
            }
        }
    }
}

fn plan(name: &str) -> Arc<ProductPlan> {
    let config = match name {
        "fctp" => TensorProductConfig::fully_connected(
            &irreps("32x0e+16x1o+8x2e"),
            &irreps("1x0e+1x1o+1x2e"),
            &irreps("32x0e+16x1o+8x2e"),
        ),
        "fctp-wide" => {
            let all = irreps("16x0e+16x1o");
            TensorProductConfig::fully_connected(&all, &all, &all)
        }
        "depthwise" => {
            let features = irreps("32x0e+32x1o+32x2e");
            TensorProductConfig::depthwise(
                &features,
                &irreps("1x0e+1x1o+1x2e"),
                &features,
                InstructionOrder::Found,
                SortOrder::DegreeFirst,
            )
        }
        "square" => {
            let all = irreps("16x0e+16x1o+8x2e");
            let config = TensorSquareConfig::new(all.clone()).with_irreps_out(Some(all));
            let layer = config.init(&Device::flex()).expect("a product");
            return layer.plan().clone();
        }
        "linear" | "linear-32" => {
            let all = irreps(match name {
                "linear" => "128x0e+128x1o+128x2e",
                _ => "32x0e+32x1o+32x2e",
            });
            let layer = LinearConfig::new(all.clone(), all).init(&Device::flex());
            return layer.expect("a linear map").plan().clone();
        }
        _ => panic!("no product {name}"),
    };
    config.plan().expect("a product")
}

/// Processor time of this process in seconds, by which a busy machine does not count; elsewhere than on Linux, time.
fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return start.elapsed().as_secs_f64();
    };
    let texts = tasks
        .flatten()
        .flat_map(|task| std::fs::read_to_string(task.path().join("schedstat")));
    let nanoseconds = texts.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.sum::<f64>() * 1e-9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let list = |name: &str, default: &str| -> Vec<String> {
        let text = std::env::var(name).unwrap_or(default.to_owned());
        text.split(',').map(str::to_owned).collect()
    };
    let names = list("CASES", "fctp,fctp-wide,depthwise,square,linear,linear-32");
    let batches = list("BATCHES", "100,1000");
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    for name in &names {
        Problem::new(name, 37, DType::F64).check();
    }
    if asked("--check") || !asked("--bench") {
        println!("all problems agree with the reference");
        return;
    }
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
    };
    let rounds = number("ROUNDS", 7);
    let mut peer = Peer::start(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/peers/products.py"
    ));
    println!(
        "{} threads, processor time, median of {rounds} interleaved rounds, f32",
        core_tensor::cpu::threads()
    );
    println!("| product | pass | batch | GFLOP/s | this crate, ms | e3nn, ms | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for name in &names {
        for batch in &batches {
            let batch: usize = batch.parse().expect("a number");
            let problem = Problem::new(name, batch, DType::F32);
            let flops = problem.plan.explain().flops() as f64 * batch as f64;
            for pass in [Pass::Forward, Pass::Train, Pass::Force] {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                for round in 0..=rounds {
                    let our = problem.time(pass);
                    let request = format!("{name} {pass:?} {batch}").to_lowercase();
                    let their = peer.as_mut().map(|peer| {
                        let answer = peer.ask(&request);
                        answer.trim().parse::<f64>().expect("seconds")
                    });
                    // The first round warms up.
                    if round > 0 {
                        ours.push(our);
                        theirs.extend(their);
                    }
                }
                let our = median(ours.clone());
                let (their, ratio) = if theirs.is_empty() {
                    ("–".into(), "–".into())
                } else {
                    let ratios = theirs.iter().zip(&ours).map(|(t, o)| t / o).collect();
                    (
                        format!("{:.2}", 1e3 * median(theirs)),
                        format!("{:.1}×", median(ratios)),
                    )
                };
                let rate = if pass == Pass::Forward {
                    format!("{:.0}", flops / our / 1e9)
                } else {
                    "–".into()
                };
                println!(
                    "| {name} | {pass:?} | {batch} | {rate} | {:.2} | {their} | {ratio} |",
                    1e3 * our
                );
            }
        }
    }
}
