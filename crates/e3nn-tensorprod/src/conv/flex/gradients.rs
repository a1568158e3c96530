//! The backward pass: one walk over the edges, by destination.
//!
//! The gradient of a node's features is a sum over the edges that leave it. It is collected for a batch of edges at a time,
//! `[edges of the batch, features]`, which stays in the caches, and added up there in the order of the edges.

use super::Problem;
use super::backward::{Gradient, SPREAD};
use super::lanes::{Lanes, backward};
use super::sources::add_to_sources;
use super::spline;
use super::sums::Scratch;
use super::tables::CHUNK;
use super::weights::{Rows, Weights};
use super::work::{Segment, Task, Work};
use crate::gemm::{Matrix, product};
use core::ops::Range;
use core_tensor::cpu::{RowsMut, Storage, for_each_task, threads};
use core_tensor::ext::flex::output;

/// Edges of a batch per thread.
const BATCH: usize = 512;
/// Parts in which the gradient of the matrix is summed; part of what defines its bits.
const MATRIX_PARTS: usize = 16;

/// What a walk writes, each `[parts, …]` in one list.
struct Outputs<'a, T> {
    /// Gradients of the sources' features, of the edges of the batch.
    x: Option<RowsMut<'a, T>>,
    y: Option<RowsMut<'a, T>>,
    w: Option<RowsMut<'a, T>>,
    /// `[MATRIX_PARTS, hidden, weights]`.
    matrix: Option<RowsMut<'a, T>>,
    batch: Range<usize>,
}

/// What a task computes in.
struct Buffers<T> {
    scratch: Scratch<T>,
    /// Weights that are computed.
    weights: [Vec<T>; 2],
    /// Gradients of weights that are not stored.
    gradients: [Vec<T>; 2],
    /// Gradients of harmonics, spread over lanes.
    spread: [Vec<T>; 2],
}

impl<'a, T: Lanes + Storage> Problem<'a, T> {
    /// Gradients of features `[parts, nodes, …]`, harmonics `[parts, edges, …]`, weights or hidden values `[parts, edges, …]`,
    /// matrix; empty if not wanted.
    pub(super) fn gradients(&self, g: &[T], wanted: [bool; 4]) -> [Vec<T>; 4] {
        let (graph, paths) = (&self.call.graph, &self.call.paths);
        let (parts, nodes, edges) = (self.call.parts(), graph.nodes(), graph.edges());
        let ([features, harmonics, _], weights) = (paths.dims(), paths.weight_numel());
        let (columns, hidden) = match &self.weights {
            Weights::Stored { .. } => (weights, 0),
            Weights::Product { hidden, .. } => (*hidden, *hidden),
            Weights::Spline { .. } => (1, 0),
        };
        let if_wanted = |i: usize, len: usize| output::<T>(if wanted[i] { len } else { 0 });
        let zeros = |mut list: Vec<T>| {
            list.fill(T::ZERO);
            list
        };
        let mut gx = zeros(if_wanted(0, parts * nodes * features));
        let mut gy = if_wanted(1, parts * edges * harmonics);
        let mut gw = if_wanted(2, parts * edges * columns);
        let matrix_len = hidden * weights;
        let mut matrix_parts = zeros(if_wanted(3, MATRIX_PARTS * matrix_len));
        let work = self.work();
        let limit = if wanted[0] {
            BATCH * threads()
        } else {
            usize::MAX
        };
        let batches = batches(&work, limit);
        let largest = batches
            .iter()
            .map(|(_, edges)| edges.len())
            .max()
            .unwrap_or(0);
        let mut collected = if_wanted(0, parts * largest * features);
        for (tasks, batch) in batches {
            let size = if wanted[0] { batch.len() * features } else { 0 };
            let collected = &mut collected[..parts * size];
            let outputs = Outputs {
                x: wanted[0].then(|| flat(collected)),
                y: wanted[1].then(|| flat(&mut gy)),
                w: wanted[2].then(|| flat(&mut gw)),
                matrix: wanted[3].then(|| flat(&mut matrix_parts)),
                batch: batch.clone(),
            };
            if wanted[3] {
                // A part adds up its tasks in order.
                for_each_task(MATRIX_PARTS, |part| {
                    for task in tasks.clone().filter(|task| task % MATRIX_PARTS == part) {
                        self.walk(&work, &work.tasks[task], g, &outputs, part);
                    }
                });
            } else {
                for_each_task(tasks.len(), |task| {
                    self.walk(&work, &work.tasks[tasks.start + task], g, &outputs, 0);
                });
            }
            if size > 0 {
                let to = RowsMut::new(&mut gx, features);
                for (part, rows) in collected.chunks_exact(size).enumerate() {
                    let first = part * nodes;
                    add_to_sources(
                        self.isa,
                        graph.sources(),
                        batch.clone(),
                        rows,
                        &to,
                        features,
                        first,
                    );
                }
            }
        }
        let mut gm = zeros(if_wanted(3, matrix_len));
        if matrix_len > 0 {
            for part in matrix_parts.chunks_exact(matrix_len) {
                gm.iter_mut()
                    .zip(part)
                    .for_each(|(sum, &part)| *sum = *sum + part);
            }
        }
        [gx, gy, gw, gm]
    }

