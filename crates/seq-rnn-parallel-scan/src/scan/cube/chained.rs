//! A chain of cubes: every cube owns [`LANES`] channels of one piece of a sequence, takes the carry that
//! the cube of the piece before it publishes, and publishes its own. Inputs are read once, as in a
//! sweep, yet pieces are loaded and their gates computed by all of the device at once, as in chunks;
//! what is left in order is one multiply-add per step, out of registers.
//!
//! **Bits.** No maps are composed: rows of a cube walk one after the other, cubes likewise, so every
//! state is a [`step`] on the state before it, as in [`serial`](super::serial), with the same
//! bits. Gradients are the same products and sums in the same order of time; a compiler may
//! associate the factors of one otherwise than in the other kernel. Which cube runs when changes nothing.
//!
//! **Order.** A cube learns its place from a ticket, an atomic counter, so whoever it waits for has
//! started before it. That suffices where started cubes keep running while another spins;
//! [`choose`](super::choose) asks for it. Pieces are numbered across sequences, the first of
//! each, then the second of each, so that many chains advance together.
//!
//! **Memory.** A carry is one atomic word that is its own flag: all bits inverted, and 0 means "not yet".
//! The one value that this would hide, the NaN of all ones, is published as another NaN. A carry can
//! thus be neither torn nor seen without its flag, and no other data pass between cubes, so relaxed
//! atomics of the device are enough and the chain is free of fences.

use super::super::spec::Sequences;
use super::cells::{slopes, step, written_state};
use super::gradient::Past as Saved;
use super::inputs::{Inputs, Segment};
use super::past::Past;
use super::problem::Problem;
use super::segments::Segments;
use super::sweep::{LANES, ROWS};
use burn::tensor::DType;
use core_tensor::ext::cube::{CubeTensor, dtype_to_storage_type, zeros};
use cubecl::prelude::*;

/// Steps of a unit in the forward pass, held in registers with their maps.
const STEPS: usize = 16;
/// Steps of a unit in the backward pass, which holds five values for each.
const STEPS_BACK: usize = 8;
/// Steps of a cube in the forward pass.
pub(super) const PIECE: usize = ROWS * STEPS;
/// Steps of a cube in the backward pass.
const PIECE_BACK: usize = ROWS * STEPS_BACK;

/// What a carry of that dtype is published in.
pub(super) fn word(computed: DType) -> DType {
    if computed == DType::F64 {
        DType::U64
    } else {
        DType::U32
    }
}

/// What a unit works on.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Place {
    segment: Segment,
    channel: usize,
    /// Whether there is such a channel and such a piece; if not, the unit repeats another's work and
    /// neither waits nor writes.
    active: bool,
    /// Where this piece publishes the carry of this channel.
    link: usize,
}

/// Takes the cube's ticket from the first word of `links`.
#[cube]
fn place<E: Float, F: Float, W: Int>(
    inputs: &Inputs<E, F>,
    links: &mut Tensor<Atomic<W>>,
    #[comptime] backwards: bool,
) -> Place {
    let mut ticket = Shared::<u32>::new();
    if UNIT_POS == 0 {
        *ticket = u32::cast_from(links[0].fetch_add(W::from_int(1)));
    }
    sync_cube();
    let ticket = *ticket as usize;
    let groups = inputs.width.div_ceil(LANES);
    let wanted = ticket % groups * LANES + UNIT_POS_X as usize;
    let rank = ticket / groups;
    let channel = select(wanted < inputs.width, wanted, inputs.width - 1);
    let active = rank < inputs.segments && wanted < inputs.width;
    let rank = select(rank < inputs.segments, rank, inputs.segments - 1);
    // A table is in the order of the chain already.
    let index = if comptime!(inputs.table.is_some()) {
        rank
    } else {
        let sequences = inputs.segments / inputs.per_sequence;
        let done = rank / sequences;
        let nth = if comptime!(backwards) {
            inputs.per_sequence - 1 - done
        } else {
            done
        };
        rank % sequences * inputs.per_sequence + nth
    };
    let segment = inputs.segment(index);
    // Numbers that rise by one within a sequence, and by at least one from sequence to sequence.
    let piece = if comptime!(inputs.table.is_some()) {
        segment.sequence + (segment.first + segment.begin) / inputs.stride
    } else {
        index
    };
    Place {
        segment,
        channel,
        active,
        link: 1 + piece * inputs.width + channel,
    }
}

