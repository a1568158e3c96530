//! CPU kernel: threads over sequences and tiles of channels; within a tile time outside, channels
//! inside, so that memory is read in order and lanes are channels.
//!
//! Every channel is summed strictly in time order with one rounding per step, so a state has the
//! same bits whether it was reached in one call, in chunks, in single steps or in a packed batch,
//! on any number of threads and any instruction set.

mod backward;
mod forward;
mod rows;

use super::spec::Spec;
use super::{Cotangent, ScanBackend};
use core::mem::MaybeUninit;
use core::ops::Range;
use core_tensor::cpu::{Real, Storage, fence, for_each_task, threads};
use core_tensor::ext::flex::{Compute, Flex, FlexTensor, Rows, contiguous_rows, scratch, tensor};
use core_tensor::ext::{FloatTensor, TensorMetadata};
use core_tensor::with_float;
use rows::RowKernels;

/// Channels whose state stays in the first-level cache beside a row of every plane.
const WIDEST_TILE: usize = 1024;
/// Below this, a tile is no longer worth a task of its own.
const NARROWEST_TILE: usize = 64;

impl ScanBackend for Flex {
    fn scan(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [batch, time, _] = x.shape().dims();
        let inputs = Inputs::new([x, y, z], initial, reset);
        with_float!(inputs.planes[0].dtype(), E => {
            let problem = Problem::<E>::new(&inputs, &spec);
            let (states, last, borders) = problem.forward();
            let width = problem.width;
            (
                tensor(states, [batch, time, width]),
                tensor(last, [spec.sequences.count(), width]),
                tensor(borders, [spec.border_rows(), width]),
            )
        })
    }

    fn scan_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        saved: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        kind: Cotangent,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [batch, time, _] = x.shape().dims();
        let inputs = Inputs::new([x, y, z], initial, reset);
        with_float!(inputs.planes[0].dtype(), E => {
            let problem = Problem::<E>::new(&inputs, &spec);
            let (gradients, initial) = problem.backward(&saved, &cotangent, kind);
            let (width, planes) = (problem.width, spec.cell.planes());
            let gradients = if spec.packed_planes {
                tensor(gradients, [batch, time, planes * width])
            } else {
                tensor(gradients, [planes, batch, time, width])
            };
            (gradients, tensor(initial, [spec.sequences.count(), width]))
        })
    }
}

/// The input tensors in a form that rows can be borrowed from.
struct Inputs {
    planes: [FlexTensor; 3],
    initial: FlexTensor,
    reset: FlexTensor,
}

impl Inputs {
    fn new(planes: [FlexTensor; 3], initial: FlexTensor, reset: FlexTensor) -> Self {
        Self {
            planes: planes.each_ref().map(contiguous_rows),
            initial: initial.to_contiguous(),
            reset: reset.to_contiguous(),
        }
    }
}

/// A scan over borrowed rows.
struct Problem<'a, E: Storage> {
    planes: [Plane<'a, E>; 3],
    initial: &'a [Compute<E>],
    reset: &'a [Compute<E>],
    spec: &'a Spec,
    /// Channels of the state.
    width: usize,
    /// Steps per batch entry, all sequences together.
    time: usize,
    /// Batch entries times steps.
    rows: usize,
    /// Row of every sequence's first border, where there are borders.
    first_borders: Vec<usize>,
    kernels: RowKernels<Compute<E>>,
}

/// One plane of the input: a tensor and the column at which the plane begins.
struct Plane<'a, E> {
    rows: Rows<'a, E>,
    first: usize,
}

/// One tile's share of a sequence.
struct Tile {
    sequence: usize,
    /// Batch entry.
    batch: usize,
    /// First step, in memory order.
    first: usize,
    /// Number of steps.
    len: usize,
    channels: Range<usize>,
}

