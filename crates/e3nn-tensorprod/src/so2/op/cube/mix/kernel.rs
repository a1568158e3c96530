//! Sums of products of matrices: `y = Σ ± x W` and `x = Σ ± y Wᵀ` for tiles of 64 edges, `W = Σ ± xᵀ y` for parts of the edges.

use super::super::super::Slot;
use super::{PRODUCT, TILE};
use crate::cube::tile::{ACROSS, DEPTH, ROWS, Tile, down, units};
use cubecl::prelude::*;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) slot: Slot,
    /// Columns of a tile.
    pub(super) columns: usize,
}

impl Form {
    fn sums_edges(self) -> bool {
        self.slot == Slot::Factor
    }
}

/// Sizes, and where the products are in the table.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Sizes {
    /// Cubes; tiles of some edges.
    pub(super) all: usize,
    pub(super) tiles: usize,
    pub(super) products: usize,
    pub(super) edges: usize,
    /// Edges that a cube sums, and values of a part.
    pub(super) chunk: usize,
    pub(super) numel: usize,
}

/// See the module.
#[cube(launch, address_type = "dynamic")]
pub(super) fn multiply<F: Float>(
    left: &Tensor<F>,
    right: &Tensor<F>,
    whole: &Tensor<u32>,
    out: &mut Tensor<F>,
    sizes: Sizes,
    #[comptime] form: Form,
    #[define(F)] _dtype: ElemType,
) {
    // The same in all units of a cube.
    if CUBE_POS >= sizes.all {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let units = comptime!(units(form.columns));
    let mut tile = Tile::<F>::new(form.columns);
    let record = CUBE_POS % sizes.tiles * TILE;
    let part = CUBE_POS / sizes.tiles;
    let mut row_tile = usize::cast_from(whole[record]);
    let column_tile = usize::cast_from(whole[record + 1]);
    let mut height = usize::cast_from(whole[record + 2]);
    let width = usize::cast_from(whole[record + 3]);
    let mut out_at = usize::cast_from(whole[record + 4]);
    let out_stride = usize::cast_from(whole[record + 5]);
    let first = usize::cast_from(whole[record + 6]);
    let last = usize::cast_from(whole[record + 7]);
    let mut begin = 0usize.runtime();
    if comptime!(form.sums_edges()) {
        begin = part * sizes.chunk;
        out_at += part * sizes.numel;
    } else {
        row_tile = part * ROWS;
        height = sizes.edges;
    }

    for p in first..last {
        let product = sizes.products + p * PRODUCT;
        let left_at = usize::cast_from(whole[product]);
        let left_row = usize::cast_from(whole[product + 1]);
        let left_term = usize::cast_from(whole[product + 2]);
        let right_at = usize::cast_from(whole[product + 3]);
        let right_term = usize::cast_from(whole[product + 4]);
        let right_column = usize::cast_from(whole[product + 5]);
        let negative = whole[product + 7] > 0u32;
        let mut end = usize::cast_from(whole[product + 6]);
        if comptime!(form.sums_edges()) {
            end = select(
                begin + sizes.chunk < sizes.edges,
                begin + sizes.chunk,
                sizes.edges,
            );
        }
        let mut start = begin;
        while start < end {
            #[unroll]
            for s in 0..comptime!(DEPTH * ROWS / units) {
                let n = s * units + unit;
                // Neighbouring units take what lies side by side.
                let (t, m) = if comptime!(form.sums_edges()) {
                    (n / ROWS, n % ROWS)
                } else {
                    (n % DEPTH, n / DEPTH)
                };
                let mut value = F::new(0.0_f32);
                if start + t < end && row_tile + m < height {
                    value = left[left_at + (row_tile + m) * left_row + (start + t) * left_term];
                    value = select(negative, -value, value);
                }
                tile.put_left(t, m, value);
            }
            #[unroll]
            for s in 0..comptime!(DEPTH * form.columns / units) {
                let n = s * units + unit;
                let (t, m) = if comptime!(form.slot == Slot::Input) {
                    (n % DEPTH, n / DEPTH)
                } else {
                    (n / comptime!(form.columns), n % comptime!(form.columns))
                };
                let mut value = F::new(0.0_f32);
                if start + t < end && column_tile + m < width {
                    value = right
                        [right_at + (start + t) * right_term + (column_tile + m) * right_column];
                }
                tile.put_right(t, m, value);
            }
            tile.multiply();
            start += DEPTH;
        }
    }

    #[unroll]
    for i in 0..comptime!(down(form.columns)) {
        #[unroll]
        for j in 0..ACROSS {
            let row = row_tile + tile.row(i);
            let column = column_tile + tile.column(j);
            if row < height && column < width {
                out[out_at + row * out_stride + column] = tile.value(i, j);
            }
        }
    }
}
