//! This crate beside PyTorch, in turn, on the same arrays, in the same run.
//!
//! `PEER_PYTHON=… cargo bench -p fused-ce-loss --bench peers` (see `benches/peers/README.md`); `FILE=….safetensors` adds a
//! real model's hidden states, `ONLY="train bf16"` chooses. Without a peer it times this crate alone, with `--check` it checks the generator of the
//! arrays.

mod common;

use burn::tensor::{DType, Device};
use common::{Arrays, Digest, Pass, config};
use core_tensor::testing::{check_only, median};
use fused_ce_loss::{Filter, Plan};

use core_tensor::testing::Peer;

// Large buffers are recycled rather than mapped anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds that the peer took, and what came out.
fn ask(peer: &mut Peer, request: &str) -> (f64, Digest) {
    let line = peer.ask(request);
    let numbers = line.split_whitespace().map(|x| x.parse().expect("numbers"));
    let numbers: Vec<f64> = numbers.collect();
    let [
        seconds,
        loss,
        _,
        hidden_rms,
        hidden_dot,
        _,
        weight_rms,
        weight_dot,
    ] = numbers[..]
    else {
        panic!("the peer answers {line:?} to {request:?}");
    };
    let digest = Digest {
        loss,
        hidden_dot,
        weight_dot,
        hidden_rms,
        weight_rms,
    };
    (seconds, digest)
}

/// Asserts that both computed the same.
fn agree(ours: &Digest, theirs: &Digest, dtype: DType, plan: Plan, what: &str) {
    // PyTorch's bf16 loss is rounded to bf16; a filter is an approximation; lse is large beside a real loss.
    let bound = match (dtype, plan) {
        (DType::BF16, _) => 2e-2,
        (_, Plan::Filtered(_)) => 2e-2,
        _ => 1e-3,
    };
    let close = |a: f64, b: f64| (a.is_nan() && b.is_nan()) || (a - b).abs() <= bound * b.abs();
    let pairs = [
        (ours.loss, theirs.loss),
        (ours.hidden_rms, theirs.hidden_rms),
        (ours.weight_rms, theirs.weight_rms),
        (ours.hidden_dot, theirs.hidden_dot),
        (ours.weight_dot, theirs.weight_dot),
    ];
    assert!(
        pairs.iter().all(|&(a, b)| close(a, b)),
        "{what}: {ours:?}, the peer {theirs:?}"
    );
}

/// The generated arrays are those that the peer generates: the values that `benches/peers/README.md` states.
fn check_generator() {
    let arrays = Arrays::generated([7, 5, 11], &Device::flex(), DType::F32);
    let bits = |x: &burn::tensor::Tensor<2>| -> Vec<u32> {
        x.to_data()
            .iter::<f32>()
            .take(3)
            .map(f32::to_bits)
            .collect()
    };
    assert_eq!(
        bits(&arrays.hidden),
        [0x3f4c_7a22, 0x403c_c2a8, 0x40b4_dd74]
    );
    assert_eq!(
        bits(&arrays.weight),
        [0x3da7_0a45, 0x3e64_31d0, 0x3daf_3045]
    );
    let targets: Vec<i64> = arrays.targets.to_data().iter::<i64>().collect();
    assert_eq!(targets, [4, 9, 6, 6, 0, 9, 1]);
    let digest = arrays.run(config(Plan::Store), Pass::Train).2;
    let stated = Digest {
        loss: 3.609_785,
        hidden_dot: 1.975_193,
        weight_dot: 1.975_193,
        hidden_rms: 0.036_640_2,
        weight_rms: 0.410_467,
    };
    agree(
        &digest,
        &stated,
        DType::F32,
        Plan::Store,
        "the generated arrays",
    );
    println!("the generated arrays are as stated");
}

fn main() {
    if check_only() {
        check_generator();
        return;
    }
    let rounds: usize =
        std::env::var("ROUNDS").map_or(5, |n| n.parse().expect("ROUNDS is a number"));
    let mut peer = Peer::start(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/peers/peers.py"
    ));
    let device = Device::flex();
    let f32 = DType::F32;
    let filtered = Plan::Filtered(Filter::default());
    let (small, large) = ([1024, 768, 32000], [2048, 576, 49152]);
    let mut cases = Vec::new();
    for shape in [small, large] {
        for rival in ["linear_ce", "linear_ce_fused", "linear_ce_fused:256"] {
            cases.push((Plan::Store, Pass::Train, f32, shape, rival));
        }
        cases.push((Plan::Recompute, Pass::Train, f32, shape, "linear_ce"));
        cases.push((Plan::Recompute, Pass::Forward, f32, shape, "linear_ce"));
        cases.push((Plan::ForwardGradient, Pass::Frozen, f32, shape, "linear_ce"));
        cases.push((Plan::Store, Pass::Ignored, f32, shape, "linear_ce"));
        for plan in [Plan::Store, Plan::Recompute] {
            cases.push((plan, Pass::Train, DType::BF16, shape, "linear_ce"));
        }
    }
    let mut cases: Vec<_> = cases.into_iter().map(|c| (c, None)).collect();
    if let Ok(path) = std::env::var("FILE") {
        let shape = Arrays::stored(&path, &device, f32).shape();
        for plan in [Plan::Store, Plan::Recompute, filtered] {
            cases.push((
                (plan, Pass::Train, f32, shape, "linear_ce"),
                Some(path.clone()),
            ));
        }
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    let threads = core_tensor::cpu::threads();
    println!("{threads} threads, median of {rounds} interleaved rounds\n");
    println!(
        "| plan | pass | dtype | N, D, V | this crate, ms | held, MB | peer | peer, ms | time of this crate |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for ((plan, pass, dtype, shape, rival), file) in cases {
        let [n, d, v] = shape;
        let name = if dtype == f32 { "f32" } else { "bf16" };
        let path = file
            .as_ref()
            .map_or_else(String::new, |path| format!(" {path}"));
        let request = format!("{rival} {} {name} {n} {d} {v}{path}", pass.name());
        if !only.is_empty() && !format!("{plan:?} {request}").contains(&only) {
            continue;
        }
        let arrays = match &file {
            Some(path) => Arrays::stored(path, &device, dtype),
            None => Arrays::generated(shape, &device, dtype),
        };
        let (mut ours, mut theirs, mut held) = (Vec::new(), Vec::new(), 0);
        for round in 0..=rounds {
            let (seconds, out, digest) = arrays.run(config(plan), pass);
            held = out.report().peak_bytes;
            drop(out);
            let their = peer.as_mut().map(|p| ask(p, &request));
            if let Some((_, their)) = &their {
                agree(&digest, their, dtype, plan, &request);
            }
            // The first round warms up.
            if round > 0 {
                ours.push(seconds);
                theirs.extend(their.map(|t| t.0));
            }
        }
        let (their, ratio) = if theirs.is_empty() {
            ("–".into(), "–".into())
        } else {
            let ratio = median(ours.iter().zip(&theirs).map(|(o, t)| o / t).collect());
            (
                format!("{:.0}", 1e3 * median(theirs)),
                format!("{ratio:.2}×"),
            )
        };
        let plan = match plan {
            Plan::Filtered(_) => "filtered".into(),
            plan => format!("{plan:?}"),
        };
        let data = if file.is_some() {
            ", a real model's"
        } else {
            ""
        };
        println!(
            "| {plan} | {} | {name} | {n}, {d}, {v}{data} | {:.0} | {:.1} | {rival} | {their} | {ratio} |",
            pass.name(),
            1e3 * median(ours),
            held as f64 / 1e6,
        );
    }
}
