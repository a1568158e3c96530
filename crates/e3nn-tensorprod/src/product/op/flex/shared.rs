//! Gradients of weights that rows share: summed over blocks, in groups of which every value is read once from the
//! caches, the groups in a few parts that depend on the number of rows alone.

#![allow(
    clippy::needless_range_loop,
    reason = "tiles of registers are walked by their indices"
)]

use super::super::{Slot, Spec};
use super::call::{Block, Call, blocks};
use super::fan::PAIRS;
use super::lanes::{Lanes, fma, load, sum};
use super::path::Work;
use crate::product::{Pair, Path};
use core::ops::Range;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::output;

/// Blocks summed in registers.
const GROUP: usize = 8;
/// Parts that threads may take, per row of weights.
const PARTS: usize = 32;

/// The gradient of the weights, row-major.
pub(super) fn gradient<T: Real + Storage, const L: usize>(call: &Call<'_, T>) -> Vec<T> {
    let isa = Isa::detect();
    summed(call.spec, &blocks(call.spec, L), GROUP, |blocks, sum| {
        isa.run(Part::<T, L> { call, blocks, sum });
    })
}

/// What `add` adds to a row of weights for some blocks that share it, summed over all blocks: the blocks in parts of whole
/// groups of `group`, the parts in a fixed order.
#[allow(unsafe_code)]
pub(super) fn summed<T: Real + Storage>(
    spec: &Spec,
    all: &[Block<'_>],
    group: usize,
    add: impl Fn(&[Block<'_>], &mut [T]) + Send + Sync,
) -> Vec<T> {
    let [height, numel] = spec.shape(Slot::Weight);
    let parts = parts(all, height, group);
    let mut sums = vec![T::ZERO; parts.len() * numel];
    {
        let rows = RowsMut::new(&mut sums, numel);
        for_each_task(parts.len(), |i| {
            // SAFETY: each part has a row of its own.
            let sum = unsafe { rows.piece(i, 0..numel) };
            add(&all[parts[i].clone()], sum);
        });
    }
    let mut out = output::<T>(height * numel);
    out.fill(T::ZERO);
    for (part, sum) in parts.iter().zip(sums.chunks_exact(numel)) {
        let row = all[part.start].weight_row;
        let out = &mut out[row * numel..][..numel];
        for (out, &x) in out.iter_mut().zip(sum) {
            *out = *out + x;
        }
    }
    out
}

/// Runs of blocks with the same weights, each of whole groups but for the last of a row of weights.
fn parts(all: &[Block<'_>], height: usize, group: usize) -> Vec<Range<usize>> {
    // Few parts where there are many rows of weights: each part has sums of its own.
    let most = (PARTS / height.max(1)).max(1);
    let mut parts = Vec::new();
    let mut first = 0;
    while first < all.len() {
        let row = all[first].weight_row;
        let count = all[first..]
            .iter()
            .take_while(|block| block.weight_row == row)
            .count();
        let size = count.div_ceil(group).div_ceil(most) * group;
        let end = first + count;
        parts.extend((first..end).step_by(size).map(|at| at..end.min(at + size)));
        first = end;
    }
    parts
}

struct Part<'a, T, const L: usize> {
    call: &'a Call<'a, T>,
    blocks: &'a [Block<'a>],
    sum: &'a mut [T],
}

impl<T: Real + Storage, const L: usize> Kernel for Part<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { call, blocks, sum } = self;
        let plan = &call.spec.plan;
        let paths = plan.paths();
        let most = |f: fn(&Path) -> usize| paths.iter().map(f).max().unwrap_or(0);
        let zeros = |len: usize| vec![[T::ZERO; L]; len];
        let slots = [Slot::In1, Slot::In2, Slot::Out];
        let widths = slots.map(|slot| call.width(slot));
        let mut lanes = widths.map(|width| zeros(GROUP * width));
        let stride = most(|p| p.mul[1 - p.inner] * p.table().pairs());
        let mut matrices = zeros(GROUP * stride);
        let mut z = zeros(GROUP * PAIRS * most(|p| p.dims()[2]));
        for group in blocks.chunks(GROUP) {
            for ((slot, lanes), width) in slots.into_iter().zip(&mut lanes).zip(widths) {
                for (block, lanes) in group.iter().zip(lanes.chunks_mut(width)) {
                    load(call.operand(slot), width, 0..width, block, lanes);
                }
            }
            for (n, path) in call.spec.paths() {
                let symbols = &call.symbols[n];
                let work = core::array::from_fn::<_, GROUP, _>(|i| {
                    // Blocks that are not there repeat the last one, unused.
                    let i = i.min(group.len() - 1);
                    let at = |s: usize| &lanes[s][i * widths[s] + path.offset[s]..];
                    let (inner, outer) = if path.inner == 0 { (0, 1) } else { (1, 0) };
                    Work::<T, L> {
                        path,
                        symbols,
                        inner: at(inner),
                        outer: at(outer),
                        g: at(2),
                    }
                });
                let work = &work[..group.len()];
                for (work, m) in work.iter().zip(matrices.chunks_mut(stride)) {
                    work.matrices(m);
                }
                let sum = &mut sum[path.weights.clone()];
                if path.fan() == 1 {
                    single(work, &matrices, stride, sum);
                } else {
                    fan(work, &matrices, stride, &mut z, sum);
                }
            }
        }
    }
}

