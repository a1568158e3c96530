//! Memory of one call, as the operating system counts it: the largest resident set during the call less that before it and
//! the gradients that stay. Linux only.
//!
//! `cargo bench -p fused-ce-loss --bench memory` starts itself once per case, so that no case finds memory that an earlier one
//! left; `SVG=/path/picture.svg` draws the result. N = 2048 and D = 640 in f32; the largest V is that of Gemma 3 270M, where the
//! logits alone take 2.1 GB.

#[path = "memory/picture.rs"]
mod picture;

use burn::tensor::{Device, Distribution, Int, Tensor};
use fused_ce_loss::{LossConfig, Plan, linear_cross_entropy, reference};
use std::process::Command;

const SIZES: [usize; 4] = [32_768, 65_536, 131_072, 262_144];

/// Bytes that `/proc/self/status` states under a key.
fn status(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Forgets the largest resident set so far.
fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Bytes above inputs and gradients, gradients, and what the call reported.
fn measure(case: &str, [n, d, v]: [usize; 3]) -> [u64; 3] {
    let device = Device::flex().autodiff();
    let normal = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 0.05), &device);
    let backward = case != "forward";
    let (mut hidden, mut weight) = (normal([n, d]), normal([v, d]));
    if backward {
        (hidden, weight) = (hidden.require_grad(), weight.require_grad());
    }
    let ids = Tensor::<1, Int>::random([n], Distribution::Uniform(0.0, v as f64), &device);
    let plan = if case == "store" {
        Plan::Store
    } else {
        Plan::Recompute
    };
    let options = LossConfig::new().with_plan(plan).build().expect("options");
    // Code and lookups are there before the count begins.
    let zeros = Tensor::<1, Int>::zeros([8], &device);
    let small = linear_cross_entropy(
        normal([8, d]),
        normal([64, d]).require_grad(),
        zeros,
        &options,
    );
    drop(small.loss.backward());
    let before = status("VmRSS").expect("/proc");
    assert!(reset_peak(), "cannot reset the peak");
    let (e, c) = (hidden.clone(), weight.clone());
    let out = if case == "materialised" {
        reference::linear_cross_entropy(e, c, ids, &options)
    } else {
        linear_cross_entropy(e, c, ids, &options)
    };
    let mut gradients = 0;
    if backward {
        let grads = out.loss.backward();
        for x in [&hidden, &weight] {
            gradients += x.grad(&grads).expect("a gradient").shape().num_elements() as u64 * 4;
        }
    } else {
        let _: f32 = out.loss.clone().into_scalar();
    }
    let peak = status("VmHWM").expect("/proc").saturating_sub(before);
    [
        peak.saturating_sub(gradients),
        gradients,
        out.report().peak_bytes,
    ]
}

/// The case in a process of its own; megabytes.
fn run(case: &str, shape: [usize; 3]) -> [f64; 3] {
    let own = std::env::current_exe().expect("a path");
    let shape = shape.map(|x| x.to_string()).join(",");
    let out = Command::new(own)
        .args(["--case", case, &shape])
        .output()
        .expect("a process");
    assert!(
        out.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).expect("text");
    let mut numbers = text
        .split_whitespace()
        .map(|x| x.parse::<f64>().expect("a number") / 1e6);
    [0; 3].map(|_| numbers.next().expect("three numbers"))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--case") {
        let shape = arguments[at + 2]
            .split(',')
            .map(|x| x.parse().expect("a number"));
        let shape: Vec<usize> = shape.collect();
        let [above, gradients, reported] =
            measure(&arguments[at + 1], shape.try_into().expect("three"));
        println!("{above} {gradients} {reported}");
        return;
    }
    if status("VmHWM").is_none() || !reset_peak() {
        println!("skipped: needs /proc/self/clear_refs");
        return;
    }
    if !arguments.iter().any(|a| a == "--bench") || arguments.iter().any(|a| a == "--check") {
        // Logits would take 41 MB, and their gradient as much again.
        for case in ["forward", "recompute"] {
            let [above, ..] = run(case, [256, 64, 40_000]);
            assert!(above <= 30.0, "{case}: {above:.1} MB");
        }
        println!("memory stays below that of the logits");
        return;
    }
    println!(
        "N 2048, D 640, f32, {} threads; MB above inputs and gradients, of which reported\n",
        core_tensor::cpu::threads()
    );
    println!("| V | gradients | forward only | recompute | store | logits in memory |");
    println!("|---|---|---|---|---|---|");
    let cases = ["forward", "recompute", "store", "materialised"];
    let mut curves = cases.map(|_| Vec::new());
    for v in SIZES {
        let mut cells = String::new();
        let mut gradients = 0.0_f64;
        for (case, curve) in cases.iter().zip(&mut curves) {
            let [above, own, reported] = run(case, [2048, 640, v]);
            gradients = gradients.max(own);
            let told = if *case == "materialised" {
                String::new()
            } else {
                format!(" ({reported:.1})")
            };
            cells += &format!(" | {above:.1}{told}");
            curve.push(above);
            let limit = match *case {
                "forward" => 16.0,
                "recompute" => 64.0,
                _ => f64::INFINITY,
            };
            assert!(above <= limit, "{case}, V {v}: {above:.1} MB");
        }
        println!("| {v} | {gradients:.0}{cells} |");
    }
    if let Ok(path) = std::env::var("SVG") {
        let names = ["forward only", "recompute", "store", "logits in memory"];
        let curves: Vec<_> = names.into_iter().zip(curves).collect();
        std::fs::write(&path, picture::draw(&SIZES, &curves))
            .unwrap_or_else(|e| panic!("{path}: {e}"));
    }
}
