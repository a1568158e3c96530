//! What decides the numbers of a run, and stays the same when it is resumed.

use crate::cli::Cli;
use crate::corpus::Corpus;
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Steps over which the learning rate rises.
const WARM_UP: u64 = 50;
/// Share of the learning rate that is left at the end.
const FINAL_RATE: f64 = 0.1;
/// Steps of a new run, unless the text is short.
const STEPS: usize = 1000;
/// Most often that a run goes through its text by default: a model of this size begins to know the
/// text by heart, and to do worse on any other, after about this many times.
const PASSES: usize = 9;
/// Most memory that a run may be expected to need.
const MAX_GIB: f64 = 32.0;

/// Stored with every saved state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Blocks.
    pub(crate) layers: usize,
    /// Width.
    pub(crate) d_model: usize,
    /// Sequences per step.
    pub(crate) batch: usize,
    /// Characters per sequence.
    pub(crate) context: usize,
    /// Steps over which the learning rate falls: the total that the run began with.
    pub(crate) steps: u64,
    /// Highest learning rate.
    pub(crate) lr: f64,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Where the text came from, for people.
    pub(crate) source: String,
    /// The text itself.
    pub(crate) text_sha256: String,
}

impl Settings {
    /// Those of a new run.
    pub(crate) fn new(cli: &Cli, corpus: &Corpus) -> Self {
        let by_size = |small, full| if cli.smoke { small } else { full };
        let batch = cli.batch.unwrap_or(by_size(8, 16));
        let context = cli.context.unwrap_or(by_size(64, 128));
        let characters = corpus.text.chars().count();
        let passes = (PASSES * characters / (batch * context)).clamp(1, STEPS);
        Self {
            layers: cli.layers.unwrap_or(2),
            d_model: cli.d_model.unwrap_or(by_size(32, 128)),
            batch,
            context,
            steps: cli.steps.unwrap_or(by_size(60, passes)) as u64,
            lr: cli.lr.unwrap_or(by_size(5, 2) as f64 * 1e-3),
            seed: cli.seed.unwrap_or(42),
            source: corpus.source.clone(),
            text_sha256: corpus.digest(),
        }
    }

    /// Makes sure that the command line asks for nothing else than a stored run.
    ///
    /// # Errors
    /// Names the first setting that differs.
    pub(crate) fn expect(&self, cli: &Cli) -> Result<()> {
        fn same<T: PartialEq + std::fmt::Display>(
            name: &str,
            given: Option<T>,
            stored: T,
        ) -> Result<()> {
            match given {
                Some(given) if given != stored => bail!(
                    "cannot resume with `--{name} {given}`: the run began with `--{name} {stored}`"
                ),
                _ => Ok(()),
            }
        }
        same("layers", cli.layers, self.layers)?;
        same("d-model", cli.d_model, self.d_model)?;
        same("batch", cli.batch, self.batch)?;
        same("context", cli.context, self.context)?;
        same("lr", cli.lr, self.lr)?;
        same("seed", cli.seed, self.seed)?;
        if let Some(path) = &cli.text {
            ensure!(
                Corpus::read(path)?.digest() == self.text_sha256,
                "cannot resume with `--text {}`: the run began with another text, that of {}",
                path.display(),
                self.source
            );
        }
        Ok(())
    }

    /// Makes sure that the text is long enough and the model not absurdly large.
    pub(crate) fn check(&self, characters: usize, vocabulary: usize) -> Result<()> {
        let least = 10 * (self.context + 1);
        ensure!(
            characters >= least,
            "the text of {} is too short: {characters} characters, but a context of {} needs {least} \
             (a tenth is kept for validation)",
            self.source,
            self.context
        );
        let gib = self.memory(vocabulary) / f64::from(1 << 30);
        ensure!(
            gib <= MAX_GIB,
            "these settings need about {gib:.0} GiB of memory, more than the {MAX_GIB} GiB allowed: \
             reduce --d-model, --layers, --batch or --context"
        );
        Ok(())
    }

    /// Bytes, roughly: weights with gradients and moments, and what the gradient keeps per
    /// character.
    fn memory(&self, vocabulary: usize) -> f64 {
        let [d, layers, vocabulary] = [self.d_model, self.layers, vocabulary].map(|n| n as f64);
        let weights = layers * 15.0 * d * d + 2.0 * vocabulary * d;
        let kept = layers * 40.0 * d + 4.0 * vocabulary;
        let characters = (self.batch * self.context) as f64;
        4.0 * (4.0 * weights + characters * kept)
    }

    /// Learning rate of a step, counted from 0: a linear rise, then half a cosine. A function of
    /// the step alone, so there is no schedule to save.
    pub(crate) fn learning_rate(&self, step: u64) -> f64 {
        let rise = WARM_UP.min(self.steps / 2).max(1);
        let risen = ((step + 1) as f64 / rise as f64).min(1.0);
        let fall = self.steps.saturating_sub(rise).max(1) as f64;
        let fallen = (step.saturating_sub(rise) as f64 / fall).min(1.0);
        let share = FINAL_RATE + (1.0 - FINAL_RATE) * 0.5 * (1.0 + (PI * fallen).cos());
        self.lr * risen * share
    }

    /// Steps between one validation and the next; a state is saved then, too.
    pub(crate) fn interval(&self) -> u64 {
        (self.steps / 10).clamp(1, 100)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings of a run that takes no time.
    pub(crate) fn tiny(steps: u64) -> Settings {
        Settings {
            layers: 2,
            d_model: 16,
            batch: 4,
            context: 16,
            steps,
            lr: 0.01,
            seed: 7,
            source: "a test".to_owned(),
            text_sha256: String::new(),
        }
    }

    #[test]
    fn the_learning_rate_rises_falls_and_stays() {
        let settings = tiny(1000);
        assert_eq!(settings.learning_rate(0), 0.01 / 50.0);
        assert_eq!(settings.learning_rate(49), 0.01);
        assert_eq!(settings.learning_rate(50), 0.01);
        let half = settings.learning_rate(525);
        assert!((half - 0.01 * 0.55).abs() < 1e-12, "{half}");
        for step in [1000, 5000] {
            assert!((settings.learning_rate(step) - 0.001).abs() < 1e-12);
        }
        for steps in 1..5 {
            let rates = (0..10).map(|step| tiny(steps).learning_rate(step));
            rates.for_each(|rate| assert!(rate > 0.0 && rate <= 0.01));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let mut settings = tiny(10);
        assert!(settings.check(170, 50).is_ok());
        assert!(settings.check(169, 50).is_err());
        settings.d_model = 4096;
        settings.layers = 64;
        assert!(settings.check(1000, 50).is_err());
    }
}
