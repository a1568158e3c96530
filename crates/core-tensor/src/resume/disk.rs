//! The few operations a save needs from the file system, behind a trait so that tests can make
//! each of them fail, or cut the power after it.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// How much is handed to the system at once. Small enough that a failing disk is noticed early,
/// large enough that the number of calls does not matter.
pub(super) const CHUNK: usize = 1 << 20;

pub(super) trait Disk: Debug + Send + Sync {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Creates a file that did not exist; never follows a link planted under its name.
    fn create_file(&self, path: &Path) -> io::Result<File> {
        File::create_new(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Makes the directory's entries durable. Windows has no such operation, nor the need.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if cfg!(unix) {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

/// The real file system.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {}

/// Creates `path` and what is missing above it, durably: the parent of every directory made is
/// synced, so that a crash cannot lose the directory under a state that was saved into it.
pub(super) fn create_dir_durable(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if parent != Path::new(".") {
        create_dir_durable(disk, parent)?;
    }
    match disk.create_dir(path) {
        // Somebody else was faster: fine, if it is a directory.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => disk.sync_dir(parent),
    }
}
