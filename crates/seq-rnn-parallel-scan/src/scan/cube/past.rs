//! What the backward kernels read besides the inputs: saved states and what comes from above.

use super::cells::{empty_state, read_state};
use super::inputs::{Inputs, Segment};
use cubecl::prelude::*;

/// States and cotangents. `S` is what the states are stored as.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Past<E: Float, F: Float, S: Float> {
    /// All states, `[batch, time, channels]`, contiguous.
    pub(super) saved: OwnedTensor<S>,
    /// Cotangent of the states, same shape, any strides.
    pub(super) upstream: ComptimeOption<OwnedTensor<E>>,
    /// Cotangent of the last states, `[sequences, channels]`.
    pub(super) last: ComptimeOption<OwnedTensor<F>>,
}

#[cube]
impl<E: Float, F: Float, S: Float> Past<E, F, S> {
    /// What flows into the last step of a sequence from after it.
    pub(super) fn flow_into(&self, inputs: &Inputs<E, F>, segment: Segment, channel: usize) -> F {
        #[comptime]
        match &self.last {
            ComptimeOption::Some(last) => last[segment.sequence * inputs.width + channel],
            ComptimeOption::None => F::new(0.0_f32),
        }
    }

    /// What comes from above at time `t`.
    pub(super) fn delta(&self, segment: Segment, t: usize, channel: usize) -> F {
        #[comptime]
        match &self.upstream {
            ComptimeOption::Some(upstream) => {
                let row = segment.batch * upstream.stride(0) + t * upstream.stride(1);
                F::cast_from(upstream[row + channel * upstream.stride(2)])
            }
            ComptimeOption::None => F::new(0.0_f32),
        }
    }

    /// The state that step `i`, at time `t`, started from.
    pub(super) fn before(
        &self,
        inputs: &Inputs<E, F>,
        segment: Segment,
        i: usize,
        t: usize,
        channel: usize,
        initial: F,
    ) -> F {
        let cell = comptime!(inputs.variant.cell);
        let first = i == 0;
        // The first step has none before it; what is read instead is not used.
        let t_before = inputs.time_of(segment, select(first, i, i - 1));
        let saved = F::cast_from(self.saved[inputs.state_at(segment, t_before, channel)]);
        let before = select(first, initial, read_state::<F>(saved, cell));
        select(inputs.resets(segment, t), empty_state::<F>(cell), before)
    }
}
