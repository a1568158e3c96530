//! The directory a state is written into before it has its name.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::ResumeError;
use super::layout::{StepName, TEMP_PREFIX};

/// A directory being written; removed when dropped, unless published.
pub(super) struct Scratch<'a> {
    disk: &'a dyn Disk,
    pub(super) path: PathBuf,
    published: bool,
}

impl<'a> Scratch<'a> {
    pub(super) fn create(
        disk: &'a dyn Disk,
        parent: &Path,
        name: StepName,
    ) -> Result<Self, ResumeError> {
        // A leftover that could not be removed must not stand in the way.
        let mut path = parent.join(format!("{TEMP_PREFIX}{name}"));
        for attempt in 1..=100 {
            if fs::symlink_metadata(&path).is_err() {
                break;
            }
            path.set_file_name(format!("{TEMP_PREFIX}{name}.{attempt}"));
        }
        disk.create_dir(&path)
            .map_err(ResumeError::io("create directory", &path))?;
        Ok(Self {
            disk,
            path,
            published: false,
        })
    }

    /// Gives the finished directory its name. Everything in it is durable by now.
    pub(super) fn publish(mut self, target: PathBuf) -> Result<PathBuf, ResumeError> {
        self.disk
            .rename(&self.path, &target)
            .map_err(ResumeError::io("rename", &self.path))?;
        self.published = true;
        Ok(target)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // If this fails too, the next save tries again.
        if !self.published
            && let Err(error) = self.disk.remove_dir(&self.path)
        {
            log::warn!(
                "cannot remove unfinished state `{}`: {error}",
                self.path.display()
            );
        }
    }
}
