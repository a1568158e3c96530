//! Files of structures: what is read, what is written, and that the one is the other.

use crate::common::cells;
use core_tensor::atoms::extxyz::{ExtxyzError, Reader, write};
use core_tensor::atoms::{Cell, Column, Data, Structure, Value};
use proptest::prelude::*;

pub fn read(file: &str) -> Result<Vec<Structure>, ExtxyzError> {
    Reader::new(file.as_bytes()).collect()
}

/// Two frames with everything: columns in odd order, all kinds of values, CRLF, blank lines.
pub const EVERYTHING: &str = "\
3\r
Lattice=\"5.0 0.0 0.0 1.0 6.0 0.0 0.0 0.5 7.0\" Properties=forces:R:3:tag:I:1:species:S:1:fixed:L:1:pos:R:3:label:S:2 energy=-1.5 \
stress={1 2 3 4 5 6} \"odd key\"='it''s' virial=\"1.0 0 0 0 1.0 0 0 0 1.0\" n=7 list=[1, 2, 3] matrix=[[1.5, 2], [3, 4]] flag done=F \
note=\"a \\\"b\\\" \\\\ c\" pbc=\"T F T\"\r
0.1 0.2 0.3 1 Si T 0 0 0 a b\r
-1e-3 2D-1 .5 -2 O F 1.0 2.0 3.0 c d\r
0 0 0 3 h true 4 5 6 e f\r

2
a plain comment, from elsewhere
H 0 0 0
8 0 0 0.96


";

#[test]
fn a_file_with_everything() {
    let frames = read(&EVERYTHING.replace("'it''s'", "'it is'")).unwrap();
    let [a, b] = frames.try_into().unwrap();
    assert_eq!(a.species(), [14, 8, 1]);
    assert_eq!(a.positions()[1], [1.0, 2.0, 3.0]);
    assert_eq!(a.forces().unwrap()[1], [-1e-3, 0.2, 0.5]);
    let cell = a.cell().unwrap();
    assert_eq!(
        cell.vectors(),
        [[5.0, 0.0, 0.0], [1.0, 6.0, 0.0], [0.0, 0.5, 7.0]]
    );
    assert_eq!(cell.periodic(), [true, false, true]);
    assert_eq!(a.energy(), Some(-1.5));
    assert_eq!(a.column("tag").unwrap().data, Data::Ints(vec![1, -2, 3]));
    assert_eq!(
        a.column("fixed").unwrap().data,
        Data::Bools(vec![true, false, true])
    );
    assert_eq!(a.column("label").unwrap().width, 2);
    assert_eq!(a.value("odd key"), Some(&Value::Text("it is".into())));
    assert_eq!(a.value("flag"), Some(&Value::Bool(true)));
    assert_eq!(a.value("note"), Some(&Value::Text("a \"b\" \\ c".into())));
    assert_eq!(a.matrix("stress").unwrap()[0], [1.0, 6.0, 5.0]);
    assert_eq!(a.matrix("virial").unwrap()[1], [0.0, 1.0, 0.0]);
    let matrix = Value::Array {
        data: Data::Reals(vec![1.5, 2.0, 3.0, 4.0]),
        columns: Some(2),
    };
    assert_eq!(a.value("matrix"), Some(&matrix));

    assert_eq!(b.species(), [1, 8]);
    assert_eq!(b.cell(), None);
    let comment = Value::Text("a plain comment, from elsewhere".into());
    assert_eq!(b.value("comment"), Some(&comment));
    round_trip(&[a, b]);
}

pub fn round_trip(frames: &[Structure]) {
    let mut file = Vec::new();
    for frame in frames {
        write(&mut file, frame).unwrap();
    }
    let text = String::from_utf8(file).unwrap();
    assert_eq!(read(&text).unwrap(), frames, "{text}");
}

