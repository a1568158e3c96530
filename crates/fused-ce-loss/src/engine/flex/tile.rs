//! One task of the forward pass: a block of tokens against a group of classes, tile by tile.

use super::buffer::Buffer;
use super::gradient::LARGE;
use super::inputs::Inputs;
use super::logits::{Finish, LogitShape};
use super::matrix::{Matrix, MatrixMut};
use super::online::{Partial, Scan, Weigh};
use super::product::Product;
use super::record::{RowRecord, Running, Select, Sieve};
use super::slope::{Chain, Scale};
use super::top::TopList;
use crate::engine::spec::column;
use core::ops::Range;
use core_tensor::cpu::{Isa, Real, RowsMut};
use core_tensor::ext::flex::Compute;

/// Tokens of a tile of logits.
pub(super) const TILE_TOKENS: usize = 512;
/// Classes of a tile: with so many tokens it fits the second-level cache.
pub(super) const TILE_CLASSES: usize = 512;

/// What the tasks of a panel of tokens write, each its own part.
pub(super) struct Gathered<'a, T> {
    /// The live rows of the panel.
    pub(super) range: Range<usize>,
    /// `[groups, tokens]`.
    pub(super) partials: RowsMut<'a, Partial>,
    /// Target logits of the tokens.
    pub(super) targets: RowsMut<'a, T>,
    /// `[groups, tokens · top]`.
    pub(super) top: RowsMut<'a, (T, u32)>,
    /// Row statistics, `[N, columns]`.
    pub(super) rows: RowsMut<'a, T>,
    pub(super) keep: Target<'a, T>,
}

