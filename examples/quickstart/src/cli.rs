//! The command line.

use crate::device::DeviceName;
use anyhow::{Result, anyhow};
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;

/// Trains a minGRU language model on text, character by character, and writes a report with the
/// learning curves and a sample of what the model has learned to write.
///
/// Ctrl-C saves and stops; `--resume` goes on, and ends with the same weights, bit for bit, as if
/// nothing had happened.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// UTF-8 text to learn [default: this workspace's own documents and doc comments].
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Directory of the run: saved states, a copy of the text, the report
    /// [default: runs/quickstart; with --smoke runs/smoke, which is overwritten].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in that directory. Settings not given are those of the run.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Discard the run in that directory, if there is one, and begin again.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) overwrite: bool,
    /// A very small run, to see that everything works: seconds instead of minutes.
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Training steps in total [default: 1000, fewer for a text of less than 230 kB]. A resumed run
    /// may be given more than it began with; the learning rate then stays at its final value.
    #[arg(long, value_name = "N", value_parser = count(1, 10_000_000), allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// Stop after this many steps of this call, as Ctrl-C would, but with exit code 0.
    #[arg(long, value_name = "N", value_parser = count(1, 10_000_000), allow_negative_numbers = true)]
    pub(crate) stop_after: Option<usize>,
    /// Where the initial weights, the batches and the sample come from [default: 42].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// What to compute on; anything but `flex`, the CPU, needs the cargo feature of that name.
    #[arg(long, value_enum, value_name = "NAME", default_value = "flex")]
    pub(crate) device: DeviceName,

    /// Blocks of the model [default: 2].
    #[arg(long, value_name = "N", value_parser = count(1, 64), allow_negative_numbers = true)]
    pub(crate) layers: Option<usize>,
    /// Width of the model [default: 128].
    #[arg(long, value_name = "N", value_parser = count(1, 4096), allow_negative_numbers = true)]
    pub(crate) d_model: Option<usize>,
    /// Sequences per step [default: 16].
    #[arg(long, value_name = "N", value_parser = count(1, 4096), allow_negative_numbers = true)]
    pub(crate) batch: Option<usize>,
    /// Characters per sequence [default: 128].
    #[arg(long, value_name = "N", value_parser = count(1, 65_536), allow_negative_numbers = true)]
    pub(crate) context: Option<usize>,
    /// Highest learning rate [default: 0.002].
    #[arg(long, value_name = "X", value_parser = learning_rate, allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,

    /// What the sample begins with [default: a line of the validation text].
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Characters to generate [default: 600].
    #[arg(long, value_name = "N", value_parser = count(0, 1_000_000), allow_negative_numbers = true)]
    pub(crate) sample_len: Option<usize>,
    /// Randomness of the sample: 0 takes the likeliest character, 1 the model's own distribution.
    #[arg(long, value_name = "X", value_parser = temperature, default_value = "0.8", allow_negative_numbers = true)]
    pub(crate) temperature: f64,
}

/// What a command line turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A run.
    Run(Box<Cli>),
    /// Help or version, to be printed.
    Text(String),
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Parsed> {
    match Cli::try_parse() {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        // Handed back, because clap's own printing panics if stdout is closed.
        Err(error) if !error.use_stderr() => Ok(Parsed::Text(error.render().to_string())),
        Err(error) => {
            // The first paragraph says what is wrong; usage and hints follow in more lines.
            let text = error.render().to_string();
            let paragraph = text.split("\n\n").next().unwrap_or(&text);
            Err(anyhow!(
                "{} (see --help)",
                paragraph.trim_start_matches("error: ").trim_end()
            ))
        }
    }
}

fn count(low: u64, high: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low..=high)
}

fn learning_rate(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "above 0 and at most 1")
}

fn temperature(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..=100.0).contains(&x), "from 0 to 100")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, range: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if fits(x) => Ok(x),
        // NaN fits no range.
        _ => Err(format!("expected a number {range}")),
    }
}
