//! The program as a whole.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_force-field"))
        .args(arguments)
        .output()
        .expect("it starts")
}

#[test]
fn it_learns_and_writes_what_it_learned() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = run(&["--smoke", "--out", out.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    // "before: energy … forces X meV/Å", "after …: energy … forces Y meV/Å".
    let forces = |line: &str| -> f64 {
        let line = text.lines().find(|l| l.starts_with(line)).expect(line);
        let tail = line.rsplit("forces ").next().unwrap();
        tail.split(' ').next().unwrap().parse().unwrap()
    };
    let (before, after) = (forces("before:"), forces("after"));
    assert!(after < 0.8 * before, "{before} to {after}");
    let picture = std::fs::read_to_string(out.join("report.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    assert!(std::fs::metadata(out.join("weights.safetensors")).unwrap().len() > 1000);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no.xyz");
    std::fs::write(&file, "1\nProperties=species:S:1:pos:R:3 energy=1\nHe 0 0 0\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, error) in [
        (vec!["--data", file], "no forces"),
        (vec!["--data", "nowhere.xyz"], "nowhere.xyz"),
        (vec!["--train", "401"], "the data has 400"),
        (vec!["--train", "400"], "no frames are left"),
        (vec!["--cutoff", "0.1"], "no two atoms"),
    ] {
        let output = run(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(error), "{text}");
    }
}
