//! A directory to run the program in, and how to look at what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A model so small that a run takes no time.
pub(crate) const TINY: &str =
    "--text text --layers 1 --d-model 16 --batch 4 --context 16 --sample-len 20";

/// A directory to run in, with a text. Arguments are one string, split at spaces.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let text = "It was a bright cold day in April, and the clocks were striking 13.\n";
        fs::write(place.path("text"), text.repeat(20)).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command
            .current_dir(self.0.path())
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A run of 20 steps.
    pub(crate) fn tiny(&self, more: &str) -> Output {
        self.run(&format!("{TINY} --steps 20 {more}"))
    }

    /// Expects failure in one line before any training; returns that line.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let line = error_line(&output);
        assert!(output.stdout.is_empty(), "{}", stdout(&output));
        line
    }

    /// The same with the arguments of a tiny run.
    #[track_caller]
    pub(crate) fn tiny_fails(&self, more: &str) -> String {
        self.fails(&format!("{TINY} --steps 20 {more}"))
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    stdout(output)
}

#[track_caller]
pub(crate) fn error_line(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "it succeeded: {}", stdout(output));
    assert!(output.status.code().is_some(), "{:?}", output.status);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    stderr.trim_end().to_owned()
}

#[track_caller]
pub(crate) fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in: {text}");
}

/// The digest of the weights that a run printed.
#[track_caller]
pub(crate) fn weights(output: &Output) -> String {
    let text = succeeds(output);
    let digest = text
        .lines()
        .find_map(|line| line.strip_prefix("weights: sha256 "));
    digest
        .unwrap_or_else(|| panic!("no digest in: {text}"))
        .to_owned()
}

pub(crate) fn report(directory: &Path) -> String {
    fs::read_to_string(directory.join("report.html")).unwrap()
}
