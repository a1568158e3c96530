//! A disk that is really full. (Failures at every single operation are injected in the unit tests.)
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use core_tensor::resume::{CheckpointStore, ResumeError, TrainState};

const DIRECTORY: &str = "RESUME_TEST_FULL";

fn save(store: &CheckpointStore, step: u64, size: usize) -> Result<(), ResumeError> {
    let mut state = TrainState::new(1);
    state.step = step;
    store
        .save(&state, |w| w.bytes("blob", &vec![step as u8; size]))
        .map(drop)
}

/// Runs [`child`] under a shell command that limits the disk.
fn in_child(shell: &str, directory: &Path) -> String {
    let output = Command::new("sh")
        .args(["-c", shell])
        .env("EXE", std::env::current_exe().unwrap())
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        if output.status.success() {
            ""
        } else {
            "failed"
        }
    )
}

const CHILD: &str = r#"exec "$EXE" full_disk::child --exact --nocapture"#;

#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let run = Path::new(&directory).join("run");
    let store = CheckpointStore::open(&run).unwrap();
    save(&store, 1, 1000).unwrap();
    save(&store, 2, 1000).unwrap();
    let error = save(&store, 3, 1_000_000).unwrap_err();
    println!("error: {error}");
    assert!(matches!(error, ResumeError::Io { .. }));
    assert!(error.to_string().contains("blob.bin"), "{error}");
    let saved = store.latest().unwrap().unwrap();
    assert_eq!((saved.state.step, saved.rejected.len()), (2, 0));
    assert_eq!(saved.load_bytes("blob").unwrap(), vec![2; 1000]);
    // Nothing of the failed save takes up room, so a smaller one still goes.
    assert!(fs::read_dir(&run).unwrap().count() == 3);
    save(&store, 4, 1000).unwrap();
    println!("nothing lost");
}

#[test]
fn a_file_over_the_size_limit_loses_nothing() {
    // The kernel refuses to let a file grow beyond 8 or 16 kB (a block is 512 bytes or 1 kB).
    let dir = tempfile::tempdir().unwrap();
    let text = in_child(&format!("trap '' XFSZ; ulimit -f 16; {CHILD}"), dir.path());
    assert!(text.contains("nothing lost"), "{text}");
}

#[test]
fn a_full_file_system_loses_nothing() {
    // A tiny file system in a mount namespace of its own, which ends with the child. Takes root.
    let dir = tempfile::tempdir().unwrap();
    let text = in_child(
        &format!(
            r#"exec unshare -m sh -c 'mount -t tmpfs -o size=100k tmpfs "${DIRECTORY}" || exit 1; echo mounted; {CHILD}'"#
        ),
        dir.path(),
    );
    if !text.contains("mounted") {
        println!("not run, no permission to mount: {text}");
        return;
    }
    assert!(
        text.contains("nothing lost") && text.contains("No space left"),
        "{text}"
    );
}
