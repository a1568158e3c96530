//! What works.

use crate::place::{Place, TINY, has, report, stdout, succeeds, weights};
use std::fs;
#[cfg(unix)]
use std::process::Command;

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
    for part in [
        "<svg",
        "What it writes",
        "Shapes in any orientation",
        "chiral 1",
        "class=\"validation\"",
        "SHA-256",
    ] {
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
    let again = weights(&place.run("--resume --out run"));
    assert_eq!(again, weights(&longer));
    has(&report(&place.path("run")), "25 steps");
    let line = place.fails("--resume --out run --steps 24");
    has(&line, "25 steps are done already");
}

/// Starts a run of 400 steps, waits for the first validation, and ends it as told; returns what it
/// went on to print, and its exit code.
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
