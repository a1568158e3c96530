//! Backward pass from the entries that a filter kept: products of a sparse gradient of the logits, and everything
//! that is not sparse but of rank one apart from it.

use super::accumulate::{Accumulate, weighted_sum};
use super::buffer::Buffer;
use super::gradient::{Above, Gradient, narrow_all};
use super::inputs::Inputs;
use super::logits::LogitShape;
use super::matrix::{GROUP, Matrix};
use super::owned::Owned;
use super::product::Product;
use super::record::Sieve;
use super::slope::{Slope, chain_of, log_share};
use crate::engine::spec::{Needs, column};
use crate::plan::FilterReport;
use core::ops::Range;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

/// Entries kept by the forward pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a, T> {
    /// Where each live row begins, and the end.
    pub(super) offsets: &'a [u32],
    pub(super) classes: &'a [u32],
    pub(super) logits: &'a [T],
}

impl<T> Kept<'_, T> {
    fn row(&self, at: usize) -> Range<usize> {
        self.offsets[at] as usize..self.offsets[at + 1] as usize
    }
}

/// The gradient of the logits: entries below the threshold or not, and entries at targets and picks.
struct Slopes<T> {
    /// Gradients of the kept entries.
    values: Vec<T>,
    /// Classes and gradients of targets and picks, `[live, extras]`; absent ones have gradient 0.
    extras: Vec<(u32, T)>,
    per_row: usize,
    /// Per live row: probability mass of the tail less that of its drawn entries.
    missing: Vec<T>,
}

/// What was kept of a row.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Probability mass of the entries that are not drawn.
    mass: f64,
    kept: u32,
    drawn: u32,
}

/// Gradients of the kept logits of a row; a drawn entry counts as if its probability were the threshold.
struct EntrySlopes<'a, T> {
    logits: &'a [T],
    values: &'a mut [T],
    slope: Slope<T>,
    shape: LogitShape<T>,
    threshold: T,
}

impl<T: Real> Kernel for EntrySlopes<'_, T> {
    type Output = Tally;

    #[inline(always)]
    fn run(self) -> Tally {
        let Self {
            logits,
            values,
            slope,
            shape,
            threshold,
        } = self;
        let mut tally = Tally::default();
        for (value, &z) in values.iter_mut().zip(logits) {
            let log_p = log_share(z, &slope);
            let p = log_p.exponential();
            let scale = if p < threshold { threshold / p } else { T::ONE };
            *value = slope.at(log_p, p) * scale * chain_of(z, shape);
            tally.drawn += u32::from(p < threshold);
            tally.mass += if p < threshold { 0.0 } else { p.to_f64() };
        }
        tally.kept = logits.len() as u32 - tally.drawn;
        tally
    }
}

/// Classes of a panel of a classifier that has to be widened or turned.
const PANEL: usize = 2048;
/// Classes of a task.
const TILE: usize = 256;

