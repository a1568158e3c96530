//! Kills a training run with SIGKILL again and again; it must end as if nothing had happened.
//!
//! ```text
//! RESUME_KILLS=200 cargo test -p core-tensor --features resume --test resume_kill -- --nocapture
//! ```
//!
//! Without `RESUME_KILLS` it kills for 20 seconds, and at least 10 times.

#![cfg(all(feature = "resume", unix))]
#![allow(missing_debug_implementations, unreachable_pub)]

#[path = "resume/model.rs"]
mod model;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use burn::tensor::Device;
use core_tensor::resume::rand::Rng;
use core_tensor::resume::{CheckpointStore, RngStream};
use model::Run;

const DIRECTORY: &str = "RESUME_TEST_DIRECTORY";
const SEED: &str = "RESUME_TEST_SEED";
const HIDDEN: usize = 32;
/// Steps of one run, and between two saves. An odd pair, so that saves drift over the epochs.
const STEPS: u64 = 2000;
const EVERY: u64 = 7;

/// The victim: resumes, trains, saves. Does nothing unless it was started by the test below.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let device = Device::default();
    let store = CheckpointStore::open(directory).unwrap();
    let mut run = match store.latest().unwrap() {
        Some(saved) => Run::load(saved, HIDDEN, &device).unwrap(),
        None => Run::new(seed, HIDDEN, &device),
    };
    while run.state.step < STEPS {
        run.step();
        if run.state.step.is_multiple_of(EVERY) || run.state.step == STEPS {
            run.save(&store).unwrap();
        }
    }
}

fn start(directory: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[derive(Default, Debug)]
struct Counts {
    kills: u64,
    mid_save: u64,
    mid_removal: u64,
    before_first_save: u64,
    runs: u64,
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_same_bits() {
    let wanted: Option<u64> = std::env::var("RESUME_KILLS")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    println!("seed of the moments: {seed}");
    let mut moments = RngStream::new(seed, "kill", 0);
    let begin = Instant::now();
    let enough = |kills| match wanted {
        Some(wanted) => kills >= wanted,
        None => kills >= 10 && begin.elapsed() > Duration::from_secs(20),
    };
    let mut counts = Counts::default();
    // A run that reaches its end with kills to spare is checked, and the next one begins.
    loop {
        let run_seed = 100 + counts.runs;
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("run");
        let mut reached = 0;
        loop {
            let mut child = start(&directory, run_seed);
            if !enough(counts.kills) {
                std::thread::sleep(Duration::from_micros(moments.random_range(0..250_000)));
                let _ = child.kill();
            }
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(
                status.signal(),
                Some(9),
                "the run failed by itself: {status}"
            );
            counts.kills += 1;
            reached = check(&directory, reached, &mut counts);
        }
        counts.runs += 1;
        let store = CheckpointStore::open(&directory).unwrap();
        let saved = store.latest().unwrap().unwrap();
        assert_eq!(saved.rejected, []);
        let run = Run::load(saved, HIDDEN, &Device::default()).unwrap();
        let whole = Run::new(run_seed, HIDDEN, &Device::default()).train_to(STEPS);
        assert_eq!(run.state, whole.state);
        assert!(run.model.bits() == whole.model.bits(), "the weights differ");
        if enough(counts.kills) {
            break;
        }
    }
    println!(
        "{} kills over {} runs of {STEPS} steps: {} in the middle of a save, {} in the middle of removing \
         an old state, {} before the first save; all runs bit-identical to uninterrupted ones; {:.1} s",
        counts.kills,
        counts.runs,
        counts.mid_save,
        counts.mid_removal,
        counts.before_first_save,
        begin.elapsed().as_secs_f64(),
    );
}

/// After a kill: there is a state unless none had been saved, nothing is rejected, and no step that was
/// once reached is lost. Returns the step.
fn check(directory: &Path, before: u64, counts: &mut Counts) -> u64 {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let name = entry.unwrap().file_name();
        counts.mid_save += u64::from(name.to_str().unwrap().starts_with(".tmp-"));
        counts.mid_removal += u64::from(name.to_str().unwrap().starts_with(".trash-"));
    }
    let saved = CheckpointStore::open_read_only(directory)
        .ok()
        .and_then(|store| store.latest().unwrap());
    let Some(saved) = saved else {
        assert_eq!(before, 0, "a state was there and is gone");
        counts.before_first_save += 1;
        return 0;
    };
    assert_eq!(saved.rejected, []);
    assert!(
        saved.state.step >= before,
        "step {} was reached, {} is left",
        before,
        saved.state.step
    );
    saved.state.step
}
