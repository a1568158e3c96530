//! A cube owns [`LANES`] adjacent channels of one sequence and sweeps over its steps in tiles. Its
//! [`ROWS`] rows of units split a tile: each unit folds its own [`STEPS`] steps into one map, all maps
//! meet in shared memory, each unit applies those before its own to the carry in their order, and
//! then walks its steps from there. Fixed order: the same bits in every run.

use super::super::spec::Cell;
use super::cells::{compose, empty_state, identity, leap, slopes, step, written_state};
use super::inputs::Inputs;
use super::past::Past;
use cubecl::prelude::*;

/// Adjacent channels of a cube: the width of a plane, for whole memory transactions.
pub(super) const LANES: usize = 32;
/// Units that share the steps of a tile.
pub(super) const ROWS: usize = 8;
/// Steps of a unit within a tile, held in registers.
pub(super) const STEPS: usize = 4;
/// Steps of a tile.
pub(super) const TILE: usize = ROWS * STEPS;

/// Where the maps of the units of a cube meet.
#[derive(CubeType)]
struct Exchange<F: Float> {
    a: Shared<[F]>,
    b: Shared<[F]>,
    /// Whether a map is constant, for inputs with resets.
    cut: Shared<[u32]>,
    #[cube(comptime)]
    cell: Cell,
    #[cube(comptime)]
    resets: bool,
}

#[cube]
impl<F: Float> Exchange<F> {
    fn new(#[comptime] cell: Cell, #[comptime] resets: bool) -> Self {
        Exchange::<F> {
            a: Shared::new_slice(LANES * ROWS),
            b: Shared::new_slice(LANES * ROWS),
            cut: Shared::new_slice(comptime!(if resets { LANES * ROWS } else { 1 })),
            cell,
            resets,
        }
    }

    /// Leaves the map of this unit.
    fn put(&mut self, a: F, b: F, cut: bool) {
        let at = UNIT_POS as usize;
        self.a[at] = a;
        self.b[at] = b;
        if comptime!(self.resets) {
            self.cut[at] = u32::cast_from(cut);
        }
    }

    /// `carry` after the maps of the rows before this unit's, and after those of all rows.
    fn apply(&self, carry: F) -> (F, F) {
        let lane = UNIT_POS_X as usize;
        let row = UNIT_POS_Y as usize;
        let mut own = carry;
        let mut all = carry;
        #[unroll]
        for r in 0..ROWS {
            let at = r * LANES + lane;
            own = select(row == r, all, own);
            let b = self.b[at];
            let moved = leap::<F>(self.a[at], b, all, self.cell);
            if comptime!(self.resets) {
                all = select(self.cut[at] != 0, b, moved);
            } else {
                all = moved;
            }
        }
        (own, all)
    }
}

/// States of all sequences.
#[cube(launch, address_type = "dynamic")]
pub(super) fn forward<E: Float, F: Float>(
    inputs: &Inputs<E, F>,
    states: &mut Tensor<E>,
    last: &mut Tensor<F>,
    mut borders: ComptimeOption<&mut Tensor<F>>,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let groups = inputs.width.div_ceil(LANES);
    let index = CUBE_POS / groups;
    if index >= inputs.segments {
        terminate!();
    }
    let cell = comptime!(inputs.variant.cell);
    let segment = inputs.segment(index);
    let wanted = CUBE_POS % groups * LANES + UNIT_POS_X as usize;
    // Lanes beyond the last channel repeat it and write nothing.
    let active = wanted < inputs.width;
    let channel = select(active, wanted, inputs.width - 1);
    let row = UNIT_POS_Y as usize;

    let mut exchange = Exchange::<F>::new(cell, inputs.reset.is_some());
    let mut carry = inputs.initial(segment, channel);
    if segment.len == 0 && row == 0 && active {
        last[segment.sequence * inputs.width + channel] = written_state::<F>(carry, cell);
    }
    let mut tile = 0usize.runtime();
    while tile < segment.len {
        let begin = tile + row * STEPS;
        let mut a = Array::<F>::new(STEPS);
        let mut b = Array::<F>::new(STEPS);
        let mut all_a = identity::<F>(cell);
        let mut all_b = empty_state::<F>(cell);
        let mut cut = false.runtime();
        #[unroll]
        for j in 0..STEPS {
            let inside = begin + j < segment.len;
            let at = select(inside, begin + j, segment.len - 1);
            let t = inputs.time_of(segment, at);
            let (map_a, map_b) = inputs.map(segment, t, channel);
            a[j] = map_a;
            b[j] = map_b;
            if inside {
                let reset = inputs.resets(segment, t);
                all_b = select(reset, map_b, step::<F>(map_a, map_b, all_b, cell));
                all_a = select(reset, identity::<F>(cell), compose::<F>(all_a, map_a, cell));
                cut = cut || reset;
            }
        }
        exchange.put(all_a, all_b, cut);
        sync_cube();
        let (own, all) = exchange.apply(carry);
        carry = all;
        let mut h = own;
        #[unroll]
        for j in 0..STEPS {
            let at = begin + j;
            if at < segment.len && active {
                #[comptime]
                if let ComptimeOption::Some(borders) = &mut borders {
                    if at % inputs.border_stride == 0 {
                        let row = segment.border + at / inputs.border_stride;
                        borders[row * inputs.width + channel] = written_state::<F>(h, cell);
                    }
                }
                let t = inputs.time_of(segment, at);
                let moved = step::<F>(a[j], b[j], h, cell);
                h = select(inputs.resets(segment, t), b[j], moved);
                let written = written_state::<F>(h, cell);
                states[inputs.state_at(segment, t, channel)] = E::cast_from(written);
                if at + 1 == segment.len {
                    last[segment.sequence * inputs.width + channel] = written;
                }
            }
        }
        sync_cube();
        tile += TILE;
    }
}

