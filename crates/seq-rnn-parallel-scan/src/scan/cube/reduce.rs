//! The first pass of the chunked algorithm: every segment as one map of the state (or, backwards, of
//! what flows through it).

use super::super::spec::Cell;
use super::cells::{compose, empty_state, identity, slopes, step};
use super::inputs::Inputs;
use super::past::Past;
use cubecl::prelude::*;

/// Maps of all segments: rows of `a` and `b`, and in `cut` whether a reset makes a map constant (`b`).
#[cube(launch, address_type = "dynamic")]
pub(super) fn forward<E: Float, F: Float>(
    inputs: &Inputs<E, F>,
    a: &mut Tensor<F>,
    b: &mut Tensor<F>,
    mut cut: ComptimeOption<&mut Tensor<F>>,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let index = ABSOLUTE_POS / inputs.width;
    let channel = ABSOLUTE_POS % inputs.width;
    if index >= inputs.segments {
        terminate!();
    }
    let cell = comptime!(inputs.variant.cell);
    let segment = inputs.segment(index);
    let mut all_a = identity::<F>(cell);
    let mut all_b = empty_state::<F>(cell);
    let mut any = F::new(0.0_f32);
    for i in segment.begin..segment.end {
        let t = inputs.time_of(segment, i);
        let (map_a, map_b) = inputs.map(segment, t, channel);
        let reset = inputs.resets(segment, t);
        all_b = select(reset, map_b, step::<F>(map_a, map_b, all_b, cell));
        // Once cut, `a` no longer counts; it is kept in range.
        all_a = select(reset, identity::<F>(cell), compose::<F>(all_a, map_a, cell));
        any = select(reset, F::new(1.0_f32), any);
    }
    let at = index * inputs.width + channel;
    a[at] = all_a;
    b[at] = all_b;
    #[comptime]
    if let ComptimeOption::Some(cut) = &mut cut {
        if channel == 0 {
            cut[index] = any;
        }
    }
}

/// What flows out of every segment, `a · flow + b`, in the same form.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward<E: Float, F: Float, S: Float>(
    inputs: &Inputs<E, F>,
    past: &Past<E, F, S>,
    a: &mut Tensor<F>,
    b: &mut Tensor<F>,
    mut cut: ComptimeOption<&mut Tensor<F>>,
    #[define(E, F, S)] _dtypes: [ElemType; 3],
) {
    let index = ABSOLUTE_POS / inputs.width;
    let channel = ABSOLUTE_POS % inputs.width;
    if index >= inputs.segments {
        terminate!();
    }
    let cell = comptime!(inputs.variant.cell);
    let segment = inputs.segment(index);
    let initial = inputs.initial(segment, channel);
    let zero = F::new(0.0_f32);
    let mut all_a = F::new(1.0_f32);
    let mut all_b = F::new(0.0_f32);
    let mut any = F::new(0.0_f32);
    let steps = segment.end - segment.begin;
    for i in 0..steps {
        let at = segment.end - 1 - i;
        let t = inputs.time_of(segment, at);
        let (p, q, r) = inputs.planes(segment, t, channel);
        let before = past.before(inputs, segment, at, t, channel, initial);
        let (_, _, _, factor) = slopes::<F>(p, q, r, before, cell);
        let reset = inputs.resets(segment, t);
        all_b = select(
            reset,
            zero,
            factor * (all_b + past.delta(segment, t, channel)),
        );
        all_a = select(
            reset,
            F::new(1.0_f32),
            compose::<F>(all_a, factor, Cell::Linear),
        );
        any = select(reset, F::new(1.0_f32), any);
    }
    let at = index * inputs.width + channel;
    a[at] = all_a;
    b[at] = all_b;
    #[comptime]
    if let ComptimeOption::Some(cut) = &mut cut {
        if channel == 0 {
            cut[index] = any;
        }
    }
}
