//! Manifests and states made to do harm. Each is refused, quickly and without a panic.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::{Fixture, put, sign};

type Change = dyn Fn(&mut Value);

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    put(path, serde_json::to_vec(&value).unwrap());
}

#[test]
fn hostile_manifests_are_refused() {
    let outside = json!({"file": "x.bin", "kind": "bytes", "bytes": 0, "sha256": ""});
    let add = |change: &dyn Fn(&mut Value)| {
        let mut entry = outside.clone();
        change(&mut entry);
        move |manifest: &mut Value| {
            manifest["files"]
                .as_array_mut()
                .unwrap()
                .push(entry.clone())
        }
    };
    let named = |name: &str| add(&|entry| entry["file"] = name.into());
    let long = format!("{}.bin", "x".repeat(65));
    let mut cases: Vec<(&str, Box<Change>)> = vec![
        (
            "not to leave by ..",
            Box::new(named("../step-000000007/model.bpk")),
        ),
        (
            "not to leave by .. of the right kind",
            Box::new(named("../x.bin")),
        ),
        ("not even ..", Box::new(named(".."))),
        ("nor through the root", Box::new(named("/etc/passwd.bin"))),
        ("nor below", Box::new(named("a/b.bin"))),
        ("nor the Windows way", Box::new(named("a\\b.bin"))),
        ("hidden", Box::new(named(".x.bin"))),
        ("nameless", Box::new(named(".bin"))),
        ("empty", Box::new(named(""))),
        ("long", Box::new(named(&long))),
        ("NUL", Box::new(named("x\0.bin"))),
        ("itself", Box::new(named("MANIFEST.json"))),
        ("the lock", Box::new(named("../.lock"))),
        (
            "a second state",
            Box::new(add(&|entry| {
                entry["file"] = "state2.json".into();
                entry["kind"] = "state".into();
            })),
        ),
        (
            "another kind",
            Box::new(add(&|entry| entry["kind"] = "program".into())),
        ),
        (
            "a duplicate",
            Box::new(|manifest| {
                let first = manifest["files"][0].clone();
                manifest["files"].as_array_mut().unwrap().push(first);
            }),
        ),
        (
            "a duplicate in capitals",
            Box::new(|manifest| {
                let mut first = manifest["files"][0].clone();
                first["file"] = "MODEL.bpk".into();
                manifest["files"].as_array_mut().unwrap().push(first);
            }),
        ),
        (
            "negative",
            Box::new(|manifest| manifest["files"][0]["bytes"] = (-1).into()),
        ),
        (
            "huge",
            Box::new(|manifest| manifest["files"][0]["bytes"] = u64::MAX.into()),
        ),
        (
            "fractional",
            Box::new(|manifest| manifest["files"][0]["bytes"] = 1.5.into()),
        ),
        (
            "no files",
            Box::new(|manifest| manifest["files"] = json!([])),
        ),
        (
            "wrong type",
            Box::new(|manifest| manifest["files"] = json!({"model.bpk": 1})),
        ),
        (
            "other step",
            Box::new(|manifest| manifest["step"] = 10.into()),
        ),
        (
            "other format",
            Box::new(|manifest| manifest["format"] = 2.into()),
        ),
        (
            "unknown field",
            Box::new(|manifest| manifest["more"] = 1.into()),
        ),
        ("not an object", Box::new(|manifest| *manifest = json!([1]))),
    ];
    let fixture = Fixture::new();
    let path = fixture.newest().join("MANIFEST.json");
    let whole = fs::read(&path).unwrap();
    for (case, change) in cases.drain(..) {
        edit(&path, change);
        let saved = fixture.latest();
        assert_eq!((saved.state.step, saved.rejected.len()), (7, 1), "{case}");
        let file = &saved.rejected[0].file;
        // Only the huge size is not wrong in itself.
        assert!(
            *file == path || (case == "huge" && file.ends_with("model.bpk")),
            "{case}: {file:?}"
        );
        put(&path, &whole);
    }
    for text in [
        "",
        "{",
        "null",
        "[[[[",
        "\u{feff}{}",
        "{\"format\":1,\"format\":1}",
    ] {
        put(&path, text);
        fixture.assert_rejected(&path, text);
    }
}

