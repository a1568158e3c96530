//! Partial products whose result belongs to rows of the batch: everything but gradients of shared weights.

use super::super::Slot;
use super::call::{Block, Call, blocks};
use super::fan::{Back, PAIRS};
use super::lanes::{Lanes, Own, Same, Unit, Weights, load, store};
use super::path::Work;
use crate::product::{Path, WeightRows};
use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task, threads};
use core_tensor::ext::flex::Output;

/// The partial product of `call`, row-major.
#[allow(unsafe_code)]
pub(super) fn partial<T: Real + Storage, const L: usize>(call: &Call<'_, T>) -> Vec<T> {
    let [height, width] = call.spec.shape(call.spec.slot);
    let mut output = Output::<T>::new(height * width);
    let all = blocks(call.spec, L);
    // Scratch memory is made once per task.
    let group = (all.len() / (4 * threads())).clamp(1, 32);
    let isa = Isa::detect();
    {
        let rows = output.rows(width);
        for_each_task(all.len().div_ceil(group), |task| {
            let first = task * group;
            let blocks = &all[first..all.len().min(first + group)];
            isa.run(Blocks::<T, L> {
                call,
                blocks,
                output: &rows,
            });
        });
    }
    // SAFETY: every row is in one block, and each block writes its rows whole.
    unsafe { output.finish() }
}

struct Blocks<'a, T, const L: usize> {
    call: &'a Call<'a, T>,
    blocks: &'a [Block<'a>],
    output: &'a RowsMut<'a, MaybeUninit<T>>,
}

/// What a block is computed in.
struct Scratch<T, const L: usize> {
    /// The operands that belong to rows, in the order of [`Slot::ALL`]; for the slot to compute, its sum.
    lanes: [Vec<Lanes<T, L>>; 4],
    /// `M`, or `B` for the outer operand.
    matrices: Vec<Lanes<T, L>>,
    /// `Z` or `h` of pairs.
    pairs: Vec<Lanes<T, L>>,
}

impl<T: Real + Storage, const L: usize> Kernel for Blocks<'_, T, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let plan = &self.call.spec.plan;
        let most = |f: fn(&Path) -> usize| plan.paths().iter().map(f).max().unwrap_or(0);
        let zeros = |len: usize| vec![[T::ZERO; L]; len];
        let mut scratch = Scratch {
            lanes: Slot::ALL.map(|slot| {
                zeros(match slot {
                    Slot::Weight => most(|path| path.weights.len()),
                    _ => self.call.width(slot),
                })
            }),
            matrices: zeros(most(|p| p.mul[1 - p.inner] * p.table().pairs())),
            pairs: zeros(PAIRS * most(|p| p.dims()[2])),
        };
        for block in self.blocks {
            self.block(block, &mut scratch);
        }
    }
}

impl<T: Real + Storage, const L: usize> Blocks<'_, T, L> {
    #[allow(unsafe_code)]
    #[inline(always)]
    fn block(&self, block: &Block<'_>, scratch: &mut Scratch<T, L>) {
        let call = self.call;
        let wanted = call.spec.slot;
        for slot in [Slot::In1, Slot::In2, Slot::Out] {
            let lanes = &mut scratch.lanes[slot as usize];
            if slot == wanted {
                lanes.fill([T::ZERO; L]);
            } else {
                let width = call.width(slot);
                load(call.operand(slot), width, 0..width, block, lanes);
            }
        }
        for (n, path) in call.spec.paths() {
            self.path(path, &call.symbols[n], block, scratch);
        }
        if wanted != Slot::Weight {
            let width = call.width(wanted);
            // SAFETY: each row is in one block.
            unsafe {
                store(
                    &scratch.lanes[wanted as usize],
                    self.output,
                    0..width,
                    block,
                );
            }
        }
    }

    #[allow(unsafe_code)]
    #[inline(always)]
    fn path(&self, path: &Path, symbols: &[T], block: &Block<'_>, scratch: &mut Scratch<T, L>) {
        let call = self.call;
        let numel = call.width(Slot::Weight);
        let role = Role::of(call.spec.slot, path);
        if !path.instruction.has_weight {
            product(path, symbols, role, Unit, scratch);
        } else if role == Role::Weight {
            weight(path, symbols, scratch);
            let w = &scratch.lanes[Slot::Weight as usize][..path.weights.len()];
            // SAFETY: each row is in one block, and paths have weights of their own.
            unsafe { store(w, self.output, path.weights.clone(), block) };
        } else if matches!(call.spec.rows, WeightRows::PerRow) {
            let mut own = core::mem::take(&mut scratch.lanes[Slot::Weight as usize]);
            load(
                call.operand(Slot::Weight),
                numel,
                path.weights.clone(),
                block,
                &mut own,
            );
            product(path, symbols, role, Own(&own), scratch);
            scratch.lanes[Slot::Weight as usize] = own;
        } else {
            let row = &call.operand(Slot::Weight)[block.weight_row * numel..][..numel];
            let same = Same(&row[path.weights.clone()]);
            product(path, symbols, role, same, scratch);
        }
    }
}

