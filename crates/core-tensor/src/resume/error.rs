//! What can go wrong, and with which file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A saved state that is on disk but was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The directory of the saved step.
    pub directory: PathBuf,
    /// The file (or the directory itself) that does not hold up.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

/// Error of every operation in [`resume`](crate::resume). Each message names the operation, the
/// path and the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The operating system refused an operation: full disk, read-only directory, missing path.
    #[error("cannot {operation} `{}`: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: `write`, `sync`, `rename`, ...
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file read back from a saved state is not the file that was saved.
    #[error("cannot load saved state: {0}")]
    Rejected(Rejected),
    /// Saved steps exist, but none of them verifies. Training must not silently start again.
    #[error("cannot load from `{}`: no saved step verifies ({})", directory.display(), list(rejected))]
    NoneUsable {
        /// The store's directory.
        directory: PathBuf,
        /// Every saved step, newest first, with the reason it was rejected.
        rejected: Vec<Rejected>,
    },
    /// A record, state or configuration cannot be turned into bytes that come back the same.
    #[error("cannot save `{entry}` in `{}`: {reason}", path.display())]
    Encode {
        /// The entry being saved.
        entry: String,
        /// The file it was meant for.
        path: PathBuf,
        /// Why it cannot be saved.
        reason: String,
    },
    /// A file verifies, but does not fit what it is loaded into: another model, optimiser or
    /// schedule, or a kind of entry other than the one asked for.
    #[error("cannot load `{}`: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why it does not fit.
        reason: String,
    },
    /// An entry name that cannot be a file name everywhere, or is taken.
    #[error("cannot save entry {name:?} in `{}`: {reason}", path.display())]
    Name {
        /// The name given.
        name: String,
        /// The directory being written.
        path: PathBuf,
        /// What is wrong with the name.
        reason: String,
    },
    /// The saved state has no entry of this name.
    #[error("cannot load entry {name:?} from `{}`: there is none (it has: {available})", path.display())]
    NoEntry {
        /// The name asked for.
        name: String,
        /// The saved step's directory.
        path: PathBuf,
        /// The names there are.
        available: String,
    },
    /// The directory already holds a later step that verifies, so this one would never be found.
    #[error(
        "cannot save step {step}: `{}` is a later step that verifies; resume from it, or train \
         into another directory",
        newer.display()
    )]
    NewerExists {
        /// The step that was to be saved.
        step: u64,
        /// The later state.
        newer: PathBuf,
    },
    /// Another store, in this process or another, has the directory open for saving.
    #[error("cannot open `{}` for saving: another run is using it", path.display())]
    Busy {
        /// The store's directory.
        path: PathBuf,
    },
    /// The store was opened with
    /// [`open_read_only`](crate::resume::CheckpointStore::open_read_only).
    #[error("cannot save to `{}`: the store is open read-only", path.display())]
    ReadOnly {
        /// The store's directory.
        path: PathBuf,
    },
    /// The configuration is not the one the state was saved with.
    #[error(
        "cannot resume from `{}` with this configuration: its SHA-256 is {given}, the saved one's \
         is {saved}",
        path.display()
    )]
    ConfigChanged {
        /// The saved step's directory.
        path: PathBuf,
        /// Digest of the configuration given.
        given: String,
        /// Digest of the configuration saved.
        saved: String,
    },
    /// A configuration that cannot be JSON.
    #[error("cannot keep the configuration: {reason}")]
    Config {
        /// Why not.
        reason: String,
    },
    /// The closure given to [`save`](crate::resume::CheckpointStore::save) returned `Ok` although
    /// one of its entries had failed.
    #[error("cannot save `{}`: an entry failed and its error was dropped", path.display())]
    Incomplete {
        /// The directory being written.
        path: PathBuf,
    },
}

impl ResumeError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_path_buf(),
            source,
        }
    }
}

fn list(rejected: &[Rejected]) -> String {
    rejected
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
