//! Passes on a GPU: time, and the bandwidth at which they move what has to be moved at least.

use super::{Problem, number, rms};
use burn::tensor::Tensor;
use core_tensor::testing::{check_only, gpu_device, median};
use e3nn_tensorprod::Layout;
use std::time::Instant;

/// Bytes per second at which a tensor of weights is read and written.
fn copy_rate(w: &Tensor<2>, rounds: usize, now: &dyn Fn() -> f64) -> f64 {
    let bytes = 2.0 * 4.0 * w.dims().iter().product::<usize>() as f64;
    let run = |_| {
        let start = now();
        let copy = w.clone() * 1.5;
        let seconds = now() - start;
        drop(copy);
        seconds
    };
    let seconds: Vec<f64> = (0..=rounds).map(run).skip(1).collect();
    bytes / median(seconds)
}

/// Values that a pass has to move at least for an edge, of `[x, y, w, out]` values of an edge or its node; the output and its
/// gradient are those of a node and count once for all of its edges.
fn least(pass: &str, [x, y, w, out]: [f64; 4]) -> f64 {
    let forward = x + y + w + out;
    // Inputs and the gradient of the output are read, and the gradients of inputs written; those of features, written for an
    // edge, are read once more for the sum over the edges that leave a node.
    let backward = forward + (w + y + 2.0 * x);
    match pass {
        "forward" => forward,
        "backward" => forward + backward,
        // The same twice, the second time for pairs of values and tangents; harmonics are not asked for a gradient then.
        "force" => forward + backward + 2.0 * (forward + backward - y),
        _ => panic!("no pass {pass}"),
    }
}

/// Prints a table; without `--bench` it only checks that the GPU agrees with the CPU.
pub(super) fn run() {
    let device = gpu_device();
    let (nodes, degree) = if check_only() {
        (4, 6)
    } else {
        (number("NODES", 3200), number("DEGREE", 50))
    };
    let rounds = if check_only() {
        1
    } else {
        number("ROUNDS", 10)
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let (begin, waited) = (Instant::now(), device.clone());
    let now = move || {
        waited.sync().expect("the device answers");
        begin.elapsed().as_secs_f64()
    };
    println!("{nodes} nodes of degree {degree}, f32, median of {rounds} runs\n");
    println!(
        "| case | pass | ns/edge | least bytes per edge | GB/s | of a copy | first run, with compilation, s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for case in ["mace-large", "nequip-32"] {
        if !["forward", "backward", "force"]
            .iter()
            .any(|pass| format!("{case} {pass}").contains(&only))
        {
            continue;
        }
        let small = Problem::new(case, Layout::IrMul, 4, 6);
        let problem = Problem::new(case, Layout::IrMul, nodes, degree);
        let conv = &problem.conv;
        let widths = [
            conv.irreps_in().dim() as f64,
            conv.irreps_sh().dim() as f64,
            conv.weight_numel() as f64,
            conv.irreps_out().dim() as f64 / degree as f64,
        ];
        let tensors = problem.tensors(&device);
        let copy = copy_rate(&tensors[0][2], rounds, &now);
        for pass in ["forward", "backward", "force"] {
            if !format!("{case} {pass}").contains(&only) {
                continue;
            }
            // The first call compiles the kernels.
            let (first, check) = small.run(pass, &small.tensors(&device), &now);
            for (got, want) in check.iter().map(rms).zip(small.run_cpu(pass).1) {
                assert!(
                    (got - want).abs() <= 1e-5 * want,
                    "{case} {pass}: {got}, on the CPU {want}"
                );
            }
            let bytes = 4.0 * least(pass, widths);
            let once = |_| problem.run(pass, &tensors, &now).0;
            once(0);
            let seconds = median((0..rounds).map(once).collect());
            let edges = (nodes * degree) as f64;
            let rate = bytes * edges / seconds;
            println!(
                "| {case} | {pass} | {:.3} | {bytes:.0} | {:.1} | {:.0} % | {first:.2} |",
                1e9 * seconds / edges,
                rate / 1e9,
                100.0 * rate / copy
            );
        }
    }
}
