//! The launches of the backward pass, panel after panel.

use super::super::spec::Weighting;
use super::groups::{By, Unrolled, groups};
use super::harmonics::{self, UNITS};
use super::problem::{ALIGNED, FULL_UNITS, Problem};
use super::weights::Panel;
use super::{gradients, planes, sources, spline};
use core_tensor::ext::cube::{
    CubeTensor, address_type, block, into_contiguous, product, transposed,
};
use cubecl::ir::features::Plane;

/// Edges that a unit takes at most, one after the other.
const RUN: usize = 16;
/// Units below which runs of edges are cut shorter.
const BUSY: usize = 1 << 17;

/// Sums of gradients of harmonics that a unit holds beside the rest.
const PLANE_SUMS: usize = 32;

/// What a pass writes; absent if nobody asks.
struct Outputs {
    x: Option<CubeTensor>,
    y: Option<CubeTensor>,
    /// Gradients of weights, or of what they follow from.
    w: Option<CubeTensor>,
    matrix: Option<CubeTensor>,
}

/// Columns that kernels write, of rows of features and of harmonics.
fn written(groups: &[Unrolled]) -> [usize; 2] {
    let mut all = [0, 0];
    for group in groups {
        let new = group.x.iter().filter(|slot| !slot.adds).count();
        all[0] += new * group.channels;
        all[1] += group.y.iter().filter(|y| !y.1).count();
    }
    all
}

