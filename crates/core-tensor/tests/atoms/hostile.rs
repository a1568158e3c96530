//! Damaged files: an error or a structure, never a panic.

use crate::common::Random;
use crate::extxyz::EVERYTHING;
use core_tensor::atoms::extxyz::{Reader, write};
use std::io::{BufReader, Read};

/// Pieces that mean something to a reader.
const PIECES: [&str; 40] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "=",
    ":",
    ",",
    "\\",
    "\n",
    "\r\n",
    " ",
    "\t",
    "0",
    "-1",
    "3",
    "1e999",
    "nan",
    "-inf",
    "99999999999999999999",
    "1000000000000",
    "T",
    "F",
    "Lattice=",
    "Lattice=\"1 0 0 0 1 0 0 0 1\"",
    "pbc=\"T T T\"",
    "Properties=",
    "species:S:1",
    "pos:R:3",
    "x:I:18446744073709551615",
    "Z:I:1",
    "Si",
    "Xx",
    "é",
    "\u{feff}",
    "\0",
    "\u{2028}",
];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 => bytes.truncate(at),
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

#[test]
fn fifty_thousand_damaged_files() {
    let mut random = Random(2024);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let mut bytes = EVERYTHING.replace("'it''s'", "'it is'").into_bytes();
        mutate(&mut bytes, &mut random);
        for frame in Reader::new(bytes.as_slice()) {
            match frame {
                Ok(structure) => {
                    read += 1;
                    // What was read can be written, and read again.
                    let mut file = Vec::new();
                    if write(&mut file, &structure).is_ok() {
                        let again = Reader::new(file.as_slice()).next().unwrap();
                        assert!(again.is_ok(), "{again:?}");
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("line "), "{error}");
                }
            }
        }
    }
    assert!(
        read > 10_000 && refused > 10_000,
        "{read} read, {refused} refused"
    );
}

/// Looking for names that occur twice must not take forever.
#[test]
fn a_million_names_are_refused() {
    use std::fmt::Write as _;
    let (mut keys, mut columns) = (String::new(), String::new());
    for k in 0..1_000_000 {
        write!(keys, " k{k}=1").unwrap();
        write!(columns, ":c{k}:I:1").unwrap();
    }
    let start = std::time::Instant::now();
    for (comment, reason) in [
        (keys, "line 2: 1000000 properties, expected at most 4096"),
        (
            format!("Properties=species:S:1:pos:R:3{columns}"),
            "line 2: Properties: 1000002 groups of columns, expected at most 4096",
        ),
    ] {
        let file = format!("1\n{comment}\nH 0 0 0\n");
        let error = Reader::new(file.as_bytes()).next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_line_without_an_end_is_refused() {
    // More zeros than there is memory.
    let mut endless = Reader::new(BufReader::new(std::io::repeat(b'0')));
    let error = endless.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 1: the line is longer than 16 MiB");
    let mut later = Reader::new(BufReader::new(
        "1\n".as_bytes().chain(std::io::repeat(b'[')),
    ));
    assert!(later.next().unwrap().is_err());
    assert!(later.next().is_none());
}
