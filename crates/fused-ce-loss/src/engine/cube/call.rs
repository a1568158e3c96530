//! A call on the device: its tensors, and the buffers and launches that both passes share.

use super::panel::{Form, PanelLaunch};
use super::pool::UNITS;
use super::targets::{self, ABSENT, Reading, WRONG};
use crate::engine::spec::{Layout, Spec};
use crate::plan::Held;
use burn::tensor::{DType, Shape};
use core::ops::Range;
use core_tensor::ext::TensorMetadata;
use core_tensor::ext::cube::{
    CubeDevice, CubeTensor, address_type, block, contiguous_rows, converted, dtype_to_storage_type,
    empty, into_contiguous, transposed, zeros,
};
use cubecl::client::Client;
use cubecl::ir::AddressType;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// The tensors of a call, stand-ins among them.
pub(super) struct Given {
    pub(super) hidden: CubeTensor,
    pub(super) classifier: CubeTensor,
    pub(super) bias: CubeTensor,
    pub(super) targets: CubeTensor,
    pub(super) weights: CubeTensor,
    pub(super) dense: CubeTensor,
}

/// A tensor that counts as held while it is there.
pub(super) struct Room {
    pub(super) tensor: CubeTensor,
    _held: Option<Held>,
}

/// A call and what it runs on.
pub(super) struct Call<'a> {
    /// `[N, D]`.
    hidden: CubeTensor,
    /// As it lies in memory.
    pub(super) classifier: CubeTensor,
    bias: Option<CubeTensor>,
    pub(super) common: Option<CubeTensor>,
    dense: Option<CubeTensor>,
    /// What the rows aim at, see [`targets`].
    pub(super) codes: Room,
    pub(super) spec: &'a Spec,
    /// Tokens, classes, width.
    pub(super) size: [usize; 3],
    /// Tokens and classes of a panel.
    pub(super) panel: [usize; 2],
}

impl Room {
    /// A tensor that is held elsewhere.
    pub(super) fn unheld(tensor: CubeTensor) -> Self {
        Self {
            tensor,
            _held: None,
        }
    }
}

impl<'a> Call<'a> {
    /// Brings the tensors into a form that kernels read.
    pub(super) fn new(given: Given, spec: &'a Spec) -> Self {
        let [n, d] = given.hidden.shape().dims();
        let v = given.classifier.shape().num_elements() / d.max(1);
        let some = |wanted: bool, x: CubeTensor| wanted.then_some(x);
        let mut call = Self {
            codes: Room::unheld(given.targets.clone()),
            hidden: contiguous_rows(given.hidden),
            classifier: given.classifier,
            bias: some(spec.has_bias, given.bias)
                .map(|b| converted(into_contiguous(b), DType::F32)),
            common: some(spec.has_sum, given.weights).map(into_contiguous),
            dense: some(spec.has_dense, given.dense).map(contiguous_rows),
            spec,
            size: [n, v, d],
            panel: spec.panels([n, v], size_of::<f32>()),
        };
        if n > 0 {
            call.codes = call.targets(given.targets);
        }
        call
    }

    pub(super) fn client(&self) -> &Client {
        &self.hidden.client
    }

    pub(super) fn device(&self) -> &CubeDevice {
        &self.hidden.device
    }

    /// `[N, D]`, rows contiguous.
    pub(super) fn hidden(&self) -> &CubeTensor {
        &self.hidden
    }

    /// What hidden states and classifier are stored as.
    pub(super) fn dtype(&self) -> DType {
        self.hidden.dtype
    }

    /// Whether that is what is computed in.
    pub(super) fn is_single(&self) -> bool {
        self.dtype() == DType::F32
    }

    /// An output, which a kernel writes.
    pub(super) fn output(&self, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
        empty(self.client(), self.device(), shape, dtype)
    }

