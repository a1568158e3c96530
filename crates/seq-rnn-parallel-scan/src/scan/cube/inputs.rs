//! What every kernel reads: planes, initial states, resets, and where its segment lies.
//!
//! A segment is a run of steps that one unit (or one cube) walks: a whole sequence, or a piece of one.

use super::super::spec::Cell;
use super::cells::{coefficients, read_state};
use cubecl::prelude::*;

/// What a kernel is compiled for, apart from its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) cell: Cell,
    /// Whether all planes lie side by side in the last axis of the first tensor.
    pub(super) packed_planes: bool,
    /// Whether time runs backwards.
    pub(super) reverse: bool,
}

/// Inputs of a scan. `E` is what planes are stored as, `F` what is computed in.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Inputs<E: Float, F: Float> {
    /// The planes `[batch, time, columns]`, rows contiguous.
    pub(super) x: OwnedTensor<E>,
    pub(super) y: ComptimeOption<OwnedTensor<E>>,
    pub(super) z: ComptimeOption<OwnedTensor<E>>,
    /// `[sequences, channels]`.
    pub(super) initial: OwnedTensor<F>,
    /// `[batch, time]`, not 0 where the state is forgotten.
    pub(super) reset: ComptimeOption<OwnedTensor<F>>,
    /// For packed sequences, a [`TableRow`](super::segments::TableRow) per segment.
    pub(super) table: ComptimeOption<OwnedTensor<u32>>,
    pub(super) time: usize,
    /// Channels of the state.
    pub(super) width: usize,
    pub(super) segments: usize,
    /// Segments per sequence, where there is no table.
    pub(super) per_sequence: usize,
    /// Steps per segment; the last of a sequence may be shorter.
    pub(super) stride: usize,
    /// Borders per sequence, where there is no table.
    pub(super) borders_per_sequence: usize,
    /// Steps from border to border.
    pub(super) border_stride: usize,
    #[cube(comptime)]
    pub(super) variant: Variant,
}

/// A run of steps of one sequence.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Segment {
    pub(super) sequence: usize,
    /// Batch entry.
    pub(super) batch: usize,
    /// First step of the sequence, in memory order.
    pub(super) first: usize,
    /// Steps of the sequence.
    pub(super) len: usize,
    /// The steps of this segment: from `begin` to before `end`, counted from the start of the sequence.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// The sequence's first border.
    pub(super) border: usize,
}

#[cube]
impl<E: Float, F: Float> Inputs<E, F> {
    /// The segment of that index.
    pub(super) fn segment(&self, index: usize) -> Segment {
        #[comptime]
        match &self.table {
            ComptimeOption::Some(table) => {
                let at = index * 5;
                let len = usize::cast_from(table[at + 2]);
                let begin = usize::cast_from(table[at + 3]);
                let end = begin + self.stride;
                Segment {
                    sequence: usize::cast_from(table[at]),
                    batch: 0usize.runtime(),
                    first: usize::cast_from(table[at + 1]),
                    len,
                    begin,
                    end: select(end < len, end, len),
                    border: usize::cast_from(table[at + 4]),
                }
            }
            ComptimeOption::None => {
                let sequence = index / self.per_sequence;
                let begin = index % self.per_sequence * self.stride;
                let end = begin + self.stride;
                Segment {
                    sequence,
                    batch: sequence,
                    first: 0usize.runtime(),
                    len: self.time,
                    begin,
                    end: select(end < self.time, end, self.time),
                    border: sequence * self.borders_per_sequence,
                }
            }
        }
    }

    /// Position in time of step `i` of a segment's sequence.
    pub(super) fn time_of(&self, segment: Segment, i: usize) -> usize {
        if comptime!(self.variant.reverse) {
            segment.first + segment.len - 1 - i
        } else {
            segment.first + i
        }
    }

    /// Whether the state is forgotten before the step at time `t`.
    pub(super) fn resets(&self, segment: Segment, t: usize) -> bool {
        #[comptime]
        match &self.reset {
            ComptimeOption::Some(reset) => reset[segment.batch * self.time + t] != F::new(0.0_f32),
            ComptimeOption::None => false.runtime(),
        }
    }

    /// The planes at time `t`.
    pub(super) fn planes(&self, segment: Segment, t: usize, channel: usize) -> (F, F, F) {
        let at = segment.batch * self.x.stride(0) + t * self.x.stride(1) + channel;
        let p = F::cast_from(self.x[at]);
        if comptime!(self.variant.packed_planes) {
            let q = F::cast_from(self.x[at + self.width]);
            if comptime!(self.variant.cell.planes() == 3) {
                (p, q, F::cast_from(self.x[at + 2 * self.width]))
            } else {
                (p, q, p)
            }
        } else {
            let q = other::<E, F>(&self.y, segment, t, channel);
            if comptime!(self.variant.cell.planes() == 3) {
                (p, q, other::<E, F>(&self.z, segment, t, channel))
            } else {
                (p, q, p)
            }
        }
    }

    /// The map of the step at time `t`.
    pub(super) fn map(&self, segment: Segment, t: usize, channel: usize) -> (F, F) {
        let (p, q, r) = self.planes(segment, t, channel);
        coefficients::<F>(p, q, r, self.variant.cell)
    }

    /// The state before the first step of a segment's sequence.
    pub(super) fn initial(&self, segment: Segment, channel: usize) -> F {
        let at = segment.sequence * self.width + channel;
        read_state::<F>(self.initial[at], self.variant.cell)
    }

    /// Writes the gradients of the planes at time `t`: side by side as the planes, or one
    /// `[batch, time, channels]` after the other.
    pub(super) fn write_gradients(
        &self,
        gradients: &mut Tensor<E>,
        segment: Segment,
        t: usize,
        channel: usize,
        values: (F, F, F),
    ) {
        let planes = comptime!(self.variant.cell.planes());
        let row = segment.batch * self.time + t;
        let (at, next) = if comptime!(self.variant.packed_planes) {
            (row * planes * self.width + channel, self.width)
        } else {
            let rows = self.x.shape(0) * self.time;
            (row * self.width + channel, rows * self.width)
        };
        let (p, q, r) = values;
        gradients[at] = E::cast_from(p);
        gradients[at + next] = E::cast_from(q);
        if comptime!(planes == 3) {
            gradients[at + 2 * next] = E::cast_from(r);
        }
    }

    /// Where the state at time `t` lies in `[batch, time, channels]`.
    pub(super) fn state_at(&self, segment: Segment, t: usize, channel: usize) -> usize {
        (segment.batch * self.time + t) * self.width + channel
    }
}

/// A plane that has a tensor of its own.
#[cube]
fn other<E: Float, F: Float>(
    plane: &ComptimeOption<OwnedTensor<E>>,
    segment: Segment,
    t: usize,
    channel: usize,
) -> F {
    #[comptime]
    match plane {
        ComptimeOption::Some(plane) => {
            let at = segment.batch * plane.stride(0) + t * plane.stride(1) + channel;
            F::cast_from(plane[at])
        }
        ComptimeOption::None => F::new(0.0_f32),
    }
}