/// What a path computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Out,
    Weight,
    Inner,
    Outer,
}

impl Role {
    #[inline(always)]
    fn of(slot: Slot, path: &Path) -> Self {
        match slot {
            Slot::Out => Self::Out,
            Slot::Weight => Self::Weight,
            Slot::In1 if path.inner == 0 => Self::Inner,
            Slot::In2 if path.inner == 1 => Self::Inner,
            Slot::In1 | Slot::In2 => Self::Outer,
        }
    }
}

/// Adds a path's share to what is wanted, other than weights.
#[inline(always)]
fn product<T: Real, W: Weights<T, L>, const L: usize>(
    path: &Path,
    symbols: &[T],
    role: Role,
    w: W,
    scratch: &mut Scratch<T, L>,
) {
    let Scratch {
        lanes: [x, y, _, g],
        matrices,
        pairs,
    } = scratch;
    let (x, y) = (&mut x[path.offset[0]..], &mut y[path.offset[1]..]);
    let g = &mut g[path.offset[2]..];
    let (inner, outer) = if path.inner == 0 { (x, y) } else { (y, x) };
    let work = |inner, outer, g| Work::<T, L> {
        path,
        symbols,
        inner,
        outer,
        g,
    };
    // Paths without weights feed one copy: theirs are not compiled for more.
    let single = !W::WEIGHTED || path.fan() == 1;
    match role {
        Role::Out => {
            let work = work(inner, outer, &[]);
            work.matrices(matrices);
            if single {
                work.single_out(matrices, w, g);
            } else {
                work.fan_out(matrices, w, pairs, g);
            }
        }
        Role::Inner => {
            let work = work(&[], outer, g);
            work.matrices(matrices);
            if single {
                work.single_inner(matrices, w, pairs, inner);
            } else {
                let m = &matrices[..];
                work.fan_back(w, pairs, Back::Inner { m, inner });
            }
        }
        Role::Outer => {
            let work = work(inner, &[], g);
            matrices[..work.outer_copies() * work.stride()].fill([T::ZERO; L]);
            if single {
                work.single_outer(w, pairs, matrices);
            } else {
                work.fan_back(w, pairs, Back::Outer(matrices));
            }
            work.back_to_outer(matrices, outer);
        }
        Role::Weight => unreachable!("weights have a function of their own"),
    }
}

/// The gradient of a path's weights, for each row.
#[inline(always)]
fn weight<T: Real, const L: usize>(path: &Path, symbols: &[T], scratch: &mut Scratch<T, L>) {
    let Scratch {
        lanes: [x, y, w, g],
        matrices,
        pairs,
    } = scratch;
    let (x, y) = (&x[path.offset[0]..], &y[path.offset[1]..]);
    let (inner, outer) = if path.inner == 0 { (x, y) } else { (y, x) };
    let work = Work::<T, L> {
        path,
        symbols,
        inner,
        outer,
        g: &g[path.offset[2]..],
    };
    work.matrices(matrices);
    if path.fan() == 1 {
        work.single_weight(matrices, w);
    } else {
        work.fan_weight(matrices, pairs, w);
    }
}
