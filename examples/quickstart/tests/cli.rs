//! The program as a user meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A model so small that a run takes no time.
const TINY: &str = "--text text --layers 1 --d-model 16 --batch 4 --context 16 --sample-len 20";

/// A directory to run in, with a text. Arguments are one string, split at spaces.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let text = "It was a bright cold day in April, and the clocks were striking 13.\n";
        fs::write(place.path("text"), text.repeat(20)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command
            .current_dir(self.0.path())
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A run of 20 steps.
    fn tiny(&self, more: &str) -> Output {
        self.run(&format!("{TINY} --steps 20 {more}"))
    }

    /// Expects failure in one line before any training; returns that line.
    #[track_caller]
    fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let line = error_line(&output);
        assert!(output.stdout.is_empty(), "{}", stdout(&output));
        line
    }

    /// The same with the arguments of a tiny run.
    #[track_caller]
    fn tiny_fails(&self, more: &str) -> String {
        self.fails(&format!("{TINY} --steps 20 {more}"))
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    stdout(output)
}

#[track_caller]
fn error_line(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "it succeeded: {}", stdout(output));
    assert!(output.status.code().is_some(), "{:?}", output.status);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    stderr.trim_end().to_owned()
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in: {text}");
}

/// The digest of the weights that a run printed.
#[track_caller]
fn weights(output: &Output) -> String {
    let text = succeeds(output);
    let digest = text
        .lines()
        .find_map(|line| line.strip_prefix("weights: sha256 "));
    digest
        .unwrap_or_else(|| panic!("no digest in: {text}"))
        .to_owned()
}

fn report(directory: &Path) -> String {
    fs::read_to_string(directory.join("report.html")).unwrap()
}

#[test]
fn the_smoke_run_works_and_may_be_repeated() {
    let place = Place::new();
    for _ in 0..2 {
        let text = succeeds(&place.run("--smoke"));
        has(&text, "this workspace's documents and doc comments");
        has(&text, "parameters");
        has(&text, "report: runs/smoke/report.html");
    }
    let html = report(&place.path("runs/smoke"));
    for part in ["<svg", "What it writes", "class=\"validation\"", "SHA-256"] {
        has(&html, part);
    }
    // It fetches nothing, and every number in the drawing is one.
    for part in ["src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!html.contains(part), "{part}");
    }
    let svg = &html[html.find("<svg").unwrap()..html.find("</svg>").unwrap()];
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn a_run_cut_anywhere_ends_with_the_same_weights() {
    let place = Place::new();
    let whole = weights(&place.tiny("--out whole"));
    assert_eq!(whole, weights(&place.tiny("--out again")));
    assert_ne!(whole, weights(&place.tiny("--out other --seed 1")));
    for cut in [1, 7, 19] {
        let first = succeeds(&place.tiny(&format!("--out cut-{cut} --stop-after {cut}")));
        has(&first, &format!("stopped after {cut} of 20 steps"));
        has(&first, &format!("--resume --out cut-{cut}"));
        let rest = place.run(&format!("--resume --out cut-{cut}"));
        assert_eq!(whole, weights(&rest), "cut at {cut}");
        has(&stdout(&rest), &format!("{cut} of them done"));
    }
}

#[test]
fn a_finished_run_is_drawn_again_or_goes_on() {
    let place = Place::new();
    let whole = weights(&place.tiny("--out run"));
    fs::remove_file(place.path("run/report.html")).unwrap();
    assert_eq!(whole, weights(&place.run("--resume --out run")));
    has(&report(&place.path("run")), "20 steps");
    let longer = place.run("--resume --out run --steps 25");
    assert_ne!(whole, weights(&longer));
    has(&report(&place.path("run")), "25 steps");
    let line = place.fails("--resume --out run --steps 24");
    has(&line, "25 steps are done already");
}

/// Starts a run of 400 steps, waits for the first validation, and ends it as told; returns what it went
/// on to print, and its exit code.
#[cfg(unix)]
fn cut_short(place: &Place, end: impl FnOnce(&mut std::process::Child)) -> (String, Option<i32>) {
    use std::io::{BufRead, BufReader};
    let mut child = place
        .command(&format!("{TINY} --out run --steps 400"))
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    lines.find(|line| line.starts_with("step ")).unwrap();
    end(&mut child);
    let rest: Vec<String> = lines.collect();
    (rest.join("\n"), child.wait().unwrap().code())
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let place = Place::new();
    let whole = weights(&place.run(&format!("{TINY} --out whole --steps 400")));
    let (rest, code) = cut_short(&place, |child| {
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
    });
    assert_eq!(code, Some(130));
    has(&rest, "to go on: ");
    has(&report(&place.path("run")), "What it writes");
    assert_eq!(whole, weights(&place.run("--resume --out run")));
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_from_its_last_save() {
    let place = Place::new();
    let whole = weights(&place.run(&format!("{TINY} --out whole --steps 400")));
    let (_, code) = cut_short(&place, |child| child.kill().unwrap());
    assert_eq!(code, None);
    assert_eq!(whole, weights(&place.run("--resume --out run")));
}

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

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let place = Place::new();
    for arguments in [&format!("{TINY} --out run --steps 20"), "--help", "--smoke"] {
        let mut child = place.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        succeeds(&output);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    has(&report(&place.path("run")), "What it writes");
    // With both gone, there is nobody to tell of an error either.
    let mut child = place.command("--steps 0").spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn odd_texts_work() {
    let place = Place::new();
    fs::write(place.path("text"), "a".repeat(500)).unwrap();
    has(&succeeds(&place.tiny("--out same")), "1 distinct");
    let odd = "<b>&\"\u{1b}[2J日本語🦀\r\n";
    fs::write(place.path("text"), odd.repeat(60)).unwrap();
    let output = place.tiny("--out odd --prompt <b>&\"\u{1b}🦀 --temperature 0");
    assert!(!succeeds(&output).contains('\u{1b}'));
    has(
        &report(&place.path("odd")),
        "&lt;b&gt;&amp;&quot;\u{fffd}🦀",
    );
}

#[test]
fn help_and_version_are_not_errors() {
    let place = Place::new();
    has(&succeeds(&place.run("--help")), "--resume");
    has(&succeeds(&place.run("--version")), "quickstart");
}
