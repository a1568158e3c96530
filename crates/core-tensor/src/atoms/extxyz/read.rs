//! Reading.

use super::ExtxyzError;
use super::comment::{self, short};
use crate::atoms::linalg::Vec3;
use crate::atoms::{Cell, Column, Data, Structure, Value, element};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Longest line that is read: one without an end must not fill the memory.
const LONGEST_LINE: u64 = 1 << 24;
/// Most properties, and most groups of columns: each is compared with all others.
const MOST_NAMES: usize = 1 << 12;

/// The structures of a file, one after another, in memory for one. Ends after the first error.
///
/// # Example
/// ```
/// use core_tensor::atoms::extxyz::Reader;
///
/// let file = "2\nenergy=-1.5 Properties=species:S:1:pos:R:3 pbc=F\nH 0 0 0\nH 0 0 0.74\n";
/// let frames: Vec<_> = Reader::new(file.as_bytes()).collect::<Result<_, _>>()?;
/// assert_eq!(frames[0].species(), [1, 1]);
/// assert_eq!(frames[0].energy(), Some(-1.5));
/// # Ok::<(), core_tensor::atoms::extxyz::ExtxyzError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Lines read so far.
    line: u64,
    buffer: Vec<u8>,
    ended: bool,
}

/// Opens a file.
///
/// # Errors
/// If the system does.
pub fn open(path: impl AsRef<Path>) -> Result<Reader<BufReader<File>>, ExtxyzError> {
    let file = File::open(path).map_err(|source| ExtxyzError::Io { line: 0, source })?;
    Ok(Reader::new(BufReader::new(file)))
}

impl<R: BufRead> Reader<R> {
    /// Reads from anything that is buffered.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: 0,
            buffer: Vec::new(),
            ended: false,
        }
    }

    fn syntax(&self, reason: impl Into<String>) -> ExtxyzError {
        ExtxyzError::Syntax {
            line: self.line,
            reason: reason.into(),
        }
    }

    /// The next line without its end; `None` after the last.
    fn read_line(&mut self) -> Result<Option<&str>, ExtxyzError> {
        self.buffer.clear();
        self.line += 1;
        let line = self.line;
        let mut limited = self.input.by_ref().take(LONGEST_LINE + 1);
        let read = limited.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| ExtxyzError::Io { line, source })?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 > LONGEST_LINE {
            return Err(self.syntax("the line is longer than 16 MiB"));
        }
        let mut bytes = self.buffer.as_slice();
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(ExtxyzError::Syntax {
                line,
                reason: "the line is not UTF-8".into(),
            }),
        }
    }

    fn frame(&mut self) -> Result<Option<Structure>, ExtxyzError> {
        let count = loop {
            match self.read_line()?.map(str::trim_ascii) {
                None => return Ok(None),
                Some("") => {}
                Some(line) => break line.parse::<u64>().map_err(|_| short(line)),
            }
        };
        let count = count
            .map_err(|line| self.syntax(format!("expected a number of atoms, got {line:?}")))?;
        let first = self.line;
        let header = match self.read_line()? {
            None => Err("the file ends where a line of properties is due".into()),
            Some(line) => Header::new(line),
        };
        let Header {
            mut fields,
            cell,
            values,
        } = header.map_err(|reason| self.syntax(reason))?;

        for done in 0..count {
            let row = match self.read_line()? {
                None => Err(format!("the file ends after {done} of {count} atoms")),
                Some(line) => read_row(line, &mut fields),
            };
            row.map_err(|reason| self.syntax(reason))?;
        }
        let structure = assemble(fields, cell, values);
        structure
            .map(Some)
            .map_err(|source| ExtxyzError::Structure {
                line: first,
                source,
            })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Structure, ExtxyzError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = self.frame().transpose();
        self.ended = !matches!(frame, Some(Ok(_)));
        frame
    }
}

/// What a group of columns is for.
#[derive(Debug, PartialEq)]
enum Role {
    Symbol,
    Number,
    Position,
    Named(String),
}

/// A group of columns and what was read of it.
#[derive(Debug)]
struct Field {
    role: Role,
    width: usize,
    data: Data,
}

/// The line of properties.
struct Header {
    fields: Vec<Field>,
    cell: Option<Cell>,
    values: Vec<(String, Value)>,
}

