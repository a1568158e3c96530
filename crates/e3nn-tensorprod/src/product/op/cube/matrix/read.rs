//! What a cube reads of the factors of a tile, piece by piece.
//!
//! Which line of the tile and which term of its sum a unit reads follows from its number. Whatever of that stays the same from
//! piece to piece is worked out before the first: divisions are what would take longest otherwise.

use super::kernel::{Blocks, Form, Operands, Range};
use crate::cube::tile::{DEPTH, ROWS, Tile, units};
use crate::product::op::Slot;
use cubecl::prelude::*;

/// Sums over pairs of copies: a line of the left factor is a row of the batch and a component, a term a pair.
#[cube]
pub(super) fn over_pairs<F: Float>(
    tile: &mut Tile<F>,
    operands: &Operands<F>,
    row_tile: usize,
    column_tile: usize,
    blocks: Blocks,
    range: Range,
    #[comptime] form: Form,
) {
    let unit = UNIT_POS as usize;
    let columns = comptime!(form.columns);
    // Neighbouring units take neighbouring pairs of copies. From one line of a unit to its next:
    let apart = comptime!(units(columns) / DEPTH);
    let (term, line) = (unit % DEPTH, unit / DEPTH);
    let reads = comptime!(ROWS / apart);
    // Of every line, its row and component.
    let mut rows = Array::<usize>::new(reads);
    let mut components = Array::<usize>::new(reads);
    #[unroll]
    for s in 0..reads {
        let at = row_tile + line + s * apart;
        let row = at / blocks.dim;
        components[s] = at - row * blocks.dim;
        // Lines beyond the last repeat it, and are not written.
        let row = select(row < range.rows, row, range.rows - 1);
        rows[s] = operands.listed(range.first_row + row);
    }
    let entries = blocks.dim + 1;
    let mut start = 0usize.runtime();
    if comptime!(form.fixed) {
        // One symbol, and one of the factors: both stay.
        let mut scales = Array::<F>::new(reads);
        #[unroll]
        for s in 0..reads {
            let (i, j) = operands.places(entries + components[s], form);
            let a = rows[s] * blocks.first_width + blocks.first_at + i;
            let b = rows[s] * blocks.second_width + blocks.second_at + j;
            let number = operands.numbers[components[s]];
            if comptime!(form.slot == Slot::Out) {
                scales[s] = number * operands.second[b];
                rows[s] = a;
            } else {
                scales[s] = number * operands.first[a];
                rows[s] = b;
            }
        }
        while start < blocks.pairs {
            let pair = start + term;
            #[unroll]
            for s in 0..reads {
                let mut value = F::new(0.0_f32);
                if pair < blocks.pairs {
                    let factor = if comptime!(form.slot == Slot::Out) {
                        operands.first[rows[s] + pair * blocks.first_dim]
                    } else {
                        operands.second[rows[s] + pair * blocks.second_dim]
                    };
                    value = scales[s] * factor;
                }
                tile.put_left(term, line + s * apart, value);
            }
            put_weights::<F>(tile, operands, start, column_tile, blocks, range, form);
            tile.multiply();
            start += DEPTH;
        }
    } else {
        while start < blocks.pairs {
            let pair = start + term;
            let one = pair / blocks.seconds;
            let a = blocks.first_at + one * blocks.first_dim;
            let b = blocks.second_at + (pair - one * blocks.seconds) * blocks.second_dim;
            #[unroll]
            for s in 0..reads {
                let mut value = F::new(0.0_f32);
                if pair < blocks.pairs {
                    let a = rows[s] * blocks.first_width + a;
                    let b = rows[s] * blocks.second_width + b;
                    value = operands.coupled(a, b, components[s], entries, form);
                }
                tile.put_left(term, line + s * apart, value);
            }
            put_weights::<F>(tile, operands, start, column_tile, blocks, range, form);
            tile.multiply();
            start += DEPTH;
        }
    }
}

