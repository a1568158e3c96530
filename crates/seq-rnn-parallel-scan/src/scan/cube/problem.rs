//! A scan on the device: its tensors, and the launches of the forward pass.

use super::super::spec::{Algorithm, Cell, Sequences, Spec};
use super::choose::{choose, chunk};
use super::inputs::{InputsLaunch, Variant};
use super::segments::{Segments, longest};
use super::serial::Ends;
use super::sweep::{LANES, ROWS};
use super::{reduce, serial, sweep};
use burn::tensor::DType;
use core_tensor::ext::TensorMetadata;
use core_tensor::ext::cube::{
    CubeDevice, CubeTensor, address_type, contiguous_rows, dtype_to_storage_type, empty,
    into_contiguous, upload_u32,
};
use cubecl::client::Client;
use cubecl::ir::AddressType;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// A scan and what it runs on.
pub(super) struct Problem<'a> {
    /// One tensor for packed planes, otherwise one per plane.
    pub(super) planes: Vec<CubeTensor>,
    pub(super) initial: CubeTensor,
    pub(super) reset: Option<CubeTensor>,
    pub(super) spec: &'a Spec,
    pub(super) batch: usize,
    pub(super) time: usize,
    /// Channels of the state.
    pub(super) width: usize,
}

/// The maps of all segments, as planes of a scan over segments.
pub(super) struct Maps {
    pub(super) a: CubeTensor,
    pub(super) b: CubeTensor,
    pub(super) cut: Option<CubeTensor>,
}