impl Problem<'_> {
    /// Gradients of features, harmonics, weights, each `[parts, …]`, and of the matrix; without elements if not wanted.
    pub(super) fn backward(
        &self,
        cotangent: CubeTensor,
        wanted: [bool; 4],
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        let (call, graph) = (self.call, &self.call.graph);
        let given = [&self.w, &self.matrix].map(|t| t.meta.shape().dims());
        let ([x, y, w], matrix) = call.gradient_shapes(given, wanted);
        let groups = groups(&call.paths, By::Input, call.parts());
        if graph.edges() == 0 || groups.is_empty() {
            let [x, y, w] = [x, y, w].map(|shape| self.zeros(shape));
            return (x, y, w, self.zeros(matrix));
        }
        let [features, harmonics] = written(groups);
        let matrix = if wanted[3] {
            // Panels are added to it.
            self.zeros(matrix)
        } else {
            self.output(matrix)
        };
        let all = [
            self.output(x),
            self.output_of(y, if wanted[1] { harmonics } else { y[2] }),
            self.output(w),
            matrix,
        ];
        let some = |i: usize| wanted[i].then(|| all[i].clone());
        let outputs = Outputs {
            x: some(0),
            y: some(1),
            w: some(2),
            matrix: some(3),
        };
        let cotangent = into_contiguous(cotangent);
        let collected = if wanted[0] { x[2] * call.parts() } else { 0 };
        let keeps = self.computed() && (wanted[2] || wanted[3]);
        let kept = if keeps {
            call.paths.weight_numel() * call.parts()
        } else {
            0
        };
        for edges in self.panels(self.weights_of_an_edge() + collected + kept) {
            let panel = if wanted[0] || wanted[1] || !self.computed() {
                self.panel(edges)
            } else {
                Panel {
                    first_weight: edges.start,
                    edges,
                    w: [None, None],
                }
            };
            self.backward_of(&panel, &cotangent, groups, &outputs, features);
        }
        let [x, y, w, matrix] = all;
        (x, y, w, matrix)
    }

    fn backward_of(
        &self,
        panel: &Panel,
        cotangent: &CubeTensor,
        groups: &[Unrolled],
        outputs: &Outputs,
        features: usize,
    ) {
        let (parts, edges) = (self.call.parts(), &panel.edges);
        let weights = self.call.paths.weight_numel();
        let gx = outputs.x.as_ref().map(|_| {
            let width = self.call.paths.dims()[0];
            self.output_of([parts, edges.len(), width], features)
        });
        // Parts begin at places that memory is bound from.
        let keeps = self.computed() && (outputs.w.is_some() || outputs.matrix.is_some());
        let kept = keeps.then(|| {
            let rows = edges.len().next_multiple_of(ALIGNED);
            self.output([parts, rows, weights])
        });
        let gw = if self.computed() {
            kept.clone()
        } else {
            outputs.w.clone()
        };
        for group in groups {
            let plane = self.plane(group).filter(|_| outputs.y.is_some());
            let sums = group.y.len() * parts;
            let rows = plane.map(|plane| {
                let planes = group.channels / plane;
                self.output([edges.len(), planes, sums])
            });
            self.launch_gradients(panel, cotangent, group, [&gw, &gx, &rows]);
            match (&outputs.y, rows) {
                (Some(gy), Some(rows)) => self.launch_fold(panel, group, &rows, gy),
                (Some(gy), None) => self.launch_harmonics(panel, cotangent, group, gy),
                (None, _) => {}
            }
        }
        if let (Some(rows), Some(gx)) = (&gx, &outputs.x) {
            self.launch_sources(panel, rows, gx);
        }
        if let Some(gw) = kept {
            match self.call.weighting {
                Weighting::Stored => {}
                Weighting::Product => self.through_product(panel, &gw, outputs),
                Weighting::Spline(knots) => {
                    if let Some(gr) = &outputs.w {
                        self.through_spline(panel, &gw, gr, spline::Grid::new(knots));
                    }
                }
            }
        }
    }

    /// Units of the planes that sum gradients of harmonics, where planes are all of one size, hold channels of one edge only, and
    /// the sums fit beside what else units hold.
    fn plane(&self, group: &Unrolled) -> Option<usize> {
        let properties = self.client().properties();
        let hardware = &properties.hardware;
        let size = hardware.plane_size_max as usize;
        let uniform = hardware.plane_size_min == hardware.plane_size_max
            && properties.features.plane.contains(Plane::Ops);
        let fits = group.y.len() * self.call.parts() <= PLANE_SUMS && size <= FULL_UNITS as usize;
        (uniform && fits && size.is_power_of_two() && group.channels.is_multiple_of(size))
            .then_some(size)
    }

    /// Gradients of weights, of features of edges, and sums over planes of those of harmonics.
    #[allow(unsafe_code)]
    fn launch_gradients(
        &self,
        panel: &Panel,
        cotangent: &CubeTensor,
        group: &Unrolled,
        results: [&Option<CubeTensor>; 3],
    ) {
        let wanted = results.into_iter().flatten();
        let count = wanted.clone().count();
        if count == 0 {
            return;
        }
        // Lists, cotangents, features, harmonics, weights, and the results.
        let form = self.form;
        let tangents = [form.y_dot, form.x_dot, form.w_dot].map(usize::from);
        let buffers = 5 + tangents.iter().sum::<usize>() + count;
        let most = self.client().properties().hardware.max_bindings as usize;
        if count > 1 && buffers > most {
            for i in 0..3 {
                let mut alone = [&None; 3];
                alone[i] = results[i];
                self.launch_gradients(panel, cotangent, group, alone);
            }
            return;
        }
        let units = panel.edges.len() * group.channels;
        let run = (units / BUSY).clamp(1, RUN);
        let runs = panel.edges.len().div_ceil(run);
        let (cubes, dim) = self.units_of(runs * group.channels, FULL_UNITS);
        let [gw, gx, gy] = results;
        let [to_w, to_x, to_y] = results.map(|t| t.clone().map(CubeTensor::into_tensor_arg));
        let first_gw = if self.computed() {
            panel.edges.start
        } else {
            0
        };
        let plane = gy
            .as_ref()
            .map_or(0, |rows| group.channels / rows.meta.shape()[1]);
        let others: Vec<&CubeTensor> = core::iter::once(cotangent).chain(wanted).collect();
        // SAFETY: rows are edges of the panel and their ends, which the graph has checked; columns are places of blocks, and
        // widths of rows were checked against the irreps.
        unsafe {
            gradients::gradients::launch_unchecked(
                self.client(),
                cubes,
                dim,
                self.address_type(panel, &others),
                self.edges(
                    panel,
                    [
                        gw.is_some() || gy.is_some(),
                        true,
                        gx.is_some() || gy.is_some(),
                    ],
                ),
                cotangent.clone().into_tensor_arg(),
                to_w.into(),
                to_x.into(),
                to_y.into(),
                first_gw,
                run,
                plane,
                group.clone(),
                form,
                self.elem(),
            );
        }
    }

    /// Gradients of harmonics from their sums over planes.
    #[allow(unsafe_code)]
    fn launch_fold(&self, panel: &Panel, group: &Unrolled, rows: &CubeTensor, gy: &CubeTensor) {
        let [edges, planes, sums] = rows.meta.shape().dims();
        let (cubes, dim) = self.units(edges * sums);
        // SAFETY: rows are those of the edges of the panel.
        unsafe {
            planes::fold::launch_unchecked(
                self.client(),
                cubes,
                dim,
                address_type([rows, gy]),
                rows.clone().into_tensor_arg(),
                gy.clone().into_tensor_arg(),
                panel.edges.start,
                edges * sums,
                planes,
                self.call.parts(),
                group.clone(),
                self.elem(),
            );
        }
    }

    #[allow(unsafe_code)]
    fn launch_harmonics(
        &self,
        panel: &Panel,
        cotangent: &CubeTensor,
        group: &Unrolled,
        gy: &CubeTensor,
    ) {
        let lanes = group.channels.next_power_of_two().min(32);
        let (count, dim) = self.rows(panel.edges.len(), lanes, UNITS);
        // SAFETY: as for the other gradients; rows of units beyond the last edge read the last edge.
        unsafe {
            harmonics::gradients::launch_unchecked(
                self.client(),
                count,
                dim,
                self.address_type(panel, &[cotangent, gy]),
                self.edges(panel, [true, false, true]),
                cotangent.clone().into_tensor_arg(),
                gy.clone().into_tensor_arg(),
                lanes,
                group.clone(),
                self.form,
                self.elem(),
            );
        }
    }

    #[allow(unsafe_code)]
    fn launch_sources(&self, panel: &Panel, rows: &CubeTensor, gx: &CubeTensor) {
        let (graph, count) = (&self.call.graph, gx.meta.num_elements());
        let (cubes, dim) = self.units(count);
        // SAFETY: places are those of edges that leave a node, and rows those of edges of the panel.
        unsafe {
            sources::sum::launch_unchecked(
                self.client(),
                cubes,
                dim,
                address_type([rows, gx, &self.lists]),
                rows.clone().into_tensor_arg(),
                self.lists.clone().into_tensor_arg(),
                gx.clone().into_tensor_arg(),
                graph.nodes(),
                graph.edges(),
                panel.edges.start,
                panel.edges.end,
                count,
                self.elem(),
            );
        }
    }

    /// `∂h = ∂w · matrixᵀ` and `∂matrix += hᵀ · ∂w`, with tangents the sum of both.
    fn through_product(&self, panel: &Panel, gw: &CubeTensor, outputs: &Outputs) {
        let [hidden, weights] = self.matrix.meta.shape().dims();
        if hidden == 0 {
            return;
        }
        let [parts, rows, _] = gw.meta.shape().dims();
        let edges = &panel.edges;
        let flat = CubeTensor::new_contiguous(
            gw.client.clone(),
            gw.device.clone(),
            [parts * rows, weights].into(),
            gw.handle.clone(),
            gw.dtype,
        );
        let h = [Some(&self.w), self.tangents[2].as_ref()];
        for (part, h) in h.into_iter().enumerate().take(parts) {
            let gw = block(&flat, part * rows..part * rows + edges.len(), 0..weights);
            if let Some(gh) = &outputs.w {
                let result = self.output([edges.len(), hidden]);
                product(gw.clone(), transposed(self.matrix.clone()), result.clone());
                let first = (part * self.call.graph.edges() + edges.start) * hidden;
                self.put(&result, gh, first, false);
            }
            if let (Some(gm), Some(h)) = (&outputs.matrix, h) {
                let result = self.output([hidden, weights]);
                let h = block(h, edges.clone(), 0..hidden);
                product(transposed(h), gw, result.clone());
                self.put(&result, gm, 0, true);
            }
        }
    }

    fn put(&self, x: &CubeTensor, to: &CubeTensor, first: usize, adds: bool) {
        let count = x.meta.num_elements();
        let (cubes, dim) = self.units(count);
        sources::put::launch(
            self.client(),
            cubes,
            dim,
            address_type([x, to]),
            x.clone().into_tensor_arg(),
            to.clone().into_tensor_arg(),
            first,
            count,
            adds,
            self.elem(),
        );
    }

    fn through_spline(&self, panel: &Panel, gw: &CubeTensor, gr: &CubeTensor, grid: spline::Grid) {
        let lanes = self.call.paths.weight_numel().next_power_of_two().min(32);
        let (count, dim) = self.rows(panel.edges.len(), lanes, UNITS);
        let r_dot = self.tangents[2].clone();
        spline::gradients::launch(
            self.client(),
            count,
            dim,
            address_type([&self.w, &self.matrix, gw, gr]),
            self.w.clone().into_tensor_arg(),
            r_dot.map(CubeTensor::into_tensor_arg).into(),
            self.matrix.clone().into_tensor_arg(),
            gw.clone().into_tensor_arg(),
            gr.clone().into_tensor_arg(),
            panel.edges.start,
            panel.edges.end,
            lanes,
            self.form.dual(),
            grid,
            self.elem(),
        );
    }
}
