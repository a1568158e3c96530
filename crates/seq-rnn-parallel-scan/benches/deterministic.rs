//! What the deterministic mode of a layer costs: the same layer with and without it.
//!
//! `cargo bench -p seq-rnn-parallel-scan --bench deterministic`; with `--check` it only checks.

mod common;

use burn::tensor::Device;
use common::{Kind, Pass, Problem};
use core_tensor::testing::{check_only, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let device = Device::flex();
    if check_only() {
        Problem::new(Kind::Layer, [3, 70, 33], &device)
            .deterministic()
            .check();
        println!("the layer agrees with the reference");
        return;
    }
    let rounds = 15;
    println!(
        "{} threads, median of {rounds} interleaved rounds, f32, ms",
        core_tensor::cpu::threads()
    );
    println!("\n| batch × time × width | pass | plain | deterministic | ratio |");
    println!("|---|---|---|---|---|");
    for shape in [
        [4, 4096, 384],
        [64, 512, 64],
        [16, 128, 128],
        [16, 1, 128],
        [1, 1, 128],
    ] {
        let problems = [false, true].map(|deterministic| {
            let problem = Problem::new(Kind::Layer, shape, &device);
            if deterministic {
                problem.deterministic()
            } else {
                problem
            }
        });
        for pass in [Pass::Forward, Pass::Train] {
            let mut times = [const { Vec::new() }; 2];
            for round in 0..=rounds {
                for (times, problem) in times.iter_mut().zip(&problems) {
                    let seconds = problem.time(pass);
                    // The first round fills the caches.
                    if round > 0 {
                        times.push(1e3 * seconds);
                    }
                }
            }
            let [plain, ours] = times.map(median);
            let [batch, time, width] = shape;
            println!(
                "| {batch} × {time} × {width} | {pass:?} | {plain:.3} | {ours:.3} | {:.2} |",
                ours / plain
            );
        }
    }
}
