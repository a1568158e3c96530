//! Forward pass: blocks of tokens against groups of classes; what is known of a row is merged in the order of
//! the groups, so that the bits do not depend on threads.

use super::buffer::Buffer;
use super::inputs::Inputs;
use super::logits::{Finish, LogitShape};
use super::matrix::{MatrixMut, multiply};
use super::online::{Partial, Scan, Weigh};
use super::top::TopList;
use crate::engine::spec::{Spec, column};
use core_tensor::cpu::{Isa, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

/// Tokens of a tile of logits.
const TILE_TOKENS: usize = 512;
/// Classes of a tile: with so many tokens it fits the second-level cache.
pub(super) const TILE_CLASSES: usize = 512;
/// Most groups of classes.
const GROUPS: usize = 32;

/// What the forward pass computes.
pub(super) struct Forward<T> {
    /// Row statistics `[N, columns]`, see [`column`].
    pub(super) rows: Vec<T>,
    /// `[N, 4]`: what the backward pass needs of a row, see [`state`].
    pub(super) state: Vec<T>,
    /// Classes of the largest logits `[N, top]`.
    pub(super) top: Vec<i64>,
}

/// Columns of the state of a row.
pub(super) mod state {
    /// Largest logit `m`.
    pub(crate) const MAX: usize = 0;
    /// `lse − m`; kept apart from `m`, which may be so large that their sum would lose it.
    pub(crate) const LOG: usize = 1;
    /// `lse − z_y`.
    pub(crate) const NLL: usize = 2;
    /// Entropy.
    pub(crate) const ENTROPY: usize = 3;
    /// Number of columns.
    pub(crate) const COLUMNS: usize = 4;
}

/// What one block of tokens gathers from all groups of classes.
struct Gathered<'a, T> {
    /// `[groups, tokens]`.
    partials: RowsMut<'a, Partial>,
    /// Target logits of the tokens.
    targets: RowsMut<'a, T>,
    /// `[groups, tokens · top]`.
    top: RowsMut<'a, (T, u32)>,
    /// `[N, columns]`.
    rows: RowsMut<'a, T>,
}