impl<E: Product> Inputs<'_, E> {
    /// Gradients from the kept entries.
    pub(super) fn sparse_gradient(
        &self,
        above: &Above<'_, Compute<E>>,
        kept: Kept<'_, Compute<E>>,
        needs: Needs,
    ) -> Gradient<E> {
        let slopes = self.sparse_slopes(above, kept);
        let bytes = size_of_val(&slopes.values[..]) + size_of_val(&slopes.extras[..]);
        let _held = self.spec.monitor.hold(bytes);
        let rate = <Compute<E> as Real>::ONE / LogitShape::new(self.spec).temperature;
        let mut out = Gradient::default();
        if needs.hidden {
            out.hidden = self.spread(self.sparse_hidden(above, kept, &slopes, rate));
        }
        if needs.classifier || needs.bias {
            let turned = Turned::new(self, kept, &slopes);
            let bytes = size_of_val(&turned.rows[..]) + size_of_val(&turned.offsets[..]);
            let _held = self.spec.monitor.hold(bytes);
            let sum = |at: usize| self.slope(self.live[at], above).0.sum * rate;
            if needs.classifier {
                out.classifier = self.sparse_classifier(&turned, &sum);
            }
            if needs.bias {
                let total: f64 = (0..self.live.len()).map(|at| sum(at).to_f64()).sum();
                let bias = |v: usize| {
                    let own: f64 = turned.column(v).iter().map(|(_, g)| g.to_f64()).sum();
                    let common = self.weights.map_or(0.0, |u| u[v].to_f64() * total);
                    Real::from_f64(own + common)
                };
                out.bias = narrow_all((0..self.classes).map(bias).collect());
            }
        }
        out
    }

    /// Gradient of every entry, and the report.
    fn sparse_slopes(
        &self,
        above: &Above<'_, Compute<E>>,
        kept: Kept<'_, Compute<E>>,
    ) -> Slopes<Compute<E>> {
        let live = self.live.len();
        let sieve = Sieve::of(self.spec);
        let picks = self.live.first().map_or(0, |&row| self.picks_of(row).len());
        let per_row = picks + 1;
        let mut values = scratch::<Compute<E>>(kept.classes.len());
        let mut extras = vec![(0, <Compute<E> as Real>::ZERO); live * per_row];
        let mut tallies = vec![Tally::default(); live];
        let entries = values.len();
        let value_parts = RowsMut::new(&mut values, entries);
        let extra_parts = RowsMut::new(&mut extras, per_row);
        let tally_parts = RowsMut::new(&mut tallies, 1);
        for_each_task(live.div_ceil(16), |task| {
            let isa = Isa::detect();
            for at in task * 16..live.min((task + 1) * 16) {
                let entries = kept.row(at);
                // SAFETY: every row belongs to one task.
                #[allow(unsafe_code)]
                let (values, extras, tally) = unsafe {
                    (
                        if entries.is_empty() {
                            &mut []
                        } else {
                            value_parts.piece(0, entries.clone())
                        },
                        extra_parts.piece(at, 0..per_row),
                        &mut tally_parts.piece(at, 0..1)[0],
                    )
                };
                let slope = self.slope(self.live[at], above).0;
                let shape = LogitShape::new(self.spec);
                let threshold = Real::from_f64(sieve.threshold);
                let logits = &kept.logits[entries];
                *tally = isa.run(EntrySlopes {
                    logits,
                    values,
                    slope,
                    shape,
                    threshold,
                });
                self.extra_slopes(at, above, extras, tally);
            }
        });
        let mut report = FilterReport {
            entries: (live * self.classes) as u64,
            ..FilterReport::default()
        };
        let mut missing = scratch::<Compute<E>>(live);
        for (missing, tally) in missing.iter_mut().zip(&tallies) {
            let tail = (1.0 - tally.mass).max(0.0);
            // Without draws nothing stands for the tail, and nothing is made up for it.
            *missing = Real::from_f64(match sieve.seed {
                Some(_) => tail - f64::from(tally.drawn) * sieve.threshold,
                None => 0.0,
            });
            report.kept += u64::from(tally.kept);
            report.drawn += u64::from(tally.drawn);
            report.tail_mass += tail / live as f64;
            report.largest_tail_mass = report.largest_tail_mass.max(tail);
        }
        self.spec.monitor.note(|r| r.filter = Some(report));
        Slopes {
            values,
            extras,
            per_row,
            missing,
        }
    }

    /// Gradients at the target and the picks of a live row.
    fn extra_slopes(
        &self,
        at: usize,
        above: &Above<'_, Compute<E>>,
        extras: &mut [(u32, Compute<E>)],
        tally: &mut Tally,
    ) {
        let shape = LogitShape::new(self.spec);
        let row = self.live[at];
        let (slope, nll, from_nll) = self.slope(row, above);
        if let Some(y) = self.targets[at] {
            let z = (slope.max + slope.log) - nll;
            extras[0] = (
                y as u32,
                slope.at_target(nll, from_nll) * chain_of(z, shape),
            );
            tally.mass += (-nll.to_f64()).exp();
            tally.kept += 1;
        }
        let columns = self.spec.columns();
        let of = |x: &'_ [Compute<E>], k: usize| x[row * columns + column::PICKS + k];
        for (k, &pick) in self.picks_of(row).iter().enumerate() {
            if let Some(v) = pick {
                let chain = chain_of(of(above.rows, k), shape);
                extras[k + 1] = (v as u32, of(above.cotangent, k) * chain);
            }
        }
    }

    /// `Σ_v g_iv c_v` over the entries, and what is common to all classes: smoothing, and the missing mass of the tail
    /// at the mean row, which has expectation 0 and takes the common part of all rows out of the noise.
    fn sparse_hidden(
        &self,
        above: &Above<'_, Compute<E>>,
        kept: Kept<'_, Compute<E>>,
        slopes: &Slopes<Compute<E>>,
        rate: Compute<E>,
    ) -> Vec<Compute<E>> {
        let (live, width, classes) = (self.live.len(), self.width, self.classes);
        let common = self.common_row();
        let each = Real::from_f64(1.0 / classes as f64);
        let mean = (Sieve::of(self.spec).seed.is_some())
            .then(|| weighted_sum(self.classifier, width, |_| each));
        let mut sums = scratch::<Compute<E>>(live * width);
        let plain = self.classifier.is_plain();
        let panel = if plain { classes } else { PANEL };
        let mut wide = Buffer::new(&self.spec.monitor);
        for first in (0..classes).step_by(panel) {
            let range = first..classes.min(first + panel);
            let rows = if plain {
                self.classifier.widened(&mut wide)
            } else {
                self.widened_panel(range.clone(), wide.sized(range.len() * width))
            };
            let out = RowsMut::new(&mut sums, width);
            for_each_task(live.div_ceil(64), |task| {
                let isa = Isa::detect();
                let mut terms = Vec::new();
                let mut part = scratch::<Compute<E>>(width);
                for at in task * 64..live.min((task + 1) * 64) {
                    terms.clear();
                    let entries = kept.row(at);
                    let own = &kept.classes[entries.clone()];
                    let from = own.partition_point(|&v| (v as usize) < range.start);
                    let to = own.partition_point(|&v| (v as usize) < range.end);
                    let row = |v: u32| rows.row(v as usize - range.start);
                    let values = &slopes.values[entries];
                    let inside = own[from..to].iter().zip(&values[from..to]);
                    terms.extend(inside.map(|(&v, &g)| (g, row(v))));
                    let extras = &slopes.extras[at * slopes.per_row..][..slopes.per_row];
                    let inside = extras
                        .iter()
                        .filter(|(v, _)| range.contains(&(*v as usize)));
                    terms.extend(inside.map(|&(v, g)| (g, row(v))));
                    if first == 0 {
                        let slope = self.slope(self.live[at], above).0;
                        terms.extend(common.as_ref().map(|c| (slope.sum * rate, &c[..])));
                        let by = slope.normaliser * slopes.missing[at] * rate;
                        terms.extend(mean.as_ref().map(|m| (by, &m[..])));
                    }
                    // SAFETY: every row is written by one task.
                    #[allow(unsafe_code)]
                    let out = unsafe { out.piece(at, 0..width) };
                    isa.run(Accumulate {
                        out,
                        terms: &terms,
                        part: &mut part,
                    });
                }
            });
        }
        sums
    }

    /// Rows of the classifier, contiguous and in the compute type.
    fn widened_panel<'b>(
        &self,
        classes: Range<usize>,
        out: &'b mut [Compute<E>],
    ) -> Matrix<'b, Compute<E>> {
        let width = self.width;
        let all = RowsMut::new(out, classes.len() * width);
        for_each_task(classes.len().div_ceil(64), |task| {
            let own = task * 64..classes.len().min((task + 1) * 64);
            // SAFETY: every row is written by one task.
            #[allow(unsafe_code)]
            let part = unsafe { all.piece(0, own.start * width..own.end * width) };
            self.classifier
                .copy_rows(classes.start + own.start..classes.start + own.end, part);
        });
        Matrix::rows(out, classes.len(), width)
    }

    /// `Σ_i g_iv e_i` over the entries of every class.
    fn sparse_classifier(
        &self,
        turned: &Turned<Compute<E>>,
        sum: &(dyn Fn(usize) -> Compute<E> + Sync),
    ) -> Vec<E> {
        let width = self.width;
        let live = self.live.len();
        let mut gathered = Buffer::new(&self.spec.monitor);
        let mut wide = Buffer::new(&self.spec.monitor);
        let hidden = self.gather(0..live, &mut gathered).widened(&mut wide);
        let common = self.weights.map(|u| (u, weighted_sum(hidden, width, sum)));
        let mut out = Owned::<E>::new(self.classes * width);
        let panel = if out.direct() { self.classes } else { PANEL };
        let mut narrow = Buffer::new(&self.spec.monitor);
        let narrow = narrow.sized(if out.direct() {
            0
        } else {
            panel.min(self.classes) * width
        });
        for first in (0..self.classes).step_by(panel) {
            let classes = first..self.classes.min(first + panel);
            let sums = out.panel(self, &classes, narrow);
            for_each_task(classes.len().div_ceil(TILE), |task| {
                let isa = Isa::detect();
                let own = task * TILE..classes.len().min((task + 1) * TILE);
                let mut terms = Vec::new();
                let mut rows = scratch::<Compute<E>>(GROUP * width);
                let mut part = scratch::<Compute<E>>(width);
                // SAFETY: every task has its own classes.
                #[allow(unsafe_code)]
                let mut out = unsafe { sums.block(own.clone(), 0..width) };
                for first in (0..own.len()).step_by(GROUP) {
                    let count = GROUP.min(own.len() - first);
                    for (r, row) in rows.chunks_mut(width).take(count).enumerate() {
                        let v = classes.start + own.start + first + r;
                        terms.clear();
                        let column = turned.column(v).iter();
                        terms.extend(column.map(|&(i, g)| (g, hidden.row(i as usize))));
                        terms.extend(common.as_ref().map(|(u, sum)| (u[v], &sum[..])));
                        row.fill(Real::ZERO);
                        isa.run(Accumulate {
                            out: row,
                            terms: &terms,
                            part: &mut part,
                        });
                    }
                    out.set_rows(first, &rows[..count * width]);
                }
            });
            out.narrow(self, &classes, narrow);
        }
        out.finish()
    }
}