impl<'a, E: Storage> Problem<'a, E> {
    fn new(inputs: &'a Inputs, spec: &'a Spec) -> Self {
        let [batch, time, columns] = inputs.planes[0].shape().dims();
        let width = if spec.packed_planes {
            columns / spec.cell.planes()
        } else {
            columns
        };
        let planes = core::array::from_fn(|p| {
            // A third plane that the cell lacks repeats the first; nothing looks at it.
            let p = if p < spec.cell.planes() { p } else { 0 };
            let (source, first) = if spec.packed_planes {
                (0, p * width)
            } else {
                (p, 0)
            };
            Plane {
                rows: Rows::new(&inputs.planes[source]),
                first,
            }
        });
        Self {
            planes,
            initial: inputs
                .initial
                .as_slice()
                .expect("the dtype was checked by the caller"),
            reset: inputs
                .reset
                .as_slice()
                .expect("the dtype was checked by the caller"),
            spec,
            width,
            time,
            rows: batch * time,
            first_borders: spec
                .checkpoint
                .map_or_else(Vec::new, |stride| spec.sequences.first_borders(stride)),
            kernels: RowKernels::of(spec.cell),
        }
    }

    /// Splits the work by sequence and channels and runs it on all threads.
    fn for_each_tile(&self, work: impl Fn(Tile) + Send + Sync) {
        let sequences = self.spec.sequences.count();
        let mut tile = self.width.clamp(1, WIDEST_TILE);
        while tile >= 2 * NARROWEST_TILE && sequences * self.width.div_ceil(tile) < threads() {
            tile = tile.div_ceil(2).next_multiple_of(16);
        }
        let tiles = self.width.div_ceil(tile);
        for_each_task(sequences * tiles, |task| {
            let (sequence, column) = (task / tiles, task % tiles * tile);
            let (batch, first, len) = self.spec.sequences.locate(sequence);
            let channels = column..self.width.min(column + tile);
            work(Tile {
                sequence,
                batch,
                first,
                len,
                channels,
            });
        });
    }

    /// Step `i` of a tile's sequence, in memory order.
    fn time_of(&self, tile: &Tile, i: usize) -> usize {
        self.spec.step_at(tile.first, tile.len, i)
    }

    fn resets(&self, tile: &Tile, t: usize) -> bool {
        self.spec.has_reset && self.reset[tile.batch * self.time + t] != Compute::<E>::ZERO
    }

    fn initial(&self, tile: &Tile) -> &'a [Compute<E>] {
        &self.initial[tile.sequence * self.width..][tile.channels.clone()]
    }

    /// The state that a reset returns to.
    fn empty(&self) -> Compute<E> {
        Compute::<E>::from_f64(self.spec.cell.empty_state())
    }

    /// The planes at one step, widened into `wide` where they are stored in half precision.
    #[inline(always)]
    fn planes<'s>(
        &'s self,
        tile: &Tile,
        t: usize,
        wide: &'s mut [Vec<Compute<E>>; 3],
    ) -> [&'s [Compute<E>]; 3] {
        let [a, b, c] = wide;
        let load = |plane: &Plane<'a, E>| {
            plane.rows.piece(
                tile.batch,
                t,
                plane.first + tile.channels.start,
                tile.channels.len(),
            )
        };
        let [p, q, r] = &self.planes;
        [
            E::widen(load(p), a),
            E::widen(load(q), b),
            E::widen(load(r), c),
        ]
    }
}

/// How a kernel writes its large output.
#[derive(Clone, Copy)]
enum Stores {
    /// Through the caches, where what comes next finds it.
    Cached,
    /// Past them: nothing of the output would still be there.
    PastCaches,
}

impl Stores {
    /// Outputs of this many bytes are written past the caches, which are smaller.
    const LARGE: usize = 32 << 20;

    fn of<E>(len: usize) -> Self {
        if len * size_of::<E>() >= Self::LARGE {
            Self::PastCaches
        } else {
            Self::Cached
        }
    }

    #[inline(always)]
    fn write<E: Storage>(self, values: &[Compute<E>], row: &mut [MaybeUninit<E>]) {
        match self {
            Self::Cached => E::narrow(values, row),
            Self::PastCaches => E::narrow_past_caches(values, row),
        }
    }

    /// Ends a tile.
    fn finish(self) {
        if matches!(self, Self::PastCaches) {
            fence();
        }
    }
}

/// Three rows of scratch memory.
fn rows_of<T: Real>(len: usize) -> [Vec<T>; 3] {
    core::array::from_fn(|_| scratch(len))
}
