//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file under another name beside it, syncs it, and renames it: whoever looks sees the old file or the new one, after
/// a crash too. Of one file, one writer at a time: the other name is always the same, so that no crash leaves many.
///
/// # Errors
/// If the system refuses; what was there stays as it was.
pub fn write_atomic(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".tmp-");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    let written = write_then_rename(&temporary, path, contents);
    if written.is_err() {
        // What could not be finished is of no use; that it cannot be removed either is not the
        // news.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_then_rename(temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    // The name is in the directory; only Unix can sync one.
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let here = Path::new(".");
        File::open(if parent.as_os_str().is_empty() {
            here
        } else {
            parent
        })?
        .sync_all()?;
    }
    Ok(())
}