impl Header {
    fn new(line: &str) -> Result<Self, String> {
        let pairs = comment::pairs(line);
        let assigns = |(_, raw): &(String, comment::Raw)| *raw != comment::Raw::Flag;
        let pairs = match pairs {
            Ok(pairs) if pairs.is_empty() || pairs.iter().any(assigns) => pairs,
            // A sentence, not properties. What says what its columns are must make sense, though.
            Err(reason) if line.contains("Properties=") || line.contains("Lattice=") => {
                return Err(reason);
            }
            _ => {
                return Ok(Self {
                    fields: layout("species:S:1:pos:R:3")?,
                    cell: None,
                    values: vec![("comment".into(), Value::Text(line.into()))],
                });
            }
        };
        if pairs.len() > MOST_NAMES {
            return Err(format!(
                "{} properties, expected at most {MOST_NAMES}",
                pairs.len()
            ));
        }
        let (mut fields, mut lattice, mut periodic) = (None, None, None);
        let mut values: Vec<(String, Value)> = Vec::new();
        for (key, raw) in pairs {
            let twice = match (key.as_str(), raw) {
                ("Properties", comment::Raw::Bare(text) | comment::Raw::Quoted { text, .. }) => {
                    fields.replace(layout(&text)?).is_some()
                }
                ("Properties", _) => return Err("Properties is not name:type:width:…".into()),
                ("Lattice", raw) => lattice.replace(vectors(&comment::value(raw)?)?).is_some(),
                ("pbc", raw) => periodic.replace(flags(&comment::value(raw)?)?).is_some(),
                (key, raw) => {
                    let twice = values.iter().any(|(there, _)| there == key);
                    values.push((key.into(), comment::value(raw)?));
                    twice
                }
            };
            if twice {
                return Err(format!("key {:?} occurs twice", short(&key)));
            }
        }
        let cell = match (lattice, periodic) {
            (Some(vectors), periodic) => {
                let cell = Cell::new(vectors, periodic.unwrap_or([true; 3]));
                Some(cell.map_err(|error| error.to_string())?)
            }
            (None, None | Some([false, false, false])) => None,
            (None, Some(_)) => return Err("pbc says periodic, but there is no Lattice".into()),
        };
        Ok(Self {
            fields: match fields {
                Some(fields) => fields,
                None => layout("species:S:1:pos:R:3")?,
            },
            cell,
            values,
        })
    }
}

/// The columns that `Properties` names.
fn layout(text: &str) -> Result<Vec<Field>, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (groups, rest) = parts.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(format!(
            "Properties {:?} is not name:type:width:…",
            short(text)
        ));
    }
    if groups.len() > MOST_NAMES {
        let groups = groups.len();
        return Err(format!(
            "Properties: {groups} groups of columns, expected at most {MOST_NAMES}"
        ));
    }
    let mut fields: Vec<Field> = Vec::new();
    let mut total = 0_usize;
    for &[name, kind, width] in groups {
        let of = |what: &str| format!("Properties: {what} {:?} of {:?}", short(kind), short(name));
        let data = match kind {
            "S" => Data::Texts(Vec::new()),
            "I" => Data::Ints(Vec::new()),
            "R" => Data::Reals(Vec::new()),
            "L" => Data::Bools(Vec::new()),
            _ => return Err(of("unknown type")),
        };
        let width: usize =
            width.parse().ok().filter(|&w| w > 0).ok_or_else(|| {
                format!("Properties: width {:?} of {:?}", short(width), short(name))
            })?;
        total = total
            .checked_add(width)
            .ok_or("Properties: too many columns")?;
        let role = match (name, kind, width) {
            ("species", "S", 1) => Role::Symbol,
            ("Z", "I", 1) => Role::Number,
            ("pos", "R", 3) => Role::Position,
            ("species" | "Z" | "pos" | "", ..) => return Err(of("unexpected type or width")),
            _ => Role::Named(name.into()),
        };
        if fields.iter().any(|f| f.role == role) {
            return Err(format!("Properties: {:?} occurs twice", short(name)));
        }
        fields.push(Field { role, width, data });
    }
    let has = |role: Role| fields.iter().any(|f| f.role == role);
    if !has(Role::Position) || !(has(Role::Symbol) || has(Role::Number)) {
        return Err("Properties lacks pos:R:3, or both species:S:1 and Z:I:1".into());
    }
    Ok(fields)
}

