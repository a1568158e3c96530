//! Tiles of matrix products, in the precision of the operands: Burn's product may round f32 to TF32 on matrix units, and layers
//! would be equivariant to ten bits only.
//!
//! A cube makes a tile of [`ROWS`] by [`columns`](Tile::columns), a unit [`EACH`] by [`EACH`] of it, from pieces of both factors
//! of [`DEPTH`] in shared memory.

use burn::tensor::DType;
use cubecl::prelude::*;

/// Rows of a tile.
pub(crate) const ROWS: usize = 64;
/// Terms that are summed between two reads.
pub(crate) const DEPTH: usize = 16;
/// Rows and columns of a unit.
pub(crate) const EACH: usize = 4;

/// Columns of tiles of matrices that have so many: 16, 32 or 64, and of f64 what fits into 16 KiB.
pub(crate) fn columns(widest: usize, dtype: DType) -> usize {
    let most = if dtype.size() == 8 { 32 } else { 64 };
    widest.next_power_of_two().clamp(16, most)
}

/// Units of a cube whose tile has so many columns.
pub(crate) fn units(columns: usize) -> usize {
    ROWS / EACH * (columns / EACH)
}

/// The tile of a cube.
#[derive(CubeType)]
pub(crate) struct Tile<F: Float> {
    left: Shared<[F]>,
    right: Shared<[F]>,
    sums: Array<F>,
    /// First row and column of the unit within the tile.
    pub(crate) row: usize,
    pub(crate) column: usize,
    #[cube(comptime)]
    pub(crate) columns: usize,
}

#[cube]
impl<F: Float> Tile<F> {
    /// A tile of zeros.
    pub(crate) fn new(#[comptime] columns: usize) -> Self {
        let unit = UNIT_POS as usize;
        let mut sums = Array::<F>::new(comptime!(EACH * EACH));
        #[unroll]
        for s in 0..comptime!(EACH * EACH) {
            sums[s] = F::new(0.0_f32);
        }
        Tile::<F> {
            left: Shared::new_slice(comptime!(DEPTH * (ROWS + 1))),
            right: Shared::new_slice(comptime!(DEPTH * (columns + 1))),
            sums,
            row: unit / comptime!(columns / EACH) * EACH,
            column: unit % comptime!(columns / EACH) * EACH,
            columns,
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
        for t in 0..DEPTH {
            let l = t * comptime!(ROWS + 1) + self.row;
            let r = t * comptime!(self.columns + 1) + self.column;
            #[unroll]
            for i in 0..EACH {
                let a = self.left[l + i];
                #[unroll]
                for j in 0..EACH {
                    let s = comptime!(i * EACH + j);
                    self.sums[s] = fma(a, self.right[r + j], self.sums[s]);
                }
            }
        }
        sync_cube();
    }

    /// The value in row `i` and column `j` of the unit.
    pub(crate) fn value(&self, #[comptime] i: usize, #[comptime] j: usize) -> F {
        self.sums[comptime!(i * EACH + j)]
    }
}