/// Leaves the weights of the pairs from `start` on.
#[cube]
fn put_weights<F: Float>(
    tile: &mut Tile<F>,
    operands: &Operands<F>,
    start: usize,
    column_tile: usize,
    blocks: Blocks,
    range: Range,
    #[comptime] form: Form,
) {
    let unit = UNIT_POS as usize;
    let columns = comptime!(form.columns);
    let units = comptime!(units(columns));
    let weights = range.weight_row * blocks.third_width + blocks.third_at;
    if comptime!(form.slot == Slot::Out) {
        // Neighbouring copies lie side by side, and pairs of copies one after the other.
        let copy = unit % columns;
        let there = column_tile + copy < blocks.copies;
        #[unroll]
        for s in 0..comptime!(DEPTH * columns / units) {
            let t = comptime!(s * (units / columns)) + unit / columns;
            let mut value = F::new(0.0_f32);
            if there && start + t < blocks.pairs {
                let at = (column_tile + copy) * blocks.by_copy + (start + t) * blocks.by_second;
                value = operands.third[weights + at];
            }
            tile.put_right(t, copy, value);
        }
    } else {
        let (term, line) = (unit % DEPTH, unit / DEPTH);
        let pair = start + term;
        let one = pair / blocks.seconds;
        let other = pair - one * blocks.seconds;
        let at = weights + one * blocks.by_first + other * blocks.by_second;
        #[unroll]
        for s in 0..comptime!(DEPTH * columns / units) {
            let copy = line + comptime!(s * (units / DEPTH));
            let mut value = F::new(0.0_f32);
            if pair < blocks.pairs && column_tile + copy < blocks.copies {
                value = operands.third[at + (column_tile + copy) * blocks.by_copy];
            }
            tile.put_right(term, copy, value);
        }
    }
}

/// Bits of the fraction of `1 / dim`.
const FRACTION: u32 = 20;

/// Sums over some rows of the batch and their components, from row `first` on: a line of the left factor is a pair of copies.
#[cube]
pub(super) fn over_rows<F: Float>(
    tile: &mut Tile<F>,
    operands: &Operands<F>,
    row_tile: usize,
    column_tile: usize,
    first: usize,
    blocks: Blocks,
    range: Range,
    #[comptime] form: Form,
) {
    let unit = UNIT_POS as usize;
    let columns = comptime!(form.columns);
    let units = comptime!(units(columns));
    let apart = comptime!(units / DEPTH);
    let (term, line) = (unit % DEPTH, unit / DEPTH);
    // Of the left factor, neighbouring units take neighbouring pairs of copies.
    let pair = row_tile + unit % ROWS;
    let inside = pair < blocks.pairs;
    let one = pair / blocks.seconds;
    let a = blocks.first_at + one * blocks.first_dim;
    let b = blocks.second_at + (pair - one * blocks.seconds) * blocks.second_dim;
    let entries = blocks.dim + 1;
    let dim = u32::cast_from(blocks.dim);
    // Above the true inverse by at most 2^-20, which is exact for what is divided here: below `dim + DEPTH`, and dim below 256.
    let inverse = (1u32 << FRACTION) / dim + 1u32;
    let begin = first * blocks.dim;
    let end = select(
        first + range.chunk < range.rows,
        first + range.chunk,
        range.rows,
    ) * blocks.dim;
    let mut start = begin;
    while start < end {
        // Row and component of the first of these terms.
        let row = start / blocks.dim;
        let component = u32::cast_from(start - row * blocks.dim);
        #[unroll]
        for s in 0..comptime!(DEPTH * ROWS / units) {
            let t = comptime!(s * (units / ROWS)) + unit / ROWS;
            let mut value = F::new(0.0_f32);
            if inside && start + t < end {
                let beyond = component + u32::cast_from(t);
                let rows = (beyond * inverse) >> FRACTION;
                let component = usize::cast_from(beyond - rows * dim);
                let row = operands.listed(range.first_row + row + usize::cast_from(rows));
                value = operands.coupled(
                    row * blocks.first_width + a,
                    row * blocks.second_width + b,
                    component,
                    entries,
                    form,
                );
            }
            tile.put_left(t, unit % ROWS, value);
        }
        let there = start + term < end;
        let mut at = blocks.third_at;
        if there {
            let beyond = component + u32::cast_from(term);
            let rows = (beyond * inverse) >> FRACTION;
            let row = operands.listed(range.first_row + row + usize::cast_from(rows));
            at += row * blocks.third_width + usize::cast_from(beyond - rows * dim);
        }
        #[unroll]
        for s in 0..comptime!(DEPTH * columns / units) {
            let copy = column_tile + line + s * apart;
            let mut value = F::new(0.0_f32);
            if there && copy < blocks.copies {
                value = operands.third[at + copy * blocks.dim];
            }
            tile.put_right(term, line + s * apart, value);
        }
        tile.multiply();
        start += DEPTH;
    }
}
