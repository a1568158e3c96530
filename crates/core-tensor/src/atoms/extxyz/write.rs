//! Writing.

use super::ExtxyzError;
use super::comment::{letter, write_key, write_value};
use crate::atoms::{Data, Structure, element};
use std::fmt::Write as _;
use std::io::Write;

/// Writes one frame; numbers with as many digits as it takes to read the same bits back. Nothing is written of a frame
/// that cannot be.
///
/// # Errors
/// If the system refuses, or a name or word cannot stand in the format: a column's name with a space or a colon, a word of a
/// column that is empty or has a space, a matrix without whole rows.
///
/// # Example
/// ```
/// use core_tensor::atoms::{Structure, extxyz};
///
/// let mut file = Vec::new();
/// extxyz::write(&mut file, &Structure::new(vec![2], vec![[0.1, 0.2, 0.3]])?)?;
/// assert_eq!(
///     String::from_utf8(file)?,
///     "1\nProperties=species:S:1:pos:R:3 pbc=\"F F F\"\nHe 0.1 0.2 0.3\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(out: &mut impl Write, structure: &Structure) -> Result<(), ExtxyzError> {
    let text = frame(structure)?;
    let done = out.write_all(text.as_bytes());
    done.map_err(|source| ExtxyzError::Io { line: 0, source })
}

fn frame(structure: &Structure) -> Result<String, ExtxyzError> {
    let unwritable = |what: &str| ExtxyzError::Unwritable(what.into());
    let mut text = format!("{}\n", structure.len());
    if let Some(cell) = structure.cell() {
        let numbers = cell.vectors().concat();
        let words: Vec<String> = numbers.iter().map(|x| format!("{x:?}")).collect();
        text += &format!("Lattice=\"{}\" ", words.join(" "));
    }
    text += "Properties=species:S:1:pos:R:3";
    for (name, column) in structure.columns() {
        let plain = |c: char| !c.is_ascii_whitespace() && !":\"'\\".contains(c);
        if !name.chars().all(plain) {
            return Err(unwritable(name));
        }
        let kind = match &column.data {
            Data::Texts(words) => {
                let blank =
                    |w: &&String| w.is_empty() || w.contains(|c: char| c.is_ascii_whitespace());
                if let Some(word) = words.iter().find(blank) {
                    return Err(unwritable(word));
                }
                'S'
            }
            Data::Ints(_) => 'I',
            Data::Reals(_) => 'R',
            Data::Bools(_) => 'L',
        };
        text += &format!(":{name}:{kind}:{}", column.width);
    }
    for (key, value) in structure.values() {
        let value = write_value(value).ok_or_else(|| unwritable(key))?;
        text += &format!(" {}={value}", write_key(key));
    }
    let periodic = structure.cell().map_or([false; 3], |cell| cell.periodic());
    text += &format!(" pbc=\"{}\"\n", periodic.map(letter).join(" "));

    for (atom, (&z, r)) in structure
        .species()
        .iter()
        .zip(structure.positions())
        .enumerate()
    {
        text += element::symbol(z).unwrap_or("X");
        for x in r {
            // Writing to a string does not fail.
            let _ = write!(text, " {x:?}");
        }
        for (_, column) in structure.columns() {
            for k in atom * column.width..(atom + 1) * column.width {
                let _ = match &column.data {
                    Data::Texts(v) => write!(text, " {}", v[k]),
                    Data::Ints(v) => write!(text, " {}", v[k]),
                    Data::Reals(v) => write!(text, " {:?}", v[k]),
                    Data::Bools(v) => write!(text, " {}", letter(v[k])),
                };
            }
        }
        text.push('\n');
    }
    Ok(text)
}