#[test]
fn defaults() {
    let one = |comment: &str| read(&format!("1\n{comment}\nC 1 2 3\n")).unwrap().remove(0);
    let cubic = one("Lattice=\"3 0 0 0 3 0 0 0 3\"");
    assert_eq!(cubic.cell().unwrap().periodic(), [true; 3]);
    assert_eq!(
        one("Lattice=\"3 4 5\" pbc=F").cell().unwrap().volume(),
        60.0
    );
    assert_eq!(one("energy=2").energy(), Some(2.0));
    assert_eq!(one("").value("comment"), None);
    let slab = one("Lattice=\"3 0 0 0 3 0 0 0 0\" pbc=\"1 1 0\"");
    assert_eq!(slab.cell().unwrap().periodic(), [true, true, false]);
    assert!(read("").unwrap().is_empty());
    assert!(read("\n\r\n  \n").unwrap().is_empty());
    assert_eq!(read("0\n\n").unwrap()[0].len(), 0);
    // The last line needs no end.
    assert_eq!(read("1\n\nC 1 2 3").unwrap().len(), 1);
    let numbered = read("1\nProperties=Z:I:1:pos:R:3\n79 0 0 0\n").unwrap();
    assert_eq!(numbered[0].species(), [79]);
}

#[test]
fn errors_name_the_line_and_the_reason() {
    let cases = [
        ("x\n", 1, "expected a number of atoms, got \"x\""),
        ("-1\n\n", 1, "expected a number of atoms"),
        ("1\n", 3, "the file ends where"),
        ("2\n\nC 0 0 0\n", 5, "the file ends after 1 of 2 atoms"),
        (
            "1000000000000\n\nC 0 0 0\n",
            5,
            "after 1 of 1000000000000 atoms",
        ),
        ("1\n\nC 0 0\n", 3, "3 columns is too short"),
        ("1\n\nC 0 0 0 9\n", 3, "a column too many: \"9\""),
        ("1\n\nQq 0 0 0\n", 3, "\"Qq\" is no element"),
        ("1\n\nC 0 zero 0\n", 3, "expected a number, got \"zero\""),
        ("1\n\nC 0 nan 0\n", 3, "a position is not finite"),
        (
            "1\nProperties=species:S:1:pos:R:3:x:R:99999999999999999999\nC 0 0 0\n",
            2,
            "width",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:x:R:1000000000000\nC 0 0 0 1\n",
            3,
            "too short",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:x:R:18446744073709551615\nC 0 0 0 1\n",
            2,
            "too many columns",
        ),
        (
            "1\nProperties=species:S:1:pos:R\nC 0 0 0\n",
            2,
            "is not name:type:width",
        ),
        (
            "1\nProperties=species:S:1:pos:Q:3\nC 0 0 0\n",
            2,
            "unknown type",
        ),
        ("1\nProperties=species:S:1:x:R:3\nC 0 0 0\n", 2, "lacks pos"),
        (
            "1\nProperties=species:S:1:pos:R:3:pos:R:3\nC 0 0 0\n",
            2,
            "occurs twice",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3 a=1 a=2\nC 0 0 0\n",
            2,
            "\"a\" occurs twice",
        ),
        ("1\nLattice=\"1 2\"\nC 0 0 0\n", 2, "Lattice is not nine"),
        (
            "1\nLattice=\"1 0 0 2 0 0 0 0 1\"\nC 0 0 0\n",
            2,
            "linearly dependent",
        ),
        (
            "1\nLattice=\"1 0 0 0 1 0 0 0 0\"\nC 0 0 0\n",
            2,
            "periodic along axis 2",
        ),
        ("1\npbc=\"T T T\"\nC 0 0 0\n", 2, "no Lattice"),
        ("1\nLattice=\"3 3 3\" pbc=maybe\nC 0 0 0\n", 2, "pbc is not"),
        ("1\nLattice=\"3 3 3\nC 0 0 0\n", 2, "is not closed"),
        ("1\n\nC 0 0 0\n1\n\nC 0 0\n", 6, "too short"),
    ];
    for (file, line, reason) in cases {
        let error = read(file).unwrap_err().to_string();
        // A line that is missing is the one after the last.
        let at = error.starts_with(&format!("line {line}:"))
            || error.starts_with(&format!("line {}:", line - 1));
        assert!(at && error.contains(reason), "{file:?}: {error}");
    }
    // The first error is the last word.
    let mut frames = Reader::new("1\n\nC 0 0 0\nx\n1\n\nC 0 0 0\n".as_bytes());
    assert!(frames.next().unwrap().is_ok());
    assert!(frames.next().unwrap().is_err());
    assert!(frames.next().is_none());
}