/// Publishes a carry.
#[cube]
fn publish<F: Float, W: Int>(links: &mut Tensor<Atomic<W>>, at: usize, carry: F) {
    let word = !W::reinterpret(carry);
    let word = select(word == W::from_int(0), W::from_int(1), word);
    links[at].store(word);
}

/// Waits for a carry.
#[cube]
fn wait<F: Float, W: Int>(links: &mut Tensor<Atomic<W>>, at: usize) -> F {
    let mut word = links[at].load();
    while word == W::from_int(0) {
        word = links[at].load();
    }
    F::reinterpret(!word)
}

/// States of all sequences.
#[cube(launch, address_type = "dynamic")]
fn forward<E: Float, F: Float, W: Int>(
    inputs: &Inputs<E, F>,
    links: &mut Tensor<Atomic<W>>,
    states: &mut Tensor<E>,
    last: &mut Tensor<F>,
    mut borders: ComptimeOption<&mut Tensor<F>>,
    #[define(E, F, W)] _dtypes: [ElemType; 3],
) {
    let cell = comptime!(inputs.variant.cell);
    let place = place::<E, F, W>(inputs, links, false);
    let segment = place.segment;
    let channel = place.channel;
    let active = place.active;
    let lane = UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize;
    let begin = segment.begin + row * STEPS;

    let mut a = Array::<F>::new(STEPS);
    let mut b = Array::<F>::new(STEPS);
    // A bit per step that a reset precedes.
    let mut cut = 0u32;
    if begin < segment.end {
        #[unroll]
        for j in 0..STEPS {
            // Past the end, the last step once more, unused.
            let at = select(begin + j < segment.end, begin + j, segment.end - 1);
            let t = inputs.time_of(segment, at);
            let (map_a, map_b) = inputs.map(segment, t, channel);
            a[j] = map_a;
            b[j] = map_b;
            cut |= u32::cast_from(inputs.resets(segment, t)) << (j as u32);
        }
    }

    let mut carry = Shared::<[F]>::new_slice(LANES);
    let mut own = inputs.initial(segment, channel);
    for r in 0..ROWS {
        if row == r {
            if row > 0 {
                own = carry[lane];
            } else if active && segment.begin > 0 {
                own = wait::<F, W>(links, place.link - inputs.width);
            }
            let mut h = own;
            #[unroll]
            for j in 0..STEPS {
                let moved = step::<F>(a[j], b[j], h, cell);
                let moved = select((cut >> (j as u32)) & 1 != 0, b[j], moved);
                h = select(begin + j < segment.end, moved, h);
                b[j] = h;
            }
            carry[lane] = h;
            if row == ROWS - 1 && active && segment.end < segment.len {
                publish::<F, W>(links, place.link, h);
            }
        }
        sync_cube();
    }

    #[unroll]
    for j in 0..STEPS {
        let at = begin + j;
        if at < segment.end && active {
            #[comptime]
            if let ComptimeOption::Some(borders) = &mut borders {
                if at % inputs.border_stride == 0 {
                    let row = segment.border + at / inputs.border_stride;
                    let before = if comptime!(j == 0) { own } else { b[j - 1] };
                    borders[row * inputs.width + channel] = written_state::<F>(before, cell);
                }
            }
            let t = inputs.time_of(segment, at);
            states[inputs.state_at(segment, t, channel)] =
                E::cast_from(written_state::<F>(b[j], cell));
        }
    }
    if row == 0 && active && segment.end == segment.len {
        last[segment.sequence * inputs.width + channel] = written_state::<F>(carry[lane], cell);
    }
}

