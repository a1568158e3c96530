//! Tests: every file operation of a save fails once, or is the last before the power goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::{CHUNK, Disk};
use super::{CheckpointStore, ResumeError, TrainState};

/// What happens from the chosen operation on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// That operation fails; later ones work.
    Once,
    /// That operation and all later ones fail, the cleaning up too: what is on disk then is what a
    /// kill at that moment would leave.
    Dead,
}

/// The real disk until operation number `at`. A failing write leaves half its bytes.
#[derive(Debug, Clone)]
struct Faulty {
    at: usize,
    fault: Fault,
    count: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<(&'static str, PathBuf)>>>,
}

impl Faulty {
    fn new(at: usize, fault: Fault) -> Self {
        Self {
            at,
            fault,
            count: Arc::default(),
            log: Arc::default(),
        }
    }

    fn gate(&self, operation: &'static str, path: &Path) -> io::Result<()> {
        let now = self.count.fetch_add(1, Ordering::Relaxed);
        if now == self.at || (now > self.at && self.fault == Fault::Dead) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.log
            .lock()
            .unwrap()
            .push((operation, path.to_path_buf()));
        Ok(())
    }

    fn fired(&self) -> bool {
        self.count.load(Ordering::Relaxed) > self.at
    }
}

impl Disk for Faulty {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.gate("create_dir", path)
            .and_then(|()| fs::create_dir(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        self.gate("create_file", path)
            .and_then(|()| File::create_new(path))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.gate("write", Path::new("")) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.gate("sync_file", Path::new(""))
            .and_then(|()| file.sync_all())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.gate("sync_dir", path)
            .and_then(|()| File::open(path)?.sync_all())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate("rename", to).and_then(|()| fs::rename(from, to))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.gate("remove_dir", path)
            .and_then(|()| fs::remove_dir_all(path))
    }
}

fn blob(step: u64) -> Vec<u8> {
    (0..2 * CHUNK + 17)
        .map(|i| (i as u64 * step) as u8)
        .collect()
}

fn save(store: &CheckpointStore, step: u64) -> Result<PathBuf, ResumeError> {
    let state = TrainState {
        step,
        ..TrainState::new(1)
    };
    store.save(&state, |w| {
        w.bytes("blob", &blob(step))?;
        w.bytes("empty", &[])
    })
}

/// The newest step there is, after checking that it is whole and that nothing had to be rejected.
fn check(run: &Path) -> u64 {
    let saved = CheckpointStore::open_read_only(run)
        .unwrap()
        .latest()
        .unwrap()
        .unwrap();
    assert_eq!(saved.rejected, []);
    assert_eq!(saved.load_bytes("blob").unwrap(), blob(saved.state.step));
    assert!(saved.load_bytes("empty").unwrap().is_empty());
    saved.state.step
}

fn names(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_failure_or_death_at_any_operation_loses_nothing() {
    for fault in [Fault::Once, Fault::Dead] {
        let (mut failed, mut at) = (0, 0);
        loop {
            let dir = tempfile::tempdir().unwrap();
            let run = dir.path().join("run");
            for step in [1, 2] {
                save(&CheckpointStore::open(&run).unwrap(), step).unwrap();
            }
            // A leftover, so that its removal is among the operations that fail.
            fs::create_dir(run.join(".tmp-step-000000009")).unwrap();

            let disk = Faulty::new(at, fault);
            let store = CheckpointStore::open_on(Box::new(disk.clone()), run.clone()).unwrap();
            let result = save(&store, 3);
            drop(store);
            let newest = check(&run);
            match result {
                Ok(_) => assert_eq!(newest, 3),
                Err(error) => {
                    failed += 1;
                    let text = error.to_string();
                    assert!(matches!(error, ResumeError::Io { .. }), "{text}");
                    assert!(
                        text.starts_with("cannot ") && text.contains("run"),
                        "{text}"
                    );
                    // The one error after the rename is that of syncing the parent.
                    assert!(
                        newest == 2 || (newest == 3 && text.starts_with("cannot sync")),
                        "{text}"
                    );
                }
            }

            // Whatever is there, the next run goes on from it and tidies up.
            save(&CheckpointStore::open(&run).unwrap(), 4).unwrap();
            assert_eq!(check(&run), 4);
            let before = if newest == 3 {
                "step-000000003"
            } else {
                "step-000000002"
            };
            assert_eq!(
                names(&run),
                [".lock", before, "step-000000004"],
                "{fault:?} {at}"
            );
            if !disk.fired() {
                break;
            }
            at += 1;
        }
        // One directory; four files to create, write (one in 3 chunks, one in none) and sync; then
        // sync, rename, sync.
        let matter = 1 + (4 + 5 + 4) + 3;
        // Removing the leftover and the old state (rename, remove) may fail without harm; but who is
        // dead by the first of them does not save.
        assert_eq!(at, matter + 3, "{fault:?}");
        assert_eq!(
            failed,
            matter + usize::from(fault == Fault::Dead),
            "{fault:?}"
        );
    }
}

#[test]
fn everything_is_synced_before_it_gets_its_name_and_the_name_after() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("a/b/run");
    let disk = Faulty::new(usize::MAX, Fault::Once);
    let store = CheckpointStore::open_on(Box::new(disk.clone()), run.clone()).unwrap();
    save(&store, 5).unwrap();
    let temp = run.join(".tmp-step-000000005");
    let mut expected = vec![
        ("create_dir", dir.path().join("a")),
        ("sync_dir", dir.path().to_path_buf()),
        ("create_dir", dir.path().join("a/b")),
        ("sync_dir", dir.path().join("a")),
        ("create_dir", run.clone()),
        ("sync_dir", dir.path().join("a/b")),
        ("create_dir", temp.clone()),
    ];
    for (file, chunks) in [
        ("blob.bin", 3),
        ("empty.bin", 0),
        ("state.json", 1),
        ("MANIFEST.json", 1),
    ] {
        expected.push(("create_file", temp.join(file)));
        expected.extend((0..chunks).map(|_| ("write", PathBuf::new())));
        expected.push(("sync_file", PathBuf::new()));
    }
    expected.push(("sync_dir", temp));
    expected.push(("rename", run.join("step-000000005")));
    expected.push(("sync_dir", run));
    assert_eq!(*disk.log.lock().unwrap(), expected);
}

#[test]
fn a_directory_that_cannot_be_created_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::new(0, Fault::Dead);
    let error = CheckpointStore::open_on(Box::new(disk), dir.path().join("x")).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot create directory `"),
        "{error}"
    );

    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    for path in [file.clone(), file.join("run"), file.join("deeper/run")] {
        let text = CheckpointStore::open(&path).unwrap_err().to_string();
        assert!(
            text.contains("cannot create directory") && text.contains("file"),
            "{text}"
        );
        assert!(CheckpointStore::open_read_only(&path).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
}
