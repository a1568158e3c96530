//! The scan on a GPU: time, and the bandwidth at which it moves what has to be moved at least, per algorithm.

use super::problem::{Case, Pass, Work};
use burn::tensor::{DType, Device, Distribution, Tensor};
use core_tensor::testing::{check_only, gpu_device, median};
use seq_rnn_parallel_scan::scan::chain_anywhere;
use seq_rnn_parallel_scan::{Algorithm, InitialState, MinGruConfig};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Batch, time, channels.
const SHAPES: [[usize; 3]; 5] = [
    [8, 4096, 1024],
    [64, 512, 1024],
    [4, 16_384, 512],
    [1, 65_536, 512],
    [32, 2048, 2048],
];
/// Around the lengths of a tile and of a piece.
const SMALL: [[usize; 3]; 2] = [[2, 300, 40], [1, 129, 33]];

/// What the environment chooses.
struct Choice {
    only: String,
    algorithms: Vec<(&'static str, Algorithm)>,
    shapes: Vec<[usize; 3]>,
    rounds: usize,
    /// When no new line is begun.
    end: f64,
    start: Instant,
}

impl Choice {
    fn new() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: f64| {
            variable(name).map_or(default, |n| n.parse().expect("a number"))
        };
        // On a software driver a chain runs where a single thread runs the workgroups one after the other.
        let alone = variable("LP_NUM_THREADS").as_deref() == Some("1");
        let chains = cfg!(feature = "cuda") || check_only() && alone;
        if chains && !cfg!(feature = "cuda") {
            chain_anywhere();
        }
        let wanted = variable("ALGORITHMS").map(|w| w.to_lowercase());
        let takes = |name: &str| match &wanted {
            Some(wanted) => wanted.split(',').any(|w| w == name),
            None => name != "chained" || chains,
        };
        let shape = variable("SHAPE").map(|shape| {
            let sizes = shape.split(',').map(|n| n.parse().expect("a number"));
            let sizes: Vec<usize> = sizes.collect();
            vec![sizes.try_into().expect("SHAPE=batch,time,channels")]
        });
        let usual = if check_only() {
            &SMALL[..]
        } else {
            &SHAPES[..]
        };
        let all = [
            ("auto", Algorithm::Auto),
            ("serial", Algorithm::Serial),
            ("sweep", Algorithm::Sweep),
            ("chunked", Algorithm::Chunked),
            ("chained", Algorithm::Chained),
        ];
        Self {
            only: variable("ONLY").unwrap_or_default(),
            algorithms: all.into_iter().filter(|(name, _)| takes(name)).collect(),
            shapes: shape.unwrap_or_else(|| usual.to_vec()),
            rounds: if check_only() {
                1
            } else {
                number("ROUNDS", 7.0) as usize
            },
            end: number("SECONDS", 40.0),
            start: Instant::now(),
        }
    }

    fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    fn out_of_time(&self) -> bool {
        !check_only() && self.start.elapsed().as_secs_f64() > self.end
    }
}

/// Seconds of one of several calls in a row, so that the host's share is hidden where the device is what they wait for.
/// What they return is kept, as Fusion need not write what nobody reads; and read, as a synchronisation tells nothing of a
/// launch that failed.
fn seconds<const D: usize>(device: &Device, rounds: usize, call: impl Fn() -> Tensor<D>) -> f64 {
    seconds_in_a_row(device, rounds, 8, call)
}

/// The same with at most so many calls in a row.
fn seconds_in_a_row<const D: usize>(
    device: &Device,
    rounds: usize,
    most: usize,
    call: impl Fn() -> Tensor<D>,
) -> f64 {
    let batch = |calls: usize| {
        device.sync().expect("the device answers");
        let start = Instant::now();
        let kept: Vec<_> = (0..calls).map(|_| call()).collect();
        device.sync().expect("the device answers");
        let seconds = start.elapsed().as_secs_f64() / calls as f64;
        let last = kept.last().expect("a call").clone();
        let corner = last.dims().map(|n| n - 1..n);
        let value: f64 = last.slice(corner).into_scalar();
        assert!(value.is_finite(), "a value is {value}");
        seconds
    };
    if check_only() {
        return batch(1);
    }
    batch(1);
    let calls = ((0.005 / batch(1)).ceil() as usize).clamp(1, most);
    batch(calls);
    median((0..rounds).map(|_| batch(calls)).collect())
}

