//! The GELU in one pass against Burn's, on the CPU.
//!
//! `cargo bench -p seq-rnn-parallel-scan --bench gelu`; with `--check` it only checks.

mod common;

use burn::tensor::activation::gelu as burns;
use burn::tensor::{Device, Distribution, Tensor};
use core_tensor::assert_close;
use core_tensor::testing::{check_only, median};
use seq_rnn_parallel_scan::gelu;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Gelu = fn(Tensor<2>) -> Tensor<2>;

/// Milliseconds of a forward pass, or of a forward and a backward pass where `x` is tracked.
fn time(gelu: Gelu, x: &Tensor<2>, tracked: bool) -> f64 {
    let start = Instant::now();
    let y = gelu(x.clone());
    if tracked {
        drop(y.sum().backward());
    }
    1e3 * start.elapsed().as_secs_f64()
}

fn main() {
    let device = Device::flex();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 2.0), &device);
    if check_only() {
        let x = random([70, 33]);
        assert_close!(gelu(x.clone()), burns(x), 1e-6, 1e-6);
        println!("the GELU agrees with Burn's");
        return;
    }
    let rounds = 15;
    println!(
        "{} threads, median of {rounds} interleaved rounds, f32, ms",
        core_tensor::cpu::threads()
    );
    println!("\n| rows × width | pass | Burn | here | ratio |");
    println!("|---|---|---|---|---|");
    for shape in [[2048, 512], [16_384, 1536]] {
        let plain = random(shape);
        let tracked = Tensor::from_data(plain.to_data(), &device.clone().autodiff()).require_grad();
        for (pass, x) in [("forward", &plain), ("with backward", &tracked)] {
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                theirs.push(time(burns, x, pass != "forward"));
                ours.push(time(gelu, x, pass != "forward"));
            }
            let (theirs, ours) = (median(theirs), median(ours));
            let [rows, width] = shape;
            println!(
                "| {rows} × {width} | {pass} | {theirs:.2} | {ours:.2} | {:.1}× |",
                theirs / ours
            );
        }
    }
}
