//! Backward pass: panels of classes outside, blocks of tokens inside. The gradient of a panel of logits is made
//! once, by all threads, and then read by both products; every part of a result has one owner that sums it in a
//! fixed order, in the compute type.

use super::buffer::Buffer;
use super::inputs::Inputs;
use super::logits::{Finish, LogitShape};
use super::matrix::{Matrix, MatrixMut, convert_row};
use super::owned::Owned;
use super::product::Product;
use super::slope::{Add, Chain, Differentiate, Scale, Slope};
use super::tile::TILE_CLASSES;
use crate::engine::spec::{Needs, column, state};
use core::any::TypeId;
use core::ops::Range;
use core_tensor::cpu::{Isa, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

/// Panels whose products are summed before they are added to the sum of all: the error of a sum over a million classes
/// stays that of a few dozen additions.
const SUMMED_PANELS: usize = 32;
/// Tokens of a task that differentiates logits.
const SLOPE_TOKENS: usize = 256;
/// Probability from which an entry of the gradient of the logits, where it is rounded, goes to the nearest value.
pub(super) const LARGE: f64 = 1.0 / 64.0;
/// Tokens of a task that multiplies: so many that packing the other factor does not count.
const TASK_TOKENS: usize = 512;

/// The gradients, empty where none is wanted.
#[derive(Debug)]
pub(super) struct Gradient<E> {
    /// `[N, D]`.
    pub(super) hidden: Vec<E>,
    /// As the classifier lies in memory.
    pub(super) classifier: Vec<E>,
    /// `[V]`.
    pub(super) bias: Vec<E>,
}

impl<E> Default for Gradient<E> {
    fn default() -> Self {
        Self {
            hidden: Vec::new(),
            classifier: Vec::new(),
            bias: Vec::new(),
        }
    }
}

impl<E> Gradient<E> {
    /// What is there of either.
    pub(super) fn or(self, other: Self) -> Self {
        let or = |a: Vec<E>, b| if a.is_empty() { b } else { a };
        Self {
            hidden: or(self.hidden, other.hidden),
            classifier: or(self.classifier, other.classifier),
            bias: or(self.bias, other.bias),
        }
    }
}

/// What the forward pass left and what came from above.
pub(super) struct Above<'a, T> {
    /// `[N, 4]`.
    pub(super) state: &'a [T],
    /// Row statistics, `[N, columns]`.
    pub(super) rows: &'a [T],
    /// Their gradient, `[N, columns]`.
    pub(super) cotangent: &'a [T],
    /// Stored logits of the live rows.
    pub(super) logits: Option<Matrix<'a, T>>,
}

/// What a panel of the gradient of the logits yields beside its entries.
pub(super) struct Beside<'a, T> {
    /// Per row: what belongs to the target, where it is kept apart.
    exact: &'a mut [T],
    /// Per class: the sum over the rows is added.
    bias: Option<&'a mut [T]>,
}

