//! A product with harmonics, in the frame of the edge: [`Aligned`].

use super::error::EdgeProductError;
use super::layout::FrameLayout;
use super::op::{Contact, Entry, Form, Mix, PathForm, PathTerm, Slot, Spread, trilinear};
use crate::irreps::Irreps;
use crate::product::{ConnectionMode, Path, ProductPlan};
use crate::sh::Normalization;
use crate::tensor::Layout;
use burn::tensor::{Int, Tensor, TensorData};
use core::ops::Range;
use core_tensor::dual::Dual;
use core_tensor::ext::zeros;
use std::sync::Arc;

/// A product of features with the harmonics of the edge, compiled for the frame in which the edge lies along `y`.
///
/// There `Y_l,m = 0` but for `m = 0`, and of the 3j symbols only `C(l₁ m, l₂ 0, l₃ ±m)` are left: `m` goes to `m` if
/// `l₁ + l₂ + l₃` is even, with a factor that is even in `m`, and to `−m` if it is odd, with one that is odd in `m`.
#[derive(Debug, Clone)]
pub(super) struct Aligned {
    pub(super) inputs: FrameLayout,
    pub(super) outputs: FrameLayout,
    /// With weights shared by all edges: paths that mix copies, summed over the degrees of the harmonics.
    pub(super) mix: Option<(Arc<Mix>, Arc<Spread>)>,
    /// Paths that do not, with the places of their weights in a row.
    pub(super) single: Option<(Arc<PathForm>, Vec<usize>)>,
    /// All paths, with weights of every edge.
    pub(super) per_edge: Arc<PathForm>,
}

/// What a path does in the frame.
struct Step<'a> {
    path: &'a Path,
    /// Whether `m` goes to `−m`.
    odd: bool,
    /// The factors of `m = 0, 1, …`: of `m → m`, or of `m → −m` (that of `−m → m` is its opposite).
    values: Vec<f64>,
}

impl<'a> Step<'a> {
    fn new(path: &'a Path, normalization: Normalization) -> Self {
        let [l1, l2, l3] = path.l;
        let [_, d2, d3] = path.dims();
        let odd = (l1 + l2 + l3) % 2 == 1;
        let symbols = path.symbols();
        // The only harmonic that is not 0: √(2l + 1) in component normalisation.
        let harmonic = (d2 as f64).sqrt() * normalization.scale(l2);
        let value = |m: usize| {
            let to = if odd { l3 - m } else { l3 + m };
            harmonic * symbols[((l1 + m) * d2 + l2) * d3 + to]
        };
        Self {
            path,
            odd,
            values: (0..=l1.min(l3)).map(value).collect(),
        }
    }

    /// Components that feed each other up to an order, with their factors: (from, to, factor).
    fn contacts(&self, mmax: usize) -> Vec<(isize, isize, f64)> {
        let mut list = Vec::new();
        for (m, &value) in self.values.iter().enumerate().take(mmax + 1) {
            let order = m as isize;
            match (m, self.odd) {
                (0, true) => {}
                (0, false) => list.push((0, 0, value)),
                (_, true) => list.extend([(order, -order, value), (-order, order, -value)]),
                (_, false) => list.extend([(order, order, value), (-order, -order, value)]),
            }
        }
        list
    }

    fn mixes(&self) -> bool {
        self.path.instruction.mode == ConnectionMode::Uvw
    }
}