#[inline(always)]
fn single<T: Real, const L: usize>(
    work: &[Work<'_, T, L>],
    matrices: &[Lanes<T, L>],
    stride: usize,
    out: &mut [T],
) {
    for &pair in &work[0].path.meetings {
        let mut acc = [T::ZERO; L];
        for (work, m) in work.iter().zip(matrices.chunks_exact(stride)) {
            acc = work.dot(m, pair, acc);
        }
        let out = &mut out[pair.weight as usize];
        *out = *out + sum(acc);
    }
}

#[inline(always)]
fn fan<T: Real, const L: usize>(
    work: &[Work<'_, T, L>],
    matrices: &[Lanes<T, L>],
    stride: usize,
    z: &mut [Lanes<T, L>],
    out: &mut [T],
) {
    let path = work[0].path;
    let (d3, fan) = (path.dims()[2], path.fan());
    for chunk in path.meetings.chunks(PAIRS) {
        let blocks = work.iter().zip(matrices.chunks_exact(stride));
        for ((work, m), z) in blocks.zip(z.chunks_exact_mut(PAIRS * d3)) {
            work.collect(m, chunk, z);
        }
        let tile = Tile { work, chunk, z, d3 };
        let mut q = 0;
        while q + 4 <= chunk.len() {
            let mut f = 0;
            while f + 4 <= fan {
                tile.dots::<4, 4>(q, f, out);
                f += 4;
            }
            while f < fan {
                tile.dots::<4, 1>(q, f, out);
                f += 1;
            }
            q += 4;
        }
        while q < chunk.len() {
            for f in 0..fan {
                tile.dots::<1, 1>(q, f, out);
            }
            q += 1;
        }
    }
}

/// What tiles of products of pairs and copies of the output are summed from.
struct Tile<'a, T, const L: usize> {
    work: &'a [Work<'a, T, L>],
    chunk: &'a [Pair],
    z: &'a [Lanes<T, L>],
    d3: usize,
}

impl<T: Real, const L: usize> Tile<'_, T, L> {
    /// `Q` pairs by `F` copies of the output: `w_qf += Σ_rows Σ_c Z_qc g_fc`.
    #[inline(always)]
    fn dots<const Q: usize, const F: usize>(&self, q: usize, f: usize, out: &mut [T]) {
        let d3 = self.d3;
        let mut acc = [[[T::ZERO; L]; F]; Q];
        for (work, z) in self.work.iter().zip(self.z.chunks_exact(PAIRS * d3)) {
            let z = &z[q * d3..][..Q * d3];
            let g = &work.g[f * d3..][..F * d3];
            for c in 0..d3 {
                for i in 0..Q {
                    for j in 0..F {
                        fma(&mut acc[i][j], &z[i * d3 + c], &g[j * d3 + c]);
                    }
                }
            }
        }
        for i in 0..Q {
            for j in 0..F {
                let at = self.chunk[q + i].weight as usize + f + j;
                out[at] = out[at] + sum(acc[i][j]);
            }
        }
    }
}