impl<E: Product> Inputs<'_, E> {
    /// Runs the backward pass.
    pub(super) fn gradient(&self, above: &Above<'_, Compute<E>>, needs: Needs) -> Gradient<E> {
        let live = self.live.len();
        let width = self.width;
        let mut sums = scratch::<Compute<E>>(if needs.hidden { live * width } else { 0 });
        let mut classifier = Owned::<E>::new(if needs.classifier {
            self.classes * width
        } else {
            0
        });
        let mut bias = scratch::<Compute<E>>(if needs.bias { self.classes } else { 0 });
        let monitor = &self.spec.monitor;
        let [together, widest] = self.spec.panel;
        let panels = self.classes.div_ceil(widest);
        let panel = self.classes.div_ceil(panels).next_multiple_of(64);
        let mut slopes = Buffer::<E::Factor>::zeros(monitor, panel * live.min(together));
        let indirect = needs.classifier && !classifier.direct();
        let mut narrow =
            Buffer::<Compute<E>>::zeros(monitor, if indirect { panel * width } else { 0 });
        let narrow = narrow.sized(if indirect { panel * width } else { 0 });
        let (mut wide, mut gathered) = (Buffer::new(monitor), Buffer::new(monitor));
        let mut exact = scratch::<Compute<E>>(live);
        let isa = Isa::detect();
        let rounded = TypeId::of::<E::Factor>() != TypeId::of::<Compute<E>>();
        let parts = self.classes.div_ceil(panel) > SUMMED_PANELS;
        let mut total = scratch::<Compute<E>>(if parts { sums.len() } else { 0 });
        let _held = monitor.hold(size_of_val(&total[..]));
        for first in (0..self.classes).step_by(panel) {
            let turn = first / panel % SUMMED_PANELS;
            let classes = first..self.classes.min(first + panel);
            let rows = self.classifier.block(classes.clone(), 0..width);
            let rows = E::factor(rows, &mut wide);
            for block in (0..live).step_by(together) {
                let range = block..live.min(block + together);
                let hidden = self.gather(range.clone(), &mut gathered);
                let slopes = slopes.sized(range.len() * classes.len());
                let bias = needs.bias.then(|| &mut bias[classes.clone()]);
                let factors = [hidden, rows];
                let exact = &mut exact[range.clone()];
                let beside = Beside { exact, bias };
                self.logit_gradient(
                    range.clone(),
                    classes.clone(),
                    factors,
                    above,
                    slopes,
                    beside,
                );
                let slopes = Matrix::rows(slopes, range.len(), classes.len());
                let mut hidden_sums =
                    MatrixMut::rows(&mut sums, if needs.hidden { live } else { 0 }, width);
                let mut class_sums = classifier.panel(self, &classes, narrow);
                let by_token = if needs.hidden {
                    range.len().div_ceil(TASK_TOKENS)
                } else {
                    0
                };
                let by_class = if needs.classifier {
                    classes.len().div_ceil(TILE_CLASSES)
                } else {
                    0
                };
                for_each_task(by_token + by_class, |task| {
                    if task < by_token {
                        let own = task * TASK_TOKENS..range.len().min((task + 1) * TASK_TOKENS);
                        // SAFETY: every task has its own tokens.
                        #[allow(unsafe_code)]
                        let mut out = unsafe {
                            hidden_sums
                                .block(range.start + own.start..range.start + own.end, 0..width)
                        };
                        E::multiply(
                            &mut out,
                            slopes.block(own, 0..classes.len()),
                            rows,
                            turn > 0,
                        );
                    } else {
                        let task = task - by_token;
                        let own = task * TILE_CLASSES..classes.len().min((task + 1) * TILE_CLASSES);
                        // SAFETY: every task has its own classes.
                        #[allow(unsafe_code)]
                        let mut out = unsafe { class_sums.block(own.clone(), 0..width) };
                        let slopes = slopes.block(0..range.len(), own).transposed();
                        E::multiply(&mut out, slopes, hidden, block > 0);
                    }
                });
                if rounded {
                    let own = range.clone().filter_map(|at| {
                        let y = self.targets[at].filter(|y| classes.contains(y))?;
                        Some((at, y - first, exact[at - range.start]))
                    });
                    let mut scratch = scratch::<Compute<E>>(width);
                    for (at, y, g) in own {
                        if needs.hidden {
                            let class = rows.widened_row(y, &mut scratch);
                            hidden_sums.add_row(at, g, class);
                        }
                        if needs.classifier {
                            let token = hidden.widened_row(at - range.start, &mut scratch);
                            class_sums.add_row(y, g, token);
                        }
                    }
                }
            }
            let last = first + panel >= self.classes;
            if parts && (last || turn + 1 == SUMMED_PANELS) {
                isa.run(Add {
                    row: &sums,
                    to: &mut total,
                });
            }
            if needs.classifier {
                classifier.narrow(self, &classes, narrow);
            }
        }
        let sums = if parts { total } else { sums };
        let _held = monitor.hold(if TypeId::of::<E>() == TypeId::of::<Compute<E>>() {
            0
        } else {
            size_of_val(&sums[..])
        });
        Gradient {
            hidden: if needs.hidden {
                self.spread(sums)
            } else {
                Vec::new()
            },
            classifier: if live == 0 {
                vec![bytemuck::Zeroable::zeroed(); classifier.len]
            } else {
                classifier.finish()
            },
            bias: narrow_all(bias),
        }
    }

    /// Gradient of the logits of the live rows `range` and of `classes`, into `out`, from the factors of those rows and
    /// classes; their sums over the rows are added to `bias`. Where
    /// factors are rounded, what belongs to a target goes to `exact` instead: of a mean loss it is nearly the same number in
    /// every row, and would be rounded the same way in all.
    pub(super) fn logit_gradient(
        &self,
        range: Range<usize>,
        classes: Range<usize>,
        [hidden, rows]: [Matrix<'_, E::Factor>; 2],
        above: &Above<'_, Compute<E>>,
        out: &mut [E::Factor],
        Beside { exact, bias }: Beside<'_, Compute<E>>,
    ) {
        let isa = Isa::detect();
        let shape = LogitShape::new(self.spec);
        let (tokens, width) = (range.len(), self.width);
        let blocks = tokens.div_ceil(SLOPE_TOKENS);
        let tiles = classes.len().div_ceil(TILE_CLASSES);
        let counted = if bias.is_some() { classes.len() } else { 0 };
        let mut sums = Buffer::zeros(&self.spec.monitor, blocks * counted);
        let sums = sums.sized(blocks * counted);
        let sums_of = RowsMut::new(sums, counted);
        let exact_of = RowsMut::new(exact, 1);
        let out = MatrixMut::rows(out, tokens, classes.len());
        for_each_task(blocks * tiles, |task| {
            let (block, tile) = (task / tiles, task % tiles);
            let block = block * SLOPE_TOKENS..tokens.min((block + 1) * SLOPE_TOKENS);
            let tile = tile * TILE_CLASSES..classes.len().min((tile + 1) * TILE_CLASSES);
            // SAFETY: every task has its own tile, of which one view is in use at a time.
            #[allow(unsafe_code)]
            let place = || unsafe { out.block(block.clone(), tile.clone()) };
            let mut local = Buffer::new(&self.spec.monitor);
            let direct = place().into_same::<Compute<E>>();
            let rounded = direct.is_none();
            let mut logits = direct.unwrap_or_else(|| {
                let data = local.sized(block.len() * tile.len());
                MatrixMut::rows(data, block.len(), tile.len())
            });
            if above.logits.is_none() {
                let a = hidden.block(block.clone(), 0..width);
                let b = rows.block(tile.clone(), 0..width);
                E::multiply(&mut logits, a, b.transposed(), false);
            }
            let mut chain = Vec::new();
            let columns = classes.start + tile.start..classes.start + tile.end;
            for (r, i) in block.clone().enumerate() {
                let at = range.start + i;
                let row = logits.row(r);
                match above.logits {
                    Some(stored) => row.copy_from_slice(&stored.row(at)[columns.clone()]),
                    None => {
                        let bias = self.bias.as_ref().map(|b| &b[columns.clone()]);
                        if bias.is_some() || shape.cap.is_some() || shape.temperature != Real::ONE {
                            isa.run(Finish { row, bias, shape });
                        }
                    }
                }
                let slope = self.row_gradient(isa, at, columns.clone(), row, above, &mut chain);
                if counted > 0 {
                    // SAFETY: every block and tile belongs to one task.
                    #[allow(unsafe_code)]
                    let sums = unsafe { sums_of.piece(task / tiles, tile.clone()) };
                    isa.run(Add { row, to: sums });
                }
                if rounded {
                    if let Some(y) = self.targets[at].filter(|y| columns.contains(y)) {
                        let g = core::mem::replace(&mut row[y - columns.start], Real::ZERO);
                        // SAFETY: the target lies in one tile.
                        #[allow(unsafe_code)]
                        unsafe {
                            exact_of.piece(i, 0..1)[0] = g;
                        }
                    }
                    let key = (self.live[at] as u32).rotate_left(16) ^ columns.start as u32;
                    let large = slope.normaliser.absolute() * Real::from_f64(LARGE);
                    E::round(row, place().row(r), large, key);
                }
            }
        });
        let Some(bias) = bias else { return };
        for (v, bias) in bias.iter_mut().enumerate() {
            let all = (0..blocks)
                .map(|b| sums[b * counted + v].to_f64())
                .sum::<f64>();
            *bias = Real::from_f64(bias.to_f64() + all);
        }
    }

    /// Turns logits of the live row `at` into their gradient, and returns its coefficients.
    fn row_gradient(
        &self,
        isa: Isa,
        at: usize,
        columns: Range<usize>,
        row: &mut [Compute<E>],
        above: &Above<'_, Compute<E>>,
        chain: &mut Vec<Compute<E>>,
    ) -> Slope<Compute<E>> {
        let live = self.live[at];
        let shape = LogitShape::new(self.spec);
        let chained = shape.cap.is_some() || shape.temperature != Real::ONE;
        if chained {
            chain.resize(row.len(), Real::ZERO);
            isa.run(Chain {
                row,
                out: chain,
                shape,
            });
        }
        let (slope, nll, from_nll) = self.slope(live, above);
        isa.run(Differentiate {
            row,
            slope,
            weights: self.weights.map(|u| &u[columns.clone()]),
            dense: self.dense.map(|q| &q.row(live)[columns.clone()]),
        });
        if let Some(y) = self.targets[at].filter(|y| columns.contains(y)) {
            let mut g = slope.at_target(nll, from_nll);
            if let Some(u) = self.weights {
                g = slope.sum.fma(u[y], g);
            }
            if let Some(q) = self.dense {
                g = slope.dense.fma(q.row(live)[y], g);
            }
            row[y - columns.start] = g;
        }
        let picked = &above.cotangent[live * self.spec.columns()..][column::PICKS..];
        for (&pick, &g) in self.picks_of(live).iter().zip(picked) {
            if let Some(v) = pick.filter(|v| columns.contains(v)) {
                let at = &mut row[v - columns.start];
                *at = *at + g;
            }
        }
        if chained {
            isa.run(Scale { row, by: chain });
        }
        slope
    }

    /// The state of a row, see [`state`].
    pub(super) fn state_of<'a>(
        &self,
        live: usize,
        above: &Above<'a, Compute<E>>,
    ) -> &'a [Compute<E>] {
        &above.state[live * state::COLUMNS..][..state::COLUMNS]
    }

    /// Coefficients of a row, its `lse − z_y`, and the gradient by that.
    pub(super) fn slope(
        &self,
        live: usize,
        above: &Above<'_, Compute<E>>,
    ) -> (Slope<Compute<E>>, Compute<E>, Compute<E>) {
        let state = self.state_of(live, above);
        let g = &above.cotangent[live * self.spec.columns()..][..column::PICKS];
        let from_nll = if self.spec.has_targets {
            g[column::NLL]
        } else {
            Real::ZERO
        };
        let slope = Slope {
            max: state[state::MAX],
            log: state[state::LOG],
            entropy: state[state::ENTROPY],
            normaliser: from_nll + g[column::LSE],
            surprise: if self.spec.entropy {
                g[column::ENTROPY]
            } else {
                Real::ZERO
            },
            sum: g[column::SUM],
            dense: g[column::DENSE],
        };
        (slope, state[state::NLL], from_nll)
    }

    /// Gradients of the live rows to their places among all rows, zeros elsewhere.
    pub(super) fn spread(&self, mut sums: Vec<Compute<E>>) -> Vec<E> {
        let width = self.width;
        let same = TypeId::of::<E>() == TypeId::of::<Compute<E>>();
        if !same {
            let mut out = vec![<E as bytemuck::Zeroable>::zeroed(); self.tokens * width];
            let rows = RowsMut::new(&mut out, width);
            for_each_task(self.live.len().div_ceil(64), |task| {
                for i in task * 64..self.live.len().min((task + 1) * 64) {
                    // SAFETY: every row is written by one task.
                    #[allow(unsafe_code)]
                    let row = unsafe { rows.piece(self.live[i], 0..width) };
                    convert_row::<Compute<E>, E>(&sums[i * width..][..width], row);
                }
            });
            return out;
        }
        sums.resize(self.tokens * width, Real::ZERO);
        // A row never moves forwards past one that has not moved yet when the last goes first.
        for (i, &row) in self.live.iter().enumerate().rev() {
            if i != row {
                sums.copy_within(i * width..(i + 1) * width, row * width);
                sums[i * width..(i + 1) * width].fill(Real::ZERO);
            }
        }
        bytemuck::allocation::cast_vec(sums)
    }
}

/// All of `values` rounded to the storage type.
pub(super) fn narrow_all<E: Storage>(values: Vec<Compute<E>>) -> Vec<E> {
    if TypeId::of::<E>() == TypeId::of::<Compute<E>>() {
        return bytemuck::allocation::cast_vec(values);
    }
    let mut out = vec![<E as bytemuck::Zeroable>::zeroed(); values.len()];
    convert_row::<Compute<E>, E>(&values, &mut out);
    out
}