/// Bytes per second at which a large tensor is read and written.
fn copy_rate(device: &Device, dtype: DType, rounds: usize) -> f64 {
    // Many times the last cache; but software drivers make no buffers beyond 128 MB.
    let side = match (check_only(), cfg!(feature = "cuda")) {
        (true, _) => 64,
        (_, true) => 16_384,
        _ => 4096,
    };
    let x = Tensor::<2>::random([side, side], Distribution::Default, device).cast(dtype);
    let bytes = 2 * side * side * dtype.size();
    // One at a time: Fusion would read `x` once for all.
    bytes as f64 / seconds_in_a_row(device, rounds, 1, || x.clone() * 1.5)
}

fn name([batch, time, width]: [usize; 3]) -> String {
    format!("{batch} × {time} × {width}")
}

/// Twenty runs of every algorithm: whether all have the same values in every place. Returns what was wrong.
fn reruns(choice: &Choice, device: &Device) -> Vec<String> {
    let mut wrong = Vec::new();
    if !choice.wants("reruns") {
        return wrong;
    }
    println!("\n| 20 runs of minGRU, f32 | algorithm | states | gradients |");
    println!("|---|---|---|---|");
    // Long sequences, of several entries and of one.
    let long = choice
        .shapes
        .iter()
        .filter(|shape| check_only() || shape[1] >= 16_384);
    for &shape in long {
        let work = Work::new(Case::MinGru, DType::F32, shape, device);
        for &(algorithm_name, algorithm) in &choice.algorithms {
            let run = || {
                let states = work.forward(algorithm);
                let gradients = work.backward(algorithm, states.clone());
                [states, gradients]
            };
            let others = attempt(|| {
                let first = run();
                let mut others = [0; 2];
                for _ in 1..20 {
                    for ((got, want), others) in run().into_iter().zip(&first).zip(&mut others) {
                        let differs: bool = got.not_equal(want.clone()).any().into_scalar();
                        *others += usize::from(differs);
                    }
                }
                others
            });
            let Some(others) = others else {
                println!("| {} | {algorithm_name} | failed | |", name(shape));
                wrong.push(format!("{algorithm_name}: reruns failed"));
                continue;
            };
            if others != [0; 2] {
                wrong.push(format!("{algorithm_name}: reruns differ"));
            }
            let told = others.map(|n| match n {
                0 => "the same in all".to_owned(),
                n => format!("**{n} runs differ from the first**"),
            });
            println!(
                "| {} | {algorithm_name} | {} | {} |",
                name(shape),
                told[0],
                told[1]
            );
        }
    }
    wrong
}

