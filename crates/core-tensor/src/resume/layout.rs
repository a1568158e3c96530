//! Names on disk: step directories, temporary directories, entry files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Written last, under the temporary name; a directory without it is not a state.
pub(super) const MANIFEST_FILE: &str = "MANIFEST.json";
/// The plain part of the state: step, cursor, streams, configuration.
pub(super) const STATE_FILE: &str = "state.json";
/// Held open and locked by the store that may save.
pub(super) const LOCK_FILE: &str = ".lock";
/// A state being written.
pub(super) const TEMP_PREFIX: &str = ".tmp-";
/// A state being removed. It is renamed first, so that a removal that is cut short leaves no
/// directory that looks like a broken state.
pub(super) const TRASH_PREFIX: &str = ".trash-";

/// Longest entry name, in bytes.
const MAX_NAME: usize = 64;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EntryKind {
    /// A module record.
    Module,
    /// An optimiser record.
    Optimizer,
    /// A learning-rate scheduler record.
    Scheduler,
    /// Bytes that the program gave.
    Bytes,
    /// `state.json`.
    State,
}

impl EntryKind {
    fn extension(self) -> &'static str {
        match self {
            Self::Module | Self::Optimizer | Self::Scheduler => "bpk",
            Self::Bytes => "bin",
            Self::State => "json",
        }
    }

    /// The file an entry of this kind and name lives in.
    pub(super) fn file(self, name: &str) -> String {
        format!("{name}.{}", self.extension())
    }

    /// The entry name that belongs to a file name read from a manifest: the inverse of
    /// [`file`](Self::file), refusing everything that `file` would not have made.
    pub(super) fn name_of(self, file: &str) -> Result<&str, String> {
        let name = file
            .strip_suffix(self.extension())
            .and_then(|stem| stem.strip_suffix('.'))
            .ok_or_else(|| format!("{file:?} is not the name of a {self} file"))?;
        check_name(name)?;
        Ok(name)
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Optimizer => "optimizer",
            Self::Scheduler => "scheduler",
            Self::Bytes => "bytes",
            Self::State => "state",
        })
    }
}

/// An entry name is a plain file name on every system: no separators, no `..`, nothing hidden.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("{name:?} is not 1 to {MAX_NAME} bytes long"));
    }
    if name.starts_with('.') {
        return Err(format!("{name:?} starts with a dot"));
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c)))
    {
        Some(c) => Err(format!(
            "{name:?} has {c:?}; letters, digits, `.`, `_` and `-` are allowed"
        )),
        None => Ok(()),
    }
}

/// The directory name of a saved step: `step-000000123`, and `step-000000123-r1` if the step was
/// saved again (after its first state had turned out broken, for example). A directory is never
/// replaced, because no system can swap two directories in one portable operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StepName {
    pub(super) step: u64,
    pub(super) revision: u64,
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step-{:09}", self.step)?;
        if self.revision > 0 {
            write!(f, "-r{}", self.revision)?;
        }
        Ok(())
    }
}

impl FromStr for StepName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("step-").ok_or(())?;
        let (step, revision) = rest.split_once("-r").unwrap_or((rest, "0"));
        let name = Self {
            step: step.parse().map_err(|_| ())?,
            revision: revision.parse().map_err(|_| ())?,
        };
        // Only the spelling that `Display` makes: `step-1` and `step-+00000001` are not ours.
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_round_trip_and_sort() {
        for (step, revision) in [
            (0, 0),
            (123, 0),
            (123, 7),
            (1_000_000_000, 0),
            (u64::MAX, 1),
        ] {
            let name = StepName { step, revision };
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert_eq!(
            StepName {
                step: 123,
                revision: 0
            }
            .to_string(),
            "step-000000123"
        );
        assert!(
            StepName {
                step: 2,
                revision: 0
            } > StepName {
                step: 1,
                revision: 9
            }
        );
    }

    #[test]
    fn foreign_directory_names_are_not_steps() {
        for text in [
            "",
            "step-",
            "step-1",
            "step-+00000001",
            "step-0000000001",
            "step-000000001-r0",
            "step-000000001-r",
            "step-000000001-r01",
            "step-000000001.bak",
            "Step-000000001",
            "step-99999999999999999999999",
            "step--00000001",
        ] {
            assert_eq!(text.parse::<StepName>(), Err(()), "{text}");
        }
    }

    #[test]
    fn entry_names_are_plain_file_names() {
        for good in ["model", "optim-2", "a.b_c", "X"] {
            assert_eq!(check_name(good), Ok(()));
            let file = EntryKind::Module.file(good);
            assert_eq!(EntryKind::Module.name_of(&file), Ok(good));
        }
        let long = "x".repeat(65);
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "ä", "a\0", "c:x", &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
            assert!(
                EntryKind::Bytes.name_of(&format!("{bad}.bin")).is_err(),
                "{bad:?}"
            );
        }
        assert!(EntryKind::Bytes.name_of("model.bpk").is_err());
        assert!(EntryKind::Bytes.name_of("bin").is_err());
    }
}
