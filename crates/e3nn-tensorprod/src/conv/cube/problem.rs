//! A convolution on the device: its tensors, panels of edges, and the launches of the forward pass.

use super::super::spec::{Call, Weighting};
use super::groups::{By, Unrolled, groups};
use super::split::SEGMENT;
use super::terms::{EdgesLaunch, Form};
use super::weights::Panel;
use burn::tensor::{DType, Shape};
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use core_tensor::ext::cube::{
    CubeDevice, CubeTensor, address_type, contiguous_rows, dtype_to_storage_type, empty,
    into_contiguous, zeros,
};
use cubecl::client::Client;
use cubecl::ir::{AddressType, ElemType};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// What panels hold, bytes, about, of a device that does not say how much it has.
const PANEL_BYTES: usize = 256 << 20;
/// The share of the memory of a device that does, if that is more.
const PANEL_SHARE: u64 = 64;
/// What tests want instead, if not 0.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Edges of panels come in multiples of this, so that rows of any length begin at places that devices bind memory from.
pub(super) const ALIGNED: usize = 128;

/// Units of a cube whose kernel fills the registers.
pub(super) const FULL_UNITS: u32 = 64;

/// For tests: panels of about so many bytes, at least of 128 edges, in the whole program.
#[cfg(feature = "testing")]
pub fn limit_panels(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// A call and what it runs on.
pub(super) struct Problem<'a> {
    pub(super) call: &'a Call,
    pub(super) x: CubeTensor,
    pub(super) y: CubeTensor,
    /// Weights, or what they follow from.
    pub(super) w: CubeTensor,
    pub(super) matrix: CubeTensor,
    pub(super) tangents: [Option<CubeTensor>; 3],
    pub(super) lists: CubeTensor,
    pub(super) form: Form,
}

impl<'a> Problem<'a> {
    /// Brings the tensors into a form that kernels read.
    pub(super) fn new(
        values: [CubeTensor; 3],
        matrix: CubeTensor,
        tangents: [CubeTensor; 3],
        call: &'a Call,
    ) -> Self {
        let [x, y, w] = values.map(contiguous_rows);
        let mut there = call.tangents.into_iter();
        let tangents = tangents.map(|t| {
            let there = there.next().expect("three flags");
            there.then(|| contiguous_rows(t))
        });
        let [x_dot, y_dot, w_dot] = call.tangents;
        Self {
            lists: call.graph.packed_lists(&x.client, &x.device),
            matrix: match call.weighting {
                Weighting::Stored => matrix,
                Weighting::Product | Weighting::Spline(_) => into_contiguous(matrix),
            },
            call,
            x,
            y,
            w,
            tangents,
            form: Form {
                x_dot,
                y_dot,
                w_dot,
            },
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.x.client
    }

    pub(super) fn device(&self) -> &CubeDevice {
        &self.x.device
    }

    pub(super) fn dtype(&self) -> DType {
        self.x.dtype
    }

    pub(super) fn elem(&self) -> ElemType {
        dtype_to_storage_type(self.dtype())
    }

    /// An output, which kernels write.
    pub(super) fn output(&self, shape: impl Into<Shape>) -> CubeTensor {
        empty(self.client(), self.device(), shape, self.dtype())
    }

    pub(super) fn zeros(&self, shape: impl Into<Shape>) -> CubeTensor {
        zeros(self.client(), self.device(), shape, self.dtype())
    }

    /// An output, of whose rows of `width` kernels write so many columns.
    pub(super) fn output_of(&self, shape: [usize; 3], written: usize) -> CubeTensor {
        if written == shape[2] {
            self.output(shape)
        } else {
            self.zeros(shape)
        }
    }

    /// A unit each.
    pub(super) fn units(&self, count: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new(self.client(), count);
        let cubes = calculate_cube_count_elemwise(self.client(), count, dim);
        (cubes, dim)
    }

    /// A unit each, `units` to a cube.
    pub(super) fn units_of(&self, count: usize, units: u32) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(units);
        let cubes = calculate_cube_count_elemwise(self.client(), count, dim);
        (cubes, dim)
    }

    /// A row of `lanes` units each, `units` to a cube.
    pub(super) fn rows(&self, count: usize, lanes: usize, units: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_2d(lanes as u32, (units / lanes) as u32);
        let all = count.div_ceil(units / lanes) * units;
        let cubes = calculate_cube_count_elemwise(self.client(), all, dim);
        (cubes, dim)
    }