impl Aligned {
    /// Compiles a product whose second input is harmonics, each of multiplicity 1.
    pub(super) fn new(
        plan: &ProductPlan,
        normalization: Normalization,
        mmax: Option<usize>,
    ) -> Result<Self, EdgeProductError> {
        for (instruction, path) in plan.paths().iter().enumerate() {
            let mode = path.instruction.mode;
            let weighted = path.instruction.has_weight;
            let known = match mode {
                ConnectionMode::Uvw => weighted,
                ConnectionMode::Uvu => true,
                _ => false,
            };
            if !known {
                return Err(EdgeProductError::Mode {
                    instruction,
                    mode,
                    weighted,
                });
            }
        }
        let key = coupled(plan);
        let layout = |irreps: &Irreps| {
            let mut sequence: Vec<usize> = (0..irreps.len()).collect();
            sequence.sort_by_key(|&i| key(irreps, i));
            FrameLayout::in_sequence(irreps, mmax, sequence, Layout::MulIr)
        };
        let (inputs, outputs) = (layout(plan.irreps_in1()), layout(plan.irreps_out()));
        let steps: Vec<Step<'_>> = plan
            .paths()
            .iter()
            .filter(|path| path.mul.iter().all(|&mul| mul > 0))
            .map(|path| Step::new(path, normalization))
            .collect();
        let (mixing, single): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.mixes());
        let runs = [
            runs(&inputs, |i| key(inputs.irreps(), i)),
            runs(&outputs, |i| key(outputs.irreps(), i)),
        ];
        let mix = matrices(&inputs, &outputs, plan.weight_numel(), &runs, &mixing);
        let places: Vec<usize> = single
            .iter()
            .flat_map(|step| step.path.weights.clone())
            .collect();
        let mut next = 0;
        let own = single.iter().map(|step| {
            let first = next;
            next += step.path.weights.len();
            (*step, first..next)
        });
        let own = form(&inputs, &outputs, own, places.len());
        let all = steps.iter().map(|step| (step, step.path.weights.clone()));
        let per_edge = form(&inputs, &outputs, all, plan.weight_numel());
        Ok(Self {
            mix: (mix.0.numel > 0).then(|| (Arc::new(mix.0), Arc::new(mix.1))),
            single: (!own.terms.is_empty()).then_some((own, places)),
            per_edge,
            inputs,
            outputs,
        })
    }

    /// The product of features in frames, `[edges, inputs.dim()]`, with weights `[1 or edges, weight_numel]`:
    /// `[edges, outputs.dim()]`.
    pub(super) fn apply(&self, x: &Dual<2>, w: Option<&Dual<2>>, shared: bool) -> Dual<2> {
        let [edges, _] = x.dims();
        if !shared {
            return paths(&self.per_edge, x, w.cloned(), edges);
        }
        let mixed = self.mix.as_ref().zip(w).map(|((mix, spread), w)| {
            let one = Tensor::<2>::ones([1, 1], (&x.device(), x.dtype()));
            let spread = Form::Spread(spread.clone());
            let matrices = w
                .clone()
                .linear(|w| trilinear(&spread, Slot::Output, [one.clone(), w]));
            let mix = Form::Mix(mix.clone());
            x.clone()
                .bilinear(matrices, |x, w| trilinear(&mix, Slot::Output, [x, w]))
        });
        let single = self.single.as_ref().map(|(form, places)| {
            let w = w.filter(|_| !places.is_empty()).map(|w| {
                let list: Vec<i64> = places.iter().map(|&i| i as i64).collect();
                let list = TensorData::new(list, [places.len()]);
                let list = Tensor::<1, Int>::from_data(list, &x.device());
                w.clone().select(1, list).repeat_dim(0, edges)
            });
            paths(form, x, w, edges)
        });
        match (mixed, single) {
            (Some(a), Some(b)) => a + b,
            (Some(out), None) | (None, Some(out)) => out,
            (None, None) => {
                Dual::constant(zeros([edges, self.outputs.dim()], &x.device(), x.dtype()))
            }
        }
    }
}

fn paths(form: &Arc<PathForm>, x: &Dual<2>, w: Option<Dual<2>>, edges: usize) -> Dual<2> {
    // Paths without weights do not look at the stand-in.
    let w = w
        .filter(|w| w.dims()[1] > 0)
        .unwrap_or_else(|| Dual::constant(zeros([edges, form.numel], &x.device(), x.dtype())));
    let whole = Form::Paths(form.clone());
    let value = trilinear(&whole, Slot::Output, [x.value.clone(), w.value.clone()]);
    let by_x = x
        .tangent
        .clone()
        .map(|dx| trilinear(&whole, Slot::Output, [dx, w.value.clone()]));
    // The product is affine in the weights where paths have none.
    let weighted = Form::Paths(form.weighted().clone());
    let by_w = w
        .tangent
        .map(|dw| trilinear(&weighted, Slot::Output, [x.value.clone(), dw]));
    Dual {
        value,
        tangent: core_tensor::dual::sum(by_x, by_w),
    }
}

/// Blocks of two kinds such that every pair of blocks is coupled by even paths only, or by odd ones only, if harmonics are
/// of a vector; of a pseudovector, such that blocks of different kinds are not coupled. Gives the kind of a block.
fn coupled(plan: &ProductPlan) -> impl Fn(&Irreps, usize) -> bool + use<> {
    let natural = plan.irreps_in2().iter().all(|b| b.irrep.is_natural());
    move |irreps: &Irreps, i: usize| {
        let irrep = irreps[i].irrep;
        if natural {
            !irrep.is_natural()
        } else {
            irrep.parity().sign() < 0
        }
    }
}