/// Gradients of all sequences.
#[cube(launch, address_type = "dynamic")]
fn backward<E: Float, F: Float, S: Float, W: Int>(
    inputs: &Inputs<E, F>,
    past: &Past<E, F, S>,
    links: &mut Tensor<Atomic<W>>,
    gradients: &mut Tensor<E>,
    initial_gradient: &mut Tensor<F>,
    #[define(E, F, S, W)] _dtypes: [ElemType; 4],
) {
    let cell = comptime!(inputs.variant.cell);
    let place = place::<E, F, W>(inputs, links, true);
    let segment = place.segment;
    let channel = place.channel;
    let active = place.active;
    let lane = UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize;
    // Steps are counted from the end of the segment.
    let steps = segment.end - segment.begin;
    let begin = row * STEPS_BACK;

    let zero = F::new(0.0_f32);
    let mut a = Array::<F>::new(STEPS_BACK);
    let mut s = Array::<F>::new(STEPS_BACK);
    let mut slope_p = Array::<F>::new(STEPS_BACK);
    let mut slope_q = Array::<F>::new(STEPS_BACK);
    let mut slope_r = Array::<F>::new(STEPS_BACK);
    let mut cut = 0u32;
    if begin < steps {
        let initial = inputs.initial(segment, channel);
        #[unroll]
        for j in 0..STEPS_BACK {
            let inside = begin + j < steps;
            let at = select(inside, segment.end - 1 - begin - j, segment.begin);
            let t = inputs.time_of(segment, at);
            let (p, q, r) = inputs.planes(segment, t, channel);
            let before = past.before(inputs, segment, at, t, channel, initial);
            let (slope0, slope1, slope2, factor) = slopes::<F>(p, q, r, before, cell);
            slope_p[j] = slope0;
            slope_q[j] = slope1;
            slope_r[j] = slope2;
            a[j] = factor;
            s[j] = past.delta(segment, t, channel);
            cut |= u32::cast_from(inputs.resets(segment, t)) << (j as u32);
        }
    }

    let mut carry = Shared::<[F]>::new_slice(LANES);
    let mut own = past.flow_into(inputs, segment, channel);
    for r in 0..ROWS {
        if row == r {
            if row > 0 {
                own = carry[lane];
            } else if active && segment.end < segment.len {
                own = wait::<F, W>(links, place.link + inputs.width);
            }
            let mut flow = own;
            #[unroll]
            for j in 0..STEPS_BACK {
                s[j] = flow + s[j];
                let moved = select((cut >> (j as u32)) & 1 != 0, zero, s[j] * a[j]);
                flow = select(begin + j < steps, moved, flow);
            }
            carry[lane] = flow;
            if row == ROWS - 1 && active && segment.begin > 0 {
                publish::<F, W>(links, place.link, flow);
            }
        }
        sync_cube();
    }

    #[unroll]
    for j in 0..STEPS_BACK {
        if begin + j < steps && active {
            let t = inputs.time_of(segment, segment.end - 1 - begin - j);
            let grads = (s[j] * slope_p[j], s[j] * slope_q[j], s[j] * slope_r[j]);
            inputs.write_gradients(gradients, segment, t, channel, grads);
        }
    }
    if row == 0 && active && segment.begin == 0 {
        initial_gradient[segment.sequence * inputs.width + channel] = carry[lane];
    }
}

impl Problem<'_> {
    pub(super) fn forward_chained(
        &self,
        states: &CubeTensor,
        last: &CubeTensor,
        borders: &CubeTensor,
    ) {
        let (stored, computed) = self.dtypes();
        let segments = Segments::chained(&self.spec.sequences, PIECE, self.border_stride(), false);
        let (count, dim) = self.cubes_of(&segments);
        let links = self.links(&segments);
        let borders = self.spec.checkpoint.is_some().then(|| borders.clone());
        forward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[states, &links]),
            self.inputs(&segments),
            links.into_tensor_arg(),
            states.clone().into_tensor_arg(),
            last.clone().into_tensor_arg(),
            borders.map(CubeTensor::into_tensor_arg).into(),
            [stored, computed, word(computed)].map(dtype_to_storage_type),
        );
    }

    pub(super) fn backward_chained(
        &self,
        past: &Saved,
        gradients: &CubeTensor,
        initial: &CubeTensor,
    ) {
        let (stored, computed) = self.dtypes();
        let segments =
            Segments::chained(&self.spec.sequences, PIECE_BACK, self.border_stride(), true);
        let (count, dim) = self.cubes_of(&segments);
        let links = self.links(&segments);
        backward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[gradients, &past.saved, &links]),
            self.inputs(&segments),
            past.launch(),
            links.into_tensor_arg(),
            gradients.clone().into_tensor_arg(),
            initial.clone().into_tensor_arg(),
            [stored, computed, past.saved.dtype, word(computed)].map(dtype_to_storage_type),
        );
    }

    /// The counter of tickets, and a word per piece and channel for its carry: all 0.
    fn links(&self, segments: &Segments) -> CubeTensor {
        let pieces = match &self.spec.sequences {
            Sequences::Batch { .. } => segments.count,
            // See the numbering in `place`.
            Sequences::Packed { .. } => {
                self.spec.sequences.count() + self.time / segments.stride + 1
            }
        };
        let shape = [1 + pieces * self.width];
        zeros(self.client(), self.device(), shape, word(self.dtypes().1))
    }
}
