//! Tiles of matrix products, in the precision of the operands: Burn's product may round f32 to TF32 on matrix units, and layers
//! would be equivariant to ten bits only.
//!
//! A cube makes a tile of [`ROWS`] by [`columns`], from pieces of both factors of [`DEPTH`] in shared memory; a unit makes
//! [`down`] rows, side by side, by [`ACROSS`] columns, as far apart as there are units, so that neighbours read neighbouring banks
//! and write neighbouring values.

use burn::tensor::DType;
use cubecl::prelude::*;

/// Rows of a tile.
pub(crate) const ROWS: usize = 64;
/// Terms that are summed between two reads.
pub(crate) const DEPTH: usize = 16;
/// Terms without a jump between them.
const AT_ONCE: usize = 4;
/// Columns of a unit.
pub(crate) const ACROSS: usize = 4;

/// Columns of tiles of matrices that have so many: 16, 32 or 64, and of f64 what fits into 16 KiB.
pub(crate) fn columns(widest: usize, dtype: DType) -> usize {
    let most = if dtype.size() == 8 { 32 } else { 64 };
    widest.next_power_of_two().clamp(16, most)
}

/// Rows of a unit of a tile with so many columns.
pub(crate) fn down(columns: usize) -> usize {
    if columns < 32 { 4 } else { 8 }
}

/// Units of a cube whose tile has so many columns.
pub(crate) fn units(columns: usize) -> usize {
    ROWS / down(columns) * (columns / ACROSS)
}

/// The tile of a cube.
#[derive(CubeType)]
pub(crate) struct Tile<F: Float> {
    left: Shared<[F]>,
    right: Shared<[F]>,
    sums: Array<F>,
    /// First row and column of the unit within the tile.
    first_row: usize,
    first_column: usize,
    #[cube(comptime)]
    columns: usize,
    #[cube(comptime)]
    down: usize,
}

#[cube]
impl<F: Float> Tile<F> {
    /// A tile of zeros.
    pub(crate) fn new(#[comptime] columns: usize) -> Self {
        let unit = UNIT_POS as usize;
        let down = comptime!(down(columns));
        let mut sums = Array::<F>::new(comptime!(down * ACROSS));
        #[unroll]
        for s in 0..comptime!(down * ACROSS) {
            sums[s] = F::new(0.0_f32);
        }
        Tile::<F> {
            left: Shared::new_slice(comptime!(DEPTH * (ROWS + 1))),
            right: Shared::new_slice(comptime!(DEPTH * (columns + 1))),
            sums,
            first_row: unit / comptime!(columns / ACROSS) * down,
            first_column: unit % comptime!(columns / ACROSS),
            columns,
            down,
        }
    }

    /// Leaves term `t` of a row of the left factor.
    pub(crate) fn put_left(&mut self, t: usize, row: usize, value: F) {
        self.left[t * comptime!(ROWS + 1) + row] = value;
    }

    /// Leaves term `t` of a column of the right factor.
    pub(crate) fn put_right(&mut self, t: usize, column: usize, value: F) {
        self.right[t * comptime!(self.columns + 1) + column] = value;
    }

    /// Adds the product of the two pieces, which all units have left.
    pub(crate) fn multiply(&mut self) {
        sync_cube();
        let down = comptime!(self.down);
        let apart = comptime!(self.columns / ACROSS);
        for piece in 0..comptime!(DEPTH / AT_ONCE) {
            let l = piece * comptime!(AT_ONCE * (ROWS + 1)) + self.first_row;
            let r = piece * comptime!(AT_ONCE * (self.columns + 1)) + self.first_column;
            #[unroll]
            for t in 0..AT_ONCE {
                let mut right = Array::<F>::new(ACROSS);
                #[unroll]
                for j in 0..ACROSS {
                    right[j] = self.right[r + comptime!(t * (self.columns + 1) + j * apart)];
                }
                #[unroll]
                for i in 0..down {
                    let a = self.left[l + comptime!(t * (ROWS + 1) + i)];
                    #[unroll]
                    for j in 0..ACROSS {
                        let s = comptime!(i * ACROSS + j);
                        self.sums[s] = fma(a, right[j], self.sums[s]);
                    }
                }
            }
        }
        sync_cube();
    }

    /// Row `i` of the unit within the tile.
    pub(crate) fn row(&self, #[comptime] i: usize) -> usize {
        self.first_row + i
    }

    /// Column `j` of the unit within the tile.
    pub(crate) fn column(&self, #[comptime] j: usize) -> usize {
        self.first_column + comptime!(j * (self.columns / ACROSS))
    }

    /// The value in row `i` and column `j` of the unit.
    pub(crate) fn value(&self, #[comptime] i: usize, #[comptime] j: usize) -> F {
        self.sums[comptime!(i * ACROSS + j)]
    }
}
