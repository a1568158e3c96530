//! The text to learn from.

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest text that is read.
const MAX_BYTES: u64 = 256 << 20;

/// A text and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    /// For people: a path, or what was gathered.
    pub(crate) source: String,
    /// The text.
    pub(crate) text: String,
}

impl Corpus {
    /// A UTF-8 text file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let open = || format!("cannot read the text `{shown}`");
        ensure!(
            !path.is_dir(),
            "cannot read the text `{shown}`: it is a directory"
        );
        let file = File::open(path).with_context(open)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a long file from an endless one of the right length.
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .with_context(open)?;
        ensure!(
            bytes.len() as u64 <= MAX_BYTES,
            "the text `{shown}` is larger than {} MiB",
            MAX_BYTES >> 20
        );
        ensure!(!bytes.is_empty(), "the text `{shown}` is empty");
        if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
            bail!("`{shown}` is not a text: byte {at} is NUL");
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow::anyhow!("`{shown}` is not a UTF-8 text: byte {at} is not valid")
        })?;
        let source = shown.to_string();
        Ok(Self { source, text })
    }

    /// The documents (`*.md`) and doc comments (`*.rs`) of the workspace that this program was
    /// built in.
    pub(crate) fn workspace() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        ensure!(
            root.join("crates").is_dir(),
            "the workspace's sources, the default text, are not where this program was built; \
             give it a text with `--text FILE`"
        );
        let mut files = Vec::new();
        walk(&root, &mut files).context("cannot list the workspace's sources")?;
        let mut text = String::new();
        for path in &files {
            // A source that is not UTF-8 is no document of ours.
            let Ok(contents) = fs::read_to_string(path) else {
                continue;
            };
            let part = if path.extension().is_some_and(|end| end == "rs") {
                doc_comments(&contents)
            } else {
                contents
            };
            let part = part.trim_matches('\n');
            if !part.is_empty() {
                text.push_str(part);
                text.push_str("\n\n");
            }
        }
        let text = text.replace('\0', "");
        ensure!(
            !text.is_empty(),
            "the workspace has no documents; give a text with `--text FILE`"
        );
        let source = "this workspace's documents and doc comments".to_owned();
        Ok(Self { source, text })
    }

    /// SHA-256 of the text, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(&self.text))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends the documents and sources under a directory, in an order that is the same everywhere.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Links are not followed, so this ends.
        let kind = entry.file_type()?;
        let built = name == "runs" || name.starts_with("target") || name.starts_with('.');
        if kind.is_dir() && !built {
            walk(&entry.path(), files)?;
        } else if kind.is_file() && [".md", ".rs"].iter().any(|end| name.ends_with(end)) {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The text of the doc comments of a Rust source, an empty line between one and the next.
fn doc_comments(source: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in source.lines() {
        let line = line.trim_start();
        let doc = line.strip_prefix("//!").or_else(|| {
            // Four slashes are a plain comment.
            line.strip_prefix("///")
                .filter(|rest| !rest.starts_with('/'))
        });
        match doc {
            Some(doc) => {
                text.push_str(doc.strip_prefix(' ').unwrap_or(doc).trim_end());
                text.push('\n');
            }
            None if inside => text.push('\n'),
            None => {}
        }
        inside = doc.is_some();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_comments_are_taken_and_nothing_else() {
        let source = "//! About.\n//!\n//! More.\n\nuse x;\n// plain\n//// no\n    /// Doc.  \n\
                      fn f() {} /// not at the start\n/// Next.";
        assert_eq!(doc_comments(source), "About.\n\nMore.\n\nDoc.\n\nNext.\n");
    }

    #[test]
    fn the_workspace_is_a_text_of_some_length() {
        let corpus = Corpus::workspace().unwrap();
        assert!(corpus.text.len() > 10_000);
        assert!(corpus.text.contains("minGRU"));
        assert_eq!(corpus.text, Corpus::workspace().unwrap().text);
    }
}