    /// The edges of one task.
    #[allow(unsafe_code)]
    fn walk(&self, work: &Work, task: &Task, g: &[T], outputs: &Outputs<'_, T>, part: usize) {
        let (paths, dual, edges) = (&self.call.paths, self.call.dual(), &task.edges);
        let (weights, all) = (paths.weight_numel(), self.call.graph.edges());
        let spread = |on: bool| {
            let on = on && outputs.y.is_some();
            vec![
                T::ZERO;
                if on {
                    CHUNK * paths.dims()[1] * SPREAD
                } else {
                    0
                }
            ]
        };
        let computed = outputs.matrix.is_some() || outputs.w.is_some();
        let computed = computed && self.weights.computed();
        let gradient = |on: bool| {
            vec![
                T::ZERO;
                if on && computed {
                    edges.len() * weights
                } else {
                    0
                }
            ]
        };
        let Buffers {
            mut scratch,
            weights: mut buffers,
            mut gradients,
            spread: mut y,
        } = Buffers {
            scratch: self.scratch(),
            weights: [Vec::new(), Vec::new()],
            gradients: [gradient(true), gradient(dual)],
            spread: [spread(true), spread(dual)],
        };
        let w = self
            .weights
            .of(self.isa, edges, weights, &self.zeros, &mut buffers);
        let rows = |width: usize, part: usize| {
            let view = outputs.w.as_ref().filter(|_| part == 0 || dual);
            rows(view, part * all + edges.start, edges.len(), width)
        };
        let [gw, gw_dot] = &mut gradients;
        let mut gw = if self.weights.computed() {
            [&mut gw[..], &mut gw_dot[..]]
        } else {
            [rows(weights, 0), rows(weights, 1)]
        };
        for segment in work.of(task) {
            let first = edges.start;
            self.walk_segment(
                segment,
                g,
                &mut scratch,
                (w, first),
                &mut gw,
                &mut y,
                outputs,
            );
        }
        let (h, h_dot, matrix, hidden) = match &self.weights {
            Weights::Stored { .. } => return,
            Weights::Spline {
                r,
                r_dot,
                table,
                knots,
            } => {
                if outputs.w.is_some() {
                    let cut = |r: &'a [T]| &r[edges.clone()];
                    let [gw, gw_dot] = &gw;
                    let to = [rows(1, 0), rows(1, 1)];
                    let (r, r_dot) = (cut(r), r_dot.map(cut));
                    spline::gradients(self.isa, *knots, table, weights, r, r_dot, [gw, gw_dot], to);
                }
                return;
            }
            Weights::Product {
                h,
                h_dot,
                matrix,
                hidden,
            } => (h, h_dot, matrix, hidden),
        };
        let cut = edges.start * hidden..edges.end * hidden;
        for (part, gw) in gw.iter().enumerate().take(self.call.parts()) {
            let sizes = [edges.len(), *hidden, weights];
            if outputs.w.is_some() {
                product(
                    sizes,
                    rows(*hidden, part),
                    Matrix::rows(gw, weights),
                    Matrix::rows(matrix, weights).transposed(),
                    T::ONE,
                    false,
                );
            }
        }
        if let Some(view) = &outputs.matrix {
            let len = hidden * weights;
            // SAFETY: a part has one task at a time.
            let sum = unsafe { view.piece(0, part * len..(part + 1) * len) };
            let sizes = [*hidden, weights, edges.len()];
            for (h, gw) in [(Some(h), &gw[0]), (h_dot.as_ref(), &gw[1])] {
                if let Some(h) = h {
                    product(
                        sizes,
                        sum,
                        Matrix::rows(&h[cut.clone()], *hidden).transposed(),
                        Matrix::rows(gw, weights),
                        T::ONE,
                        true,
                    );
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a task's state, borrowed apart")]
    fn walk_segment(
        &self,
        segment: &Segment,
        g: &[T],
        scratch: &mut Scratch<T>,
        (w, first): ([Rows<'_, T>; 2], usize),
        gw: &mut [&mut [T]; 2],
        [y, y_dot]: &mut [Vec<T>; 2],
        outputs: &Outputs<'_, T>,
    ) {
        let (graph, paths, dual) = (&self.call.graph, &self.call.paths, self.call.dual());
        let ([features, harmonics, width], weights) = (paths.dims(), paths.weight_numel());
        let (nodes, edges) = (graph.nodes(), graph.edges());
        let g_of = |part: usize| &g[(part * nodes + segment.node) * width..][..width];
        let (g, g_dot) = (g_of(0), if dual { g_of(1) } else { &[][..] });
        for start in segment.edges.clone().step_by(CHUNK) {
            let chunk = start..segment.edges.end.min(start + CHUNK);
            let w = w.map(|(rows, stride)| (&rows[(start - first) * stride..], stride));
            let read = self.edges(chunk.clone(), w, scratch);
            let both = |part: usize| part == 0 || dual;
            let len = chunk.len();
            let collected = |part: usize| {
                let first = part * outputs.batch.len() + start - outputs.batch.start;
                rows(
                    outputs.x.as_ref().filter(|_| both(part)),
                    first,
                    len,
                    features,
                )
            };
            let (gx, gx_dot) = (collected(0), collected(1));
            gx.fill(T::ZERO);
            gx_dot.fill(T::ZERO);
            let [gw, gw_dot] = &mut *gw;
            let range = (start - first) * weights..(chunk.end - first) * weights;
            let cut = |rows: &'_ mut [T]| if rows.is_empty() { 0..0 } else { range.clone() };
            let (of_w, of_w_dot) = (cut(gw), cut(gw_dot));
            let (gw, gw_dot) = (&mut gw[of_w], &mut gw_dot[of_w_dot]);
            y.fill(T::ZERO);
            y_dot.fill(T::ZERO);
            self.pieces.for_each_block(|piece, block| {
                let args = Gradient {
                    edges: read,
                    piece,
                    channel: block.first,
                    g,
                    g_dot,
                    x: gx,
                    x_dot: gx_dot,
                    features,
                    w: gw,
                    w_dot: gw_dot,
                    weights,
                    y,
                    y_dot,
                    harmonics,
                };
                backward(self.arch, dual, block.size, args);
            });
            if let Some(view) = &outputs.y {
                fold(y, rows(Some(view), start, len, harmonics));
                let view = Some(view).filter(|_| dual);
                fold(y_dot, rows(view, edges + start, len, harmonics));
            }
        }
    }
}

/// Some rows of `width` values of a [`flat`] view; nothing of none.
#[allow(
    unsafe_code,
    clippy::mut_from_ref,
    reason = "called once per chunk of edges, by the task that owns it"
)]
fn rows<'v, T>(
    view: Option<&'v RowsMut<'_, T>>,
    first: usize,
    count: usize,
    width: usize,
) -> &'v mut [T] {
    let Some(view) = view else { return &mut [] };
    // SAFETY: rows are those of a chunk of edges, which belongs to one task.
    unsafe { view.piece(0, first * width..(first + count) * width) }
}

/// One row of all values.
fn flat<T>(values: &mut [T]) -> RowsMut<'_, T> {
    let len = values.len();
    RowsMut::new(values, len)
}

/// Sums of [`SPREAD`] lanes each, in a fixed order.
fn fold<T: Lanes>(spread: &[T], sums: &mut [T]) {
    let lanes = spread.as_chunks::<SPREAD>().0;
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        let mut lanes = *lanes;
        let mut half = SPREAD / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] = lanes[i] + lanes[i + half];
            }
            half /= 2;
        }
        *sum = lanes[0];
    }
}

/// Runs of tasks with at most `limit` edges (or one task) each, with their edges.
fn batches(work: &Work, limit: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let mut batches: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (i, task) in work.tasks.iter().enumerate() {
        match batches.last_mut() {
            Some((tasks, edges)) if task.edges.end - edges.start <= limit => {
                tasks.end = i + 1;
                edges.end = task.edges.end;
            }
            _ => batches.push((i..i + 1, task.edges.clone())),
        }
    }
    batches
}
