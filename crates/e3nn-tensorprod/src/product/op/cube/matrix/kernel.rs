//! Fully connected paths as matrix products, one factor of which is made while it is read.
//!
//! For the slot of an input or the output, with copies `n` and components `c` of the slot, and copies `p`, `q` of the two
//! others, `out[(row, c), n] = Σ_pq A[(row, c), (p, q)] w[n, p, q]` where `A = Σ C first_p second_q` over the symbols with
//! component `c`. For the weights, `out[(u, v), n] = Σ_{(row, k)} Z[(row, k), (u, v)] g[row, n, k]` with
//! `Z = Σ C x_u y_v` over the symbols with component `k`.
//!
//! A cube makes a [`Tile`].

use crate::cube::tile::{ACROSS, DEPTH, ROWS, Tile, down, units};
use crate::product::op::Slot;
use cubecl::prelude::*;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) slot: Slot,
    /// Columns of a tile: 16, 32 or 64.
    pub(super) columns: usize,
}

impl Form {
    fn weights(self) -> bool {
        self.slot == Slot::Weight
    }

    /// Bits that the component of the first factor is shifted by in a packed symbol; the second.
    fn shifts(self) -> [u32; 2] {
        match self.slot {
            Slot::In1 => [8, 16],
            Slot::In2 => [0, 16],
            Slot::Weight | Slot::Out => [0, 8],
        }
    }
}

/// Where the blocks of a path lie in their tensors.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Blocks {
    /// Columns of the tensor, first column of the block, components: of both factors.
    pub(super) first_width: usize,
    pub(super) first_at: usize,
    pub(super) first_dim: usize,
    pub(super) second_width: usize,
    pub(super) second_at: usize,
    pub(super) second_dim: usize,
    /// Copies of the second factor; with those of the first, the terms of a sum (for weights, rows of the result).
    pub(super) seconds: usize,
    pub(super) pairs: usize,
    /// Of the third tensor (weights, or for weights the output): columns, and the first that counts.
    pub(super) third_width: usize,
    pub(super) third_at: usize,
    /// From one copy of the slot, the first, the second to the next within the weights.
    pub(super) by_copy: usize,
    pub(super) by_first: usize,
    pub(super) by_second: usize,
    /// Of the result: columns, first column, components; copies.
    pub(super) out_width: usize,
    pub(super) out_at: usize,
    pub(super) dim: usize,
    pub(super) copies: usize,
}

/// What a launch covers.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Range {
    /// Rows, from a place in the list of rows on, and their row of weights.
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) weight_row: usize,
    /// Tiles across; all tiles.
    pub(super) tiles: usize,
    pub(super) all: usize,
    /// Rows summed by a cube, for weights.
    pub(super) chunk: usize,
}

#[cube]
fn listed(list: &ComptimeOption<&Tensor<u32>>, at: usize) -> usize {
    #[comptime]
    match list {
        ComptimeOption::Some(list) => usize::cast_from(list[at]),
        ComptimeOption::None => at,
    }
}

/// `Σ C first second` over the symbols of a component, for one row of the batch and one pair of copies.
#[cube]
fn coupled<F: Float>(
    first: &Tensor<F>,
    second: &Tensor<F>,
    whole: &Tensor<u32>,
    numbers: &Tensor<F>,
    blocks: Blocks,
    row: usize,
    component: usize,
    pair: usize,
    #[comptime] form: Form,
) -> F {
    let a = row * blocks.first_width + blocks.first_at + pair / blocks.seconds * blocks.first_dim;
    let b =
        row * blocks.second_width + blocks.second_at + pair % blocks.seconds * blocks.second_dim;
    let from = usize::cast_from(whole[component]);
    let to = usize::cast_from(whole[component + 1]);
    let entries = blocks.dim + 1;
    let shifts = comptime!(form.shifts());
    let mut sum = F::new(0.0_f32);
    for e in from..to {
        let packed = whole[entries + e];
        let i = usize::cast_from((packed >> comptime!(shifts[0])) & 255u32);
        let j = usize::cast_from((packed >> comptime!(shifts[1])) & 255u32);
        sum = fma(numbers[e] * first[a + i], second[b + j], sum);
    }
    sum
}

