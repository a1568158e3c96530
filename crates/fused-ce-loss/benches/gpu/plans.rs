//! Every plan on a GPU: time, share of the rate of Burn's products, and memory.

use super::common::{Pass, config};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use core_tensor::testing::{check_only, gpu_device, median};
use fused_ce_loss::{Classifier, Plan, Report, linear_cross_entropy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Name, tokens, width, classes.
const SHAPES: [(&str, [usize; 3]); 3] = [
    ("small", [4096, 2048, 32_768]),
    ("Llama-3-8B", [8192, 4096, 128_256]),
    ("Gemma-2-2B", [8192, 2304, 256_000]),
];

/// Name, plan, what is differentiated, products that are needed at least.
type Line = (&'static str, Plan, Pass, usize);

const LINES: [Line; 6] = [
    ("forward only", Plan::Recompute, Pass::Forward, 1),
    ("store", Plan::Store, Pass::Train, 3),
    ("recompute", Plan::Recompute, Pass::Train, 3),
    (
        "forward gradient, frozen",
        Plan::ForwardGradient,
        Pass::Frozen,
        2,
    ),
    ("store, frozen", Plan::Store, Pass::Frozen, 2),
    ("recompute, frozen", Plan::Recompute, Pass::Frozen, 2),
];

/// The arrays of a case on a device.
struct Problem {
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
}

/// Loss and gradients of hidden states and classifier, where wanted.
struct Outcome {
    loss: Tensor<1>,
    gradients: [Option<Tensor<2>>; 2],
    report: Report,
}

impl Problem {
    /// Distributed as the generated arrays of the other benches.
    fn random([n, d, v]: [usize; 3], device: &Device, dtype: DType) -> Self {
        let uniform = |shape: [usize; 2], scale: f64| {
            let distribution = Distribution::Uniform(-scale, scale);
            Tensor::<2>::random(shape, distribution, device).cast(dtype)
        };
        let targets: Vec<i64> = (0..n).map(|i| ((i * 7919 + 13) % v) as i64).collect();
        Self {
            hidden: uniform([n, d], 6.0),
            weight: uniform([v, d], 1.0 / (d as f64).sqrt()),
            targets: Tensor::from_data(TensorData::new(targets, [n]), device),
        }
    }

    /// The same numbers in f64 on the CPU.
    fn on_the_cpu(&self) -> Self {
        let cpu = Device::flex();
        let copy = |x: &Tensor<2>| Tensor::<2>::from_data(x.to_data(), (&cpu, DType::F64));
        Self {
            hidden: copy(&self.hidden),
            weight: copy(&self.weight),
            targets: Tensor::from_data(self.targets.to_data(), &cpu),
        }
    }

    /// Seconds of one pass on a quiet device, and what came out.
    fn run(&self, plan: Plan, pass: Pass, budget: u64) -> (f64, Outcome) {
        let options = config(plan).with_memory_budget(budget).build();
        let options = options.expect("options");
        let device = self.hidden.device();
        let (mut hidden, mut weight) = (self.hidden.clone(), self.weight.clone());
        let mut targets = self.targets.clone();
        if pass != Pass::Forward {
            (hidden, weight) = (hidden.autodiff().require_grad(), weight.autodiff());
            targets = targets.autodiff();
        }
        if pass == Pass::Train {
            weight = weight.require_grad();
        }
        device.sync().expect("the device answers");
        let start = Instant::now();
        let classifier = Classifier::from_rows(weight.clone());
        let out = linear_cross_entropy(hidden.clone(), classifier, targets, &options);
        let gradients = (pass != Pass::Forward).then(|| out.loss.backward());
        let gradient = |x: &Tensor<2>| gradients.as_ref().and_then(|g| x.grad(g));
        let gradients = [gradient(&hidden), gradient(&weight)];
        device.sync().expect("the device answers");
        let seconds = start.elapsed().as_secs_f64();
        let report = out.report();
        let loss = if pass == Pass::Forward {
            out.loss
        } else {
            out.loss.inner()
        };
        let outcome = Outcome {
            loss,
            gradients,
            report,
        };
        (seconds, outcome)
    }

    /// Loss, and `Σ dE·E` and `Σ dC·C`, which are equal: NaN where there is no gradient.
    fn digest(&self, outcome: &Outcome) -> [f64; 3] {
        let dot = |x: &Tensor<2>, g: &Option<Tensor<2>>| {
            g.as_ref().map_or(f64::NAN, |g| {
                (x.clone().cast(DType::F32) * g.clone().cast(DType::F32))
                    .sum()
                    .into_scalar()
            })
        };
        let [of_hidden, of_weight] = &outcome.gradients;
        [
            outcome.loss.clone().into_scalar(),
            dot(&self.hidden, of_hidden),
            dot(&self.weight, of_weight),
        ]
    }
}

/// What a call returns; nothing if it panics, so that what does not run leaves the others their turn.
fn attempt<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// ‖got − want‖ / ‖want‖.
fn distance(got: &Tensor<2>, want: &Tensor<2>) -> f64 {
    let list = |x: &Tensor<2>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
    let (got, want) = (list(got), list(want));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let error = norm(&mut got.iter().zip(&want).map(|(g, w)| g - w));
    error / norm(&mut want.into_iter())
}

/// Every plan on a small problem in several panels beside f64 on the CPU; returns what was wrong.
fn accuracy(device: &Device, dtypes: &[DType]) -> Vec<String> {
    let mut wrong = Vec::new();
    println!("| 300 × 256 × 5000, beside f64 | dtype | loss | hidden states | classifier |");
    println!("|---|---|---|---|---|");
    for &dtype in dtypes {
        let problem = Problem::random([300, 256, 5000], device, dtype);
        let exact = problem.on_the_cpu();
        // On CUDA, Burn's products of f32 run on matrix units that keep 11 bits of the factors (TF32).
        let bound = match dtype {
            DType::F32 if cfg!(feature = "cuda") => 3e-3,
            DType::F32 => 1e-5,
            _ => 1e-2,
        };
        for (name, plan, pass, _) in LINES {
            let got = attempt(|| {
                let got = problem.run(plan, pass, 2 << 20).1;
                // Whether it ran shows where it is read.
                problem.digest(&got);
                got
            });
            let Some(got) = got else {
                println!("| {name} | {dtype:?} | failed | | |");
                wrong.push(format!("{name}, {dtype:?}: failed"));
                continue;
            };
            let want = exact.run(Plan::Recompute, pass, 2 << 20).1;
            let [a, b]: [f64; 2] = [got.loss, want.loss].map(|x| x.into_scalar());
            let mut errors = vec![((a - b) / b).abs()];
            let pairs = got.gradients.iter().zip(&want.gradients);
            errors.extend(pairs.filter_map(|(g, w)| Some(distance(g.as_ref()?, w.as_ref()?))));
            let told: String = errors.iter().map(|e| format!(" {e:.1e} |")).collect();
            let rest = " |".repeat(3 - errors.len());
            println!("| {name} | {dtype:?} |{told}{rest}");
            if !errors.iter().all(|e| *e <= bound) {
                wrong.push(format!("{name}, {dtype:?}: {errors:?}"));
            }
        }
    }
    wrong
}

/// Operations per second of Burn's products of the kinds that the plans need, over a panel of classes.
fn products(problem: &Problem, rounds: usize) -> [f64; 3] {
    let ([n, d], [v, _]) = (problem.hidden.dims(), problem.weight.dims());
    let classes = v.min(16_384);
    let panel = problem.weight.clone().slice([0..classes, 0..d]);
    let hidden = problem.hidden.clone();
    let slopes = hidden.clone().matmul(panel.clone().transpose());
    let device = hidden.device();
    let rate = |call: &dyn Fn() -> Tensor<2>| {
        let once = || {
            device.sync().expect("the device answers");
            let start = Instant::now();
            let out = call();
            device.sync().expect("the device answers");
            let seconds = start.elapsed().as_secs_f64();
            // A synchronisation tells nothing of a launch that failed.
            let value: f64 = out.slice([0..1, 0..1]).into_scalar();
            assert!(value.is_finite(), "a value is {value}");
            seconds
        };
        once();
        (2 * n * d * classes) as f64 / median((0..rounds).map(|_| once()).collect())
    };
    [
        rate(&|| hidden.clone().matmul(panel.clone().transpose())),
        rate(&|| slopes.clone().matmul(panel.clone())),
        rate(&|| slopes.clone().transpose().matmul(hidden.clone())),
    ]
}

/// Bytes that Burn's allocator holds in use, and that it has reserved.
fn memory(device: &Device) -> [f64; 2] {
    device.memory_pool_usage().map_or([f64::NAN; 2], |m| {
        [m.bytes_in_use as f64, m.bytes_reserved as f64]
    })
}

/// What the environment chooses.
struct Choice {
    only: String,
    /// Memory of a call, bytes.
    budget: u64,
    rounds: usize,
    /// Seconds after which no new line is begun.
    end: f64,
    begun: Instant,
}

impl Choice {
    fn new() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: f64| {
            variable(name).map_or(default, |n| n.parse().expect("a number"))
        };
        Self {
            only: variable("ONLY").unwrap_or_default(),
            budget: (number("BUDGET", 1024.0) * 1e6) as u64,
            rounds: number("ROUNDS", if check_only() { 1.0 } else { 3.0 }) as usize,
            end: number("SECONDS", 40.0),
            begun: Instant::now(),
        }
    }

    fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    fn out_of_time(&self) -> bool {
        !check_only() && self.begun.elapsed().as_secs_f64() > self.end
    }

    /// Times a plan on a problem and prints its row; what was wrong, if anything. `seen` is the digest of the lines before.
    fn line(
        &self,
        name: &str,
        problem: &Problem,
        line: &Line,
        seen: &mut [f64; 3],
    ) -> Result<(), String> {
        let &(title, plan, pass, needed) = line;
        let device = problem.hidden.device();
        let dtype = problem.hidden.dtype();
        let run = || problem.run(plan, pass, self.budget);
        let begun = Instant::now();
        let digest = problem.digest(&run().1);
        let ready = begun.elapsed().as_secs_f64();
        // All plans agree, and so do both products of gradients.
        for (seen, new) in seen.iter_mut().zip(digest) {
            *seen = if seen.is_nan() { new } else { *seen };
        }
        let off = |a: f64, b: f64| (a - b).abs() / b.abs();
        let mut errors = vec![off(digest[0], seen[0])];
        if pass != Pass::Forward {
            errors.push(off(digest[1], seen[1]));
        }
        if pass == Pass::Train {
            errors.push(off(digest[2], digest[1]));
        }
        // The pages that one run has the allocator reserve.
        device.memory_cleanup();
        let [held, _] = memory(&device);
        let (mut seconds, outcome) = run();
        let report = outcome.report;
        drop(outcome);
        let [_, reserved] = memory(&device);
        // A long one is not repeated.
        if seconds < 0.5 {
            let times = (0..self.rounds).map(|_| {
                let (seconds, outcome) = run();
                // A synchronisation tells nothing of a launch that failed.
                let loss: f64 = outcome.loss.into_scalar();
                assert_eq!(loss, digest[0], "another loss");
                seconds
            });
            seconds = median(times.collect());
        }
        let ([n, d], [v, _]) = (problem.hidden.dims(), problem.weight.dims());
        let gradients = match pass {
            Pass::Forward => 0,
            Pass::Train => (n + v) * d * dtype.size(),
            _ => n * d * dtype.size(),
        };
        let worst = errors.iter().copied().fold(0.0, f64::max);
        println!(
            "| {name} | {dtype:?} | {title} | {:.2} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {worst:.0e} | {ready:.1} |",
            1e3 * seconds,
            (needed * 2 * n * d * v) as f64 / seconds / 1e12,
            (reserved - held) / 1e6,
            gradients as f64 / 1e6,
            report.peak_bytes as f64 / 1e6,
            report.predicted_bytes as f64 / 1e6,
        );
        let bound = if dtype == DType::F32 { 2e-3 } else { 2e-2 };
        if errors.iter().all(|e| *e <= bound) {
            Ok(())
        } else {
            Err(format!("loss and products {digest:?}, off by {errors:?}"))
        }
    }
}

/// Prints the tables; without `--bench` on small problems.
pub(super) fn run() {
    let choice = Choice::new();
    let device = gpu_device();
    let dtypes: Vec<_> = [DType::BF16, DType::F32]
        .into_iter()
        .filter(|&dtype| device.supports_dtype(dtype))
        .collect();
    if !dtypes.contains(&DType::BF16) {
        println!("no bf16 on this device\n");
    }
    let mut wrong = accuracy(&device, &dtypes);
    println!(
        "\nBudget {:.0} MB, median of {} runs, one where it takes half a second; TFLOP/s of the products that are needed at \
         least: one forward, two with a frozen head, three in training. Memory in MB: what a run had the allocator reserve \
         beyond the inputs, the gradients in it, what the crate says it held beyond inputs and outputs, what it predicted. \
         Last: disagreement of losses and gradients, seconds of the first run with compilation.\n",
        choice.budget as f64 / 1e6,
        choice.rounds
    );
    println!(
        "| shape | dtype | plan | ms | TFLOP/s | reserved | gradients | held | predicted | off | first |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let chosen = std::env::var("SHAPE").map(|shape| {
        let sizes = shape.split(',').map(|n| n.parse().expect("a number"));
        let sizes: Vec<usize> = sizes.collect();
        vec![("chosen", sizes.try_into().expect("SHAPE=N,D,V"))]
    });
    let usual = if check_only() {
        vec![("tiny", [300, 64, 1000])]
    } else {
        SHAPES.to_vec()
    };
    let (mut left_out, mut rates) = (Vec::new(), Vec::new());
    let shapes = chosen.unwrap_or(usual);
    for &dtype in &dtypes {
        for &(name, shape) in &shapes {
            let case = format!("{name} {dtype:?}");
            let wanted = LINES.map(|line| (format!("{case} {}", line.0), line));
            let mut wanted: Vec<_> = wanted.into_iter().collect();
            wanted.retain(|(what, _)| choice.wants(what));
            if wanted.is_empty() {
                continue;
            }
            if choice.out_of_time() {
                left_out.push(case);
                continue;
            }
            let problem = Problem::random(shape, &device, dtype);
            let mut seen = [f64::NAN; 3];
            for (what, line) in wanted {
                if choice.out_of_time() {
                    left_out.push(what);
                    continue;
                }
                match attempt(|| choice.line(name, &problem, &line, &mut seen)) {
                    Some(Ok(())) => {}
                    Some(Err(why)) => wrong.push(format!("{what}: {why}")),
                    None => {
                        println!("| {name} | {dtype:?} | {} | failed | | | | | | | |", line.0);
                        wrong.push(format!("{what}: failed"));
                    }
                }
            }
            rates.extend(attempt(|| products(&problem, choice.rounds)).map(|rate| (case, rate)));
            drop(problem);
            device.memory_cleanup();
        }
    }
    println!("\n| Burn's products alone, up to 16,384 classes, TFLOP/s | E Cᵀ | G C | Gᵀ E |");
    println!("|---|---|---|---|");
    for (what, rate) in rates {
        let [logits, hidden, weight] = rate.map(|r| r / 1e12);
        println!("| {what} | {logits:.1} | {hidden:.1} | {weight:.1} |");
    }
    if !left_out.is_empty() {
        println!("\nno time left for: {}", left_out.join("; "));
    }
    println!(
        "\n{:.1} s in all, compilation included",
        choice.begun.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}
