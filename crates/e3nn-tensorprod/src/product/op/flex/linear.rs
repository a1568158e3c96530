//! Products with the number 1 that mix all copies, as `Linear` has them: a matrix product for every path.
//!
//! Rows are taken in blocks. In a block, the copies `[mul, 2l + 1]` of every irrep are turned to `[2l + 1, mul]`, so that the
//! components of all rows are the rows of one matrix: `out = x W`, and its gradients `g Wᵀ` and `xᵀ g`.

use super::super::Slot;
use super::call::{Block, Call, blocks};
use super::shared::summed;
use crate::gemm::{Matrix, product};
use crate::irreps::Irreps;
use crate::product::{ConnectionMode, WeightRows};
use core::mem::MaybeUninit;
use core::ops::Range;
use core_tensor::cpu::{Real, Storage, for_each_task};
use core_tensor::ext::flex::Output;

/// Values of a block's rows, at most about: what is turned stays in the second-level cache.
const VALUES: usize = 1 << 17;
/// Blocks that threads may take, at least, where rows are enough for a good matrix product.
const BLOCKS: usize = 16;

/// Whether [`partial`] computes a call: rows share their weights, and the second input is the number 1 everywhere.
pub(super) fn suits<T: Real>(call: &Call<'_, T>) -> bool {
    let plan = &call.spec.plan;
    let mixes = plan.irreps_in2().dim() == 1
        && plan.paths().iter().all(|path| {
            path.instruction.mode == ConnectionMode::Uvw && path.instruction.has_weight
        });
    let shared = !matches!(call.spec.rows, WeightRows::PerRow);
    let ones = || call.operand(Slot::In2).iter().all(|&y| y == T::ONE);
    mixes && shared && call.spec.slot != Slot::In2 && ones()
}

/// The partial product for the call's slot, which is not the second input.
pub(super) fn partial<T: Real + Storage<Compute = T>>(call: &Call<'_, T>) -> Vec<T> {
    match call.spec.slot {
        Slot::Out => mixed(call, Slot::In1),
        Slot::In1 => mixed(call, Slot::Out),
        Slot::Weight => weights(call),
        Slot::In2 => unreachable!("not a linear map of what it mixes"),
    }
}

/// The copies of one irrep in a row.
struct Copies {
    range: Range<usize>,
    mul: usize,
    dim: usize,
}

fn copies(irreps: &Irreps) -> Vec<Copies> {
    let all = irreps.slices().into_iter().zip(irreps.iter());
    all.map(|(range, block)| Copies {
        range,
        mul: block.mul,
        dim: block.irrep.dim(),
    })
    .collect()
}

/// A path as a matrix.
struct Mix {
    /// Which blocks of the first input and of the output it joins.
    input: usize,
    output: usize,
    weights: Range<usize>,
    scale: f64,
}

fn mixes<T: Real>(call: &Call<'_, T>) -> Vec<Mix> {
    let paths = call.spec.paths();
    paths
        .map(|(_, path)| Mix {
            input: path.instruction.in1,
            output: path.instruction.out,
            weights: path.weights.clone(),
            // The symbols of l x 0 -> l: the same number on the diagonal.
            scale: path.table().values[0],
        })
        .collect()
}

/// Rows to a block, by the sizes of the operands alone.
fn height<T: Real>(call: &Call<'_, T>) -> usize {
    let widest = call.width(Slot::In1).max(call.width(Slot::Out));
    let shared = call.spec.batch.div_ceil(BLOCKS).clamp(32, 256);
    shared.min(VALUES / widest).max(16)
}

/// `x W` from the first input, or `g Wᵀ` from the output.
#[allow(unsafe_code)]
fn mixed<T: Real + Storage<Compute = T>>(call: &Call<'_, T>, from: Slot) -> Vec<T> {
    let (plan, to) = (&call.spec.plan, call.spec.slot);
    let irreps = |slot| {
        if slot == Slot::In1 {
            plan.irreps_in1()
        } else {
            plan.irreps_out()
        }
    };
    let (sources, targets) = (copies(irreps(from)), copies(irreps(to)));
    let (mixes, numel) = (mixes(call), plan.weight_numel());
    let all = blocks(call.spec, height(call));
    let mut output = Output::<T>::new(call.spec.batch * call.width(to));
    let rows = output.rows(call.width(to));
    for_each_task(all.len(), |i| {
        let block = &all[i];
        let source = turned(call, from, &sources, block);
        let w = &call.operand(Slot::Weight)[block.weight_row * numel..][..numel];
        let mut result = Vec::new();
        for (n, target) in targets.iter().enumerate() {
            let ends = |mix: &Mix| match to {
                Slot::Out => (mix.input, mix.output),
                _ => (mix.output, mix.input),
            };
            let height = block.len() * target.dim;
            result.clear();
            result.resize(height * target.mul, T::ZERO);
            let mut begun = false;
            for mix in mixes.iter().filter(|mix| ends(mix).1 == n) {
                let source_of = &sources[ends(mix).0];
                let start = block.len() * source_of.range.start;
                let x = Matrix::rows(&source[start..], source_of.mul);
                let w = &w[mix.weights.clone()];
                let w = match to {
                    Slot::Out => Matrix::rows(w, target.mul),
                    _ => Matrix::rows(w, source_of.mul).transposed(),
                };
                let sizes = [height, target.mul, source_of.mul];
                product(sizes, &mut result, x, w, T::from_f64(mix.scale), begun);
                begun = true;
            }
            for (r, values) in result.chunks_exact(target.range.len().max(1)).enumerate() {
                // SAFETY: every row is in one block, and blocks of irreps do not overlap.
                let row = unsafe { rows.piece(block.row(r), target.range.clone()) };
                turn_back(values, target, row);
            }
        }
    });
    // SAFETY: every row is in a block, and its irreps are all of it.
    unsafe { output.finish() }
}