#[test]
fn what_the_format_cannot_hold_is_not_written() {
    let mut file = Vec::new();
    let base = Structure::new(vec![1], vec![[0.0; 3]]).unwrap();
    for (name, word) in [("a b", "x"), ("a:b", "x"), ("a", "x y"), ("a", "")] {
        let mut structure = base.clone();
        let data = Data::Texts(vec![word.into()]);
        structure
            .set_column(name, Column { width: 1, data })
            .unwrap();
        let error = write(&mut file, &structure);
        assert!(
            matches!(error, Err(ExtxyzError::Unwritable(_))),
            "{name:?} {word:?}"
        );
    }
    let mut structure = base;
    let data = Data::Ints(vec![1; 3]);
    let columns = Some(2);
    structure.set("m", Value::Array { data, columns }).unwrap();
    assert!(write(&mut file, &structure).is_err());
    assert!(file.is_empty());
}

fn values() -> impl Strategy<Value = Value> {
    let real = prop_oneof![
        any::<f64>().prop_filter("a number", |x| !x.is_nan()),
        -9.0..9.0_f64
    ];
    let texts = proptest::collection::vec("\\PC{0,8}", 0..5).prop_map(Data::Texts);
    let list = prop_oneof![
        proptest::collection::vec(any::<bool>(), 1..10).prop_map(Data::Bools),
        proptest::collection::vec(any::<i64>(), 1..10).prop_map(Data::Ints),
        proptest::collection::vec(-1e9..1e9_f64, 0..10).prop_map(Data::Reals),
        texts.prop_filter("empty lists are numbers", |t| !t.is_empty()),
    ];
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        real.prop_map(Value::Real),
        "[ -~\n\r]{0,20}".prop_map(Value::Text),
        "\\PC{0,12}".prop_map(Value::Text),
        (list, any::<bool>()).prop_map(|(data, square)| {
            let columns = (square && !data.is_empty()).then_some(data.len());
            Value::Array { data, columns }
        }),
    ]
}

fn structures() -> impl Strategy<Value = Structure> {
    let atoms =
        proptest::collection::vec((0..=118_u8, proptest::array::uniform3(-1e3..1e3_f64)), 0..6);
    let named = proptest::collection::vec(("[ -~]{1,6}", values()), 0..6);
    let cell = proptest::option::of(cells());
    let column = ("c[a-zA-Z_.=-]{0,7}", 1..4_usize, 0..4_u8, any::<u32>());
    (atoms, named, cell, proptest::collection::vec(column, 0..4)).prop_map(
        |(atoms, named, cell, columns)| {
            let (species, positions) = atoms.into_iter().unzip();
            let mut structure = Structure::new(species, positions).unwrap();
            structure.set_cell(cell);
            for (name, value) in named {
                structure.set(&name, value).unwrap();
            }
            for (name, width, kind, seed) in columns {
                let n = width * structure.len();
                let number = |k: usize| i64::from(seed.wrapping_mul(k as u32 + 1)) - (1 << 31);
                let data = match kind {
                    0 => Data::Bools((0..n).map(|k| number(k) % 2 == 0).collect()),
                    1 => Data::Ints((0..n).map(number).collect()),
                    2 => Data::Reals((0..n).map(|k| number(k) as f64 / 7.0).collect()),
                    _ => Data::Texts((0..n).map(|k| format!("w{}", number(k))).collect()),
                };
                structure.set_column(&name, Column { width, data }).unwrap();
            }
            structure
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(frames in proptest::collection::vec(structures(), 0..4)) {
        round_trip(&frames);
    }
}

#[test]
fn a_cell_without_vectors_survives() {
    let atom = Structure::new(vec![2], vec![[1.0, 2.0, 3.0]]).unwrap();
    let cell = Cell::new([[3.0, 0.0, 0.0], [0.0; 3], [0.0; 3]], [true, false, false]).unwrap();
    round_trip(&[atom.with_cell(cell)]);
}
