//! The directory of a run.

use crate::cli::Cli;
use crate::corpus::Corpus;
use anyhow::{Context, Result, bail, ensure};
use core_tensor::resume::{CheckpointStore, ResumeError, Saved};
use core_tensor::write_atomic;
use std::fs;
use std::path::{Path, PathBuf};

/// The text that a run learns from, beside its states: a run outlives the file that it was given.
pub(crate) const TEXT_FILE: &str = "text.txt";
/// The report.
pub(crate) const REPORT_FILE: &str = "report.html";
/// Writes a file as a whole: whoever looks sees the old one or the new one.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_atomic(path, contents).with_context(|| format!("cannot write `{}`", path.display()))
}

/// The directory that the command line means.
pub(crate) fn directory(cli: &Cli) -> PathBuf {
    let default = if cli.smoke {
        "runs/smoke"
    } else {
        "runs/quickstart"
    };
    cli.out.clone().unwrap_or_else(|| default.into())
}

/// The directory of a new run: one without states, or emptied on request.
pub(crate) fn open_new(cli: &Cli, directory: &Path) -> Result<CheckpointStore> {
    let store = CheckpointStore::open(directory)?;
    if matches!(store.latest(), Ok(None)) {
        return Ok(store);
    }
    let shown = directory.display();
    ensure!(
        cli.overwrite || (cli.smoke && cli.out.is_none()),
        "`{shown}` holds a run: go on with it (--resume), discard it (--overwrite), or choose another \
         directory (--out)"
    );
    // Only what a store puts there; the directory may hold other things.
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list `{shown}`"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("step-")) && path.is_dir() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    Ok(store)
}

/// A run to go on with: its store, its text, its newest state.
pub(crate) fn open_saved(directory: &Path) -> Result<(CheckpointStore, Corpus, Saved)> {
    let shown = directory.display();
    // Opening would make the directory.
    ensure!(
        directory.is_dir(),
        "cannot resume: there is no run in `{shown}`"
    );
    let store = CheckpointStore::open(directory)?;
    let saved = match store.latest() {
        Ok(Some(saved)) => saved,
        Ok(None) => bail!("cannot resume: there is no run in `{shown}`"),
        Err(error @ ResumeError::NoneUsable { .. }) => bail!("cannot resume: {error}"),
        Err(error) => return Err(error.into()),
    };
    Ok((store, Corpus::read(&directory.join(TEXT_FILE))?, saved))
}