/// Where the tasks put what the plan keeps.
pub(super) enum Target<'a, T> {
    Nothing,
    /// `[live rows, V]`.
    Logits(&'a MatrixMut<'a, T>),
    /// `[groups · tokens, D]`.
    Sums(MatrixMut<'a, T>),
    /// `[groups, tokens]`.
    Record(RowsMut<'a, RowRecord<T>>),
}

impl<E: Product> Inputs<'_, E> {
    /// Runs group `g`, the given `classes`, for the tokens `block` of the panel.
    pub(super) fn forward_tiles(
        &self,
        gathered: &Gathered<'_, Compute<E>>,
        hidden: Matrix<'_, E::Factor>,
        block: Range<usize>,
        g: usize,
        classes: Range<usize>,
    ) {
        let isa = Isa::detect();
        let shape = LogitShape::new(self.spec);
        let filter = Sieve::of(self.spec);
        let (monitor, width) = (&self.spec.monitor, self.width);
        let first = gathered.range.start;
        let (mut buffer, mut wide) = (Buffer::new(monitor), Buffer::new(monitor));
        let mut narrow = Buffer::new(monitor);
        let mut chain = Vec::new();
        let mut powers = Vec::new();
        let hidden = hidden.block(block.clone(), 0..width);
        for tile in classes.clone().step_by(TILE_CLASSES) {
            let tile = tile..classes.end.min(tile + TILE_CLASSES);
            let class_rows = self.classifier.block(tile.clone(), 0..width);
            let class_rows = E::factor(class_rows, &mut wide);
            let mut logits = match &gathered.keep {
                // SAFETY: every tile belongs to one task.
                #[allow(unsafe_code)]
                Target::Logits(all) => unsafe {
                    all.block(first + block.start..first + block.end, tile.clone())
                },
                _ => {
                    let data = buffer.sized(block.len() * tile.len());
                    MatrixMut::rows(data, block.len(), tile.len())
                }
            };
            E::multiply(&mut logits, hidden, class_rows.transposed(), false);
            for (r, i) in block.clone().enumerate() {
                let at = first + i;
                let row = logits.row(r);
                let bias = self.bias.as_ref().map(|b| &b[tile.clone()]);
                if bias.is_some() || shape.cap.is_some() || shape.temperature != Real::ONE {
                    isa.run(Finish { row, bias, shape });
                }
                // SAFETY: every token of a group belongs to one task, and every pick to one tile.
                #[allow(unsafe_code)]
                let so_far = unsafe { &mut gathered.partials.piece(g, i..i + 1)[0] };
                let mut found = self.read_row(isa, gathered, row, [at, i, g], tile.clone());
                let target = self.targets[at]
                    .filter(|y| tile.contains(y))
                    .map(|y| y - tile.start);
                let value = target.map(|y| core::mem::replace(&mut row[y], Real::NEG_INFINITY));
                if let Some(value) = value {
                    // SAFETY: the target lies in one tile.
                    #[allow(unsafe_code)]
                    unsafe {
                        gathered.targets.piece(0, i..i + 1)[0] = value
                    };
                }
                let before = so_far.max;
                let floor = Compute::<E>::from_f64(before);
                let entropy = self.spec.entropy;
                let mut scan = |row: &[Compute<E>], exponentials: Option<&mut [Compute<E>]>| {
                    let scanned = isa.run(Scan {
                        row,
                        floor,
                        entropy,
                        exponentials,
                    });
                    found = Partial {
                        weighted: found.weighted,
                        dense: found.dense,
                        ..scanned
                    };
                    *so_far = so_far.merge(found);
                };
                match &gathered.keep {
                    Target::Nothing | Target::Logits(_) => scan(row, None),
                    Target::Sums(sums) => {
                        if shape.cap.is_some() {
                            chain.resize(row.len(), Real::ZERO);
                            isa.run(Chain {
                                row,
                                out: &mut chain,
                                shape,
                            });
                            if let Some(y) = target {
                                // Its logit is −∞ for now, and its share is added later.
                                chain[y] = Real::ZERO;
                            }
                        }
                        powers.resize(row.len(), Real::ZERO);
                        scan(row, Some(&mut powers));
                        row.copy_from_slice(&powers);
                        if shape.cap.is_some() {
                            isa.run(Scale { row, by: &chain });
                        }
                        if tile.start > classes.start && so_far.max > before {
                            let row = g * gathered.range.len() + i;
                            // SAFETY: every token of a group belongs to one task.
                            #[allow(unsafe_code)]
                            let mut own = unsafe { sums.block(row..row + 1, 0..width) };
                            let scale = Real::from_f64((before - so_far.max).exp());
                            own.row(0).iter_mut().for_each(|x| *x = *x * scale);
                        }
                        continue;
                    }
                    Target::Record(records) => {
                        powers.resize(row.len(), Real::ZERO);
                        scan(row, Some(&mut powers));
                        // SAFETY: every token of a group belongs to one task.
                        #[allow(unsafe_code)]
                        let record = unsafe { &mut records.piece(g, i..i + 1)[0] };
                        let running = Running {
                            max: so_far.max,
                            sum: so_far.sum,
                        };
                        let select = Select {
                            filter,
                            row: self.live[at],
                            first: tile.start,
                            logits: row,
                            exponentials: &mut powers,
                            running,
                            record,
                        };
                        isa.run(select);
                    }
                }
                if let (Some(y), Some(value)) = (target, value) {
                    row[y] = value;
                }
            }
            if let Target::Sums(sums) = &gathered.keep {
                let rows = g * gathered.range.len();
                // SAFETY: every token of a group belongs to one task.
                #[allow(unsafe_code)]
                let mut own = unsafe { sums.block(rows + block.start..rows + block.end, 0..width) };
                let shares = as_factor::<E>(logits.as_matrix(), &mut narrow, tile.start as u32);
                E::multiply(&mut own, shares, class_rows, tile.start > classes.start);
            }
        }
    }

    /// What of a row of logits is only read: picked and largest logits, weighted sums.
    fn read_row(
        &self,
        isa: Isa,
        gathered: &Gathered<'_, Compute<E>>,
        row: &[Compute<E>],
        [at, i, g]: [usize; 3],
        tile: Range<usize>,
    ) -> Partial {
        let live = self.live[at];
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
                TopList::scan(row, tile.start, gathered.top.piece(g, span));
            }
        }
        let mut found = Partial::EMPTY;
        if let Some(weights) = self.weights {
            found.weighted = isa.run(Weigh {
                row,
                weights: &weights[tile.clone()],
            });
        }
        if let Some(dense) = self.dense {
            let weights = &dense.row(live)[tile];
            found.dense = isa.run(Weigh { row, weights });
        }
        found
    }
}

/// Values in the compute type as a factor: themselves, or rounded into `scratch`.
fn as_factor<'a, E: Product>(
    x: Matrix<'a, Compute<E>>,
    scratch: &'a mut Buffer<E::Factor>,
    key: u32,
) -> Matrix<'a, E::Factor> {
    if let Some(same) = x.same::<E::Factor>() {
        return same;
    }
    let [rows, columns] = x.shape();
    let scratch = scratch.sized(rows * columns);
    for r in 0..rows {
        let key = key.rotate_left(16) ^ r as u32;
        let large = Real::from_f64(LARGE);
        E::round(x.row(r), &mut scratch[r * columns..][..columns], large, key);
    }
    Matrix::rows(scratch, rows, columns)
}