/// Cell vectors of `Lattice`.
fn vectors(value: &Value) -> Result<[Vec3; 3], String> {
    let numbers = match value {
        Value::Array { data, .. } => data.to_reals(),
        _ => None,
    };
    match numbers.as_deref() {
        Some(&[a, b, c, d, e, f, g, h, i]) => Ok([[a, b, c], [d, e, f], [g, h, i]]),
        Some(&[a, b, c]) => Ok([[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]]),
        _ => Err("Lattice is not nine (or three) numbers".into()),
    }
}

/// Axes of `pbc`.
fn flags(value: &Value) -> Result<[bool; 3], String> {
    let three = match value {
        Value::Bool(all) => return Ok([*all; 3]),
        Value::Array { data, .. } => match data {
            Data::Bools(v) => v.as_slice().try_into().ok(),
            Data::Ints(v) if v.iter().all(|n| (0..=1).contains(n)) => {
                let flags: Vec<bool> = v.iter().map(|&n| n == 1).collect();
                flags.as_slice().try_into().ok()
            }
            _ => None,
        },
        _ => None,
    };
    three.ok_or_else(|| "pbc is not one or three of T and F".into())
}

/// Reads the line of one atom.
fn read_row(line: &str, fields: &mut [Field]) -> Result<(), String> {
    let mut words = line.split_ascii_whitespace();
    for field in fields.iter_mut() {
        for _ in 0..field.width {
            let Some(word) = words.next() else {
                let got = line.split_ascii_whitespace().count();
                return Err(format!("a line of {got} columns is too short"));
            };
            let bad = |what: &str| format!("expected {what}, got {:?}", short(word));
            match &mut field.data {
                Data::Texts(v) => v.push(word.into()),
                Data::Ints(v) => v.push(word.parse().map_err(|_| bad("a whole number"))?),
                Data::Reals(v) => v.push(comment::real(word).ok_or_else(|| bad("a number"))?),
                Data::Bools(v) => v.push(comment::truth(word).ok_or_else(|| bad("T or F"))?),
            }
        }
        match (&field.role, &field.data) {
            (Role::Symbol, Data::Texts(v)) => {
                let word = &v[v.len() - 1];
                if number(word).is_none() {
                    return Err(format!("{:?} is no element", short(word)));
                }
            }
            (Role::Position, Data::Reals(v)) if !v[v.len() - 3..].iter().all(|x| x.is_finite()) => {
                return Err("a position is not finite".into());
            }
            (Role::Number, Data::Ints(v)) => {
                let z = v[v.len() - 1];
                if u8::try_from(z).ok().and_then(element::symbol).is_none() {
                    return Err(format!("no element has atomic number {z}"));
                }
            }
            _ => {}
        }
    }
    match words.next() {
        None => Ok(()),
        Some(word) => Err(format!("a column too many: {:?}", short(word))),
    }
}

/// Atomic number of a symbol, or of a number in its place.
fn number(word: &str) -> Option<u8> {
    element::number(word).or_else(|| word.parse().ok().filter(|&z| element::symbol(z).is_some()))
}

fn assemble(
    fields: Vec<Field>,
    cell: Option<Cell>,
    values: Vec<(String, Value)>,
) -> Result<Structure, crate::atoms::AtomsError> {
    let (mut species, mut numbers, mut positions) = (None, None, Vec::new());
    let mut columns = Vec::new();
    for Field { role, width, data } in fields {
        match (role, data) {
            (Role::Symbol, Data::Texts(v)) => {
                species = Some(
                    v.iter()
                        .filter_map(|word| number(word))
                        .collect::<Vec<u8>>(),
                );
            }
            (Role::Number, Data::Ints(v)) => {
                numbers = Some(v.iter().map(|&z| z as u8).collect::<Vec<u8>>());
            }
            (Role::Position, Data::Reals(v)) => positions = v.as_chunks::<3>().0.to_vec(),
            (Role::Named(name), data) => columns.push((name, Column { width, data })),
            _ => unreachable!("the layout gives each role its type"),
        }
    }
    // Where both are there, the symbol is what people read.
    let species = species.or(numbers).unwrap_or_default();
    let mut structure = Structure::new(species, positions)?;
    structure.set_cell(cell);
    for (name, value) in values {
        structure.set(&name, value)?;
    }
    for (name, column) in columns {
        structure.set_column(&name, column)?;
    }
    Ok(structure)
}
