//! One unit per (segment, channel) walks its segment step by step: neighbouring units read
//! neighbouring channels. Every state is one multiply-add on the state before, whatever the
//! segments, so it has the same bits in one piece, in chunks and in single steps.

use super::cells::{read_state, slopes, step, written_state};
use super::inputs::Inputs;
use super::past::Past;
use cubecl::prelude::*;

/// Steps whose loads are in flight together.
const AHEAD: usize = 4;

/// What `ends` holds: where a segment finds its first state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ends {
    /// The state after every segment; the first segment of a sequence begins with the initial state.
    OfSegments,
    /// The state before the first step of every segment.
    Borders,
}

/// States of all segments.
#[cube(launch, address_type = "dynamic")]
pub(super) fn forward<E: Float, F: Float, S: Float>(
    inputs: &Inputs<E, F>,
    ends: ComptimeOption<&Tensor<F>>,
    states: &mut Tensor<S>,
    mut last: ComptimeOption<&mut Tensor<F>>,
    mut borders: ComptimeOption<&mut Tensor<F>>,
    #[comptime] holds: Ends,
    #[define(E, F, S)] _dtypes: [ElemType; 3],
) {
    let index = ABSOLUTE_POS / inputs.width;
    let channel = ABSOLUTE_POS % inputs.width;
    if index >= inputs.segments {
        terminate!();
    }
    let cell = comptime!(inputs.variant.cell);
    let segment = inputs.segment(index);
    #[comptime]
    let mut h = match &ends {
        ComptimeOption::Some(ends) => {
            if comptime!(holds == Ends::Borders) {
                let row = segment.border + segment.begin / inputs.border_stride;
                read_state::<F>(ends[row * inputs.width + channel], cell)
            } else {
                let mut h = inputs.initial(segment, channel);
                if segment.begin > 0 {
                    h = read_state::<F>(ends[(index - 1) * inputs.width + channel], cell);
                }
                h
            }
        }
        ComptimeOption::None => inputs.initial(segment, channel),
    };
    let mut i = segment.begin;
    while i < segment.end {
        let mut a = Array::<F>::new(AHEAD);
        let mut b = Array::<F>::new(AHEAD);
        #[unroll]
        for j in 0..AHEAD {
            // Past the end, the last step once more, unused.
            let at = select(i + j < segment.end, i + j, segment.end - 1);
            let (map_a, map_b) = inputs.map(segment, inputs.time_of(segment, at), channel);
            a[j] = map_a;
            b[j] = map_b;
        }
        #[unroll]
        for j in 0..AHEAD {
            let at = i + j;
            if at < segment.end {
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
                states[inputs.state_at(segment, t, channel)] =
                    S::cast_from(written_state::<F>(h, cell));
            }
        }
        i += AHEAD;
    }
    #[comptime]
    if let ComptimeOption::Some(last) = &mut last {
        if segment.end == segment.len {
            last[segment.sequence * inputs.width + channel] = written_state::<F>(h, cell);
        }
    }
}

/// Gradients of all segments. `ends` is what flows out of every segment to the one before it.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward<E: Float, F: Float, S: Float>(
    inputs: &Inputs<E, F>,
    past: &Past<E, F, S>,
    ends: ComptimeOption<&Tensor<F>>,
    gradients: &mut Tensor<E>,
    initial_gradient: &mut Tensor<F>,
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
    let mut flow = past.flow_into(inputs, segment, channel);
    #[comptime]
    if let ComptimeOption::Some(ends) = &ends {
        if segment.end < segment.len {
            flow = ends[(index + 1) * inputs.width + channel];
        }
    }
    // Counted from the end of the segment.
    let steps = segment.end - segment.begin;
    let mut i = 0usize.runtime();
    while i < steps {
        let mut a = Array::<F>::new(AHEAD);
        let mut delta = Array::<F>::new(AHEAD);
        let mut slope_p = Array::<F>::new(AHEAD);
        let mut slope_q = Array::<F>::new(AHEAD);
        let mut slope_r = Array::<F>::new(AHEAD);
        #[unroll]
        for j in 0..AHEAD {
            let at = select(i + j < steps, segment.end - 1 - i - j, segment.begin);
            let t = inputs.time_of(segment, at);
            let (p, q, r) = inputs.planes(segment, t, channel);
            let before = past.before(inputs, segment, at, t, channel, initial);
            let (slope0, slope1, slope2, factor) = slopes::<F>(p, q, r, before, cell);
            slope_p[j] = slope0;
            slope_q[j] = slope1;
            slope_r[j] = slope2;
            a[j] = factor;
            delta[j] = past.delta(segment, t, channel);
        }
        #[unroll]
        for j in 0..AHEAD {
            if i + j < steps {
                let t = inputs.time_of(segment, segment.end - 1 - i - j);
                let s = flow + delta[j];
                let grads = (s * slope_p[j], s * slope_q[j], s * slope_r[j]);
                inputs.write_gradients(gradients, segment, t, channel, grads);
                flow = select(inputs.resets(segment, t), F::new(0.0_f32), s * a[j]);
            }
        }
        i += AHEAD;
    }
    if segment.begin == 0 {
        initial_gradient[segment.sequence * inputs.width + channel] = flow;
    }
}