/// Gradients of all sequences.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward<E: Float, F: Float, S: Float>(
    inputs: &Inputs<E, F>,
    past: &Past<E, F, S>,
    gradients: &mut Tensor<E>,
    initial_gradient: &mut Tensor<F>,
    #[define(E, F, S)] _dtypes: [ElemType; 3],
) {
    let groups = inputs.width.div_ceil(LANES);
    let index = CUBE_POS / groups;
    if index >= inputs.segments {
        terminate!();
    }
    let cell = comptime!(inputs.variant.cell);
    let segment = inputs.segment(index);
    let wanted = CUBE_POS % groups * LANES + UNIT_POS_X as usize;
    let active = wanted < inputs.width;
    let channel = select(active, wanted, inputs.width - 1);
    let row = UNIT_POS_Y as usize;
    let initial = inputs.initial(segment, channel);

    let zero = F::new(0.0_f32);
    let mut exchange = Exchange::<F>::new(Cell::Linear, inputs.reset.is_some());
    let mut carry = past.flow_into(inputs, segment, channel);
    // Steps are counted from the end.
    let mut tile = 0usize.runtime();
    while tile < segment.len {
        let begin = tile + row * STEPS;
        let mut a = Array::<F>::new(STEPS);
        let mut delta = Array::<F>::new(STEPS);
        let mut slope_p = Array::<F>::new(STEPS);
        let mut slope_q = Array::<F>::new(STEPS);
        let mut slope_r = Array::<F>::new(STEPS);
        let mut all_a = F::new(1.0_f32);
        let mut all_b = F::new(0.0_f32);
        let mut cut = false.runtime();
        #[unroll]
        for j in 0..STEPS {
            let inside = begin + j < segment.len;
            let at = select(inside, segment.len - 1 - begin - j, 0);
            let t = inputs.time_of(segment, at);
            let (p, q, r) = inputs.planes(segment, t, channel);
            let before = past.before(inputs, segment, at, t, channel, initial);
            let (slope0, slope1, slope2, factor) = slopes::<F>(p, q, r, before, cell);
            slope_p[j] = slope0;
            slope_q[j] = slope1;
            slope_r[j] = slope2;
            a[j] = factor;
            delta[j] = past.delta(segment, t, channel);
            if inside {
                let reset = inputs.resets(segment, t);
                all_b = select(reset, zero, factor * (all_b + delta[j]));
                all_a = select(reset, F::new(1.0_f32), all_a * factor);
                cut = cut || reset;
            }
        }
        exchange.put(all_a, all_b, cut);
        sync_cube();
        let (own, all) = exchange.apply(carry);
        carry = all;
        let mut flow = own;
        #[unroll]
        for j in 0..STEPS {
            if begin + j < segment.len && active {
                let t = inputs.time_of(segment, segment.len - 1 - begin - j);
                let s = flow + delta[j];
                let grads = (s * slope_p[j], s * slope_q[j], s * slope_r[j]);
                inputs.write_gradients(gradients, segment, t, channel, grads);
                flow = select(inputs.resets(segment, t), zero, s * a[j]);
            }
        }
        sync_cube();
        tile += TILE;
    }
    if row == 0 && active {
        initial_gradient[segment.sequence * inputs.width + channel] = carry;
    }
}