/// Entries by class, those of a class in the order of the rows.
struct Turned<T> {
    offsets: Vec<usize>,
    rows: Vec<(u32, T)>,
}

impl<T: Real> Turned<T> {
    fn new<E: Product<Compute = T>>(
        inputs: &Inputs<'_, E>,
        kept: Kept<'_, T>,
        slopes: &Slopes<T>,
    ) -> Self {
        let present = |extra: &&(u32, T)| extra.1 != T::ZERO;
        let mut offsets = vec![0_usize; inputs.classes + 1];
        let extras = slopes.extras.iter().filter(present).map(|&(v, _)| v);
        for v in kept.classes.iter().copied().chain(extras) {
            offsets[v as usize + 1] += 1;
        }
        for v in 0..inputs.classes {
            offsets[v + 1] += offsets[v];
        }
        let total = offsets[inputs.classes];
        let mut rows = vec![(0, T::ZERO); total];
        let mut next = offsets.clone();
        for at in 0..inputs.live.len() {
            let entries = kept.row(at);
            let own = kept.classes[entries.clone()].iter().copied();
            let own = own.zip(slopes.values[entries].iter().copied());
            let extras = &slopes.extras[at * slopes.per_row..][..slopes.per_row];
            for (v, g) in own.chain(extras.iter().filter(present).copied()) {
                let place = &mut next[v as usize];
                rows[*place] = (at as u32, g);
                *place += 1;
            }
        }
        Self { offsets, rows }
    }

    fn column(&self, v: usize) -> &[(u32, T)] {
        &self.rows[self.offsets[v]..self.offsets[v + 1]]
    }
}