impl<'a> Problem<'a> {
    /// Brings the tensors into a form that kernels read.
    pub(super) fn new(
        planes: [CubeTensor; 3],
        initial: CubeTensor,
        reset: CubeTensor,
        spec: &'a Spec,
    ) -> Self {
        let [batch, time, columns] = planes[0].shape().dims();
        let (count, width) = if spec.packed_planes {
            (1, columns / spec.cell.planes())
        } else {
            (spec.cell.planes(), columns)
        };
        Self {
            planes: planes
                .into_iter()
                .take(count)
                .map(contiguous_rows)
                .collect(),
            initial: into_contiguous(initial),
            reset: spec.has_reset.then(|| into_contiguous(reset)),
            spec,
            batch,
            time,
            width,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.initial.client
    }

    pub(super) fn device(&self) -> &CubeDevice {
        &self.initial.device
    }

    /// What planes are stored as, and what is computed in.
    pub(super) fn dtypes(&self) -> (DType, DType) {
        (self.planes[0].dtype, self.initial.dtype)
    }

    /// Whether there is no step of any channel.
    pub(super) fn is_empty(&self) -> bool {
        self.batch * self.time * self.width == 0
    }

    /// Sequences times channels.
    fn units(&self) -> usize {
        self.spec.sequences.count() * self.width
    }

    /// The algorithm that runs.
    pub(super) fn algorithm(&self) -> Algorithm {
        let time = longest(&self.spec.sequences);
        let computed = self.dtypes().1;
        choose(
            self.client(),
            self.spec.algorithm,
            self.units(),
            time,
            computed,
        )
    }

    /// The pieces of the chunked algorithm.
    pub(super) fn chunks(&self) -> Segments {
        let stride = chunk(self.client(), self.units(), longest(&self.spec.sequences));
        Segments::chunks(&self.spec.sequences, stride, self.border_stride())
    }

    /// Every sequence in one piece.
    pub(super) fn whole(&self) -> Segments {
        Segments::whole(&self.spec.sequences, self.border_stride())
    }

    /// An output tensor.
    pub(super) fn output<const D: usize>(&self, shape: [usize; D], dtype: DType) -> CubeTensor {
        empty(self.client(), self.device(), shape, dtype)
    }

    /// Steps from border to border; where none are kept, more than there are.
    pub(super) fn border_stride(&self) -> usize {
        self.spec.checkpoint.unwrap_or(self.time.max(1))
    }

    /// The width of index that a launch with these further tensors needs.
    pub(super) fn address_type(&self, others: &[&CubeTensor]) -> AddressType {
        address_type(self.planes.iter().chain(others.iter().copied()))
    }

    /// What every kernel takes.
    pub(super) fn inputs<E: Float, F: Float>(&self, segments: &Segments) -> InputsLaunch<E, F> {
        let plane = |p: usize| self.planes.get(p).cloned().map(CubeTensor::into_tensor_arg);
        let table = segments.table.as_ref();
        let table = table.map(|table| upload_u32(self.client(), self.device(), table));
        let border_stride = self.border_stride();
        InputsLaunch::new(
            self.planes[0].clone().into_tensor_arg(),
            plane(1).into(),
            plane(2).into(),
            self.initial.clone().into_tensor_arg(),
            self.reset.clone().map(CubeTensor::into_tensor_arg).into(),
            table.map(CubeTensor::into_tensor_arg).into(),
            self.time,
            self.width,
            segments.count,
            segments.per_sequence,
            segments.stride,
            self.time.div_ceil(border_stride),
            border_stride,
            Variant {
                cell: self.spec.cell,
                packed_planes: self.spec.packed_planes,
                reverse: self.spec.reverse,
            },
        )
    }

    /// One unit per segment and channel.
    pub(super) fn units_of(&self, segments: &Segments) -> (CubeCount, CubeDim) {
        let units = segments.count * self.width;
        let dim = CubeDim::new(self.client(), units);
        (
            calculate_cube_count_elemwise(self.client(), units, dim),
            dim,
        )
    }

    /// One cube per segment and group of channels.
    pub(super) fn cubes_of(&self, segments: &Segments) -> (CubeCount, CubeDim) {
        let cubes = segments.count * self.width.div_ceil(LANES);
        let dim = CubeDim::new_2d(LANES as u32, ROWS as u32);
        let count = calculate_cube_count_elemwise(self.client(), cubes * LANES * ROWS, dim);
        (count, dim)
    }

    /// All states, the last ones, and those at the borders.
    pub(super) fn forward(&self) -> (CubeTensor, CubeTensor, CubeTensor) {
        let (stored, computed) = self.dtypes();
        let states = self.output([self.batch, self.time, self.width], stored);
        let border_shape = [self.spec.border_rows(), self.width];
        if self.is_empty() {
            return (
                states,
                self.initial.clone(),
                self.output(border_shape, computed),
            );
        }
        let last = self.output([self.spec.sequences.count(), self.width], computed);
        let borders = self.output(border_shape, computed);
        match self.algorithm() {
            Algorithm::Sweep => self.forward_sweep(&states, &last, &borders),
            Algorithm::Chained => self.forward_chained(&states, &last, &borders),
            Algorithm::Chunked => {
                let segments = self.chunks();
                let ends = self.ends(&segments);
                let ends = Some((ends, Ends::OfSegments));
                self.forward_serial(&segments, ends, &states, Some(&last), Some(&borders));
            }
            _ => self.forward_serial(&self.whole(), None, &states, Some(&last), Some(&borders)),
        }
        (states, last, borders)
    }

    /// All states, from those at the borders.
    pub(super) fn replay(&self, borders: CubeTensor) -> CubeTensor {
        let (_, computed) = self.dtypes();
        let states = self.output([self.batch, self.time, self.width], computed);
        let segments = Segments::between_borders(&self.spec.sequences, self.border_stride());
        let ends = Some((into_contiguous(borders), Ends::Borders));
        self.forward_serial(&segments, ends, &states, None, None);
        states
    }

    fn forward_serial(
        &self,
        segments: &Segments,
        ends: Option<(CubeTensor, Ends)>,
        states: &CubeTensor,
        last: Option<&CubeTensor>,
        borders: Option<&CubeTensor>,
    ) {
        let (stored, computed) = self.dtypes();
        let (count, dim) = self.units_of(segments);
        let holds = ends.as_ref().map_or(Ends::OfSegments, |(_, holds)| *holds);
        let borders = borders.filter(|_| self.spec.checkpoint.is_some());
        serial::forward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[states]),
            self.inputs(segments),
            ends.map(|(ends, _)| ends.into_tensor_arg()).into(),
            states.clone().into_tensor_arg(),
            last.cloned().map(CubeTensor::into_tensor_arg).into(),
            borders.cloned().map(CubeTensor::into_tensor_arg).into(),
            holds,
            [stored, computed, states.dtype].map(dtype_to_storage_type),
        );
    }

    fn forward_sweep(&self, states: &CubeTensor, last: &CubeTensor, borders: &CubeTensor) {
        let (stored, computed) = self.dtypes();
        let segments = self.whole();
        let (count, dim) = self.cubes_of(&segments);
        let borders = self.spec.checkpoint.is_some().then(|| borders.clone());
        sweep::forward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[states]),
            self.inputs(&segments),
            states.clone().into_tensor_arg(),
            last.clone().into_tensor_arg(),
            borders.map(CubeTensor::into_tensor_arg).into(),
            [stored, computed].map(dtype_to_storage_type),
        );
    }

    /// The state after every segment: segments are reduced to maps, and those scanned.
    fn ends(&self, segments: &Segments) -> CubeTensor {
        let (stored, computed) = self.dtypes();
        let maps = self.empty_maps(segments);
        let (count, dim) = self.units_of(segments);
        reduce::forward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[]),
            self.inputs(segments),
            maps.a.clone().into_tensor_arg(),
            maps.b.clone().into_tensor_arg(),
            maps.cut.clone().map(CubeTensor::into_tensor_arg).into(),
            [stored, computed].map(dtype_to_storage_type),
        );
        let cell = if self.spec.cell == Cell::Log {
            Cell::Log
        } else {
            Cell::Linear
        };
        maps.scan(segments, cell, false, self.initial.clone())
    }

    /// Room for the maps of all segments.
    pub(super) fn empty_maps(&self, segments: &Segments) -> Maps {
        let (_, computed) = self.dtypes();
        let [batch, steps] = match &segments.as_steps {
            Sequences::Batch { count, time } => [*count, *time],
            Sequences::Packed { .. } => [1, segments.count],
        };
        let room = || self.output([batch, steps, self.width], computed);
        let reset = self.reset.as_ref();
        Maps {
            a: room(),
            b: room(),
            cut: reset.map(|_| self.output([batch, steps], computed)),
        }
    }
}

impl Maps {
    /// Applies the maps one after the other; the value after each.
    pub(super) fn scan(
        self,
        segments: &Segments,
        cell: Cell,
        reverse: bool,
        initial: CubeTensor,
    ) -> CubeTensor {
        let spec = Spec {
            cell,
            packed_planes: false,
            sequences: segments.as_steps.clone(),
            reverse,
            has_reset: self.cut.is_some(),
            checkpoint: None,
            // A few hundred steps, with all of the device for them.
            algorithm: Algorithm::Sweep,
        };
        let [batch, time, width] = self.a.shape().dims();
        let problem = Problem {
            planes: vec![self.a, self.b],
            initial,
            reset: self.cut,
            spec: &spec,
            batch,
            time,
            width,
        };
        problem.forward().0
    }
}
