//! Memory of one call, as the operating system counts it: the largest resident set during the call less that before it and
//! the gradients that stay. Linux only.
//!
//! `cargo bench -p fused-ce-loss --bench memory` starts itself once per case, so that no case finds memory that an earlier one
//! left. N = 2048, D = 640, V = 262144 in f32, the size of Gemma 3 270M, where the logits alone take 2.1 GB.

use burn::tensor::{Device, Distribution, Int, Tensor};
use fused_ce_loss::{LossConfig, Plan, linear_cross_entropy, reference};
use std::process::Command;

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
    let options = LossConfig::new()
        .with_plan(Plan::Recompute)
        .build()
        .expect("options");
    // Threads, allocator and lookups are there before the count begins.
    let (small, few) = (normal([8, d]), normal([64, d]).require_grad());
    let zeros = Tensor::<1, Int>::zeros([8], &device);
    linear_cross_entropy(small, few, zeros, &options)
        .loss
        .backward();
    let before = status("VmRSS").expect("/proc");
    assert!(reset_peak(), "cannot reset the peak");
    let (loss, report) = if case == "materialised" {
        let out = reference::linear_cross_entropy(hidden, weight, ids, &options);
        (out.loss.clone(), out.report())
    } else {
        let out = linear_cross_entropy(hidden.clone(), weight.clone(), ids, &options);
        let loss = out.loss.clone();
        if backward {
            let grads = loss.backward();
            let peak = status("VmHWM").expect("/proc") - before;
            let gradients = ((n + v) * d * 4) as u64;
            assert!(weight.grad(&grads).is_some() && hidden.grad(&grads).is_some());
            return [
                peak.saturating_sub(gradients),
                gradients,
                out.report().peak_bytes,
            ];
        }
        (loss, out.report())
    };
    let mut gradients = 0;
    if backward {
        let grads = loss.backward();
        gradients = ((n + v) * d * 4) as u64;
        drop(grads);
    } else {
        let _: f32 = loss.into_scalar();
    }
    let peak = status("VmHWM").expect("/proc") - before;
    [peak.saturating_sub(gradients), gradients, report.peak_bytes]
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
    let check =
        !arguments.iter().any(|a| a == "--bench") || arguments.iter().any(|a| a == "--check");
    if status("VmHWM").is_none() || !reset_peak() {
        println!("skipped: needs /proc/self/clear_refs");
        return;
    }
    let shape = if check {
        "256,64,40000"
    } else {
        "2048,640,262144"
    };
    let cases: &[&str] = if check {
        &["forward", "recompute"]
    } else {
        &["forward", "recompute", "materialised"]
    };
    println!(
        "N, D, V = {shape}, f32, {} threads\n",
        core_tensor::cpu::threads()
    );
    println!(
        "| pass | above inputs and gradients, MB | gradients, MB | held by the report, MB |\n|---|---|---|---|"
    );
    for case in cases {
        let own = std::env::current_exe().expect("a path");
        let out = Command::new(own)
            .args(["--case", case, shape])
            .output()
            .expect("a process");
        assert!(
            out.status.success(),
            "{case}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let text = String::from_utf8(out.stdout).expect("text");
        let numbers: Vec<f64> = text
            .split_whitespace()
            .map(|x| x.parse::<f64>().expect("a number") / 1e6)
            .collect();
        println!(
            "| {case} | {:.1} | {:.1} | {:.1} |",
            numbers[0], numbers[1], numbers[2]
        );
        // Of the check: logits would take 41 MB, twice that with their gradient.
        let limit = match (check, *case) {
            (true, _) => 40.0,
            (false, "forward") => 16.0,
            (false, "recompute") => 64.0,
            _ => f64::INFINITY,
        };
        assert!(
            numbers[0] <= limit,
            "{case}: {:.1} MB above {limit} MB",
            numbers[0]
        );
    }
}
