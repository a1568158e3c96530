//! Time per rotation of Wigner D matrices up to a degree, forward and with gradients, on one batch:
//! `cargo run -p e3nn-tensorprod --example wigner_d_time`.

use burn::tensor::{DType, Device, Tensor, TensorData};
use e3nn_tensorprod::rotation::{Rotation, edge_frame};
use e3nn_tensorprod::wigner::{wigner_d_all, wigner_d_from_matrix, wigner_d_reference};
use rand::SeedableRng;
use std::time::Instant;

const BATCH: usize = 4096;
const ROUNDS: usize = 7;

/// The fastest of some rounds, in µs per rotation.
fn fastest(mut f: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    });
    rounds.fold(f64::INFINITY, f64::min) * 1e6 / BATCH as f64
}

fn main() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let rotations: Vec<_> = (0..BATCH).map(|_| Rotation::random(&mut rng)).collect();
    let directions: Vec<f64> = rotations
        .iter()
        .flat_map(|r| r.apply([0.0, 1.0, 0.0]))
        .collect();
    println!("{BATCH} rotations, µs per rotation, l = 0..=lmax");
    for dtype in [DType::F32, DType::F64] {
        for lmax in [2, 4, 6] {
            let vectors = |device: &Device| -> Tensor<2> {
                Tensor::from_data(
                    TensorData::new(directions.clone(), [BATCH, 3]),
                    (device, dtype),
                )
            };
            let frames = edge_frame(vectors(&Device::flex()));
            let batched = fastest(|| {
                let all = wigner_d_from_matrix(lmax, frames.clone());
                drop(all.into_iter().map(|d| d.into_data()).collect::<Vec<_>>());
            });
            let reference = fastest(|| {
                let all = wigner_d_reference(lmax, frames.clone());
                drop(all.into_iter().map(|d| d.into_data()).collect::<Vec<_>>());
            });
            let tracked = vectors(&Device::flex().autodiff()).require_grad();
            let gradients = fastest(|| {
                let all = wigner_d_from_matrix(lmax, edge_frame(tracked.clone()));
                let sums = all.into_iter().map(|d| d.square().sum());
                let loss = sums.reduce(|a, b| a + b).expect("degrees");
                drop(tracked.grad(&loss.backward()));
            });
            println!(
                "{dtype:?} lmax {lmax}: forward {batched:.2} (reference {reference:.2}), from vectors with gradients {gradients:.2}"
            );
        }
    }
    for lmax in [2, 4, 6] {
        let single = fastest(|| {
            for rotation in &rotations {
                std::hint::black_box(wigner_d_all(lmax, *rotation));
            }
        });
        println!("one at a time, f64, lmax {lmax}: {single:.2}");
    }
}