/// The blocks of each kind, in the sequence of the layout.
fn runs(layout: &FrameLayout, kind: impl Fn(usize) -> bool) -> [Vec<usize>; 2] {
    let of = |wanted: bool| {
        let blocks = layout.sequence().iter().copied();
        blocks.filter(|&i| kind(i) == wanted).collect()
    };
    [of(false), of(true)]
}

/// The columns of some blocks that lie side by side, of order `m`.
fn span(layout: &FrameLayout, blocks: &[usize], m: isize) -> Range<usize> {
    let mut all = blocks.iter().filter_map(|&i| layout.block(i, m));
    let Some(first) = all.next() else { return 0..0 };
    let end = all.next_back().map_or(first.end, |last| last.end);
    first.start..end
}

/// Matrices of all orders, and how they follow from the weights.
fn matrices(
    inputs: &FrameLayout,
    outputs: &FrameLayout,
    numel: usize,
    [from, to]: &[[Vec<usize>; 2]; 2],
    steps: &[&Step<'_>],
) -> (Mix, Spread) {
    let mut mix = Mix::new(inputs, outputs);
    let mut spread = Spread::new(numel);
    for m in 0..=inputs.mmax().min(outputs.mmax()) {
        let order = m as isize;
        for (from, to, odd) in from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (from, to)))
            .flat_map(|(from, to)| [(from, to, false), (from, to, true)])
        {
            let [rows, columns] = [span(inputs, from, order), span(outputs, to, order)];
            let (first, stride) = (mix.numel, columns.len());
            let before = spread.entries.len();
            for step in steps {
                let path = &step.path.instruction;
                let here = step.odd == odd && from.contains(&path.in1) && to.contains(&path.out);
                let value = step.values.get(m).copied().unwrap_or(0.0);
                if !here || value == 0.0 || (odd && m == 0) {
                    continue;
                }
                let [row, column] = [
                    inputs.block(path.in1, order),
                    outputs.block(path.out, order),
                ];
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                spread.entries.push(Entry {
                    weight: step.path.weights.start,
                    rows: row.len(),
                    columns: column.len(),
                    out: first + (row.start - rows.start) * stride + column.start - columns.start,
                    stride,
                    value,
                });
            }
            if spread.entries.len() == before {
                continue;
            }
            mix.numel += rows.len() * stride;
            let matrix = (first, stride);
            let opposite = || (span(inputs, from, -order), span(outputs, to, -order));
            match (m, odd) {
                (0, _) => mix.push(rows, columns, matrix, false),
                (_, false) => {
                    let (other_rows, other_columns) = opposite();
                    mix.push(rows, columns, matrix, false);
                    mix.push(other_rows, other_columns, matrix, false);
                }
                (_, true) => {
                    let (other_rows, other_columns) = opposite();
                    mix.push(rows, other_columns, matrix, false);
                    mix.push(other_rows, columns, matrix, true);
                }
            }
        }
    }
    spread.outputs = mix.numel;
    (mix, spread)
}

/// Steps with the places of their weights, as paths of a form.
fn form<'a>(
    inputs: &FrameLayout,
    outputs: &FrameLayout,
    steps: impl Iterator<Item = (&'a Step<'a>, Range<usize>)>,
    numel: usize,
) -> Arc<PathForm> {
    let mmax = inputs.mmax().min(outputs.mmax());
    let terms = steps.map(|(step, weights)| {
        let ins = &step.path.instruction;
        let first = |layout: &FrameLayout, block: usize, m: isize| {
            let columns = layout.block(block, m).expect("an order that both have");
            columns.start
        };
        let contacts = step.contacts(mmax).into_iter();
        let contacts = contacts.filter(|(_, _, value)| *value != 0.0);
        PathTerm {
            mixes: step.mixes(),
            mul: [step.path.mul[0], step.path.mul[2]],
            weights: ins.has_weight.then_some(weights),
            contacts: contacts
                .map(|(from, to, value)| Contact {
                    input: first(inputs, ins.in1, from),
                    output: first(outputs, ins.out, to),
                    value,
                })
                .collect(),
        }
    });
    let terms = terms.filter(|term| !term.contacts.is_empty());
    // A stand-in where no path has weights.
    let widths = [inputs.dim(), numel.max(1), outputs.dim()];
    PathForm::new(widths, terms.collect())
}
