//! What a run says while it runs.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines of progress where there is no bar.
const QUIET: Duration = Duration::from_secs(10);

/// Standard output, and a bar on standard error if that is a terminal.
#[derive(Debug)]
pub(crate) struct Console {
    bar: Option<ProgressBar>,
    spoken: Instant,
}

impl Console {
    /// For a run of `total` steps of which `done` are done.
    pub(crate) fn new(total: u64, done: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{bar:32.green} {pos}/{len} · {msg} · {eta} left";
            let style = ProgressStyle::with_template(style).expect("the template is fixed");
            ProgressBar::new(total)
                .with_style(style)
                .with_position(done)
        });
        if let Some(bar) = &bar {
            bar.reset_eta();
        }
        Self {
            bar,
            spoken: Instant::now(),
        }
    }

    /// A line that stays. Without anyone to read it the run still goes on: the report is on disk.
    pub(crate) fn line(&mut self, text: &str) {
        self.spoken = Instant::now();
        let print = || {
            let mut out = std::io::stdout();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// A step is done.
    pub(crate) fn step(&mut self, step: u64, loss: f32, speed: f64) {
        let message = format!("loss {loss:.3} · {}/s", thousands(speed));
        match &self.bar {
            Some(bar) => {
                bar.set_message(message);
                bar.set_position(step);
            }
            None if self.spoken.elapsed() >= QUIET => self.line(&format!("step {step}: {message}")),
            None => {}
        }
    }

    /// No more steps.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A number of characters, in few digits.
pub(crate) fn thousands(count: f64) -> String {
    match count {
        c if c >= 1e6 => format!("{:.1}M chars", c / 1e6),
        c if c >= 1e4 => format!("{:.1}k chars", c / 1e3),
        c => format!("{c:.0} chars"),
    }
}