/// `xᵀ g`, summed over the rows that share weights.
fn weights<T: Real + Storage<Compute = T>>(call: &Call<'_, T>) -> Vec<T> {
    let plan = &call.spec.plan;
    let (inputs, outputs) = (copies(plan.irreps_in1()), copies(plan.irreps_out()));
    let mixes = mixes(call);
    summed(
        call.spec,
        &blocks(call.spec, height(call)),
        1,
        |blocks, sum| {
            for block in blocks {
                let x = turned(call, Slot::In1, &inputs, block);
                let g = turned(call, Slot::Out, &outputs, block);
                for mix in &mixes {
                    let (input, output) = (&inputs[mix.input], &outputs[mix.output]);
                    let at = |values, copies: &Copies| -> Matrix<'_, T> {
                        let values: &[T] = values;
                        Matrix::rows(&values[block.len() * copies.range.start..], copies.mul)
                    };
                    let sizes = [input.mul, output.mul, block.len() * input.dim];
                    let (x, g) = (at(&x, input).transposed(), at(&g, output));
                    let sum = &mut sum[mix.weights.clone()];
                    product(sizes, sum, x, g, T::from_f64(mix.scale), true);
                }
            }
        },
    )
}

/// The rows of a block with the copies of every irrep turned to `[dim, mul]`: those of the first irrep for all rows,
/// then those of the next.
fn turned<T: Real>(call: &Call<'_, T>, slot: Slot, all: &[Copies], block: &Block<'_>) -> Vec<T> {
    let (width, operand) = (call.width(slot), call.operand(slot));
    let mut out = vec![T::ZERO; block.len() * width];
    for copies in all.iter().filter(|copies| !copies.range.is_empty()) {
        let part = &mut out[block.len() * copies.range.start..];
        let size = copies.range.len();
        for (r, to) in part.chunks_exact_mut(size).take(block.len()).enumerate() {
            let row = &operand[block.row(r) * width..][copies.range.clone()];
            match copies.dim {
                1 => to.copy_from_slice(row),
                3 => split::<T, 3>(row, to),
                5 => split::<T, 5>(row, to),
                7 => split::<T, 7>(row, to),
                dim => {
                    for (c, to) in to.chunks_exact_mut(copies.mul).enumerate() {
                        for (to, copy) in to.iter_mut().zip(row.chunks_exact(dim)) {
                            *to = copy[c];
                        }
                    }
                }
            }
        }
    }
    out
}

/// `[mul, D]` to `[D, mul]`.
fn split<T: Copy, const D: usize>(row: &[T], to: &mut [T]) {
    let (copies, _) = row.as_chunks::<D>();
    for (c, to) in to.chunks_exact_mut(copies.len()).enumerate() {
        for (to, copy) in to.iter_mut().zip(copies) {
            *to = copy[c];
        }
    }
}

/// `[dim, mul]` back to `[mul, dim]`.
fn turn_back<T: Real>(values: &[T], copies: &Copies, row: &mut [MaybeUninit<T>]) {
    match copies.dim {
        1 => {
            row.write_copy_of_slice(values);
        }
        3 => join::<T, 3>(values, row),
        5 => join::<T, 5>(values, row),
        7 => join::<T, 7>(values, row),
        dim => {
            for (c, values) in values.chunks_exact(copies.mul).enumerate() {
                for (copy, &value) in row.chunks_exact_mut(dim).zip(values) {
                    copy[c].write(value);
                }
            }
        }
    }
}

/// `[D, mul]` to `[mul, D]`.
fn join<T: Copy, const D: usize>(values: &[T], row: &mut [MaybeUninit<T>]) {
    let (copies, _) = row.as_chunks_mut::<D>();
    let mul = copies.len();
    for (u, copy) in copies.iter_mut().enumerate() {
        for (c, to) in copy.iter_mut().enumerate() {
            to.write(values[c * mul + u]);
        }
    }
}
