//! The linear scan against a copy of memory, and against its own length.
//!
//! `cargo bench -p seq-rnn-parallel-scan --bench scan`; with `--check` it only checks.
//!
//! `GPU=1 cargo bench -p seq-rnn-parallel-scan --features cuda --bench scan` times scans and their gradients on a GPU (or with
//! `vulkan`, `wgpu`), every algorithm, and prints the bandwidth that they reach. `ONLY="MinGru F32"`, `ALGORITHMS=serial,sweep`,
//! `SHAPE=batch,time,channels`, `ROUNDS`, and `SECONDS`, after which no new line is begun, choose.

mod common;
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
#[path = "gpu/scan.rs"]
mod gpu;
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
#[path = "gpu/problem.rs"]
mod problem;

use burn::tensor::{Device, Distribution, Tensor};
use common::{CELL, time_scan};
use core_tensor::assert_close;
use core_tensor::cpu::for_each_task;
use core_tensor::testing::{check_only, median};
use seq_rnn_parallel_scan::scan::reference;
use seq_rnn_parallel_scan::{Cell, ScanOptions, scan};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn random(shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), device)
}

/// Seconds of a copy by all threads.
fn time_copy(from: &[f32], to: &mut [f32]) -> f64 {
    let threads = core_tensor::cpu::threads();
    let part = from.len().div_ceil(threads);
    let parts: Vec<_> = to.chunks_mut(part).map(std::sync::Mutex::new).collect();
    let start = Instant::now();
    for_each_task(parts.len(), |i| {
        let mut to = parts[i].lock().expect("no panic");
        let len = to.len();
        to.copy_from_slice(&from[i * part..][..len]);
    });
    start.elapsed().as_secs_f64()
}

fn main() {
    #[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
    if std::env::var_os("GPU").is_some() {
        return gpu::run();
    }
    let device = Device::flex();
    if check_only() {
        for cell in [Cell::Linear, CELL] {
            let planes = random([2, 70, 2 * 33], &device);
            let got = scan(cell, planes.clone(), ScanOptions::default());
            let want = reference::scan(cell, planes, ScanOptions::default());
            assert_close!(got.states, want.states, 1e-5, 1e-6);
        }
        println!("all problems agree with the reference");
        return;
    }
    let rounds = 9;
    println!(
        "{} threads, median of {rounds} interleaved rounds, f32",
        core_tensor::cpu::threads()
    );

    println!("\n| scan, batch × time × channels | GB/s (2 reads, 1 write) | copy, GB/s | share |");
    println!("|---|---|---|---|");
    for shape in [
        [4, 16_384, 512],
        [64, 512, 1024],
        [8, 4096, 1024],
        [1, 65_536, 512],
    ] {
        let (a, b) = (random(shape, &device), random(shape, &device));
        let len: usize = shape.iter().product();
        let from = vec![1.0_f32; len * 3 / 2];
        let mut to = vec![0.0_f32; len * 3 / 2];
        let (mut ours, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..=rounds {
            ours.push(12.0 * len as f64 / time_scan(&a, &b) / 1e9);
            copies.push(12.0 * len as f64 / time_copy(&from, &mut to) / 1e9);
        }
        let share = median(
            ours.iter()
                .zip(&copies)
                .skip(1)
                .map(|(o, c)| o / c)
                .collect(),
        );
        let [batch, time, width] = shape;
        println!(
            "| {batch} × {time} × {width} | {:.1} | {:.1} | {:.0} % |",
            median(ours.split_off(1)),
            median(copies.split_off(1)),
            100.0 * share
        );
    }

    println!("\n| time, 4 × T × 64 channels | ms | ns per element |");
    println!("|---|---|---|");
    let mut by_length = Vec::new();
    for time in [4096, 8192, 16_384, 32_768] {
        let (a, b) = (
            random([4, time, 64], &device),
            random([4, time, 64], &device),
        );
        let seconds = median((0..rounds).map(|_| time_scan(&a, &b)).collect());
        by_length.push(seconds);
        println!(
            "| {time} | {:.3} | {:.3} |",
            1e3 * seconds,
            1e9 * seconds / (4 * time * 64) as f64
        );
    }
    println!(
        "\ntime(32768) / time(4096) = {:.2}",
        by_length[3] / by_length[0]
    );
}