    /// Memory for a while.
    pub(super) fn room(&self, shape: impl Into<Shape>, dtype: DType) -> Room {
        let tensor = self.output(shape, dtype);
        let bytes = tensor.meta.num_elements() * dtype.size();
        Room {
            _held: Some(self.spec.monitor.hold(bytes)),
            tensor,
        }
    }

    /// Zeros for a while.
    pub(super) fn zeros(&self, shape: impl Into<Shape>) -> Room {
        let tensor = zeros(self.client(), self.device(), shape, DType::F32);
        let bytes = tensor.meta.num_elements() * DType::F32.size();
        Room {
            _held: Some(self.spec.monitor.hold(bytes)),
            tensor,
        }
    }

    /// A stand-in for an output that is not wanted.
    pub(super) fn dummy(&self, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
        zeros(self.client(), self.device(), shape, dtype)
    }

    /// A unit each.
    pub(super) fn units(&self, count: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new(self.client(), count);
        let cubes = calculate_cube_count_elemwise(self.client(), count, dim);
        (cubes, dim)
    }

    /// A cube per row.
    pub(super) fn cubes(&self, rows: usize) -> (CubeCount, CubeDim) {
        self.cubes_of(UNITS, rows)
    }

    /// So many cubes, of so many units.
    pub(super) fn cubes_of(&self, units: usize, cubes: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(units as u32);
        let count = calculate_cube_count_elemwise(self.client(), cubes * units, dim);
        (count, dim)
    }

    /// The width of index for a launch on a panel with these tensors.
    pub(super) fn address_type(&self, tensors: &[&CubeTensor]) -> AddressType {
        let own = self.bias.iter().chain(&self.common).chain(&self.dense);
        address_type(own.chain(tensors.iter().copied()))
    }

