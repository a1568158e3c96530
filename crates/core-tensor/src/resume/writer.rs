//! Writing the entries of one state.

use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use sha2::{Digest, Sha256};

use super::disk::{CHUNK, Disk};
use super::error::ResumeError;
use super::layout::{EntryKind, check_name};
use super::manifest::FileEntry;
use super::records::{Contents, catch};
use super::state::hex;

/// Takes the entries of a state that is being saved: what
/// [`CheckpointStore::save`](crate::resume::CheckpointStore::save) hands to its closure.
///
/// Every entry has a name of 1 to 64 letters, digits, `.`, `_` or `-`, not starting with a dot, and
/// unique without regard to case. Once an entry has failed, the save fails.
#[derive(Debug)]
pub struct StateWriter<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    pub(super) files: Vec<FileEntry>,
    pub(super) failed: bool,
}

impl<'a> StateWriter<'a> {
    pub(super) fn new(disk: &'a dyn Disk, directory: &'a Path) -> Self {
        Self {
            disk,
            directory,
            files: Vec::new(),
            failed: false,
        }
    }

    /// Saves a module: every parameter and running statistic, in its own dtype, with its `ParamId`.
    ///
    /// What a module holds outside parameters (sizes, rates, flags) is configuration and is not saved.
    /// The record passes through host memory, about twice the module's size at its peak.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Name`], [`ResumeError::Encode`], or [`ResumeError::Io`].
    pub fn module<M: Module>(&mut self, name: &str, module: &M) -> Result<(), ResumeError> {
        self.entry(name, EntryKind::Module, || {
            let record = module.clone().into_record().into_bytes();
            record.map_err(|error| error.to_string())
        })
    }

    /// Saves an optimiser's state: moments and counters of every parameter, keyed by `ParamId`.
    ///
    /// Save it together with the module it optimises. Gradients that are being accumulated are not
    /// part of it: save between optimiser steps.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Encode`] if the state's dtype is not the default float dtype of the default
    /// device, because Burn would round it when loading (see [the module](crate::resume#dtypes));
    /// [`ResumeError::Name`] or [`ResumeError::Io`].
    pub fn optimizer(&mut self, name: &str, optim: &ModuleOptimizer) -> Result<(), ResumeError> {
        self.entry(name, EntryKind::Optimizer, || {
            let record = optim
                .to_record()
                .into_bytes()
                .map_err(|error| error.to_string())?
                .shared();
            Contents::of(record.clone())?.check_dtypes()?;
            Ok(record)
        })
    }

    /// Saves the position of a learning-rate scheduler.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Name`], [`ResumeError::Encode`], or [`ResumeError::Io`].
    pub fn scheduler(
        &mut self,
        name: &str,
        scheduler: &ModuleLrScheduler,
    ) -> Result<(), ResumeError> {
        self.entry(name, EntryKind::Scheduler, || {
            scheduler
                .to_record()
                .into_bytes()
                .map_err(|error| error.to_string())
        })
    }

    /// Saves bytes of the program's own.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Name`] or [`ResumeError::Io`].
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ResumeError> {
        self.entry(name, EntryKind::Bytes, || Ok(bytes))
    }

    fn entry<B: AsBytes>(
        &mut self,
        name: &str,
        kind: EntryKind,
        contents: impl FnOnce() -> Result<B, String>,
    ) -> Result<(), ResumeError> {
        let file = kind.file(name);
        let path = || self.directory.join(&file);
        let result = self.check_name(name, &file).and_then(|()| {
            // A device that fails while its tensors are read back panics; the save must only fail.
            let contents = catch(contents).map_err(|reason| ResumeError::Encode {
                entry: name.to_owned(),
                path: path(),
                reason,
            })?;
            self.file(&file, kind, contents.as_bytes())
        });
        match result {
            Ok(entry) => {
                self.files.push(entry);
                Ok(())
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    fn check_name(&self, name: &str, file: &str) -> Result<(), ResumeError> {
        let taken = self
            .files
            .iter()
            .any(|entry| entry.file.eq_ignore_ascii_case(file));
        let taken = if taken {
            Err("the name is taken".to_owned())
        } else {
            Ok(())
        };
        check_name(name)
            .and(taken)
            .map_err(|reason| ResumeError::Name {
                name: name.to_owned(),
                path: self.directory.to_path_buf(),
                reason,
            })
    }

    /// Writes one file, durably, and returns its line of the manifest.
    pub(super) fn file(
        &self,
        file: &str,
        kind: EntryKind,
        contents: &[u8],
    ) -> Result<FileEntry, ResumeError> {
        let path = self.directory.join(file);
        let mut handle = self
            .disk
            .create_file(&path)
            .map_err(ResumeError::io("create", &path))?;
        let mut hash = Sha256::new();
        for chunk in contents.chunks(CHUNK) {
            hash.update(chunk);
            self.disk
                .write(&mut handle, chunk)
                .map_err(ResumeError::io("write", &path))?;
        }
        self.disk
            .sync_file(&handle)
            .map_err(ResumeError::io("sync", &path))?;
        Ok(FileEntry {
            file: file.to_owned(),
            kind,
            bytes: contents.len() as u64,
            sha256: hex(&hash.finalize()),
        })
    }
}

/// What an entry's contents may be held in.
trait AsBytes {
    fn as_bytes(&self) -> &[u8];
}

impl AsBytes for burn::tensor::Bytes {
    fn as_bytes(&self) -> &[u8] {
        self
    }
}

impl AsBytes for &[u8] {
    fn as_bytes(&self) -> &[u8] {
        self
    }
}