#[test]
fn bombs_are_refused_before_they_cost_memory_or_stack() {
    let fixture = Fixture::new();
    let (manifest, state) = (
        fixture.newest().join("MANIFEST.json"),
        fixture.newest().join("state.json"),
    );
    let (whole_manifest, whole_state) = (fs::read(&manifest).unwrap(), fs::read(&state).unwrap());

    for (path, size) in [(&manifest, 1_000_000), (&state, 60_000_000)] {
        for open in ["[", "{\"a\":"] {
            put(path, open.repeat(size / open.len()));
            if path == &state {
                sign(&fixture.newest());
            }
            let start = Instant::now();
            fixture.assert_rejected(path, open);
            assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
            put(&state, &whole_state);
            put(&manifest, &whole_manifest);
        }
    }

    // Sparse files of a terabyte: as a manifest, as a state, as a record of the size that was saved.
    for path in [&manifest, &state, &fixture.newest().join("model.bpk")] {
        let whole = fs::read(path).unwrap();
        let sparse = fs::File::create(path).unwrap();
        if sparse.set_len(1 << 40).is_err() {
            println!("no sparse files here");
            put(path, whole);
            continue;
        }
        if path == &state {
            edit(&manifest, |value| {
                let entries = value["files"].as_array_mut().unwrap();
                entries
                    .iter_mut()
                    .find(|entry| entry["kind"] == "state")
                    .unwrap()["bytes"] = (1u64 << 40).into();
            });
        }
        let start = Instant::now();
        let text = fixture.assert_rejected(path, "sparse");
        assert!(text.contains("1099511627776 bytes"), "{text}");
        assert!(start.elapsed().as_secs() < 5);
        put(path, whole);
        put(&manifest, &whole_manifest);
    }
    assert_eq!(fixture.latest().state.step, 9);
}

#[test]
fn hostile_states_are_refused() {
    let cases: [(&str, &Change); 12] = [
        ("other step", &|state| state["step"] = 8.into()),
        ("other format", &|state| state["format"] = 0.into()),
        ("other configuration", &|state| {
            state["config"] = json!({"lr": 1})
        }),
        ("no seed", &|state| {
            drop(state.as_object_mut().unwrap().remove("seed"))
        }),
        ("negative cursor", &|state| state["cursor"] = (-1).into()),
        ("fractional epoch", &|state| state["epoch"] = 0.5.into()),
        ("too large", &|state| state["epoch"] = 1e300.into()),
        ("stream of another type", &|state| {
            state["streams"]["noise"] = json!("1")
        }),
        ("stream position", &|state| {
            state["streams"]["noise"]["words"] = (-1).into()
        }),
        ("stream field", &|state| {
            state["streams"]["noise"]["key"] = 1.into()
        }),
        ("unknown field", &|state| state["program"] = "rm".into()),
        ("not an object", &|state| *state = json!(null)),
    ];
    let fixture = Fixture::new();
    let path = fixture.newest().join("state.json");
    let whole = fs::read(&path).unwrap();
    for (case, change) in cases {
        edit(&path, change);
        sign(&fixture.newest());
        fixture.assert_rejected(&path, case);
        put(&path, &whole);
        sign(&fixture.newest());
    }
    assert_eq!(fixture.latest().state.step, 9);
}

#[test]
#[cfg(unix)]
fn links_and_special_files_are_refused() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new();
    for name in ["MANIFEST.json", "model.bpk", "state.json"] {
        let path = fixture.newest().join(name);
        let elsewhere = fixture.run.join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        fixture.assert_rejected(&path, "a link, even to the true file");
        fs::remove_file(&path).unwrap();
        // Opening a FIFO without a writer would wait forever.
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            fixture.assert_rejected(&path, "a FIFO");
            fs::remove_file(&path).unwrap();
        }
        symlink("/dev/zero", &path).unwrap();
        fixture.assert_rejected(&path, "a device");
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    let moved = fixture.run.join("moved");
    fs::rename(fixture.newest(), &moved).unwrap();
    symlink(&moved, fixture.newest()).unwrap();
    fixture.assert_rejected(&fixture.newest(), "a linked directory");
    fs::remove_file(fixture.newest()).unwrap();
    fs::write(fixture.newest(), "a file").unwrap();
    fixture.assert_rejected(&fixture.newest(), "a file in its place");
}