    /// The tokens of the panels.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let ([n, ..], [tokens, _]) = (self.size, self.panel);
        (0..n).step_by(tokens).map(move |i| i..n.min(i + tokens))
    }

    /// The classes of the panels.
    pub(super) fn panels(&self) -> impl Iterator<Item = Range<usize>> {
        let ([_, v, _], [_, classes]) = (self.size, self.panel);
        (0..v).step_by(classes).map(move |i| i..v.min(i + classes))
    }

    /// Hidden states of a block of tokens, zeros in rows left out.
    pub(super) fn tokens(&self, rows: Range<usize>) -> Room {
        let [_, _, d] = self.size;
        if !self.spec.has_targets {
            return Room::unheld(block(&self.hidden, rows, 0..d));
        }
        let out = self.room([rows.len(), d], self.dtype());
        let (cubes, dim) = self.units(rows.len() * d);
        targets::blank::launch(
            self.client(),
            cubes,
            dim,
            self.address_type(&[&self.hidden, &out.tensor]),
            self.hidden.clone().into_tensor_arg(),
            self.codes.tensor.clone().into_tensor_arg(),
            out.tensor.clone().into_tensor_arg(),
            rows.start,
            rows.len(),
            d,
            dtype_to_storage_type(self.dtype()),
        );
        out
    }

    /// The rows `[classes, D]` of some classes.
    pub(super) fn classes(&self, classes: Range<usize>) -> CubeTensor {
        let [_, _, d] = self.size;
        match self.spec.layout {
            Layout::Rows => block(&self.classifier, classes, 0..d),
            Layout::Columns => transposed(block(&self.classifier, 0..d, classes)),
        }
    }

    /// What kernels take that make logits of a panel, or weigh them.
    pub(super) fn panel(&self, rows: &Range<usize>, classes: &Range<usize>) -> PanelLaunch {
        self.launch(rows, classes, true)
    }

    /// What the other kernels of a panel take: as few buffers as WebGPU promises to bind.
    pub(super) fn bare_panel(&self, rows: &Range<usize>, classes: &Range<usize>) -> PanelLaunch {
        self.launch(rows, classes, false)
    }

    fn launch(&self, rows: &Range<usize>, classes: &Range<usize>, reads: bool) -> PanelLaunch {
        let cap = self.spec.softcap.unwrap_or(1.0);
        let temperature = self.spec.temperature;
        let option = |x: &Option<CubeTensor>| {
            let x = x.clone().filter(|_| reads);
            x.map(CubeTensor::into_tensor_arg).into()
        };
        PanelLaunch::new(
            self.codes.tensor.clone().into_tensor_arg(),
            option(&self.bias),
            option(&self.common),
            option(&self.dense),
            rows.start,
            rows.len(),
            classes.start,
            classes.len(),
            (1.0 / cap) as f32,
            (cap / temperature) as f32,
            (temperature / cap) as f32,
            (1.0 / temperature) as f32,
            Form {
                capped: self.spec.softcap.is_some(),
                scaled: temperature != 1.0,
            },
        )
    }

    /// Codes of the targets, `[N]`.
    fn targets(&self, ids: CubeTensor) -> Room {
        let [n, ..] = self.size;
        let codes = self.room([n], DType::U32);
        if self.spec.has_targets {
            self.classify(ids, &codes.tensor, [1, 1, 0], self.spec.shard_start, true);
            return codes;
        }
        // Every row counts, and none has a target: no integer lies between 1 and 1.
        let reading = Reading {
            outside: ABSENT,
            ignores: false,
        };
        let zeros = self.dummy([n], DType::I32);
        self.read(zeros, &codes.tensor, [1, 1, 0], [1, 1], reading);
        codes
    }

    /// Codes of the picked classes `[N, picks]`, and, in a backward pass, of those of the largest logits behind them.
    pub(super) fn picked(&self, picks: CubeTensor, top: Option<CubeTensor>) -> Option<Room> {
        let [n, ..] = self.size;
        let own = self.spec.picks;
        let all = own + if top.is_some() { self.spec.top } else { 0 };
        if all == 0 {
            return None;
        }
        let codes = self.room([n, all], DType::U32);
        if own > 0 {
            self.classify(
                picks,
                &codes.tensor,
                [own, all, 0],
                self.spec.shard_start,
                false,
            );
        }
        if let Some(top) = top.filter(|_| self.spec.top > 0) {
            // Classes of this shard, or −1.
            let place = [self.spec.top, all, own];
            self.classify(top, &codes.tensor, place, Some(0), false);
        }
        Some(codes)
    }

    /// Integers, counted from the first class of a shard if it is one.
    fn classify(
        &self,
        ids: CubeTensor,
        codes: &CubeTensor,
        place: [usize; 3],
        shard_start: Option<usize>,
        ignores: bool,
    ) {
        let [_, v, _] = self.size;
        let first = shard_start.unwrap_or(0);
        let outside = if shard_start.is_some() { ABSENT } else { WRONG };
        let reading = Reading { outside, ignores };
        self.read(ids, codes, place, [first, first + v], reading);
    }

    fn read(
        &self,
        ids: CubeTensor,
        codes: &CubeTensor,
        [per_row, stride, column]: [usize; 3],
        [first, end]: [usize; 2],
        reading: Reading,
    ) {
        let ids = into_contiguous(ids);
        let ids = match ids.dtype {
            DType::I64 | DType::I32 => ids,
            _ => converted(ids, DType::I32),
        };
        let count = ids.meta.num_elements();
        let (cubes, dim) = self.units(count);
        let dtype = dtype_to_storage_type(ids.dtype);
        // Where it does not fit, no integer is ignored.
        let ignored = match (ids.dtype, i32::try_from(self.spec.ignore_index)) {
            (DType::I32, Err(_)) => i64::from(i32::MIN),
            _ => self.spec.ignore_index,
        };
        let scalar = |x: i64| InputScalar::new(x, dtype);
        targets::classify::launch(
            self.client(),
            cubes,
            dim,
            address_type([&ids, codes]),
            ids.into_tensor_arg(),
            codes.clone().into_tensor_arg(),
            scalar(first as i64),
            scalar(end as i64),
            scalar(ignored),
            count,
            per_row,
            stride,
            column,
            reading,
            dtype,
        );
    }
}
