//! The forward pass: messages summed at each node.

use super::Problem;
use super::forward::{Edges, Forward};
use super::lanes::{Lanes, forward};
use super::tables::CHUNK;
use super::weights::Rows;
use super::work::{Segment, Work};
use core::ops::Range;
use core_tensor::cpu::{RowsMut, Storage, for_each_task, threads};
use core_tensor::ext::flex::output;

/// Edges of a task.
const TASK: usize = 512;
/// Edges whose weights are computed together.
const TILE: usize = 128;

/// What a task computes for each chunk of edges.
pub(super) struct Scratch<T> {
    table: Vec<T>,
    table_dot: Vec<T>,
    turned: Vec<T>,
    rows: Vec<usize>,
    rows_dot: Vec<usize>,
}

impl<'a, T: Lanes + Storage> Problem<'a, T> {
    pub(super) fn scratch(&self) -> Scratch<T> {
        let len = self.pieces.tables.len();
        Scratch {
            table: vec![T::ZERO; len],
            table_dot: vec![T::ZERO; if self.call.dual() { len } else { 0 }],
            turned: Vec::new(),
            rows: Vec::with_capacity(CHUNK),
            rows_dot: Vec::with_capacity(CHUNK),
        }
    }

    /// Tasks of a graph: small enough to keep all threads busy, or, where weights are computed for a task at a time, of a
    /// size that no bit depends on.
    pub(super) fn work(&self) -> Work {
        let graph = &self.call.graph;
        if self.weights.computed() {
            return Work::new(graph, TILE);
        }
        let share = graph.edges() / (8 * threads());
        Work::new(graph, share.clamp(1, TASK))
    }

    /// What the kernels read of some edges whose weights are `w`.
    pub(super) fn edges<'s>(
        &'s self,
        edges: Range<usize>,
        [w, w_dot]: [Rows<'s, T>; 2],
        scratch: &'s mut Scratch<T>,
    ) -> Edges<'s, T> {
        let [features, harmonics, _] = self.call.paths.dims();
        let Scratch {
            table,
            table_dot,
            turned,
            rows,
            rows_dot,
        } = scratch;
        let tables = &self.pieces.tables;
        let y = edges.start * harmonics..edges.end * harmonics;
        tables.compute(self.arch, &self.y[y.clone()], turned, table);
        if let Some(y_dot) = self.y_dot {
            tables.compute(self.arch, &y_dot[y], turned, table_dot);
        }
        let sources = &self.call.graph.sources()[edges];
        rows.clear();
        rows.extend(sources.iter().map(|&s| s as usize * features));
        let x_dot = match &self.x_dot {
            Some(x_dot) => {
                rows_dot.clone_from(rows);
                x_dot
            }
            None => {
                rows_dot.clear();
                rows_dot.resize(rows.len(), 0);
                &self.zeros[..]
            }
        };
        Edges {
            x: &self.x,
            x_rows: rows,
            x_dot,
            x_dot_rows: rows_dot,
            w,
            w_dot,
            table,
            table_dot,
        }
    }

    /// The sums `[parts, nodes, outputs]`.
    #[allow(unsafe_code)]
    pub(super) fn sums(&self) -> Vec<T> {
        let (parts, nodes, [_, _, width]) = (
            self.call.parts(),
            self.call.graph.nodes(),
            self.call.paths.dims(),
        );
        let work = self.work();
        let mut out = output::<T>(parts * nodes * width);
        let mut rest = output::<T>(parts * work.parts * width);
        let (rows, rest_rows) = (
            RowsMut::new(&mut out, width),
            RowsMut::new(&mut rest, width),
        );
        for_each_task(work.tasks.len(), |task| {
            let mut scratch = self.scratch();
            let task = &work.tasks[task];
            let mut buffers = [Vec::new(), Vec::new()];
            let weights = self.call.paths.weight_numel();
            let w = self
                .weights
                .of(self.isa, &task.edges, weights, &self.zeros, &mut buffers);
            let first = task.edges.start;
            for segment in work.of(task) {
                // SAFETY: a segment alone writes its row.
                let row = |part: usize| unsafe {
                    match segment.part {
                        None => rows.piece(part * nodes + segment.node, 0..width),
                        Some(at) => rest_rows.piece(part * work.parts + at, 0..width),
                    }
                };
                let out = row(0);
                let out_dot = if self.call.dual() { row(1) } else { &mut [] };
                self.sum_segment(segment, w, first, &mut scratch, [out, out_dot]);
            }
        });
        for_each_task(work.split.len(), |i| {
            let (node, range) = &work.split[i];
            for part in 0..parts {
                // SAFETY: a node alone has its row, and nobody writes the rest any more.
                let to = unsafe { rows.piece(part * nodes + node, 0..width) };
                for at in range.clone() {
                    // SAFETY: see above.
                    let from = unsafe { rest_rows.piece(part * work.parts + at, 0..width) };
                    to.iter_mut()
                        .zip(from)
                        .for_each(|(to, from)| *to = *to + *from);
                }
            }
        });
        out
    }

    fn sum_segment(
        &self,
        segment: &Segment,
        w: [Rows<'_, T>; 2],
        first: usize,
        scratch: &mut Scratch<T>,
        [out, out_dot]: [&mut [T]; 2],
    ) {
        out.fill(T::ZERO);
        out_dot.fill(T::ZERO);
        let (dual, end) = (self.call.dual(), segment.edges.end);
        for start in segment.edges.clone().step_by(CHUNK) {
            let w = w.map(|(rows, stride)| (&rows[(start - first) * stride..], stride));
            let edges = self.edges(start..end.min(start + CHUNK), w, scratch);
            self.pieces.for_each_block(|piece, block| {
                let args = Forward {
                    edges,
                    piece,
                    channel: block.first,
                    out,
                    out_dot,
                };
                forward(self.arch, dual, block.size, args);
            });
        }
    }
}
