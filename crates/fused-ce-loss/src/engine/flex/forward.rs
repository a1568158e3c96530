//! Forward pass: blocks of tokens against groups of classes; what is known of a row is merged in the order of
//! the groups, so that the bits do not depend on threads.

use super::buffer::Buffer;
use super::inputs::Inputs;
use super::matrix::MatrixMut;
use super::online::Partial;
use super::product::Product;
use super::record::{Record, RowRecord, Sieve};
use super::tile::{Gathered, TILE_CLASSES, TILE_TOKENS, Target};
use super::top::TopList;
use crate::engine::spec::{Spec, column, state};
use core_tensor::cpu::{Real, RowsMut, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

/// Most groups of classes.
const GROUPS: usize = 32;
/// Tokens of a task that keeps something running over its classes.
const RUNNING_TOKENS: usize = 256;
/// Tasks that such passes are cut into, where the tokens alone do not give as many.
const RUNNING_TASKS: usize = 8;

/// What the forward pass computes.
pub(super) struct Forward<T> {
    /// Row statistics `[N, columns]`, see [`column`].
    pub(super) rows: Vec<T>,
    /// `[N, 4]`: what the backward pass needs of a row, see [`state`].
    pub(super) state: Vec<T>,
    /// Classes of the largest logits `[N, top]`.
    pub(super) top: Vec<i32>,
}

/// What the forward pass leaves for the backward pass.
pub(super) enum Kept<'a, T> {
    /// Nothing.
    Nothing,
    /// All logits, `[live rows, V]`.
    Logits(MatrixMut<'a, T>),
    /// `Σ_{v ≠ y} p_v (dz_v / dx_v) c_v`, `[live rows, D]`.
    Sums(MatrixMut<'a, T>),
    /// The logits that the filter keeps.
    Record(&'a mut Record<T>),
}

impl<E: Product> Inputs<'_, E> {
    /// Tokens of a task and classes of a group: they depend on the shapes alone, and so do the bits.
    fn partition(&self, running: bool) -> [usize; 2] {
        let groups = if running {
            let blocks = self.live.len().div_ceil(RUNNING_TOKENS).max(1);
            self.classes.div_ceil(RUNNING_TASKS.div_ceil(blocks))
        } else {
            self.classes.div_ceil(GROUPS).max(4 * TILE_CLASSES)
        };
        // Whole tiles per group, so that no tile is cut twice.
        let group = groups.next_multiple_of(TILE_CLASSES);
        [if running { RUNNING_TOKENS } else { TILE_TOKENS }, group]
    }

    /// Runs the forward pass.
    pub(super) fn forward(&self, mut keep: Kept<'_, Compute<E>>) -> Forward<Compute<E>> {
        let columns = self.spec.columns();
        let (top, width) = (self.spec.top, self.width);
        let monitor = &self.spec.monitor;
        let mut out = Forward {
            rows: scratch(self.tokens * columns),
            state: scratch(self.tokens * state::COLUMNS),
            top: vec![-1; self.tokens * top],
        };
        let running = matches!(keep, Kept::Sums(_) | Kept::Record(_));
        let [task_tokens, group] = self.partition(running);
        let groups = self.classes.div_ceil(group);
        let mut gathered_rows = Buffer::new(monitor);
        let mut sums = Buffer::new(monitor);
        for first in (0..self.live.len()).step_by(Spec::PANEL[0]) {
            let range = first..self.live.len().min(first + Spec::PANEL[0]);
            let tokens = range.len();
            let mut partials = vec![Partial::EMPTY; groups * tokens];
            let mut targets = scratch::<Compute<E>>(tokens);
            let mut tops = vec![(Compute::<E>::NEG_INFINITY, u32::MAX); groups * tokens * top];
            let recording = matches!(keep, Kept::Record(_));
            let mut records =
                vec![RowRecord::default(); if recording { groups * tokens } else { 0 }];
            let bytes =
                size_of_val(&partials[..]) + size_of_val(&targets[..]) + size_of_val(&tops[..]);
            let _held = monitor.hold(bytes);
            let sums = match keep {
                Kept::Sums(_) => sums.sized(groups * tokens * width),
                _ => &mut [],
            };
            let gathered = Gathered {
                range: range.clone(),
                partials: RowsMut::new(&mut partials, tokens),
                targets: RowsMut::new(&mut targets, tokens),
                top: RowsMut::new(&mut tops, tokens * top),
                rows: RowsMut::new(&mut out.rows, columns),
                keep: match &keep {
                    Kept::Nothing => Target::Nothing,
                    Kept::Logits(all) => Target::Logits(all),
                    Kept::Sums(_) => Target::Sums(MatrixMut::rows(sums, groups * tokens, width)),
                    Kept::Record(_) => Target::Record(RowsMut::new(&mut records, tokens)),
                },
            };
            let hidden = self.gather(range.clone(), &mut gathered_rows);
            let blocks = tokens.div_ceil(task_tokens);
            for_each_task(blocks * groups, |task| {
                let (block, g) = (task / groups, task % groups);
                let block = block * task_tokens..tokens.min((block + 1) * task_tokens);
                let classes = g * group..self.classes.min((g + 1) * group);
                self.forward_tiles(&gathered, hidden, block, g, classes);
            });
            for (i, at) in range.clone().enumerate() {
                let parts = || (0..groups).map(|g| g * tokens + i);
                let all = parts().fold(Partial::EMPTY, |all, p| all.merge(partials[p]));
                let row = self.live[at];
                let kept = &mut out.state[row * state::COLUMNS..][..state::COLUMNS];
                let target = self.targets[at].map(|_| targets[i]);
                self.finish_row(all, target, &mut out.rows[row * columns..][..columns], kept);
                match &mut keep {
                    Kept::Sums(all) => {
                        let sums = parts().map(|p| (partials[p].max, &sums[p * width..][..width]));
                        normalise(kept, sums, all.row(at));
                    }
                    Kept::Nothing | Kept::Logits(_) | Kept::Record(_) => {}
                }
                if top > 0 {
                    let mut list = TopList::new(top);
                    parts().for_each(|p| list.extend(&tops[p * top..][..top]));
                    list.write(&mut out.top[row * top..][..top]);
                    let values = row * columns + column::PICKS + self.spec.picks;
                    list.write_values(&mut out.rows[values..][..top]);
                }
            }
            if let Kept::Record(record) = &mut keep {
                let sieve = Sieve::of(self.spec);
                let all = RowsMut::new(&mut records, tokens);
                for_each_task(tokens.div_ceil(16), |task| {
                    for i in task * 16..tokens.min((task + 1) * 16) {
                        let row = self.live[range.start + i];
                        let kept = &out.state[row * state::COLUMNS..][..state::COLUMNS];
                        for g in 0..groups {
                            // SAFETY: every token belongs to one task.
                            #[allow(unsafe_code)]
                            let own = unsafe { &mut all.piece(g, i..i + 1)[0] };
                            own.settle(&sieve, row, kept);
                        }
                    }
                });
                for i in 0..tokens {
                    let parts = (0..groups).map(|g| core::mem::take(&mut records[g * tokens + i]));
                    record.push_row(parts);
                }
            }
        }
        out
    }

    /// Statistics and state of a row from all its logits.
    fn finish_row(
        &self,
        all: Partial,
        target: Option<Compute<E>>,
        row: &mut [Compute<E>],
        kept: &mut [Compute<E>],
    ) {
        let value = |x| Compute::<E>::from_f64(x);
        // log Σ over the other classes, as m + l.
        let mut max = all.max;
        let mut log = all.sum.ln();
        let (mut sum, mut tilt) = (all.sum, all.tilt);
        let mut nll = 0.0;
        if let Some(target) = target.map(Real::to_f64) {
            // lse − z_y = log(1 + Σ_others e^{z − z_y}): no cancellation where the target has almost all.
            let excess = (all.max - target) + log;
            nll = if excess == f64::NEG_INFINITY {
                0.0
            } else {
                excess.max(0.0)
                    + (-excess.abs()).exp().ln_1p()
                    + if excess.is_nan() { f64::NAN } else { 0.0 }
            };
            let with = all.merge(Partial {
                max: target,
                sum: 1.0,
                ..Partial::EMPTY
            });
            (max, sum, tilt) = (with.max, with.sum, with.tilt);
            log = sum.ln();
        }
        // Without a class that is not masked, as in a shard, there is none.
        let entropy = if self.spec.entropy && sum != 0.0 {
            log - tilt / sum
        } else {
            0.0
        };
        row[column::NLL] = value(nll);
        row[column::LSE] = value(max + log);
        row[column::ENTROPY] = value(entropy);
        row[column::SUM] = value(all.weighted);
        row[column::DENSE] = value(all.dense);
        kept[state::MAX] = value(max);
        kept[state::LOG] = value(log);
        kept[state::NLL] = value(nll);
        kept[state::ENTROPY] = value(entropy);
    }
}

/// The sums of a row over its groups, each relative to its own largest logit, as one relative to `e^{lse}`.
fn normalise<'a, T: Real>(
    state: &[T],
    groups: impl Iterator<Item = (f64, &'a [T])>,
    out: &mut [T],
) {
    let (max, log) = (state[state::MAX].to_f64(), state[state::LOG].to_f64());
    out.fill(T::ZERO);
    for (own, sums) in groups {
        let scale = T::from_f64(((own - max) - log).exp());
        // A group whose share vanishes may hold anything finite.
        out.iter_mut()
            .zip(sums)
            .for_each(|(out, &x)| *out = scale.fma(x, *out));
    }
}
