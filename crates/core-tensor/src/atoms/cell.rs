//! Periodic cells.

use super::AtomsError;
use super::linalg::{self, Mat3, Vec3};

/// Lengths beyond this (Å) are refused: f64 no longer resolves a bond there.
pub(super) const FARTHEST: f64 = 1e12;

/// Share of the product of its edges that the volume of a cell must have.
const FLATTEST: f64 = 1e-10;

/// Three cell vectors (rows, Å) and the axes along which the structure repeats.
///
/// An axis that does not repeat may lack its vector (all zeros, as ASE writes for slabs and wires); where a
/// vector is needed for it, a unit vector at right angles to the others stands in.
///
/// # Example
/// ```
/// use core_tensor::atoms::Cell;
///
/// // A slab: periodic in the plane, no vector across.
/// let cell = Cell::new([[3.0, 0.0, 0.0], [1.5, 2.6, 0.0], [0.0; 3]], [true, true, false])?;
/// let (wrapped, shift) = cell.wrap([4.0, -0.1, 7.0]);
/// assert_eq!(shift, [-1, 1, 0]);
/// assert_eq!(wrapped, [2.5, 2.5, 7.0]);
/// assert_eq!(cell.volume(), 0.0);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    vectors: Mat3,
    periodic: [bool; 3],
    /// `vectors` with missing ones filled in, and its inverse.
    completed: Mat3,
    inverse: Mat3,
}

impl Cell {
    /// A cell of three row vectors that repeats along the axes marked `periodic`.
    ///
    /// # Errors
    /// If a component is not finite, a periodic axis has no vector, or the vectors that are there are
    /// linearly dependent (the volume they span is under 10⁻¹⁰ of the product of their lengths).
    pub fn new(vectors: Mat3, periodic: [bool; 3]) -> Result<Self, AtomsError> {
        for (axis, vector) in vectors.into_iter().enumerate() {
            if !vector.iter().all(|x| x.abs() <= FARTHEST) {
                return Err(AtomsError::CellNotFinite { axis, vector });
            }
            if periodic[axis] && vector == [0.0; 3] {
                return Err(AtomsError::MissingVector(axis));
            }
        }
        let degenerate = || AtomsError::DegenerateCell(vectors);
        let completed =
            independent(vectors.map(|v| (v != [0.0; 3]).then_some(v))).ok_or_else(degenerate)?;
        let inverse = linalg::inverse(&completed);
        if !inverse.iter().flatten().all(|x| x.is_finite()) {
            return Err(degenerate());
        }
        Ok(Self {
            vectors,
            periodic,
            completed,
            inverse,
        })
    }

    /// A box with right angles, periodic along all axes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn orthorhombic(lengths: Vec3) -> Result<Self, AtomsError> {
        let [a, b, c] = lengths;
        Self::new([[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]], [true; 3])
    }

    /// The cell vectors as given, Å.
    pub fn vectors(&self) -> Mat3 {
        self.vectors
    }

    /// The axes along which the structure repeats.
    pub fn periodic(&self) -> [bool; 3] {
        self.periodic
    }

    /// The cell vectors, missing ones replaced by unit vectors at right angles to the others.
    pub fn completed(&self) -> Mat3 {
        self.completed
    }

    /// Inverse of [`completed`](Self::completed): fractional coordinates are `r · inverse`.
    pub fn inverse(&self) -> Mat3 {
        self.inverse
    }

    /// |det| of the cell vectors, Å³; 0 where one is missing.
    pub fn volume(&self) -> f64 {
        linalg::determinant(&self.vectors).abs()
    }

    /// Whether the (completed) cell vectors form a right-handed system.
    pub fn right_handed(&self) -> bool {
        linalg::determinant(&self.completed) > 0.0
    }

    /// Distance between the two faces across each axis, Å: volume / area of the face.
    pub fn heights(&self) -> Vec3 {
        heights(&self.inverse)
    }

    /// Fractional coordinates of a position.
    pub fn fractional(&self, position: Vec3) -> Vec3 {
        linalg::row_times(position, &self.inverse)
    }

    /// Position of fractional coordinates, Å.
    pub fn cartesian(&self, fractional: Vec3) -> Vec3 {
        linalg::row_times(fractional, &self.completed)
    }

    /// The image of a position inside the cell along periodic axes, and the shift `S` that leads there:
    /// `wrapped = position + S · vectors`.
    ///
    /// Up to rounding: a position within rounding of a face may come out on either side of it.
    ///
    /// # Panics
    /// If the position is NaN, or 2³¹ or more periods away, which a shift does not count.
    pub fn wrap(&self, position: Vec3) -> (Vec3, [i32; 3]) {
        let fractional = self.fractional(position);
        let shift: [i32; 3] = core::array::from_fn(|k| {
            if !self.periodic[k] {
                return 0;
            }
            let periods = -fractional[k].floor();
            assert!(
                periods.abs() <= f64::from(i32::MAX),
                "Cell::wrap: {position:?} is {periods} periods away along axis {k}, expected fewer than 2^31"
            );
            periods as i32
        });
        let step = linalg::row_times(shift.map(f64::from), &self.vectors);
        (core::array::from_fn(|k| position[k] + step[k]), shift)
    }
}

