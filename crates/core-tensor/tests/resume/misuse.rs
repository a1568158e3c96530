//! Wrong names, wrong kinds, wrong models: errors that say so, and nothing lost.

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::nn::LinearConfig;
use burn::optim::{AdamConfig, SgdConfig};
use burn::tensor::Device;
use core_tensor::resume::{CheckpointStore, ResumeError, TrainState};

use crate::model::{Mlp, Run};
use crate::{Fixture, HIDDEN, files};

#[test]
fn names_must_be_plain_and_unique() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".x",
        "a b",
        "\0",
        "ü",
        &"x".repeat(65),
    ] {
        let error = store
            .save(&TrainState::new(1), |w| w.bytes(name, b"x"))
            .unwrap_err();
        assert!(matches!(error, ResumeError::Name { .. }), "{error}");
    }
    for (first, second) in [("a", "a"), ("a", "A")] {
        let error = store.save(&TrainState::new(1), |w| {
            w.bytes(first, b"x")?;
            w.bytes(second, b"x")
        });
        assert!(error.unwrap_err().to_string().contains("the name is taken"));
    }
    // The lock, and no trace of what failed.
    assert_eq!(files(dir.path()).len(), 1);
    assert!(store.latest().unwrap().is_none());
    // The two files every state has are not in the way of entries of that name.
    store
        .save(&TrainState::new(1), |w| {
            w.bytes("state", b"1")?;
            w.bytes("MANIFEST.json", b"2")
        })
        .unwrap();
    assert_eq!(
        store
            .latest()
            .unwrap()
            .unwrap()
            .load_bytes("MANIFEST.json")
            .unwrap(),
        b"2"
    );
}

#[test]
fn an_entry_that_fails_fails_the_save_even_if_its_error_is_dropped() {
    let fixture = Fixture::new();
    let store = CheckpointStore::open(&fixture.run).unwrap();
    let mut state = fixture.latest().state;
    state.step = 11;
    let error = store.save(&state, |w| {
        let _ = w.bytes("a/b", b"x");
        w.bytes("c", b"x")
    });
    assert!(matches!(error.unwrap_err(), ResumeError::Incomplete { .. }));
    let error = store.save(&state, |w| {
        w.bytes("c", b"x")?;
        Err(ResumeError::Busy {
            path: "mine".into(),
        })
    });
    assert!(matches!(error.unwrap_err(), ResumeError::Busy { .. }));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = store.save(&state, |_| panic!("mine"));
    }));
    assert!(panic.is_err());
    assert_eq!(fixture.latest().state.step, 9);
    assert_eq!(files(&fixture.run).len(), 3);
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    let saved = fixture.latest();
    let device = Device::default();
    let reason = |error: Option<ResumeError>| match error {
        Some(ResumeError::Decode { path, reason }) => {
            assert!(path.starts_with(fixture.newest()));
            reason
        }
        other => panic!("{other:?}"),
    };
    let wider = Mlp::new(1, HIDDEN + 1, &device);
    let text = reason(saved.load_module("model", wider).err());
    assert!(text.contains("shape mismatch"), "{text}");
    let text = reason(
        saved
            .load_module("model", LinearConfig::new(6, 5).init(&device))
            .err(),
    );
    assert!(text.contains("Missing tensors"), "{text}");
    // Burn itself takes this without a word, and trains on with fresh moments.
    let text = reason(saved.load_optimizer("optim", SgdConfig::new().init()).err());
    assert!(text.contains("was saved but does not load"), "{text}");
    let cosine = CosineAnnealingLrSchedulerConfig::new(0.1, 10)
        .init()
        .unwrap();
    let text = reason(saved.load_scheduler("schedule", cosine).err());
    assert!(text.contains("was saved"), "{text}");
    let text = reason(
        saved
            .load_optimizer("model", AdamConfig::new().init())
            .err(),
    );
    assert_eq!(text, "its kind is module, not optimizer");
    match saved.load_bytes("extra").unwrap_err() {
        ResumeError::NoEntry { available, .. } => {
            assert_eq!(
                available,
                r#"module "model", optimizer "optim", scheduler "schedule""#
            );
        }
        other => panic!("{other}"),
    }
    let error = saved.expect_config(&("mlp", HIDDEN + 1)).unwrap_err();
    assert!(matches!(error, ResumeError::ConfigChanged { .. }));
    // None of it has done any harm.
    Run::load(saved, HIDDEN, &device).unwrap();
}

#[test]
fn a_configuration_that_cannot_be_read_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path()).unwrap();
    let deep = (0..500).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let state = TrainState::new(1).with_config(&deep).unwrap();
    let text = store.save(&state, |_| Ok(())).unwrap_err().to_string();
    assert!(
        text.contains("cannot save `state.json`") && text.contains("recursion"),
        "{text}"
    );
    let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = TrainState::new(1).with_config(&keys).unwrap_err();
    assert!(matches!(error, ResumeError::Config { .. }));
}
