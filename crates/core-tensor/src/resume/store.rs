//! The directory of saved steps.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::{Disk, RealDisk, create_dir_durable};
use super::error::{Rejected, ResumeError};
use super::layout::{
    EntryKind, LOCK_FILE, MANIFEST_FILE, STATE_FILE, StepName, TEMP_PREFIX, TRASH_PREFIX,
};
use super::manifest::Manifest;
use super::saved::Saved;
use super::scratch::Scratch;
use super::state::TrainState;
use super::writer::StateWriter;

/// Fewest states kept: with one, there is nothing to fall back on.
const MIN_KEEP: usize = 2;

/// A directory of saved training states, one subdirectory per saved step.
///
/// See [the module](crate::resume) for the layout and what it promises.
#[derive(Debug)]
pub struct CheckpointStore {
    directory: PathBuf,
    keep: usize,
    disk: Box<dyn Disk>,
    /// Held while the store lives; `None` if read-only. The system drops it with the process,
    /// however that ends.
    lock: Option<File>,
    /// Steps known not to verify. They do not count as states to fall back on.
    broken: Mutex<BTreeSet<StepName>>,
}

impl CheckpointStore {
    /// Opens a directory for saving and loading, and creates it if it is not there.
    ///
    /// One store at a time can have it open: it is locked, and the lock ends with the process, even
    /// if that is killed. (On a file system without locks, this is on trust, with a warning.)
    ///
    /// # Errors
    ///
    /// [`ResumeError::Busy`] if another store has it open, [`ResumeError::Io`] if it cannot be created
    /// or is not writable.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, ResumeError> {
        Self::open_on(Box::new(RealDisk), directory.into())
    }

    pub(super) fn open_on(disk: Box<dyn Disk>, directory: PathBuf) -> Result<Self, ResumeError> {
        create_dir_durable(&*disk, &directory)
            .map_err(ResumeError::io("create directory", &directory))?;
        let path = directory.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let lock = lock.map_err(ResumeError::io("open lock file", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ResumeError::Busy { path: directory }),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                log::warn!(
                    "cannot lock `{}`: {error}; make sure that only one run uses it",
                    path.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(ResumeError::io("lock", &path)(error)),
        }
        Ok(Self::with(disk, directory, Some(lock)))
    }

    /// Opens a directory for loading only, whether or not a run is saving into it.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Io`] if it is not a directory.
    pub fn open_read_only(directory: impl Into<PathBuf>) -> Result<Self, ResumeError> {
        let directory = directory.into();
        fs::read_dir(&directory).map_err(ResumeError::io("open directory", &directory))?;
        Ok(Self::with(Box::new(RealDisk), directory, None))
    }

    fn with(disk: Box<dyn Disk>, directory: PathBuf, lock: Option<File>) -> Self {
        Self {
            directory,
            keep: MIN_KEEP,
            disk,
            lock,
            broken: Mutex::default(),
        }
    }

    /// How many states to keep, the newest ones: two by default, and at least two. While one more is
    /// being saved there is room needed for it too.
    #[must_use]
    pub fn keep(mut self, count: usize) -> Self {
        self.keep = count.max(MIN_KEEP);
        self
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Saves a state: `entries` is given a [`StateWriter`] and puts the tensors into it.
    ///
    /// When this returns `Ok`, the state is durable, and older ones beyond the number to keep are
    /// gone. When it returns an error, or the process or the machine dies in it, the states that were
    /// there are still there. Returns the directory of the saved step.
    ///
    /// # Errors
    ///
    /// [`ResumeError::Io`] if the disk is full, read-only or broken; [`ResumeError::NewerExists`] if a
    /// later step is there and verifies; [`ResumeError::ReadOnly`]; [`ResumeError::Encode`] if the
    /// state would not read back the same; and every error of `entries`.
    pub fn save(
        &self,
        state: &TrainState,
        entries: impl FnOnce(&mut StateWriter<'_>) -> Result<(), ResumeError>,
    ) -> Result<PathBuf, ResumeError> {
        if self.lock.is_none() {
            return Err(ResumeError::ReadOnly {
                path: self.directory.clone(),
            });
        }
        self.remove_leftovers()?;
        let name = self.next_name(state.step)?;
        let scratch = Scratch::create(&*self.disk, &self.directory, name)?;
        let directory = &scratch.path;

        let encode = |file: &str, reason| ResumeError::Encode {
            entry: file.to_owned(),
            path: directory.join(file),
            reason,
        };
        // First what can fail for a reason other than the disk.
        let json = state
            .to_json()
            .map_err(|reason| encode(STATE_FILE, reason))?;
        let mut writer = StateWriter::new(&*self.disk, directory);
        entries(&mut writer)?;
        if writer.failed {
            return Err(ResumeError::Incomplete {
                path: directory.clone(),
            });
        }
        let entry = writer.file(STATE_FILE, EntryKind::State, &json)?;
        writer.files.push(entry);
        let manifest = Manifest::new(state.step, std::mem::take(&mut writer.files));
        let json = manifest
            .to_json()
            .map_err(|reason| encode(MANIFEST_FILE, reason))?;
        // The kind is not used: the manifest does not list itself.
        writer.file(MANIFEST_FILE, EntryKind::State, &json)?;
        self.disk
            .sync_dir(directory)
            .map_err(ResumeError::io("sync", directory))?;

        let target = scratch.publish(self.directory.join(name.to_string()))?;
        self.disk
            .sync_dir(&self.directory)
            .map_err(ResumeError::io("sync", &self.directory))?;
        self.remove_old(name);
        Ok(target)
    }

    /// The newest state that verifies, and in [`Saved::rejected`] the later ones that do not, each
    /// with a `log::warn!`. `None` if nothing has been saved yet.
    ///
    /// # Errors
    ///
    /// [`ResumeError::NoneUsable`] if there are saved steps but none verifies: training must not
    /// silently begin again. [`ResumeError::Io`] if the directory cannot be listed.
    pub fn latest(&self) -> Result<Option<Saved>, ResumeError> {
        let mut rejected = Vec::new();
        for name in self.steps()? {
            match self.verify(name) {
                Ok(verified) => {
                    let directory = self.directory.join(name.to_string());
                    return Ok(Some(Saved::new(directory, verified, rejected)));
                }
                Err(broken) => {
                    log::warn!("saved state rejected: {broken}");
                    rejected.push(broken);
                }
            }
        }
        if rejected.is_empty() {
            return Ok(None);
        }
        Err(ResumeError::NoneUsable {
            directory: self.directory.clone(),
            rejected,
        })
    }

    /// Every step directory, newest first.
    fn steps(&self) -> Result<Vec<StepName>, ResumeError> {
        let mut steps = Vec::new();
        self.each_name(|name| steps.extend(name.parse::<StepName>().ok()))?;
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    fn each_name(&self, mut f: impl FnMut(&str)) -> Result<(), ResumeError> {
        let list = || ResumeError::io("list", &self.directory);
        for entry in fs::read_dir(&self.directory).map_err(list())? {
            // A name that is not UTF-8 is not one of ours.
            if let Some(name) = entry.map_err(list())?.file_name().to_str() {
                f(name);
            }
        }
        Ok(())
    }

    fn verify(&self, name: StepName) -> Result<(Manifest, TrainState, String), Rejected> {
        let directory = self.directory.join(name.to_string());
        Manifest::verify(&directory, name).map_err(|(file, reason)| {
            self.broken().insert(name);
            Rejected {
                directory,
                file,
                reason,
            }
        })
    }

    fn broken(&self) -> std::sync::MutexGuard<'_, BTreeSet<StepName>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory name for a step about to be saved.
    ///
    /// A later step that verifies would hide it from `latest`, and could be taken for the result of
    /// this run; that happens when a new run is pointed at an old directory, and is refused.
    fn next_name(&self, step: u64) -> Result<StepName, ResumeError> {
        let mut revision = 0;
        for name in self.steps()? {
            if name.step == step {
                revision = revision.max(name.revision.saturating_add(1));
            }
            let known_broken = self.broken().contains(&name);
            if name.step > step && !known_broken && self.verify(name).is_ok() {
                let newer = self.directory.join(name.to_string());
                return Err(ResumeError::NewerExists { step, newer });
            }
        }
        Ok(StepName { step, revision })
    }

    /// Removes what killed runs left. Whatever is there is dead: the lock is ours.
    fn remove_leftovers(&self) -> Result<(), ResumeError> {
        let mut leftovers = Vec::new();
        self.each_name(|name| {
            if name.starts_with(TEMP_PREFIX) || name.starts_with(TRASH_PREFIX) {
                leftovers.push(self.directory.join(name));
            }
        })?;
        for path in leftovers {
            if let Err(error) = self.disk.remove_dir(&path) {
                log::warn!("cannot remove leftover `{}`: {error}", path.display());
            }
        }
        Ok(())
    }

    /// Removes the states older than the newest `keep` good ones. The state just saved is safe; if an
    /// old one cannot be removed, that is worth a warning, not a failure.
    fn remove_old(&self, saved: StepName) {
        let steps = match self.steps() {
            Ok(steps) => steps,
            Err(error) => return log::warn!("cannot remove old states: {error}"),
        };
        let mut good = 0;
        for name in steps {
            let path = self.directory.join(name.to_string());
            if good >= self.keep {
                let trash = self.directory.join(format!("{TRASH_PREFIX}{name}"));
                let removed = self
                    .disk
                    .rename(&path, &trash)
                    .and_then(|()| self.disk.remove_dir(&trash));
                if let Err(error) = removed {
                    log::warn!("cannot remove old state `{}`: {error}", path.display());
                }
            } else if name == saved
                // Names and sizes only: reading every old state at every save would cost more than
                // the save. `latest` has looked closer at those that were there at the start.
                || (!self.broken().contains(&name) && Manifest::read(&path, name).is_ok())
            {
                good += 1;
            }
        }
    }
}
