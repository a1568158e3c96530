//! Synthetic tasks that tell recurrent models apart, generated without files.
//!
//! | task | what it needs | from |
//! |---|---|---|
//! | [`SelectiveCopy`], [`MarkedCopy`] | to store some tokens and skip others | minRNN paper; S4 and Mamba |
//! | [`Parity`] | one bit that flips: negative transitions | Chomsky-hierarchy suites |
//! | [`EvenPairs`] | the first bit kept to the end | Chomsky-hierarchy suites |
//! | [`Majority`] | counters | the minRNN paper's v3 |
//! | [`SymmetricGroup`] | products that do not commute, e.g. S₃ | group word problems |
//! | [`ListOps`] | a stack | Long Range Arena |
//!
//! A task is a struct of its settings. [`Task::batch`] makes any batch of a run alone, from the seed of
//! the run and the index of the batch:
//!
//! ```
//! use seq_rnn_parallel_scan::tasks::{SelectiveCopy, Task, TaskError};
//!
//! let task = SelectiveCopy { length: 64, tokens: 4, vocabulary: 16 };
//! let batch = task.batch(7, 120, 32)?;
//! assert_eq!((batch.rows, batch.time), (32, 68));
//! assert_eq!(batch, task.batch(7, 120, 32)?);
//!
//! let impossible = SelectiveCopy { tokens: 65, ..task };
//! assert!(matches!(impossible.batch(7, 0, 32), Err(TaskError::Setting { .. })));
//! # Ok::<(), TaskError>(())
//! ```
//!
//! With feature `recipes` there are training recipes besides: `Experiment` and `Recipe`.

mod batch;
#[cfg(feature = "recipes")]
mod clip;
mod error;
mod even_pairs;
#[cfg(feature = "recipes")]
mod experiment;
pub mod listops;
mod majority;
mod parity;
#[cfg(feature = "recipes")]
mod recipe;
mod rng;
mod selective_copy;
mod symmetric_group;

pub use batch::{Batch, BatchTensors, Row};
#[cfg(feature = "recipes")]
pub use clip::clip_norm;
pub use error::TaskError;
pub use even_pairs::EvenPairs;
#[cfg(feature = "recipes")]
pub use experiment::Experiment;
pub use listops::ListOps;
pub use majority::Majority;
pub use parity::Parity;
#[cfg(feature = "recipes")]
pub use recipe::{Progress, Recipe, Score, Trained, evaluate};
pub use rng::TaskRng;
pub use selective_copy::{MarkedCopy, SelectiveCopy};
pub use symmetric_group::SymmetricGroup;

use error::require;
use serde::{Deserialize, Serialize};

/// Batches from this index on are for evaluation: training, which counts from 0, never sees them.
pub const HELD_OUT: u64 = 1 << 63;

/// A source of sequences with answers.
pub trait Task: std::fmt::Debug + Send + Sync {
    /// Number of different input tokens.
    fn vocabulary(&self) -> usize;

    /// Number of different answers; an answer that guesses one of them has this chance.
    fn classes(&self) -> usize;

    /// Positions of the longest sequence that the task makes.
    fn max_time(&self) -> usize;

    /// The token that fills up shorter sequences of a batch, after their end.
    fn padding(&self) -> u32;

    /// Whether the settings describe sequences at all.
    ///
    /// # Errors
    /// The first setting that does not.
    fn check(&self) -> Result<(), TaskError>;

    /// One sequence, for settings that passed [`Task::check`].
    ///
    /// # Errors
    /// If a random sequence has to be thrown away too often, see [`TaskError::Unlikely`].
    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError>;

    /// Batch `index` of the run `seed`: the same for the same arguments, on every machine.
    ///
    /// # Errors
    /// If the settings are impossible, or there are no rows or too many.
    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<Batch, TaskError> {
        self.check()?;
        let time = self.max_time();
        if rows == 0 {
            return Err(TaskError::NoRows);
        }
        if rows.checked_mul(time).is_none_or(|size| size > 1 << 31) {
            return Err(TaskError::TooLarge { rows, time });
        }
        let mut rng = TaskRng::new(seed, index);
        let sequences: Vec<Row> = (0..rows)
            .map(|_| self.row(&mut rng))
            .collect::<Result<_, _>>()?;
        Ok(Batch::collect(&sequences, self.padding()))
    }
}

/// Where the answers of a sequence are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Labels {
    /// At every position, for the sequence up to and including it. Short prefixes teach what long
    /// ones need.
    #[default]
    Every,
    /// At one query token appended after the end, for the whole sequence: the protocol of the
    /// minRNN and xLSTM papers.
    Query,
}

/// How long sequences are: each draws its own length, uniform in `min..=max`, query not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lengths {
    /// Shortest, at least 1.
    pub min: usize,
    /// Longest.
    pub max: usize,
}

impl Lengths {
    /// All of one length.
    pub fn fixed(length: usize) -> Self {
        Self {
            min: length,
            max: length,
        }
    }

    fn check(self, task: &'static str) -> Result<(), TaskError> {
        let Self { min, max } = self;
        require(min > 0, task, "length.min", "at least 1", min)?;
        require(
            min <= max,
            task,
            "length.min",
            format!("at most length.max = {max}"),
            min,
        )?;
        require(max < 1 << 31, task, "length.max", "less than 2^31", max)
    }

    fn draw(self, rng: &mut TaskRng) -> usize {
        rng.between(self.min, self.max)
    }
}

impl Labels {
    /// Positions that the labels add to a sequence.
    fn extra(self) -> usize {
        usize::from(self == Labels::Query)
    }

    /// A row of tokens with the answers of all their prefixes; `query` is the token to append.
    fn row(self, mut inputs: Vec<u32>, answers: impl Iterator<Item = u32>, query: u32) -> Row {
        let mut targets: Vec<Option<u32>> = answers.map(Some).collect();
        if self == Labels::Query {
            let last = targets.last().copied().flatten();
            targets.fill(None);
            targets.push(last);
            inputs.push(query);
        }
        Row { inputs, targets }
    }
}
