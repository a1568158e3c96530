//! How many states are kept, and which; who may save.

use std::fs;
use std::path::Path;

use core_tensor::resume::{CheckpointStore, ResumeError, TrainState};

fn save(store: &CheckpointStore, step: u64) -> Result<std::path::PathBuf, ResumeError> {
    let mut state = TrainState::new(1);
    state.step = step;
    store.save(&state, |w| w.bytes("x", &step.to_le_bytes()))
}

fn steps(run: &Path) -> Vec<String> {
    let names = crate::files(run).into_iter();
    names
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != ".lock")
        .collect()
}

fn break_step(run: &Path, name: &str) {
    fs::write(run.join(name).join("x.bin"), "damaged!").unwrap();
}

#[test]
fn the_newest_are_kept_and_at_least_two() {
    for (keep, kept) in [(0, 2), (1, 2), (2, 2), (3, 3), (100, 10)] {
        let dir = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(dir.path()).unwrap().keep(keep);
        for step in 1..=10 {
            save(&store, step).unwrap();
        }
        let expected: Vec<_> = (11 - kept..=10)
            .map(|step| format!("step-{step:09}"))
            .collect();
        assert_eq!(steps(dir.path()), expected);
    }
}

#[test]
fn a_state_known_to_be_broken_is_not_counted_as_one_to_fall_back_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path();
    let store = CheckpointStore::open(run).unwrap();
    for step in 1..=2 {
        save(&store, step).unwrap();
    }
    // Same size, so only reading it can tell.
    break_step(run, "step-000000002");
    assert_eq!(store.latest().unwrap().unwrap().state.step, 1);
    save(&store, 3).unwrap();
    assert_eq!(
        steps(run),
        ["step-000000001", "step-000000002", "step-000000003"]
    );
    break_step(run, "step-000000003");
    assert_eq!(store.latest().unwrap().unwrap().state.step, 1);
    // The way on goes over the broken steps, and they go when there is enough behind them.
    save(&store, 2).unwrap();
    save(&store, 3).unwrap();
    assert_eq!(
        steps(run),
        ["step-000000002-r1", "step-000000003", "step-000000003-r1"]
    );
    save(&store, 4).unwrap();
    assert_eq!(steps(run), ["step-000000003-r1", "step-000000004"]);
}

#[test]
fn the_same_step_can_be_saved_again_and_the_last_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    for bytes in ["a", "b", "c"] {
        store
            .save(&TrainState::new(1), |w| w.bytes("x", bytes.as_bytes()))
            .unwrap();
    }
    assert_eq!(
        store.latest().unwrap().unwrap().load_bytes("x").unwrap(),
        b"c"
    );
    assert_eq!(
        steps(dir.path()),
        ["step-000000000-r1", "step-000000000-r2"]
    );
}

#[test]
fn a_new_run_cannot_hide_behind_the_states_of_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    save(&CheckpointStore::open(dir.path()).unwrap(), 1000).unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let error = save(&store, 5).unwrap_err();
    assert!(
        matches!(&error, ResumeError::NewerExists { step: 5, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("step-000001000"), "{error}");
    assert_eq!(steps(dir.path()), ["step-000001000"]);
    // If that state is broken it hides nothing.
    break_step(dir.path(), "step-000001000");
    save(&store, 5).unwrap();
    assert_eq!(store.latest().unwrap().unwrap().state.step, 5);
}

#[test]
fn one_store_saves_and_any_number_load() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    assert!(matches!(
        CheckpointStore::open_read_only(&run),
        Err(ResumeError::Io { .. })
    ));
    let store = CheckpointStore::open(&run).unwrap();
    assert!(store.latest().unwrap().is_none());
    save(&store, 1).unwrap();
    let error = CheckpointStore::open(&run).unwrap_err();
    assert!(
        matches!(&error, ResumeError::Busy { path } if *path == run),
        "{error}"
    );
    let reader = CheckpointStore::open_read_only(&run).unwrap();
    assert_eq!(reader.latest().unwrap().unwrap().state.step, 1);
    assert!(matches!(
        save(&reader, 2),
        Err(ResumeError::ReadOnly { .. })
    ));
    drop(store);
    save(&CheckpointStore::open(&run).unwrap(), 2).unwrap();
    assert_eq!(reader.latest().unwrap().unwrap().state.step, 2);
}
