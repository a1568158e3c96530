//! What can be wrong with a task.

/// Why a task has no batch to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A setting that no sequence can fulfil.
    #[error("{task}: {setting}: expected {expected}, got {got}")]
    Setting {
        /// The task.
        task: &'static str,
        /// The field of its struct.
        setting: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A batch without rows.
    #[error("batch: expected at least 1 row")]
    NoRows,
    /// A batch of more positions than a 32-bit index reaches.
    #[error("batch: {rows} rows of up to {time} positions are more than 2^31")]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Positions of the longest row that the task can make.
        time: usize,
    },
    /// Random sequences were thrown away again and again: hardly any fits the settings.
    #[error("{task}: none of {attempts} random sequences fits {setting}")]
    Unlikely {
        /// The task.
        task: &'static str,
        /// What they have to fit.
        setting: &'static str,
        /// How many were made.
        attempts: usize,
    },
    /// Tokens that are no expression of the task's language.
    #[error("{task}: token {position}: {problem}")]
    Malformed {
        /// The task.
        task: &'static str,
        /// Where, from 0; the number of tokens if something is missing at the end.
        position: usize,
        /// What is wrong there.
        problem: &'static str,
    },
}

/// `Ok` if the condition holds, else the setting that breaks it.
pub(super) fn require(
    holds: bool,
    task: &'static str,
    setting: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> Result<(), TaskError> {
    if holds {
        return Ok(());
    }
    Err(TaskError::Setting {
        task,
        setting,
        expected: expected.into(),
        got: got.to_string(),
    })
}
