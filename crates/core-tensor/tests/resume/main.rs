//! Saving, damaging and loading training states.

#![cfg(feature = "resume")]
#![allow(missing_debug_implementations, unreachable_pub)]

mod damage;
mod dtypes;
mod forged;
mod full_disk;
mod hostile;
mod misuse;
mod model;
mod retention;
mod round_trip;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use core_tensor::resume::{CheckpointStore, Saved};
use model::Run;

const HIDDEN: usize = 5;

/// A directory with two states of one run, at steps 7 and 9.
struct Fixture {
    _dir: tempfile::TempDir,
    run: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let store = CheckpointStore::open(&run).unwrap();
        let training = Run::new(1, HIDDEN, &Device::default()).train_to(7);
        training.save(&store).unwrap();
        training.train_to(9).save(&store).unwrap();
        Self { _dir: dir, run }
    }

    fn newest(&self) -> PathBuf {
        self.run.join("step-000000009")
    }

    fn latest(&self) -> Saved {
        CheckpointStore::open_read_only(&self.run)
            .unwrap()
            .latest()
            .unwrap()
            .unwrap()
    }

    /// The newest state is rejected because of `file`, and the one before loads.
    fn assert_rejected(&self, file: &Path, case: &str) -> String {
        let saved = self.latest();
        assert_eq!(saved.state.step, 7, "{case}");
        let [rejected] = &saved.rejected[..] else {
            panic!("{case}: {:?}", saved.rejected)
        };
        assert_eq!(rejected.directory, self.newest(), "{case}");
        assert_eq!(rejected.file, file, "{case}: {}", rejected.reason);
        let text = rejected.to_string();
        Run::load(saved, HIDDEN, &Device::default()).unwrap();
        text
    }
}

/// The files of a directory, by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Writes a file anew. Not over the old one: some file systems sync a file that was cut to nothing and
/// written again, and these tests do that tens of thousands of times.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Writes the manifest of a directory anew, with the true size and digest of every file it lists:
/// what somebody would do who forges a state.
fn sign(directory: &Path) {
    use sha2::{Digest, Sha256};
    let path = directory.join("MANIFEST.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for entry in manifest["files"].as_array_mut().unwrap() {
        let Ok(bytes) = fs::read(directory.join(entry["file"].as_str().unwrap())) else {
            continue;
        };
        let digest = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        entry["bytes"] = bytes.len().into();
        entry["sha256"] = digest.into();
    }
    put(&path, serde_json::to_vec(&manifest).unwrap());
}
