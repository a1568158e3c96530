//! What is refused: with one line, before anything is trained or written.

use crate::place::{Place, error_line, has, stdout, succeeds, weights};
use std::fs;

#[test]
fn a_run_is_never_overwritten_unasked() {
    let place = Place::new();
    let first = weights(&place.tiny("--out run"));
    let line = place.tiny_fails("--out run --seed 1");
    for part in ["--resume", "--overwrite", "--out"] {
        has(&line, part);
    }
    assert_eq!(first, weights(&place.run("--resume --out run")));
    // Overwriting is for what a run has written.
    fs::write(place.path("run/mine"), "keep").unwrap();
    let second = weights(&place.tiny("--out run --seed 1 --overwrite"));
    assert_ne!(first, second);
    assert!(place.path("run/mine").is_file());

    // Damaged states are states, too: nothing begins again by itself.
    for entry in fs::read_dir(place.path("run")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::write(path.join("model.bpk"), "damaged").unwrap();
        }
    }
    has(&place.tiny_fails("--out run"), "--overwrite");
    has(&place.fails("--resume --out run"), "no saved step verifies");
}

#[test]
fn resuming_with_other_settings_names_the_setting() {
    let place = Place::new();
    succeeds(&place.tiny("--out run --stop-after 3"));
    for other in [
        "--layers 2",
        "--d-model 17",
        "--batch 5",
        "--context 8",
        "--lr 0.5",
        "--seed 9",
    ] {
        has(&place.fails(&format!("--resume --out run {other}")), other);
    }
    fs::write(place.path("other"), "Another text. ".repeat(50)).unwrap();
    has(
        &place.fails("--resume --out run --text other"),
        "--text other",
    );
    // The same values are no contradiction, nor is another copy of the text.
    fs::copy(place.path("text"), place.path("copy")).unwrap();
    succeeds(&place.run("--resume --out run --layers 1 --text copy"));

    has(&place.fails("--resume --out nowhere"), "no run");
    assert!(!place.path("nowhere").exists());
    fs::create_dir(place.path("empty")).unwrap();
    has(&place.fails("--resume --out empty"), "no run");
    fs::write(place.path("run/text.txt"), "changed").unwrap();
    has(&place.fails("--resume --out run"), "has changed");
}

#[test]
fn nonsense_arguments_are_refused() {
    let place = Place::new();
    for (name, values) in [
        ("--steps", "0 -1 1.5 many 99999999999999999999"),
        ("--stop-after", "0"),
        ("--seed", "-1 x"),
        ("--layers", "0 1000"),
        ("--d-model", "0 1000000"),
        ("--batch", "0"),
        ("--context", "0 -5"),
        ("--lr", "0 -1 NaN inf 2 fast"),
        ("--temperature", "-1 NaN inf warm"),
        ("--sample-len", "-1 99999999999"),
        ("--device", "toaster"),
        ("--no-such-option", "1"),
    ] {
        for value in values.split(' ') {
            has(&place.fails(&format!("--text text {name} {value}")), name);
        }
    }
    has(&place.fails("--resume --overwrite"), "--overwrite");
    has(&place.fails("surprise"), "surprise");
    has(&place.fails("--text"), "--text");
    has(&place.tiny_fails("--prompt It_was_ß"), "'_'");
    // Nothing between the last two spaces.
    has(&place.tiny_fails("--prompt "), "empty");
    let huge = "--text text --context 8 --d-model 4096 --layers 64";
    has(&place.fails(huge), "memory");
    assert!(!place.path("runs").exists(), "a refused run left traces");
}

#[test]
fn devices_that_are_not_built_in_name_their_feature() {
    let place = Place::new();
    for (name, built) in [
        ("cuda", cfg!(feature = "cuda")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("rocm", cfg!(feature = "rocm")),
    ] {
        if !built {
            let line = place.fails(&format!("--device {name}"));
            has(&line, &format!("--features {name}"));
        }
    }
}

#[test]
fn texts_that_are_no_texts_are_refused() {
    let place = Place::new();
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty", b"", "is empty"),
        ("short", b"too short", "too short"),
        ("nul", b"text\0text", "byte 4 is NUL"),
        ("binary", b"\x7fELF\xff\xfe", "byte 4 is not valid"),
        ("latin", b"caf\xe9", "not a UTF-8 text"),
    ];
    for (name, bytes, expected) in cases {
        fs::write(place.path(name), bytes).unwrap();
        has(&place.fails(&format!("--text {name}")), expected);
    }
    fs::create_dir(place.path("directory")).unwrap();
    has(&place.fails("--text directory"), "is a directory");
    has(&place.fails("--text missing"), "`missing`");
    has(&place.fails("--text "), "--text");
    assert!(!place.path("runs").exists(), "a refused run left traces");
}

#[test]
fn a_directory_that_cannot_be_written_is_found_before_training() {
    let place = Place::new();
    has(&place.tiny_fails("--out text"), "`text`");
    has(&place.tiny_fails("--out text/run"), "`text/run`");
    fs::create_dir_all(place.path("run/report.html")).unwrap();
    let output = place.tiny("--out run");
    has(&error_line(&output), "report.html");
    assert!(!stdout(&output).contains("step "), "{}", stdout(&output));
}
