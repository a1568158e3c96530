//! Damage of every kind is noticed, the file is named, and the state before loads.

use std::fs;

use burn::tensor::Device;
use core_tensor::resume::rand::Rng;
use core_tensor::resume::{CheckpointStore, ResumeError, RngStream};

use crate::model::Run;
use crate::{Fixture, HIDDEN, files, put};

#[test]
fn every_truncation_of_every_file_is_rejected() {
    let fixture = Fixture::new();
    let mut cases = 0;
    for path in files(&fixture.newest()) {
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            // The manifest's last byte is a line feed, which it can do without.
            if path.ends_with("MANIFEST.json") && length + 1 == whole.len() {
                continue;
            }
            put(&path, &whole[..length]);
            let saved = fixture.latest();
            assert_eq!(saved.state.step, 7, "{} cut to {length}", path.display());
            assert_eq!(saved.rejected.len(), 1);
            assert_eq!(saved.rejected[0].file, path);
            cases += 1;
        }
        put(&path, &whole[..whole.len() / 2]);
        let text = fixture.assert_rejected(&path, "half");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        // Longer is as wrong as shorter.
        put(&path, [&whole[..], b"x"].concat());
        fixture.assert_rejected(&path, "one byte more");
        put(&path, &whole);
    }
    assert_eq!(fixture.latest().state.step, 9);
    println!("{cases} truncations rejected");
}

#[test]
fn flipped_bits_are_rejected_or_change_nothing() {
    let fixture = Fixture::new();
    let whole = Run::load(fixture.latest(), HIDDEN, &Device::default()).unwrap();
    let seed = 11;
    let mut rng = RngStream::new(seed, "flips", 0);
    let (mut flips, mut harmless) = (0, 0);
    for path in files(&fixture.newest()) {
        let before = fs::read(&path).unwrap();
        let manifest = path.ends_with("MANIFEST.json");
        // All bits of the manifest, which is not covered by a digest, and random ones elsewhere.
        let count = if manifest { 8 * before.len() } else { 500 };
        for case in 0..count {
            let bit = if manifest {
                case
            } else {
                rng.random_range(0..8 * before.len())
            };
            let mut bytes = before.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            put(&path, &bytes);
            flips += 1;
            let saved = fixture.latest();
            if saved.state.step == 7 {
                assert_eq!(saved.rejected.len(), 1);
                assert!(saved.rejected[0].directory == fixture.newest());
                // A flip in a name or size in the manifest shows up at the file it speaks of.
                assert!(
                    saved.rejected[0].file == path || manifest,
                    "{}",
                    saved.rejected[0]
                );
                continue;
            }
            assert!(
                manifest,
                "a flip of bit {bit} of {} went unnoticed",
                path.display()
            );
            harmless += 1;
            let run = Run::load(saved, HIDDEN, &Device::default()).unwrap();
            assert_eq!(run.state, whole.state);
            assert_eq!(run.model.bits(), whole.model.bits());
        }
        put(&path, &before);
    }
    println!(
        "{flips} flips: {} rejected, {harmless} harmless",
        flips - harmless
    );
    assert!(harmless * 20 < flips, "{harmless} of {flips}");
}

#[test]
fn a_missing_file_is_rejected_and_an_extra_one_ignored() {
    let fixture = Fixture::new();
    for path in files(&fixture.newest()) {
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fixture.assert_rejected(&path, "missing");
        fs::create_dir(&path).unwrap();
        let text = fixture.assert_rejected(&path, "a directory");
        assert!(text.ends_with("it is not a regular file"), "{text}");
        fs::remove_dir(&path).unwrap();
        put(&path, whole);
    }
    fs::write(fixture.newest().join("notes.txt"), "mine").unwrap();
    fs::create_dir(fixture.newest().join("plots")).unwrap();
    fs::write(fixture.run.join("log.txt"), "mine").unwrap();
    fs::write(fixture.run.join("step-9"), "not a name of ours").unwrap();
    assert_eq!(fixture.latest().state.step, 9);
}

#[test]
fn half_written_directories_are_ignored_and_removed_at_the_next_save() {
    let fixture = Fixture::new();
    for (name, count) in [
        (".tmp-step-000000011", 2),
        (".trash-step-000000005", 3),
        (".tmp-x", 0),
    ] {
        fs::create_dir(fixture.run.join(name)).unwrap();
        for path in files(&fixture.newest()).iter().take(count) {
            let bytes = fs::read(path).unwrap();
            let half = &bytes[..bytes.len() / 2];
            fs::write(fixture.run.join(name).join(path.file_name().unwrap()), half).unwrap();
        }
    }
    let saved = fixture.latest();
    assert_eq!((saved.state.step, saved.rejected.len()), (9, 0));
    let store = CheckpointStore::open(&fixture.run).unwrap();
    let run = Run::load(saved, HIDDEN, &Device::default())
        .unwrap()
        .train_to(11);
    run.save(&store).unwrap();
    let names: Vec<_> = files(&fixture.run);
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_half_written_state_under_its_final_name_is_rejected() {
    // It cannot happen to a save, but it can to a copy.
    let fixture = Fixture::new();
    let all: Vec<_> = files(&fixture.newest())
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    for present in 0..all.len() {
        for (_, path) in &all {
            let _ = fs::remove_file(path);
        }
        for (bytes, path) in &all[..present] {
            put(path, bytes);
        }
        let saved = fixture.latest();
        assert_eq!((saved.state.step, saved.rejected.len()), (7, 1));
    }
}

#[test]
fn a_file_that_changes_after_it_was_verified_is_not_loaded() {
    let fixture = Fixture::new();
    let saved = fixture.latest();
    let path = fixture.newest().join("model.bpk");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    put(&path, bytes);
    match Run::load(saved, HIDDEN, &Device::default()).err() {
        Some(ResumeError::Rejected(rejected)) => assert_eq!(rejected.file, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn when_nothing_verifies_that_is_an_error_and_not_a_fresh_start() {
    let fixture = Fixture::new();
    for step in ["step-000000007", "step-000000009"] {
        fs::write(fixture.run.join(step).join("optim.bpk"), "gone").unwrap();
    }
    let store = CheckpointStore::open(&fixture.run).unwrap();
    let error = store.latest().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ResumeError::NoneUsable { rejected, .. } if rejected.len() == 2));
    assert!(
        text.contains("step-000000007") && text.contains("step-000000009"),
        "{text}"
    );
}
