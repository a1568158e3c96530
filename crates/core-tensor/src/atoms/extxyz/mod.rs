//! Extended XYZ files: a stream of structures, read and written frame by frame.
//!
//! A frame is a line with the number of atoms, a line of `key=value` pairs, and a line per atom whose columns the key
//! `Properties` names. [`Reader`] holds one frame in memory, whatever the length of the file; what a file claims
//! about its size allocates nothing. [`write()`] writes what [`Reader`] reads back to the bit.
//!
//! | in the file | here |
//! |---|---|
//! | `Lattice="ax ay az bx by bz cx cy cz"` (or three lengths), `pbc="T T F"` | [`Cell`](super::Cell); without `pbc` periodic along all axes |
//! | `Properties=species:S:1:pos:R:3:forces:R:3` | columns in any order, types `S`, `I`, `R`, `L`; `Z:I:1` in place of `species` |
//! | `key=1.5`, `key="1 2 3"`, `key={1 2 3}`, `key=[1, 2, 3]`, `key=[[1, 2], [3, 4]]`, `key=T`, `key` | a number, lists, a matrix, a truth value, true |
//! | `key="_JSON [[1, 2], [3, 4]]"` | likewise: ASE writes lists and matrices of numbers so |
//! | `key="text"`, `key='text'`; `\"`, `\\`, `\n`, `\r` inside | text |
//! | no `Properties` | `species:S:1:pos:R:3`; a second line that has no `key=value` is kept as property `comment` |
//!
//! ASE 3.29 cannot read a matrix in brackets, and takes `virial` and `stress` as nine numbers in a list only
//! ([`Structure::matrix`](super::Structure::matrix) says in which order): set them so where it is to read the file.
//!
//! Units are those of the file. Keys that nothing here knows are kept. Text that is quoted without an escape and reads
//! as numbers is numbers, as in ASE.

mod comment;
mod read;
mod write;

pub use read::{Reader, open};
pub use write::write;

/// Why a file could not be read or a structure not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtxyzError {
    /// A line that makes no sense.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// What a frame describes is no structure.
    #[error("frame that begins at line {line}: {source}")]
    Structure {
        /// Line of the number of atoms.
        line: u64,
        /// What is wrong with it.
        source: super::AtomsError,
    },
    /// The file could not be read or written.
    #[error("line {line}: {source}")]
    Io {
        /// Counted from 1; 0 when writing or opening.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name or a word that the format cannot hold.
    #[error("{0:?} cannot be written in an extxyz file")]
    Unwritable(String),
}
