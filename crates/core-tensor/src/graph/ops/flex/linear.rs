//! Gathering and summing.

use super::*;
use crate::cpu::Real;
use crate::ext::flex::{Compute, scratch};

/// Edges that are added up before they are added to the total: errors of a long sum grow with the length of a block
/// and the number of blocks, not with the number of edges.
const BLOCK: usize = 256;

pub(super) fn gather<E: Storage>(nodes: FloatTensor<Flex>, call: &Call) -> FloatTensor<Flex> {
    let nodes = contiguous_rows(&nodes);
    let rows = Rows::<E>::new(&nodes);
    let [_, width] = nodes.layout().shape().dims();
    let ends = call.graph.ends(call.end);
    let segments = call.graph.segments(call.end);
    filled::<E>(ends.len(), width, |output| {
        let tasks = if ends.len() * width < SMALL {
            1
        } else {
            TASKS * threads()
        };
        let each = ends.len().div_ceil(tasks);
        let isa = Isa::detect();
        for_each_task(tasks, |task| {
            let edges = (task * each).min(ends.len())..((task + 1) * each).min(ends.len());
            isa.run(Gather {
                rows: &rows,
                ends,
                segments: call.mean.then_some(&segments),
                edges,
                width,
                output,
            });
        });
    })
}

struct Gather<'a, E> {
    rows: &'a Rows<'a, E>,
    ends: &'a [u32],
    /// Where rows are divided by the number of edges.
    segments: Option<&'a Segments<'a>>,
    edges: Range<usize>,
    width: usize,
    output: &'a Rowed<'a, E>,
}

impl<E: Storage> Kernel for Gather<'_, E> {
    type Output = ();

    #[allow(unsafe_code)]
    #[inline(always)]
    fn run(self) {
        let width = self.width;
        let (mut wide, mut scaled) = (scratch(width), scratch::<Compute<E>>(width));
        for edge in self.edges {
            let node = self.ends[edge] as usize;
            let row = self.rows.piece(0, node, 0, width);
            // SAFETY: every edge is in one task.
            let out = unsafe { self.output.piece(edge, 0..width) };
            match self.segments {
                None => {
                    out.write_copy_of_slice(row);
                }
                Some(segments) => {
                    let share = share(segments.range(node).len());
                    let row = E::widen(row, &mut wide);
                    for (y, &x) in scaled.iter_mut().zip(row) {
                        *y = x * share;
                    }
                    E::narrow(&scaled, out);
                }
            }
        }
    }
}

/// `1 / count`.
#[inline(always)]
fn share<T: Real>(count: usize) -> T {
    T::from_f64((count as f64).recip())
}

pub(super) fn sum<E: Storage>(edges: FloatTensor<Flex>, call: &Call) -> FloatTensor<Flex> {
    let edges = contiguous_rows(&edges);
    let rows = Rows::<E>::new(&edges);
    let [_, width] = edges.layout().shape().dims();
    let segments = call.graph.segments(call.end);
    filled::<E>(segments.nodes(), width, |output| {
        over_nodes(&segments, width, |nodes| Sum {
            rows: &rows,
            segments: &segments,
            nodes,
            width,
            mean: call.mean,
            output,
        });
    })
}

struct Sum<'a, E> {
    rows: &'a Rows<'a, E>,
    segments: &'a Segments<'a>,
    nodes: Range<usize>,
    width: usize,
    mean: bool,
    output: &'a Rowed<'a, E>,
}

impl<E: Storage> Kernel for Sum<'_, E> {
    type Output = ();

    #[allow(unsafe_code)]
    #[inline(always)]
    fn run(self) {
        let width = self.width;
        let mut total = scratch::<Compute<E>>(width);
        let mut part = scratch::<Compute<E>>(width);
        let mut wide: [Vec<Compute<E>>; 4] = core::array::from_fn(|_| scratch(width));
        for node in self.nodes.clone() {
            let range = self.segments.range(node);
            total.fill(Compute::<E>::ZERO);
            let mut first = range.start;
            while first < range.end {
                let end = range.end.min(first + BLOCK);
                let sum = if range.len() <= BLOCK {
                    &mut total
                } else {
                    part.fill(Compute::<E>::ZERO);
                    &mut part
                };
                self.add(first..end, &mut wide, sum);
                if range.len() > BLOCK {
                    for (t, &p) in total.iter_mut().zip(&part) {
                        *t = *t + p;
                    }
                }
                first = end;
            }
            if self.mean && !range.is_empty() {
                let share = share::<Compute<E>>(range.len());
                total.iter_mut().for_each(|t| *t = *t * share);
            }
            // SAFETY: every node is in one task.
            E::narrow(&total, unsafe { self.output.piece(node, 0..width) });
        }
    }
}

impl<E: Storage> Sum<'_, E> {
    /// Adds rows to `sum`, four at a time.
    #[inline(always)]
    fn add(&self, range: Range<usize>, wide: &mut [Vec<Compute<E>>; 4], sum: &mut [Compute<E>]) {
        let row = |i: usize| self.rows.piece(0, self.segments.edge(i), 0, self.width);
        let [a, b, c, d] = wide;
        let mut i = range.start;
        while i + 4 <= range.end {
            let (a, b) = (E::widen(row(i), a), E::widen(row(i + 1), b));
            let (c, d) = (E::widen(row(i + 2), c), E::widen(row(i + 3), d));
            let len = sum.len();
            let (a, b, c, d) = (&a[..len], &b[..len], &c[..len], &d[..len]);
            for f in 0..len {
                sum[f] = sum[f] + ((a[f] + b[f]) + (c[f] + d[f]));
            }
            i += 4;
        }
        while i < range.end {
            for (s, &x) in sum.iter_mut().zip(E::widen(row(i), a)) {
                *s = *s + x;
            }
            i += 1;
        }
    }
}