/// What a call returns; nothing if it panics, so that one kernel that does not run leaves the others their turn.
fn attempt<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// A row per case, shape and pass, a column per algorithm. Returns what was wrong.
fn scans(choice: &Choice, device: &Device, copy: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut left_out = Vec::new();
    println!(
        "\nEntries: ms, GB/s of the least bytes, share of a copy. `train` is a call and the gradient of its sum.\n"
    );
    let columns: String = choice
        .algorithms
        .iter()
        .map(|(name, _)| format!(" {name} |"))
        .collect();
    println!("| cell | dtype | batch × time × channels | pass | least bytes, MB |{columns}");
    println!(
        "|---|---|---|---|---|{}",
        "---|".repeat(choice.algorithms.len())
    );
    let mut cases = vec![
        (Case::MinGru, DType::F32),
        (Case::Linear, DType::F32),
        (Case::MinGru, DType::BF16),
        (Case::MinLstm, DType::F32),
        (Case::Linear, DType::BF16),
        (Case::MinLstm, DType::BF16),
    ];
    cases.retain(|&(_, dtype)| device.supports_dtype(dtype));
    for (case, dtype) in cases {
        for &shape in &choice.shapes {
            let what = format!("{case:?} {dtype:?} {}", name(shape));
            if !choice.wants(&what) {
                continue;
            }
            if choice.out_of_time() {
                left_out.push(what);
                continue;
            }
            let work = Work::new(case, dtype, shape, device);
            let mut works = Vec::new();
            for &(algorithm_name, algorithm) in &choice.algorithms {
                let checked = attempt(|| work.check(algorithm));
                let checked = checked.unwrap_or_else(|| Err("failed".into()));
                works.push(checked.is_ok());
                if let Err(why) = checked {
                    wrong.push(format!("{what}, {algorithm_name}: {why}"));
                }
            }
            let Some(states) = attempt(|| work.forward(Algorithm::Serial)) else {
                continue;
            };
            for pass in [Pass::Forward, Pass::Backward, Pass::Train] {
                let bytes = work.least_bytes(pass);
                print!(
                    "| {case:?} | {dtype:?} | {} | {pass:?} | {:.0} |",
                    name(shape),
                    bytes / 1e6
                );
                for (&(_, algorithm), &works) in choice.algorithms.iter().zip(&works) {
                    let call = || match pass {
                        Pass::Forward => work.forward(algorithm),
                        Pass::Backward => work.backward(algorithm, states.clone()),
                        Pass::Train => work.train(algorithm),
                    };
                    let timed = works
                        .then(|| attempt(|| seconds(device, choice.rounds, call)))
                        .flatten();
                    match timed {
                        Some(seconds) => {
                            let rate = bytes / seconds;
                            print!(
                                " {:.3}, {:.0}, {:.0} % |",
                                1e3 * seconds,
                                rate / 1e9,
                                100.0 * rate / copy
                            );
                        }
                        None => print!(" wrong |"),
                    }
                    // Whoever waits for the rest should see how far it came.
                    std::io::stdout().flush().expect("stdout");
                }
                println!();
            }
        }
    }
    if !left_out.is_empty() {
        println!("\nno time left for: {}", left_out.join("; "));
    }
    wrong
}

/// Whole layers of equal width, to be seen beside recurrent layers of cuDNN.
fn layers(choice: &Choice, device: &Device) {
    println!("\n| minGRU layer, f32 | forward, ms | forward and backward, ms |");
    println!("|---|---|---|");
    for &shape in &choice.shapes {
        let what = format!("layer {}", name(shape));
        if !choice.wants(&what) || choice.out_of_time() {
            continue;
        }
        let [batch, time, width] = shape;
        let x = Tensor::<3>::random([batch, time, width], Distribution::Normal(0.0, 1.0), device);
        let config = MinGruConfig::new(width, width).with_bias(false);
        let layer = config.init(device);
        let forward = seconds(device, choice.rounds, || {
            layer.forward(x.clone(), InitialState::Zero).0
        });
        let layer = config.init(&device.clone().autodiff());
        let x = x.autodiff().require_grad();
        let train = seconds(device, choice.rounds, || {
            let y = layer.forward(x.clone(), InitialState::Zero).0;
            x.grad(&y.backward()).expect("tracked")
        });
        println!(
            "| {} | {:.3} | {:.3} |",
            name(shape),
            1e3 * forward,
            1e3 * train
        );
    }
}

/// Prints the tables; without `--bench` on small problems.
pub(super) fn run() {
    let choice = Choice::new();
    let device = gpu_device();
    println!("median of {} rounds of calls in a row\n", choice.rounds);
    let copy = copy_rate(&device, DType::F32, choice.rounds);
    println!("copy, f32: {:.0} GB/s", copy / 1e9);
    if device.supports_dtype(DType::BF16) {
        let rate = copy_rate(&device, DType::BF16, choice.rounds);
        println!("copy, bf16: {:.0} GB/s", rate / 1e9);
    }
    // What a call costs the host: the device has next to nothing to do.
    let work = Work::new(Case::MinGru, DType::F32, [1, 16, 32], &device);
    let states = work.forward(Algorithm::Serial);
    let us = |f: &dyn Fn() -> Tensor<3>| 1e6 * seconds(&device, choice.rounds, f);
    println!(
        "a call for 16 steps of 32 channels: forward {:.0}, backward {:.0}, train {:.0} µs",
        us(&|| work.forward(Algorithm::Serial)),
        us(&|| work.backward(Algorithm::Serial, states.clone())),
        us(&|| work.train(Algorithm::Serial)),
    );
    let mut wrong = reruns(&choice, &device);
    wrong.extend(scans(&choice, &device, copy));
    layers(&choice, &device);
    println!(
        "\n{:.1} s in all, compilation included",
        choice.start.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}
