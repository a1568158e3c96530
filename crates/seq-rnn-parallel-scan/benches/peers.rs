//! This crate beside PyTorch, in turn, on the same machine in the same run.
//!
//! `PEER_PYTHON=… cargo bench -p seq-rnn-parallel-scan --bench peers` (see `benches/peers/peer.py`);
//! without a peer it times this crate alone, with `--check` it only checks the problems.

mod common;

use burn::tensor::Device;
use common::{Kind, Pass, Problem};
use core_tensor::testing::{check_only, median};

use core_tensor::testing::Peer;

// Large buffers are recycled rather than mapped anew, as PyTorch's allocator does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds that the peer took.
fn ask(peer: &mut Peer, kind: &str, pass: Pass, [batch, time, width]: [usize; 3]) -> f64 {
    let pass = if pass == Pass::Forward {
        "forward"
    } else {
        "train"
    };
    let line = peer.ask(&format!("{kind} {pass} {batch} {time} {width}"));
    line.trim().parse().expect("the peer answers seconds")
}

fn main() {
    let device = Device::flex();
    if check_only() {
        for kind in [Kind::Op, Kind::Layer] {
            for shape in [[2, 33, 48], [1, 257, 64]] {
                Problem::new(kind, shape, &device).check();
            }
        }
        println!("all problems agree with the reference");
        return;
    }
    let rounds: usize =
        std::env::var("ROUNDS").map_or(7, |n| n.parse().expect("ROUNDS is a number"));
    let mut peer = Peer::start(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/peers/peer.py"
    ));
    println!(
        "{} threads, median of {rounds} interleaved rounds, f32",
        core_tensor::cpu::threads()
    );
    println!("| what | pass | batch × time × width | this crate, ms | peer | peer, ms | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let big = [4, 4096, 384];
    let paper = [64, 512, 64];
    let mut cases = Vec::new();
    for shape in [big, paper] {
        for pass in [Pass::Forward, Pass::Train] {
            cases.push((Kind::Op, pass, shape, "op"));
            cases.push((Kind::Layer, pass, shape, "layer"));
        }
    }
    for shape in [
        [4, 4096, 384],
        [8, 512, 256],
        [64, 512, 64],
        [8, 64, 256],
        [64, 64, 64],
    ] {
        cases.push((Kind::Layer, Pass::Train, shape, "gru"));
    }
    for (kind, pass, shape, rival) in cases {
        let problem = Problem::new(kind, shape, &device);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let (our, their) = (
                problem.time(pass),
                peer.as_mut().map(|p| ask(p, rival, pass, shape)),
            );
            // The first round warms up.
            if round > 0 {
                ours.push(our);
                theirs.extend(their);
            }
        }
        let name = match rival {
            "op" => "minGRU-pytorch, chain",
            "layer" => "minGRU-pytorch, layer",
            _ => "torch nn.GRU",
        };
        let ratio = |theirs: &[f64]| median(theirs.iter().zip(&ours).map(|(t, o)| t / o).collect());
        let (their, ratio) = if theirs.is_empty() {
            ("–".into(), "–".into())
        } else {
            (
                format!("{:.2}", 1e3 * median(theirs.clone())),
                format!("{:.1}×", ratio(&theirs)),
            )
        };
        let [batch, time, width] = shape;
        println!(
            "| {kind:?} | {pass:?} | {batch} × {time} × {width} | {:.2} | {name} | {their} | {ratio} |",
            1e3 * median(ours.clone())
        );
    }
}
