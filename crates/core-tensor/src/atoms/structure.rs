//! Atoms with their cell and what is known about them.

use super::linalg::{Mat3, Vec3};
use super::{AtomsError, Cell, element};

/// A list of values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Truth values.
    Bools(Vec<bool>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Real numbers.
    Reals(Vec<f64>),
    /// Words.
    Texts(Vec<String>),
}

impl Data {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bools(v) => v.len(),
            Self::Ints(v) => v.len(),
            Self::Reals(v) => v.len(),
            Self::Texts(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as real numbers, if they are numbers.
    pub fn to_reals(&self) -> Option<Vec<f64>> {
        match self {
            Self::Reals(v) => Some(v.clone()),
            Self::Ints(v) => Some(v.iter().map(|&n| n as f64).collect()),
            Self::Bools(_) | Self::Texts(_) => None,
        }
    }
}

/// A property of a whole structure.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(String),
    /// A list, or a matrix of so many columns, row by row.
    Array {
        /// The values.
        data: Data,
        /// Columns of a matrix; `None` for a list.
        columns: Option<usize>,
    },
}

impl Value {
    /// The number, if it is one.
    pub fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(x) => Some(*x),
            Self::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// A list of real numbers.
    pub fn reals(values: impl Into<Vec<f64>>) -> Self {
        Self::Array {
            data: Data::Reals(values.into()),
            columns: None,
        }
    }
}

/// A property of every atom: `width` values each, atom by atom.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Values per atom, at least 1.
    pub width: usize,
    /// The values.
    pub data: Data,
}

/// Atoms: species, positions (Å), an optional cell, and named properties per structure and per atom.
///
/// Units of properties are whatever their source used; nothing is converted.
///
/// # Example
/// ```
/// use core_tensor::atoms::{Structure, Value};
///
/// let mut water = Structure::new(
///     vec![8, 1, 1],
///     vec![[0.0, 0.0, 0.119], [0.0, 0.763, -0.477], [0.0, -0.763, -0.477]],
/// )?;
/// water.set("energy", Value::Real(-14.2))?;
/// assert_eq!(water.energy(), Some(-14.2));
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structure {
    species: Vec<u8>,
    positions: Vec<Vec3>,
    cell: Option<Cell>,
    values: Vec<(String, Value)>,
    columns: Vec<(String, Column)>,
}

/// Names that a file uses for what a structure holds in fields of its own.
const RESERVED_VALUES: [&str; 3] = ["Lattice", "pbc", "Properties"];
const RESERVED_COLUMNS: [&str; 3] = ["species", "pos", "Z"];

impl Structure {
    /// Atoms of these atomic numbers (0 for a dummy) at these positions, without a cell.
    ///
    /// # Errors
    /// If lengths differ, a number is above 118, or a position is not finite.
    pub fn new(species: Vec<u8>, positions: Vec<Vec3>) -> Result<Self, AtomsError> {
        if species.len() != positions.len() {
            return Err(AtomsError::Length {
                what: "positions".into(),
                expected: species.len(),
                got: positions.len(),
            });
        }
        if let Some(atom) = species.iter().position(|&z| element::symbol(z).is_none()) {
            let number = species[atom];
            return Err(AtomsError::Element { atom, number });
        }
        check_positions(&positions)?;
        Ok(Self {
            species,
            positions,
            ..Self::default()
        })
    }

    /// The same atoms in a cell.
    pub fn with_cell(mut self, cell: Cell) -> Self {
        self.cell = Some(cell);
        self
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.species.len()
    }

    /// Whether there are no atoms.
    pub fn is_empty(&self) -> bool {
        self.species.is_empty()
    }

    /// Atomic numbers.
    pub fn species(&self) -> &[u8] {
        &self.species
    }

    /// Positions, Å.
    pub fn positions(&self) -> &[Vec3] {
        &self.positions
    }

    /// Moves the atoms.
    ///
    /// # Errors
    /// If there are more or fewer positions than atoms, or one is not finite; then nothing changes.
    pub fn set_positions(&mut self, positions: Vec<Vec3>) -> Result<(), AtomsError> {
        if positions.len() != self.len() {
            return Err(AtomsError::Length {
                what: "positions".into(),
                expected: self.len(),
                got: positions.len(),
            });
        }
        check_positions(&positions)?;
        self.positions = positions;
        Ok(())
    }

    /// The cell; `None` for a molecule in empty space.
    pub fn cell(&self) -> Option<&Cell> {
        self.cell.as_ref()
    }

    /// Replaces the cell; positions stay.
    pub fn set_cell(&mut self, cell: Option<Cell>) {
        self.cell = cell;
    }

    /// Standard atomic masses, u.
    pub fn masses(&self) -> Vec<f64> {
        let mass = |&z| element::mass(z).expect("checked when built");
        self.species.iter().map(mass).collect()
    }

