//! `MANIFEST.json`: what a saved step consists of, and the check that it still does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk::CHUNK;
use super::layout::{EntryKind, MANIFEST_FILE, STATE_FILE, StepName};
use super::state::{TrainState, hex};

/// Format of `MANIFEST.json`.
const FORMAT: u32 = 1;
/// Limits on what is read whole before anything has been verified.
const MAX_MANIFEST: u64 = 1 << 20;
const MAX_STATE: u64 = 1 << 26;

/// One file of a saved step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    pub(super) file: String,
    pub(super) kind: EntryKind,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The list of all files of a saved step but itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    step: u64,
    pub(super) files: Vec<FileEntry>,
}

/// A file that does not hold up: its path and what is wrong.
pub(super) type Broken = (PathBuf, String);

impl Manifest {
    pub(super) fn new(step: u64, files: Vec<FileEntry>) -> Self {
        Self {
            format: FORMAT,
            step,
            files,
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the manifest of a step directory and checks everything that can be checked without
    /// reading the other files: that it describes this step, that its names stay in the directory,
    /// and that each file is there with its size.
    pub(super) fn read(directory: &Path, name: StepName) -> Result<Self, Broken> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |reason: String| (path, reason)
        };
        let kind = fs::symlink_metadata(directory)
            .map_err(|error| at(directory)(error.to_string()))?
            .file_type();
        if !kind.is_dir() {
            return Err(at(directory)("it is not a directory".to_owned()));
        }
        let path = directory.join(MANIFEST_FILE);
        let json = open(&path).and_then(|(file, size)| read_whole(file, size, MAX_MANIFEST));
        let json = json.map_err(at(&path))?;
        let manifest: Self =
            serde_json::from_slice(&json).map_err(|error| at(&path)(error.to_string()))?;
        manifest.check(name).map_err(at(&path))?;
        for entry in &manifest.files {
            let path = directory.join(&entry.file);
            let (_, size) = open(&path).map_err(at(&path))?;
            entry.check_size(size).map_err(at(&path))?;
        }
        Ok(manifest)
    }

    fn check(&self, name: StepName) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is not {FORMAT}", self.format));
        }
        if self.step != name.step {
            return Err(format!("it is the manifest of step {}", self.step));
        }
        let mut seen = std::collections::BTreeSet::new();
        for entry in &self.files {
            let name = entry.kind.name_of(&entry.file)?;
            if entry.kind == EntryKind::State && entry.file != STATE_FILE {
                return Err(format!("{name:?} is not the name of a state"));
            }
            if !seen.insert(entry.file.to_ascii_lowercase()) {
                return Err(format!("{:?} is listed twice", entry.file));
            }
        }
        if !seen.contains(STATE_FILE) {
            return Err(format!("{STATE_FILE} is not listed"));
        }
        Ok(())
    }

    /// [`read`](Self::read), and then reads every file against its digest, in bounded memory.
    /// Returns the state too, with the crate version that wrote it.
    pub(super) fn verify(
        directory: &Path,
        name: StepName,
    ) -> Result<(Self, TrainState, String), Broken> {
        let manifest = Self::read(directory, name)?;
        let path = directory.join(STATE_FILE);
        let mut state = Err("not listed".to_owned());
        for entry in &manifest.files {
            let path = directory.join(&entry.file);
            if entry.kind == EntryKind::State {
                state = entry
                    .read(directory, MAX_STATE)
                    .and_then(|json| TrainState::from_json(&json));
            } else {
                entry.verify(&path).map_err(|reason| (path, reason))?;
            }
        }
        match state {
            Ok((state, _)) if state.step != name.step => {
                Err((path, format!("it is the state of step {}", state.step)))
            }
            Ok((state, version)) => Ok((manifest, state, version)),
            Err(reason) => Err((path, reason)),
        }
    }
}

impl FileEntry {
    fn check_size(&self, size: u64) -> Result<(), String> {
        if size == self.bytes {
            return Ok(());
        }
        Err(format!(
            "it has {size} bytes, but {} were saved",
            self.bytes
        ))
    }

    fn check_digest(&self, digest: &[u8]) -> Result<(), String> {
        let found = hex(digest);
        if found == self.sha256 {
            return Ok(());
        }
        Err(format!(
            "its SHA-256 is {found}, but {} was saved",
            self.sha256
        ))
    }

    fn verify(&self, path: &Path) -> Result<(), String> {
        let (mut file, size) = open(path)?;
        self.check_size(size)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)).max(1)];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return self.check_digest(&hash.finalize()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The verified contents: the bytes returned are the bytes that were hashed.
    pub(super) fn read(&self, directory: &Path, limit: u64) -> Result<Vec<u8>, String> {
        let (file, size) = open(&directory.join(&self.file))?;
        self.check_size(size)?;
        let bytes = read_whole(file, size, limit)?;
        self.check_size(bytes.len() as u64)?;
        self.check_digest(&Sha256::digest(&bytes))?;
        Ok(bytes)
    }
}

/// Opens a regular file. Anything else is refused before it is opened: opening a FIFO would wait
/// forever, and a link could lead anywhere.
fn open(path: &Path) -> Result<(File, u64), String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !metadata.file_type().is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    Ok((file, size))
}

/// Reads a file whose real size is `size`; memory is asked for only then, and may be refused.
fn read_whole(file: File, size: u64, limit: u64) -> Result<Vec<u8>, String> {
    let length = usize::try_from(size).ok().filter(|_| size <= limit);
    let length = length.ok_or_else(|| format!("it has {size} bytes, more than {limit}"))?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|error| error.to_string())?;
    file.take(size)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
