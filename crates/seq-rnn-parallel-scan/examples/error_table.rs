//! Prints the table of docs, chapter Numerics: error of the scans in f32 against f64, by length and gate
//! bias. `cargo run --release -p seq-rnn-parallel-scan --example error_table`

use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{DType, Device, Distribution, Tensor};
use seq_rnn_parallel_scan::scan::reference::{activate, heinsen_scan, log_g};
use seq_rnn_parallel_scan::{Candidate, ScanOptions, Transition, linear_scan, log_scan, min_gru};

/// Largest error relative to the exact state, all of which are positive.
fn error(got: Tensor<3>, want: &[f64]) -> f64 {
    let got = got.into_data();
    let got = got.iter::<f64>();
    got.zip(want)
        .map(|(g, w)| {
            if g.is_nan() {
                f64::INFINITY
            } else {
                (g - w).abs() / w
            }
        })
        .fold(0.0, f64::max)
}

fn main() {
    let device = Device::flex();
    println!(
        "minGRU with candidate g, gate logits N(bias, 1), 32 channels: largest relative error of a state\n"
    );
    println!("| gate bias | steps | fused, linear space | log space, associative | Heinsen |");
    println!("|---|---|---|---|---|");
    for bias in [-6.0, 0.0, 6.0] {
        for time in [256, 4096, 65_536] {
            device.seed(5);
            let normal =
                || Tensor::<3>::random([1, time, 32], Distribution::Normal(0.0, 1.0), &device);
            let (k, v) = (normal() + bias, normal());
            let options = ScanOptions::default;
            let want = {
                let (k, v) = (k.clone().cast(DType::F64), v.clone().cast(DType::F64));
                let b = sigmoid(k.clone()) * activate(Candidate::G, v);
                linear_scan(sigmoid(-k), b, options()).states.into_data()
            };
            let want: Vec<f64> = want.iter::<f64>().collect();
            let fused = min_gru(
                [k.clone(), v.clone()],
                Candidate::G,
                Transition::Positive,
                options(),
            );
            let (log_a, log_b) = (log_sigmoid(-k.clone()), log_sigmoid(k) + log_g(v));
            let log = log_scan(log_a.clone(), log_b.clone(), options());
            println!(
                "| {bias:+} | {time} | {:.1e} | {:.1e} | {:.1e} |",
                error(fused.states, &want),
                error(log.states.exp(), &want),
                error(heinsen_scan(log_a, log_b), &want)
            );
        }
    }
}
