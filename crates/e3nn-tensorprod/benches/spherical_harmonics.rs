//! Spherical harmonics beside sphericart and e3nn, in turn, on the same machine in the same run.
//!
//! `PEER_PYTHON=… RAYON_NUM_THREADS=1 cargo bench -p e3nn-tensorprod --bench spherical_harmonics` (see
//! `benches/peers/harmonics.py`); without a peer it times this crate alone, with `--check` it only checks the problems.

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::testing::{Peer, differences};
use e3nn_tensorprod::sh::{
    Evaluator, Normalization, Scalar, Spec, reference, spherical_harmonics,
    spherical_harmonics_gradient,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use std::time::Instant;

/// Bytes of values and gradients per call: what stays in the second-level cache, so that the evaluation is timed and not
/// the page faults of a fresh output.
const OUTPUT: usize = 1 << 20;
/// Calls of which a round takes the shortest; the peer does the same.
const CALLS: usize = 20;

fn vectors<T: Scalar>(points: usize) -> Vec<[T; 3]> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut draw = || T::from_f64(rng.random_range(-1.5..1.5));
    (0..points).map(|_| [draw(), draw(), draw()]).collect()
}

fn degrees(lmax: usize) -> Vec<usize> {
    (0..=lmax).collect()
}

/// The shortest of several calls.
fn seconds(mut f: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    (0..CALLS).map(once).fold(f64::INFINITY, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Compares values, gradients and the gradient op with the reference, in f64.
fn check(lmax: usize) {
    let (points, degrees) = (37, degrees(lmax));
    let all = vectors::<f64>(points);
    let n = Normalization::Component;
    let got = Evaluator::<f64>::new(&degrees, false, n).values_and_gradients(&all);
    let device = Device::flex();
    let data = TensorData::new(all.concat(), [points, 3]);
    let v = Tensor::<2>::from_data(data, (&device, DType::F64));
    let spec = Spec {
        degrees: degrees.clone().into(),
        normalize: false,
        normalization: n,
    };
    let list = |x: Tensor<2>| -> Vec<f64> { x.into_data().iter::<f64>().collect() };
    let want = list(reference::spherical_harmonics(&spec, v.clone().into()).value);
    let scale = want.iter().fold(1.0_f64, |m, y| m.max(y.abs()));
    assert_eq!(
        differences(&got.values, &want, 1e-12, 1e-13 * scale).worst,
        None
    );
    let ones = Tensor::ones([points, spec.dim()], (&device, DType::F64));
    let want = list(reference::gradient(&spec, v.clone(), ones.clone()));
    let op = list(spherical_harmonics_gradient(&degrees, v, ones, false, n));
    let sums: Vec<f64> = got
        .gradients
        .chunks(spec.dim())
        .map(|row| row.iter().sum())
        .collect();
    let scale = want.iter().fold(1.0_f64, |m, y| m.max(y.abs()));
    assert_eq!(differences(&sums, &want, 1e-11, 1e-12 * scale).worst, None);
    assert_eq!(differences(&op, &want, 1e-11, 1e-12 * scale).worst, None);
}

struct Bench {
    peer: Option<Peer>,
    rounds: usize,
}

impl Bench {
    /// One line of the table: our nanoseconds per point, the peer's, and the median of the ratios.
    fn line(&mut self, what: &str, request: &str, points: usize, mut ours: impl FnMut()) {
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for round in 0..=self.rounds {
            let our = seconds(&mut ours);
            let their = self.peer.as_mut().map(|peer| {
                let line = peer.ask(request);
                line.trim()
                    .parse::<f64>()
                    .expect("the peer answers seconds")
            });
            // The first round warms up.
            if round > 0 {
                our_times.push(our);
                their_times.extend(their);
            }
        }
        let each = 1e9 / points as f64;
        let (mut their, mut ratio) = ("–".to_owned(), "–".to_owned());
        if !their_times.is_empty() {
            let ratios = our_times.iter().zip(&their_times).map(|(o, t)| o / t);
            ratio = format!("{:.2}", median(ratios.collect()));
            their = format!("{:.1}", median(their_times) * each);
        }
        println!(
            "| {what} | {:.1} | {their} | {ratio} |",
            median(our_times) * each
        );
    }

    fn dtype<T: Scalar>(&mut self, name: &str, dtype: DType) {
        let rounds = self.rounds;
        for lmax in [1, 2, 3, 4, 6, 8, 11] {
            let dim = (lmax + 1) * (lmax + 1);
            let points = (OUTPUT / (4 * dim * size_of::<T>())).min(100_000);
            let all = vectors::<T>(points);
            let evaluator = Evaluator::<T>::new(&degrees(lmax), false, Normalization::Component);
            let request =
                |library: &str, pass: &str| format!("{library} {name} {lmax} {points} {pass}");
            let what = |peer: &str, pass: &str| format!("{peer} | {name} | {lmax} | {pass}");
            self.line(
                &what("sphericart", "values"),
                &request("sphericart", "forward"),
                points,
                || {
                    black_box(evaluator.values(&all));
                },
            );
            let pass = "values and gradients";
            self.line(
                &what("sphericart", pass),
                &request("sphericart", "gradients"),
                points,
                || {
                    black_box(evaluator.values_and_gradients(&all));
                },
            );
            // e3nn is slow: fewer rounds suffice.
            self.rounds = rounds.min(5);
            let device = Device::flex().autodiff();
            let flat: Vec<f64> = all
                .as_flattened()
                .iter()
                .map(|&x| core_tensor::cpu::Real::to_f64(x))
                .collect();
            let v = Tensor::<2>::from_data(TensorData::new(flat, [points, 3]), (&device, dtype))
                .require_grad();
            self.line(
                &what("e3nn", "op, forward and backward"),
                &request("e3nn", "gradients"),
                points,
                || {
                    let y = spherical_harmonics(
                        &degrees(lmax),
                        v.clone(),
                        false,
                        Normalization::Component,
                    );
                    black_box(y.sum().backward());
                },
            );
            self.rounds = rounds;
        }
    }
}

fn main() {
    for lmax in [1, 2, 3, 4, 6, 8, 11] {
        check(lmax);
    }
    if !std::env::args().any(|a| a == "--bench") || std::env::args().any(|a| a == "--check") {
        println!("all problems agree with the reference");
        return;
    }
    let rounds = std::env::var("ROUNDS").map_or(9, |n| n.parse().expect("ROUNDS is a number"));
    let peer = Peer::start(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/peers/harmonics.py"
    ));
    println!(
        "{} threads, median of {rounds} interleaved rounds, each the best of {CALLS} calls",
        core_tensor::cpu::threads()
    );
    println!("| peer | dtype | lmax | pass | this crate, ns/point | peer, ns/point | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let mut bench = Bench { peer, rounds };
    bench.dtype::<f32>("float32", DType::F32);
    bench.dtype::<f64>("float64", DType::F64);
}
