//! Fully connected paths as matrix products, one factor of which is made while it is read.
//!
//! For the slot of an input or the output, with copies `n` and components `c` of the slot, and copies `p`, `q` of the two
//! others, `out[(row, c), n] = Σ_pq A[(row, c), (p, q)] w[n, p, q]` where `A = Σ C first_p second_q` over the symbols with
//! component `c`. For the weights, `out[(u, v), n] = Σ_{(row, k)} Z[(row, k), (u, v)] g[row, n, k]` with
//! `Z = Σ C x_u y_v` over the symbols with component `k`.
//!
//! A cube makes a [`Tile`].

use super::read::{over_pairs, over_rows};
use crate::cube::tile::{ACROSS, ROWS, Tile, down};
use crate::product::op::Slot;
use cubecl::prelude::*;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) slot: Slot,
    /// Columns of a tile: 16, 32 or 64.
    pub(super) columns: usize,
    /// Whether every component has one symbol.
    pub(super) single: bool,
    /// Whether moreover one of the factors is the same for all terms of a line: the only copy of the second input.
    pub(super) fixed: bool,
}

impl Form {
    pub(super) fn weights(self) -> bool {
        self.slot == Slot::Weight
    }

    /// Bits that the component of the first factor is shifted by in a packed symbol; the second.
    pub(super) fn shifts(self) -> [u32; 2] {
        match self.slot {
            Slot::In1 => [8, 16],
            Slot::In2 => [0, 16],
            Slot::Weight | Slot::Out => [0, 8],
        }
    }
}

/// What is read: both factors that symbols couple, and the third; the symbols; the list of rows, if it is not theirs.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Operands<F: Float> {
    pub(super) first: OwnedTensor<F>,
    pub(super) second: OwnedTensor<F>,
    pub(super) third: OwnedTensor<F>,
    /// Where the symbols of each component begin, then their components; their values.
    pub(super) whole: OwnedTensor<u32>,
    pub(super) numbers: OwnedTensor<F>,
    pub(super) list: ComptimeOption<OwnedTensor<u32>>,
}

#[cube]
impl<F: Float> Operands<F> {
    /// The row of the batch at a place of the list.
    pub(super) fn listed(&self, at: usize) -> usize {
        #[comptime]
        match &self.list {
            ComptimeOption::Some(list) => usize::cast_from(list[at]),
            ComptimeOption::None => at,
        }
    }

    /// The components that a symbol couples, of either factor.
    pub(super) fn places(&self, at: usize, #[comptime] form: Form) -> (usize, usize) {
        let shifts = comptime!(form.shifts());
        let packed = self.whole[at];
        (
            usize::cast_from((packed >> comptime!(shifts[0])) & 255u32),
            usize::cast_from((packed >> comptime!(shifts[1])) & 255u32),
        )
    }

    /// `Σ C first second` over the symbols of a component, where a copy of either factor begins at `a` and `b`.
    pub(super) fn coupled(
        &self,
        a: usize,
        b: usize,
        component: usize,
        entries: usize,
        #[comptime] form: Form,
    ) -> F {
        if comptime!(form.single) {
            let (i, j) = self.places(entries + component, form);
            self.numbers[component] * self.first[a + i] * self.second[b + j]
        } else {
            let mut sum = F::new(0.0_f32);
            for e in self.whole[component]..self.whole[component + 1] {
                let e = usize::cast_from(e);
                let (i, j) = self.places(entries + e, form);
                sum = fma(self.numbers[e] * self.first[a + i], self.second[b + j], sum);
            }
            sum
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

/// One path, see the module; the result is added to what is there, for weights it is a part of its own.
#[cube(launch, address_type = "dynamic")]
pub(super) fn multiply<F: Float>(
    operands: &Operands<F>,
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
    let columns = comptime!(form.columns);
    let mut tile = Tile::<F>::new(columns);
    let column_tile = CUBE_POS % range.tiles * columns;
    let mut row_tile = CUBE_POS / range.tiles;
    let mut height = range.rows * blocks.dim;
    let mut part = 0usize.runtime();
    if comptime!(form.weights()) {
        height = blocks.pairs;
        let tiles = blocks.pairs.div_ceil(ROWS);
        part = row_tile / tiles;
        row_tile = row_tile % tiles * ROWS;
        over_rows::<F>(
            &mut tile,
            operands,
            row_tile,
            column_tile,
            part * range.chunk,
            blocks,
            range,
            form,
        );
    } else {
        row_tile *= ROWS;
        over_pairs::<F>(
            &mut tile,
            operands,
            row_tile,
            column_tile,
            blocks,
            range,
            form,
        );
    }

    #[unroll]
    for i in 0..comptime!(down(columns)) {
        let line = row_tile + tile.row(i);
        let mut to = (part * height + line) * blocks.copies;
        let mut apart = 1usize.runtime();
        if comptime!(!form.weights()) {
            let row = line / blocks.dim;
            apart = blocks.dim;
            to = blocks.out_at + line - row * blocks.dim;
            if line < height {
                to += operands.listed(range.first_row + row) * blocks.out_width;
            }
        }
        #[unroll]
        for j in 0..ACROSS {
            let copy = column_tile + tile.column(j);
            if line < height && copy < blocks.copies {
                let at = to + copy * apart;
                let mut sum = tile.value(i, j);
                if comptime!(!form.weights()) {
                    sum += out[at];
                }
                out[at] = sum;
            }
        }
    }
}
