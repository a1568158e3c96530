//! Trains a minGRU language model on text, on the CPU, in a minute or two: the workspace's own
//! documents, or any file with `--text`. See `--help`.
//!
//! How it is put together: [`cli`] and [`settings`] say what to do, [`corpus`] is the text,
//! [`train`] the model and its steps, [`run`] the loop around them in its [`place`], [`sample`]
//! generates, [`shapes`] is the equivariant part, [`report`] and [`chart`] draw.

mod chart;
mod cli;
mod console;
mod corpus;
mod device;
mod history;
mod interrupt;
mod place;
mod report;
mod run;
mod sample;
mod settings;
mod shapes;
mod summary;
mod train;
mod vocabulary;

use std::io::Write;
use std::process::ExitCode;

/// A training step makes thousands of tensors of up to a few MB, and glibc maps each of them anew.
/// Measured on two cores, mimalloc raises the training speed by a fifth: two thirds of the time that
/// the kernel spent on fresh pages is gone.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code after Ctrl-C, as a shell reports it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let outcome = match cli::parse() {
        Ok(cli::Parsed::Run(cli)) => run::run(&cli),
        // Help or version: not an error.
        Ok(cli::Parsed::Text(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(run::Outcome::Done) => ExitCode::SUCCESS,
        Ok(run::Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            // One line, whatever the error underneath looks like. Nobody is left to tell if stderr
            // is closed.
            let line = format!("{error:#}");
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(std::io::stderr(), "error: {line}");
            ExitCode::FAILURE
        }
    }
}
