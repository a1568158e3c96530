//! A whole run: what is checked before, the loop, the sample and the report.

use crate::cli::Cli;
use crate::console::{Console, thousands};
use crate::corpus::Corpus;
use crate::report::{self, Report};
use crate::sample::{self, Sample};
use crate::settings::Settings;
use crate::shapes::{self, Shapes};
use crate::train::{Data, Trainer, stored_settings};
use crate::vocabulary::Vocabulary;
use crate::{interrupt, place, summary};
use anyhow::{Context, Result, ensure};
use core_tensor::resume::{CheckpointStore, RngStream};
use std::time::{Duration, Instant};

/// Longest prompt that is taken from the validation text.
const PROMPT_LENGTH: usize = 80;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it was asked to.
    Done,
    /// By Ctrl-C.
    Interrupted,
}

/// Does what the command line says. Everything that can be wrong with it is found before training.
pub(crate) fn run(cli: &Cli) -> Result<Outcome> {
    let begun = Instant::now();
    let device = cli.device.open()?;
    let directory = place::directory(cli);
    let (corpus, settings, stored) = if cli.resume {
        let (store, corpus, saved) = place::open_saved(&directory)?;
        let settings = stored_settings(&saved)?;
        settings.expect(cli)?;
        ensure!(
            corpus.digest() == settings.text_sha256,
            "cannot resume: `{}` has changed",
            directory.join(place::TEXT_FILE).display()
        );
        (corpus, settings, Some((store, saved)))
    } else {
        let corpus = match &cli.text {
            Some(path) => Corpus::read(path)?,
            None => Corpus::workspace()?,
        };
        let settings = Settings::new(cli, &corpus);
        (corpus, settings, None)
    };
    let vocabulary = Vocabulary::of(&corpus.text);
    let data = Data::new(vocabulary.encode(&corpus.text)?, vocabulary.len());
    settings.check(data.len(), vocabulary.len())?;
    let prompt = prompt(cli, &vocabulary, &data)?;

    // A directory is made, or emptied, only now that nothing is left to complain about.
    let (store, mut trainer) = match stored {
        Some((store, saved)) => (store, Trainer::load(saved, data, &device)?),
        None => {
            let store = place::open_new(cli, &directory)?;
            place::write(&directory.join(place::TEXT_FILE), corpus.text.as_bytes())?;
            (store, Trainer::new(settings, data, &device)?)
        }
    };
    let first = trainer.state.step;
    // A run that was given more steps than it began with may be past those.
    let planned = trainer.settings.steps.max(first);
    let total = cli.steps.map_or(planned, |n| n as u64);
    ensure!(
        total >= first,
        "cannot resume with `--steps {total}`: {first} steps are done already"
    );
    let mut console = Console::new(total, first);
    summary::introduce(&mut console, &trainer, &vocabulary, cli, total);
    let report_path = directory.join(place::REPORT_FILE);
    let report = |trainer: &Trainer, sample: Option<&Sample>, shapes: Option<&Shapes>| {
        let report = Report {
            trainer,
            vocabulary: vocabulary.len(),
            device: cli.device.to_string(),
            total,
            elapsed: begun.elapsed(),
            sample,
            shapes,
        };
        place::write(&report_path, report::html(&report).as_bytes())
    };
    // A report that cannot be written is better known now.
    report(&trainer, None, None)?;
    interrupt::install()?;

    let end = cli
        .stop_after
        .map_or(total, |n| total.min(first.saturating_add(n as u64)));
    train(
        &mut trainer,
        &store,
        &mut console,
        (end, total),
        |trainer| report(trainer, None, None),
    )?;
    console.finish();

    let interrupted = interrupt::requested();
    let rng = RngStream::new(trainer.settings.seed, "sample", trainer.state.step);
    let length = cli.sample_len.unwrap_or(if cli.smoke { 100 } else { 600 });
    // A request to stop that has been heeded already does not cut the sample short.
    let stop = || !interrupted && interrupt::requested();
    let (written, speed) =
        sample::generate(&trainer.model, &prompt, length, cli.temperature, rng, stop);
    let sample = Sample {
        prompt: vocabulary.decode(&prompt),
        text: vocabulary.decode(&written),
        speed,
    };
    let shapes =
        (!interrupt::requested()).then(|| shapes::learn(&device, trainer.settings.seed, cli.smoke));
    report(&trainer, Some(&sample), shapes.as_ref())?;
    if let Some(shapes) = &shapes {
        summary::shapes(&mut console, shapes);
    }
    summary::conclude(&mut console, &trainer, &sample, begun.elapsed());
    console.line(&format!("report: {}", report_path.display()));
    if trainer.state.step < total {
        console.line(&format!(
            "stopped after {} of {total} steps; to go on: {}",
            trainer.state.step,
            summary::continuation(cli, &directory, &trainer.settings, total)
        ));
    }
    Ok(if interrupt::requested() {
        Outcome::Interrupted
    } else {
        Outcome::Done
    })
}

/// Steps up to `end`, or until Ctrl-C; what is reached is saved.
fn train(
    trainer: &mut Trainer,
    store: &CheckpointStore,
    console: &mut Console,
    (end, total): (u64, u64),
    report: impl Fn(&Trainer) -> Result<()>,
) -> Result<()> {
    let per_step = trainer.settings.batch * trainer.settings.context;
    let mut saved = trainer.state.step;
    let (mut taken, mut spent) = (0, Duration::ZERO);
    while trainer.state.step < end && !interrupt::requested() {
        let begun = Instant::now();
        let loss = trainer.step()?;
        let seconds = begun.elapsed();
        trainer.history.seconds += seconds.as_secs_f64();
        (taken, spent) = (taken + per_step, spent + seconds);
        let step = trainer.state.step;
        let speed = taken as f64 / spent.as_secs_f64();
        console.step(step, loss, speed);
        if step.is_multiple_of(trainer.settings.interval()) || step == total {
            let loss = trainer.validate();
            trainer.history.validation.push((step, loss));
            trainer.save(store)?;
            saved = step;
            report(trainer)?;
            console.line(&format!(
                "step {step:>5}  training {:.4}  validation {loss:.4}  ({}/s)",
                recent(&trainer.history.training, trainer.settings.interval()),
                thousands(speed)
            ));
        }
    }
    if trainer.state.step > saved {
        trainer.save(store)?;
    }
    Ok(())
}

/// Mean training loss since the last validation: that of one batch says little.
fn recent(losses: &[f32], steps: u64) -> f64 {
    let tail = &losses[losses.len().saturating_sub(steps as usize)..];
    tail.iter().copied().map(f64::from).sum::<f64>() / tail.len().max(1) as f64
}

/// The prompt given, or the first line of some length in the validation text.
fn prompt(cli: &Cli, vocabulary: &Vocabulary, data: &Data) -> Result<Vec<u32>> {
    if let Some(prompt) = &cli.prompt {
        ensure!(!prompt.is_empty(), "the prompt is empty");
        return vocabulary
            .encode(prompt)
            .context("cannot begin with this prompt");
    }
    let text = vocabulary.decode(data.validation());
    // The split falls into the middle of a line.
    let mut lines = text.split_inclusive('\n').skip(1);
    let line = lines
        .find(|line| line.chars().count() > PROMPT_LENGTH / 4)
        .unwrap_or(&text);
    let start: String = line.chars().take(PROMPT_LENGTH).collect();
    vocabulary.encode(&start)
}
