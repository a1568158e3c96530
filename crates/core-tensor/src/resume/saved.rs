//! Loading from a saved state.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::lr_scheduler::LrSchedulerRecord;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use serde::Serialize;

use super::error::{Rejected, ResumeError};
use super::layout::EntryKind;
use super::manifest::{FileEntry, Manifest};
use super::records::{Contents, catch};
use super::state::{TrainState, config_value};

/// A saved state that verified: every file has the size and the SHA-256 that its manifest says.
///
/// Each `load_` function reads its file again and checks the digest of the very bytes it goes on to
/// use.
#[derive(Debug)]
#[non_exhaustive]
pub struct Saved {
    /// Step, cursor, streams, configuration.
    pub state: TrainState,
    /// Later saved steps that did not verify, newest first.
    pub rejected: Vec<Rejected>,
    directory: PathBuf,
    crate_version: String,
    manifest: Manifest,
}

impl Saved {
    pub(super) fn new(
        directory: PathBuf,
        (manifest, state, crate_version): (Manifest, TrainState, String),
        rejected: Vec<Rejected>,
    ) -> Self {
        Self {
            state,
            rejected,
            directory,
            crate_version,
            manifest,
        }
    }

    /// The directory of this step.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version of this crate that saved it.
    #[must_use]
    pub fn crate_version(&self) -> &str {
        &self.crate_version
    }

    /// The entries: name, kind and size in bytes, in the order they were saved.
    pub fn entries(&self) -> impl Iterator<Item = (&str, EntryKind, u64)> {
        self.manifest.files.iter().filter_map(|entry| {
            let name = entry.kind.name_of(&entry.file).ok()?;
            (entry.kind != EntryKind::State).then_some((name, entry.kind, entry.bytes))
        })
    }

    /// Makes sure that training goes on with the configuration it began with.
    ///
    /// # Errors
    ///
    /// [`ResumeError::ConfigChanged`] if it is another one, [`ResumeError::Config`] if it cannot be
    /// JSON.
    pub fn expect_config(&self, config: &impl Serialize) -> Result<(), ResumeError> {
        let given = TrainState {
            config: config_value(config)?,
            ..TrainState::default()
        };
        let (given, saved) = (given.config_sha256(), self.state.config_sha256());
        if given == saved {
            return Ok(());
        }
        Err(ResumeError::ConfigChanged {
            path: self.directory.clone(),
            given,
            saved,
        })
    }

    /// Loads a module's parameters, dtypes and `ParamId`s into `module`, onto `module`'s devices.
    ///
    /// # Errors
    ///
    /// [`ResumeError::NoEntry`]; [`ResumeError::Rejected`] if the file has changed since it was
    /// verified; [`ResumeError::Decode`] if `module` is not of the shape that was saved: a parameter
    /// missing, left over, or of another size.
    pub fn load_module<M: Module>(&self, name: &str, module: M) -> Result<M, ResumeError> {
        self.load(name, EntryKind::Module, |bytes| {
            let record = ModuleRecord::from_bytes(bytes).map_err(|error| error.to_string())?;
            module
                .try_load_record(record)
                .map_err(|error| error.to_string())
        })
    }

    /// Loads an optimiser's state into `optim`, which must have been configured the same way.
    ///
    /// Load the module first: the state belongs to the `ParamId`s that come with it.
    ///
    /// # Errors
    ///
    /// Those of [`load_module`](Self::load_module); [`ResumeError::Decode`] also if the state does not
    /// come back bit for bit, because `optim` is another optimiser or because Burn rounded it (see
    /// [the module](crate::resume#dtypes)).
    pub fn load_optimizer(
        &self,
        name: &str,
        optim: ModuleOptimizer,
    ) -> Result<ModuleOptimizer, ResumeError> {
        self.load(name, EntryKind::Optimizer, |bytes| {
            let bytes = bytes.shared();
            let saved = Contents::of(bytes.clone())?;
            saved.check_optimizer()?;
            let record = OptimizerRecord::from_bytes(bytes).map_err(|error| error.to_string())?;
            let optim = optim.load_record(record);
            let again = optim
                .to_record()
                .into_bytes()
                .map_err(|error| error.to_string())?;
            saved.compare(&Contents::of(again)?)?;
            Ok(optim)
        })
    }

    /// Loads the position of a learning-rate scheduler into `scheduler`, which must have been
    /// configured the same way.
    ///
    /// # Errors
    ///
    /// Those of [`load_module`](Self::load_module); [`ResumeError::Decode`] also if `scheduler` is of
    /// another kind.
    pub fn load_scheduler(
        &self,
        name: &str,
        scheduler: ModuleLrScheduler,
    ) -> Result<ModuleLrScheduler, ResumeError> {
        self.load(name, EntryKind::Scheduler, |bytes| {
            let bytes = bytes.shared();
            let saved = Contents::of(bytes.clone())?;
            let record = LrSchedulerRecord::from_bytes(bytes).map_err(|error| error.to_string())?;
            let scheduler = scheduler.load_record(record);
            let again = scheduler
                .to_record()
                .into_bytes()
                .map_err(|error| error.to_string())?;
            saved.compare(&Contents::of(again)?)?;
            Ok(scheduler)
        })
    }

    /// Loads bytes of the program's own.
    ///
    /// # Errors
    ///
    /// [`ResumeError::NoEntry`] or [`ResumeError::Rejected`].
    pub fn load_bytes(&self, name: &str) -> Result<Vec<u8>, ResumeError> {
        let entry = self.find(name, EntryKind::Bytes)?;
        self.read(entry)
    }

    fn load<T>(
        &self,
        name: &str,
        kind: EntryKind,
        decode: impl FnOnce(Bytes) -> Result<T, String>,
    ) -> Result<T, ResumeError> {
        let entry = self.find(name, kind)?;
        let bytes = self.read(entry)?;
        catch(|| decode(Bytes::from_bytes_vec(bytes))).map_err(|reason| ResumeError::Decode {
            path: self.directory.join(&entry.file),
            reason,
        })
    }

    fn find(&self, name: &str, kind: EntryKind) -> Result<&FileEntry, ResumeError> {
        let file = kind.file(name);
        let entry = self.manifest.files.iter().find(|entry| entry.file == file);
        match entry {
            Some(entry) if entry.kind == kind => Ok(entry),
            Some(entry) => Err(ResumeError::Decode {
                path: self.directory.join(&entry.file),
                reason: format!("its kind is {}, not {kind}", entry.kind),
            }),
            None => Err(ResumeError::NoEntry {
                name: name.to_owned(),
                path: self.directory.clone(),
                available: Entries(self).to_string(),
            }),
        }
    }

    fn read(&self, entry: &FileEntry) -> Result<Vec<u8>, ResumeError> {
        entry.read(&self.directory, u64::MAX).map_err(|reason| {
            ResumeError::Rejected(Rejected {
                directory: self.directory.clone(),
                file: self.directory.join(&entry.file),
                reason,
            })
        })
    }
}

/// The entries as a phrase.
struct Entries<'a>(&'a Saved);

impl fmt::Display for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, kind, _) in self.0.entries() {
            write!(f, "{separator}{kind} {name:?}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("nothing")
        } else {
            Ok(())
        }
    }
}
