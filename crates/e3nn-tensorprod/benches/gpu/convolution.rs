//! Forward and backward passes on a GPU: time, and the bandwidth at which they move what has to be moved at least.

use super::{Problem, number, rms};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::testing::{check_only, gpu_device, median};
use e3nn_tensorprod::{Layout, convolve};
use std::time::Instant;

/// Seconds of `f`, and what it returns.
fn time<T>(device: &Device, f: impl FnOnce() -> T) -> (f64, T) {
    device.sync().expect("the device answers");
    let start = Instant::now();
    let result = f();
    device.sync().expect("the device answers");
    (start.elapsed().as_secs_f64(), result)
}

fn tensor(data: &TensorData, device: &Device) -> Tensor<2> {
    Tensor::from_data(data.clone(), (device, DType::F32))
}

/// Bytes per second at which a tensor of weights is read and written.
fn copy_rate(w: &Tensor<2>, rounds: usize) -> f64 {
    let bytes = 2.0 * 4.0 * w.dims().iter().product::<usize>() as f64;
    let run = |_| time(&w.device(), || w.clone() * 1.5).0;
    let seconds: Vec<f64> = (0..=rounds).map(run).skip(1).collect();
    bytes / median(seconds)
}

/// Name, least bytes per edge, and what takes its time.
type Pass<'a> = (&'a str, f64, &'a dyn Fn(usize) -> f64);

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
    println!("{nodes} nodes of degree {degree}, f32, median of {rounds} runs\n");
    println!(
        "| case | pass | ns/edge | least bytes per edge | GB/s | of a copy | first run, with compilation, s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for case in ["mace-large", "nequip-32"] {
        if !case.contains(&only) {
            continue;
        }
        let small = Problem::new(case, Layout::IrMul, 4, 6);
        let [x, y, w] = small.values.each_ref().map(|v| tensor(v, &device));
        let got = rms(&convolve(x, y, w, small.conv.paths(), &small.graph));
        let want = small.run("forward").1[0];
        assert!(
            (got - want).abs() <= 1e-5 * want,
            "{case}: {got}, on the CPU {want}"
        );

        let problem = Problem::new(case, Layout::IrMul, nodes, degree);
        let conv = &problem.conv;
        let values = problem.values.each_ref().map(|v| tensor(v, &device));
        let copy = copy_rate(&values[2], rounds);
        let tracked = || values.clone().map(|t| t.autodiff().require_grad());
        let apply = |[x, y, w]: [Tensor<2>; 3]| convolve(x, y, w, conv.paths(), &problem.graph);
        let forward = |_| time(&device, || apply(values.clone())).0;
        let backward = |_| {
            let inputs = tracked();
            let loss = apply(inputs.clone()).sum();
            time(&device, || (loss.backward(), inputs)).0
        };
        let [x, y, w, out] = [
            conv.irreps_in().dim(),
            conv.irreps_sh().dim(),
            conv.weight_numel(),
            conv.irreps_out().dim(),
        ]
        .map(|n| 4.0 * n as f64);
        let passes: [Pass<'_>; 2] = [
            ("forward", w + x + y + out / degree as f64, &forward),
            // Weights and harmonics are read and their gradients written; features are read, and their gradients written and
            // read once more.
            (
                "backward",
                2.0 * w + 3.0 * x + 2.0 * y + out / degree as f64,
                &backward,
            ),
        ];
        for (pass, bytes, f) in passes {
            let first = f(0);
            let seconds = median((0..rounds).map(f).collect());
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