impl<E: Storage> Inputs<'_, E> {
    /// Runs the forward pass. Logits are written to `kept`, `[live rows, V]`, where there is one.
    pub(super) fn forward(&self, kept: Option<&MatrixMut<'_, Compute<E>>>) -> Forward<Compute<E>> {
        let columns = self.spec.columns();
        let top = self.spec.top;
        let mut out = Forward {
            rows: scratch(self.tokens * columns),
            state: scratch(self.tokens * state::COLUMNS),
            top: vec![-1; self.tokens * top],
        };
        // Whole tiles per group, so that no tile is cut twice.
        let group = self
            .classes
            .div_ceil(GROUPS)
            .next_multiple_of(TILE_CLASSES)
            .max(4 * TILE_CLASSES);
        let groups = self.classes.div_ceil(group);
        for first in (0..self.live.len()).step_by(Spec::PANEL[0]) {
            let range = first..self.live.len().min(first + Spec::PANEL[0]);
            let tokens = range.len();
            let mut partials = vec![Partial::EMPTY; groups * tokens];
            let mut targets = scratch::<Compute<E>>(tokens);
            let mut tops = vec![(Compute::<E>::NEG_INFINITY, u32::MAX); groups * tokens * top];
            let bytes =
                size_of_val(&partials[..]) + size_of_val(&targets[..]) + size_of_val(&tops[..]);
            let _held = self.spec.monitor.hold(bytes);
            let gathered = Gathered {
                partials: RowsMut::new(&mut partials, tokens),
                targets: RowsMut::new(&mut targets, tokens),
                top: RowsMut::new(&mut tops, tokens * top),
                rows: RowsMut::new(&mut out.rows, columns),
            };
            self.forward_block(range.clone(), group, &gathered, kept);
            for (i, at) in range.enumerate() {
                let all = (0..groups).map(|g| partials[g * tokens + i]);
                let all = all.fold(Partial::EMPTY, Partial::merge);
                let row = self.live[at];
                let target = self.targets[at].map(|_| targets[i]);
                self.finish_row(
                    all,
                    target,
                    &mut out.rows[row * columns..][..columns],
                    &mut out.state[row * state::COLUMNS..][..state::COLUMNS],
                );
                if top > 0 {
                    let mut list = TopList::new(top);
                    for g in 0..groups {
                        list.extend(&tops[(g * tokens + i) * top..][..top]);
                    }
                    list.write(&mut out.top[row * top..][..top]);
                    let values = row * columns + column::PICKS + self.spec.picks;
                    list.write_values(&mut out.rows[values..][..top]);
                }
            }
        }
        out
    }

    /// All logits of the live rows `range`, in tasks of a block of tokens and a group of classes.
    fn forward_block(
        &self,
        range: core::ops::Range<usize>,
        group: usize,
        gathered: &Gathered<'_, Compute<E>>,
        kept: Option<&MatrixMut<'_, Compute<E>>>,
    ) {
        let monitor = &self.spec.monitor;
        let mut rows = Buffer::new(monitor);
        let hidden = self.gather(range.clone(), &mut rows);
        let tokens = range.len();
        let (blocks, groups) = (tokens.div_ceil(TILE_TOKENS), self.classes.div_ceil(group));
        let isa = Isa::detect();
        let shape = LogitShape::new(self.spec);
        for_each_task(blocks * groups, |task| {
            let (block, g) = (task / groups, task % groups);
            let block = block * TILE_TOKENS..tokens.min((block + 1) * TILE_TOKENS);
            let classes = g * group..self.classes.min((g + 1) * group);
            let (mut buffer, mut wide) = (Buffer::new(monitor), Buffer::new(monitor));
            for tile in classes.clone().step_by(TILE_CLASSES) {
                let tile = tile..classes.end.min(tile + TILE_CLASSES);
                let class_rows = self
                    .classifier
                    .block(tile.clone(), 0..self.width)
                    .widened(&mut wide);
                let mut logits = match kept {
                    // SAFETY: every tile belongs to one task.
                    #[allow(unsafe_code)]
                    Some(kept) => unsafe {
                        kept.block(
                            range.start + block.start..range.start + block.end,
                            tile.clone(),
                        )
                    },
                    None => {
                        let data = buffer.sized(block.len() * tile.len());
                        MatrixMut::rows(data, block.len(), tile.len())
                    }
                };
                let tokens = hidden.block(block.clone(), 0..self.width);
                multiply(&mut logits, tokens, class_rows.transposed(), false);
                for (r, i) in block.clone().enumerate() {
                    let at = range.start + i;
                    let live = self.live[at];
                    let row = logits.row(r);
                    let bias = self.bias.as_ref().map(|b| &b[tile.clone()]);
                    if bias.is_some() || shape.cap.is_some() || shape.temperature != Real::ONE {
                        isa.run(Finish { row, bias, shape });
                    }
                    // SAFETY: every token of a group belongs to one task, and every pick to one tile.
                    #[allow(unsafe_code)]
                    unsafe {
                        for (k, &pick) in self.picks_of(live).iter().enumerate() {
                            if let Some(v) = pick.filter(|v| tile.contains(v)) {
                                let at = column::PICKS + k;
                                gathered.rows.piece(live, at..at + 1)[0] = row[v - tile.start];
                            }
                        }
                        if self.spec.top > 0 {
                            let span = i * self.spec.top..(i + 1) * self.spec.top;
                            let list = gathered.top.piece(g, span);
                            TopList::scan(row, tile.start, list);
                        }
                        let mut found = Partial::EMPTY;
                        if let Some(weights) = self.weights {
                            found.weighted = isa.run(Weigh {
                                row,
                                weights: &weights[tile.clone()],
                            });
                        }
                        if let Some(dense) = self.dense {
                            let weights = &dense.row(live)[tile.clone()];
                            found.dense = isa.run(Weigh { row, weights });
                        }
                        let target = self.targets[at]
                            .filter(|y| tile.contains(y))
                            .map(|y| y - tile.start);
                        let value =
                            target.map(|y| core::mem::replace(&mut row[y], Real::NEG_INFINITY));
                        let scanned = isa.run(Scan {
                            row,
                            entropy: self.spec.entropy,
                        });
                        found = Partial {
                            weighted: found.weighted,
                            dense: found.dense,
                            ..scanned
                        };
                        if let (Some(y), Some(value)) = (target, value) {
                            row[y] = value;
                            gathered.targets.piece(0, i..i + 1)[0] = value;
                        }
                        let so_far = &mut gathered.partials.piece(g, i..i + 1)[0];
                        *so_far = so_far.merge(found);
                    }
                }
            }
        });
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
        let entropy = if self.spec.entropy {
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