    /// The width of index for a launch on a panel with these tensors.
    ///
    /// Where addresses are of 64 bits and instructions add a constant to them, indices of that width cost less than narrow
    /// ones, whose sums may wrap around and are taken anew for every place of a row: 168 registers against 255 with spills,
    /// and a fifth fewer instructions.
    pub(super) fn address_type(&self, panel: &Panel, others: &[&CubeTensor]) -> AddressType {
        if matches!(self.client().name(), "cuda" | "hip") {
            return AddressType::U64;
        }
        let own = [&self.x, &self.y, &self.lists].into_iter();
        address_type(
            own.chain(panel.w.iter().flatten())
                .chain(others.iter().copied()),
        )
    }

    /// What kernels over the edges of a panel take; `reads` tells which of features, harmonics, weights.
    pub(super) fn edges<F: Float>(&self, panel: &Panel, reads: [bool; 3]) -> EdgesLaunch<F> {
        let [x_dot, y_dot, _] = self.tangents.clone();
        let [w, w_dot] = panel.w.clone();
        let option = |i: usize, t: Option<CubeTensor>| {
            let t = t.filter(|_| reads[i]);
            t.map(CubeTensor::into_tensor_arg).into()
        };
        let graph = &self.call.graph;
        EdgesLaunch::new(
            option(0, Some(self.x.clone())),
            option(0, x_dot),
            option(1, Some(self.y.clone())),
            option(1, y_dot),
            option(2, w),
            option(2, w_dot),
            self.lists.clone().into_tensor_arg(),
            graph.nodes(),
            graph.edges(),
            panel.edges.start,
            panel.edges.end,
            panel.first_weight,
        )
    }

    /// What the values of a panel of edges may take, bytes.
    fn panel_bytes(&self) -> usize {
        let limit = LIMIT.load(Ordering::Relaxed);
        if limit > 0 {
            return limit;
        }
        let memory = self.client().properties().memory.max_memory();
        let share = memory.map_or(0, |bytes| bytes / PANEL_SHARE);
        PANEL_BYTES.max(usize::try_from(share).unwrap_or(PANEL_BYTES))
    }

    /// The edges in panels, for passes that hold so many values per edge of a panel.
    pub(super) fn panels(&self, values: usize) -> Vec<Range<usize>> {
        let edges = self.call.graph.edges();
        let per_edge = values * self.dtype().size();
        let most = self
            .panel_bytes()
            .checked_div(per_edge)
            .unwrap_or(usize::MAX);
        let most = if most >= edges {
            edges
        } else {
            (most / ALIGNED * ALIGNED).max(ALIGNED)
        };
        let starts = (0..edges).step_by(most.max(1));
        starts
            .map(|i| i..edges.min(i.saturating_add(most)))
            .collect()
    }

    /// Nodes whose sums a panel of the forward pass writes: those that its edges arrive at, and those without edges behind
    /// the last panel.
    fn nodes_of(&self, edges: &Range<usize>) -> Range<usize> {
        let graph = &self.call.graph;
        let to = graph.destinations();
        let first = if edges.start == 0 {
            0
        } else {
            to[edges.start] as usize
        };
        let end = match to.get(edges.end) {
            // A node whose edges are cut is in both panels.
            Some(&next) => (to[edges.end - 1] as usize + 1).max(next as usize),
            None => graph.nodes(),
        };
        first..end
    }

    /// The sums `[parts, nodes, outputs]`.
    pub(super) fn forward(&self) -> CubeTensor {
        let (call, graph) = (self.call, &self.call.graph);
        let [_, _, width] = call.paths.dims();
        let groups = groups(&call.paths, By::Output, call.parts());
        let shape = [call.parts(), graph.nodes(), width];
        if graph.edges() == 0 || groups.is_empty() {
            return self.zeros(shape);
        }
        let written = |group: &Unrolled| {
            let new = group.out.iter().filter(|slot| !slot.adds).count();
            new * group.channels
        };
        let written = groups.iter().map(written).sum();
        let out = self.output_of(shape, written);
        let split = self.split(written);
        let longest = split.as_ref().map_or(graph.edges(), |_| SEGMENT);
        for edges in self.panels(self.weights_of_an_edge()) {
            let nodes = self.nodes_of(&edges);
            let panel = self.panel(edges);
            for group in groups {
                self.launch_forward(&panel, &nodes, longest, None, group, &out);
                if split.is_some() {
                    self.launch_forward(&panel, &nodes, longest, split.as_ref(), group, &out);
                }
            }
        }
        if let Some(split) = &split {
            self.fold(split, &out);
        }
        out
    }
}