    /// Properties of the structure, in the order in which they were set.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// A property of the structure.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values().find_map(|(n, v)| (n == name).then_some(v))
    }

    /// Sets a property of the structure, or replaces it.
    ///
    /// # Errors
    /// If the name is empty or one of `Lattice`, `pbc`, `Properties`.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), AtomsError> {
        if name.is_empty() || RESERVED_VALUES.contains(&name) {
            return Err(AtomsError::Name(name.into()));
        }
        put(&mut self.values, name, value);
        Ok(())
    }

    /// Properties of atoms, in the order in which they were set.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns
            .iter()
            .map(|(name, column)| (name.as_str(), column))
    }

    /// A property of every atom.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns().find_map(|(n, c)| (n == name).then_some(c))
    }

    /// Sets a property of every atom, or replaces it.
    ///
    /// # Errors
    /// If the name is empty or one of `species`, `pos`, `Z`, or there are not `width` values per atom.
    pub fn set_column(&mut self, name: &str, column: Column) -> Result<(), AtomsError> {
        if name.is_empty() || RESERVED_COLUMNS.contains(&name) {
            return Err(AtomsError::Name(name.into()));
        }
        let expected = self.len().checked_mul(column.width);
        if column.width == 0 || expected != Some(column.data.len()) {
            return Err(AtomsError::Length {
                what: format!("property {name:?}, {} values per atom", column.width),
                expected: expected.unwrap_or(usize::MAX),
                got: column.data.len(),
            });
        }
        put(&mut self.columns, name, column);
        Ok(())
    }

    /// The number called `energy`.
    pub fn energy(&self) -> Option<f64> {
        self.value("energy")?.as_real()
    }

    /// The vectors called `forces`, one per atom.
    pub fn forces(&self) -> Option<Vec<Vec3>> {
        self.vectors("forces")
    }

    /// A property of three numbers per atom.
    pub fn vectors(&self, name: &str) -> Option<Vec<Vec3>> {
        let column = self.column(name).filter(|c| c.width == 3)?;
        let reals = column.data.to_reals()?;
        Some(reals.as_chunks::<3>().0.to_vec())
    }

    /// A property of nine numbers, or of six in Voigt's order (xx, yy, zz, yz, xz, xy), as a matrix: `stress`, `virial`.
    /// Nine numbers in a list are taken column by column, as ASE and QUIP write and read them; a matrix is taken
    /// as it is.
    pub fn matrix(&self, name: &str) -> Option<Mat3> {
        let Value::Array { data, columns } = self.value(name)? else {
            return None;
        };
        match (columns, &*data.to_reals()?) {
            (None, &[a, b, c, d, e, f, g, h, i]) => Some([[a, d, g], [b, e, h], [c, f, i]]),
            (Some(3), &[a, b, c, d, e, f, g, h, i]) => Some([[a, b, c], [d, e, f], [g, h, i]]),
            (_, &[xx, yy, zz, yz, xz, xy]) => Some([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
            _ => None,
        }
    }
}

fn put<T>(list: &mut Vec<(String, T)>, name: &str, value: T) {
    match list.iter_mut().find(|(n, _)| n == name) {
        Some((_, there)) => *there = value,
        None => list.push((name.into(), value)),
    }
}

/// Positions are numbers, and near enough that f64 tells neighbours apart.
pub(super) fn check_positions(positions: &[Vec3]) -> Result<(), AtomsError> {
    let bad = |r: &Vec3| !r.iter().all(|x| x.abs() <= super::cell::FARTHEST);
    match positions.iter().position(bad) {
        Some(atom) => Err(AtomsError::Position {
            atom,
            position: positions[atom],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_and_replaced() {
        let mut s = Structure::new(vec![1, 8], vec![[0.0; 3]; 2]).unwrap();
        let column = |width, n| Column {
            width,
            data: Data::Reals(vec![1.0; n]),
        };
        s.set_column("forces", column(3, 6)).unwrap();
        assert_eq!(s.forces(), Some(vec![[1.0; 3]; 2]));
        assert!(s.set_column("forces", column(3, 5)).is_err());
        assert!(s.set_column("forces", column(0, 0)).is_err());
        assert!(s.set_column("x", column(usize::MAX, 0)).is_err());
        assert!(s.set_column("pos", column(3, 6)).is_err());
        s.set("energy", Value::Int(-3)).unwrap();
        s.set("energy", Value::Real(-3.5)).unwrap();
        assert_eq!(s.values().count(), 1);
        assert_eq!(s.energy(), Some(-3.5));
        assert!(s.set("pbc", Value::Bool(true)).is_err());
        s.set("stress", Value::reals([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
            .unwrap();
        assert_eq!(
            s.matrix("stress"),
            Some([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
        );
        let nine: Vec<f64> = (1..=9).map(f64::from).collect();
        let rows = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let columns = [[1.0, 4.0, 7.0], [2.0, 5.0, 8.0], [3.0, 6.0, 9.0]];
        for (width, want) in [
            (None, Some(columns)),
            (Some(3), Some(rows)),
            (Some(9), None),
        ] {
            let data = Data::Reals(nine.clone());
            let value = Value::Array {
                data,
                columns: width,
            };
            s.set("virial", value).unwrap();
            assert_eq!(s.matrix("virial"), want);
        }
        assert_eq!(s.masses(), [1.008, 15.999]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Structure::new(vec![1], vec![]).is_err());
        assert!(matches!(
            Structure::new(vec![1, 119], vec![[0.0; 3]; 2]),
            Err(AtomsError::Element { atom: 1, .. })
        ));
        let nan = Structure::new(vec![1], vec![[0.0, f64::NAN, 0.0]]);
        assert!(matches!(nan, Err(AtomsError::Position { atom: 0, .. })));
        let mut s = Structure::new(vec![1], vec![[0.0; 3]]).unwrap();
        assert!(s.set_positions(vec![[f64::INFINITY; 3]]).is_err());
        assert_eq!(s.positions(), [[0.0; 3]]);
    }
}