/// One path, see the module; the result is added to what is there, for weights it is a part of its own.
#[cube(launch, address_type = "dynamic")]
pub(super) fn multiply<F: Float>(
    first: &Tensor<F>,
    second: &Tensor<F>,
    third: &Tensor<F>,
    whole: &Tensor<u32>,
    numbers: &Tensor<F>,
    list: ComptimeOption<&Tensor<u32>>,
    out: &mut Tensor<F>,
    blocks: Blocks,
    range: Range,
    #[comptime] form: Form,
    #[define(F)] _dtype: ElemType,
) {
    // The same in all units of a cube.
    if CUBE_POS >= range.all {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let columns = comptime!(form.columns);
    let units = comptime!(units(columns));
    let mut tile = Tile::<F>::new(columns);

    let column_tile = CUBE_POS % range.tiles * columns;
    let mut row_tile = CUBE_POS / range.tiles * ROWS;
    // Terms of the sums, of which this cube has those from `begin` to `depth`.
    let mut begin = 0usize.runtime();
    let mut depth = blocks.pairs;
    let mut height = range.rows * blocks.dim;
    let mut part = 0usize.runtime();
    if comptime!(form.weights()) {
        height = blocks.pairs;
        let tiles = blocks.pairs.div_ceil(ROWS);
        part = CUBE_POS / range.tiles / tiles;
        row_tile = CUBE_POS / range.tiles % tiles * ROWS;
        begin = part * range.chunk * blocks.dim;
        let end = begin + range.chunk * blocks.dim;
        depth = select(end < range.rows * blocks.dim, end, range.rows * blocks.dim);
    }

    let mut start = begin;
    while start < depth {
        #[unroll]
        for s in 0..comptime!(DEPTH * ROWS / units) {
            let n = s * units + unit;
            // Neighbouring units take neighbouring pairs of copies.
            let (t, m) = if comptime!(form.weights()) {
                (n / ROWS, n % ROWS)
            } else {
                (n % DEPTH, n / DEPTH)
            };
            let mut value = F::new(0.0_f32);
            if start + t < depth && row_tile + m < height {
                let (line, pair) = if comptime!(form.weights()) {
                    (start + t, row_tile + m)
                } else {
                    (row_tile + m, start + t)
                };
                let row = listed(&list, range.first_row + line / blocks.dim);
                value = coupled::<F>(
                    first,
                    second,
                    whole,
                    numbers,
                    blocks,
                    row,
                    line % blocks.dim,
                    pair,
                    form,
                );
            }
            tile.put_left(t, m, value);
        }
        #[unroll]
        for s in 0..comptime!(DEPTH * columns / units) {
            let n = s * units + unit;
            let (t, m) = if comptime!(form.slot == Slot::Out) {
                (n / columns, n % columns)
            } else {
                (n % DEPTH, n / DEPTH)
            };
            let mut value = F::new(0.0_f32);
            if start + t < depth && column_tile + m < blocks.copies {
                let at = start + t;
                if comptime!(form.weights()) {
                    let row = listed(&list, range.first_row + at / blocks.dim);
                    let column = (column_tile + m) * blocks.dim + at % blocks.dim;
                    value = third[row * blocks.third_width + blocks.third_at + column];
                } else {
                    let column = (column_tile + m) * blocks.by_copy
                        + at / blocks.seconds * blocks.by_first
                        + at % blocks.seconds * blocks.by_second;
                    value = third[range.weight_row * blocks.third_width + blocks.third_at + column];
                }
            }
            tile.put_right(t, m, value);
        }
        tile.multiply();
        start += DEPTH;
    }

    #[unroll]
    for i in 0..comptime!(down(columns)) {
        #[unroll]
        for j in 0..ACROSS {
            let line = row_tile + tile.row(i);
            let copy = column_tile + tile.column(j);
            if line < height && copy < blocks.copies {
                let sum = tile.value(i, j);
                if comptime!(form.weights()) {
                    out[(part * height + line) * blocks.copies + copy] = sum;
                } else {
                    let row = listed(&list, range.first_row + line / blocks.dim);
                    let column = blocks.out_at + copy * blocks.dim + line % blocks.dim;
                    let at = row * blocks.out_width + column;
                    let so_far = out[at];
                    out[at] = so_far + sum;
                }
            }
        }
    }
}