/// Distances between opposite faces, from the inverse of the cell.
pub(super) fn heights(inverse: &Mat3) -> Vec3 {
    core::array::from_fn(|k| 1.0 / linalg::norm([inverse[0][k], inverse[1][k], inverse[2][k]]))
}

/// The rows completed, if those that are there are linearly independent.
pub(super) fn independent(rows: [Option<Vec3>; 3]) -> Option<Mat3> {
    let unit = rows.map(|row| row.map(|v| linalg::scale(v, 1.0 / linalg::norm(v))));
    let spanned = linalg::determinant(&linalg::complete(unit)).abs();
    // Two parallel vectors have no vector at right angles: NaN, which is no volume either.
    (spanned >= FLATTEST).then(|| linalg::complete(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEWED: Mat3 = [[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [-2.0, 1.5, 6.0]];

    #[test]
    fn geometry_of_a_triclinic_cell() {
        let cell = Cell::new(SKEWED, [true; 3]).unwrap();
        assert_eq!(cell.volume(), 120.0);
        assert!(cell.right_handed());
        // The face across c is the xy plane.
        assert!((cell.heights()[2] - 6.0).abs() < 1e-14);
        let r = [17.3, -8.1, 2.2];
        let back = cell.cartesian(cell.fractional(r));
        assert!((0..3).all(|k| (back[k] - r[k]).abs() < 1e-13));
        let (wrapped, shift) = cell.wrap(r);
        assert!(
            cell.fractional(wrapped)
                .iter()
                .all(|f| (0.0..1.0).contains(f))
        );
        let step = linalg::row_times(shift.map(f64::from), &SKEWED);
        assert_eq!(wrapped, [r[0] + step[0], r[1] + step[1], r[2] + step[2]]);
        let left = Cell::new([SKEWED[1], SKEWED[0], SKEWED[2]], [true; 3]).unwrap();
        assert!(!left.right_handed());
        assert_eq!(left.volume(), 120.0);
    }

    #[test]
    #[should_panic(expected = "Cell::wrap: [0.0, 1000000000000.0, 0.0] is -")]
    fn shifts_do_not_overflow() {
        let thin = Cell::orthorhombic([1.0, 1e-3, 1.0]).unwrap();
        thin.wrap([0.0, 1e12, 0.0]);
    }

    #[test]
    fn missing_vectors_stand_in_only_where_nothing_repeats() {
        for axis in 0..3 {
            let mut vectors = SKEWED;
            vectors[axis] = [0.0; 3];
            let mut periodic = [true; 3];
            assert_eq!(
                Cell::new(vectors, periodic),
                Err(AtomsError::MissingVector(axis))
            );
            periodic[axis] = false;
            let cell = Cell::new(vectors, periodic).unwrap();
            assert!((cell.heights()[axis] - 1.0).abs() < 1e-14);
            assert_eq!(cell.volume(), 0.0);
            let far = [1e3, -1e3, 1e3];
            assert_eq!(cell.wrap(far).1[axis], 0);
        }
        let wire = Cell::new([[0.0; 3], [0.0; 3], [1.0, 1.0, 2.0]], [false, false, true]).unwrap();
        assert!((linalg::determinant(&wire.completed()) - 6_f64.sqrt()).abs() < 1e-14);
        let none = Cell::new([[0.0; 3]; 3], [false; 3]).unwrap();
        assert_eq!(none.completed(), linalg::IDENTITY);
    }

    #[test]
    fn nonsense_is_refused() {
        let parallel = [[1.0, 2.0, 3.0], [-2.0, -4.0, -6.0], [0.0, 0.0, 1.0]];
        assert_eq!(
            Cell::new(parallel, [true; 3]),
            Err(AtomsError::DegenerateCell(parallel))
        );
        let two = [parallel[0], parallel[1], [0.0; 3]];
        assert_eq!(
            Cell::new(two, [true, true, false]),
            Err(AtomsError::DegenerateCell(two))
        );
        let flat = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1e-11]];
        assert!(Cell::new(flat, [true; 3]).is_err());
        for bad in [f64::NAN, f64::INFINITY, -1e300] {
            let mut vectors = SKEWED;
            vectors[1][2] = bad;
            assert!(matches!(
                Cell::new(vectors, [false; 3]),
                Err(AtomsError::CellNotFinite { axis: 1, .. })
            ));
        }
        // Denormal vectors have no finite inverse.
        let tiny = [[1e-310, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert!(Cell::new(tiny, [true; 3]).is_err());
    }
}
