//! Features into frames and back, and the gradient of the Wigner matrices.

use super::super::rotate::{Block, blocks};
use super::super::{Slot, wigner_offset};
use super::transpose::{to_components, to_copies};
use super::{L, TASK, dot, fma, load};
use crate::so2::FrameLayout;
use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::Output;

pub(super) fn run<T: Real + Storage>(
    layout: &FrameLayout,
    lmax: usize,
    slot: Slot,
    edges: usize,
    slices: [&[T]; 2],
) -> Vec<T> {
    let widths = [layout.irreps().dim(), wigner_offset(lmax + 1), layout.dim()];
    let width = widths[slot as usize];
    let operand_widths = slot.others().map(|other| widths[other as usize]);
    let blocks = blocks(layout);
    let mut out = Output::<T>::new(edges * width);
    let rows = out.rows(width);
    let isa = Isa::detect();
    for_each_task(edges.div_ceil(TASK), |task| {
        isa.run(Edges {
            first: task * TASK,
            last: edges.min((task + 1) * TASK),
            slot,
            slices,
            widths: operand_widths,
            width,
            blocks: &blocks,
            rows: &rows,
        });
    });
    // SAFETY: the tasks cover all edges, and each writes the rows of its edges in full.
    #[allow(unsafe_code)]
    unsafe {
        out.finish()
    }
}

struct Edges<'a, T> {
    first: usize,
    last: usize,
    slot: Slot,
    slices: [&'a [T]; 2],
    widths: [usize; 2],
    width: usize,
    blocks: &'a [Block],
    rows: &'a RowsMut<'a, MaybeUninit<T>>,
}

impl<T: Real> Kernel for Edges<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let values =
            |block: &Block| (block.stride().max(2 * L) * (2 * block.l + 1)).max(block.mul * L);
        let largest = self.blocks.iter().map(values).max().unwrap_or(0);
        let mut scratch = vec![T::ZERO; largest];
        let mut sums = vec![
            T::ZERO;
            if self.slot == Slot::Factor {
                self.width
            } else {
                0
            }
        ];
        for edge in self.first..self.last {
            let row = |i: usize| &self.slices[i][edge * self.widths[i]..][..self.widths[i]];
            let [a, b] = [row(0), row(1)];
            // SAFETY: no other task has this edge.
            #[allow(unsafe_code)]
            let out = unsafe { self.rows.piece(edge, 0..self.width) };
            match self.slot {
                Slot::Output => {
                    for block in self.blocks {
                        block.rotate(a, b, &mut scratch, out);
                    }
                }
                Slot::Input => {
                    for block in self.blocks {
                        block.rotate_back(a, b, &mut scratch, out);
                    }
                }
                Slot::Factor => {
                    sums.fill(T::ZERO);
                    for block in self.blocks {
                        block.outer(a, b, &mut scratch, &mut sums);
                    }
                    out.write_copy_of_slice(&sums);
                }
            }
        }
    }
}

impl Block {
    /// Components one after the other, each the copies side by side, [`stride`](Self::stride) apart.
    #[inline(always)]
    fn gather<T: Real>(&self, x: &[T], scratch: &mut [T]) {
        let n = 2 * self.l + 1;
        let x = &x[self.first..][..self.mul * n];
        let stride = self.stride();
        if self.copy == 1 {
            for (from, to) in x
                .chunks_exact(self.mul)
                .zip(scratch.chunks_exact_mut(stride))
            {
                to[..self.mul].copy_from_slice(from);
            }
            return;
        }
        to_components(x, n, scratch, stride);
    }

    /// Copies in whole lanes.
    #[inline(always)]
    fn stride(&self) -> usize {
        self.mul.next_multiple_of(L)
    }

    /// The matrix of the block's degree.
    #[inline(always)]
    fn matrix<'a, T>(&self, d: &'a [T]) -> &'a [T] {
        &d[wigner_offset(self.l)..wigner_offset(self.l + 1)]
    }

    /// `y_m' = Σ_m D_m'm x_m`.
    #[inline(always)]
    fn rotate<T: Real>(&self, x: &[T], d: &[T], scratch: &mut [T], out: &mut [MaybeUninit<T>]) {
        let n = 2 * self.l + 1;
        let d = &self.matrix(d)[self.skipped() * n..];
        self.gather(x, scratch);
        let whole = self.stride() / L;
        let x = scratch.as_chunks::<L>().0;
        for i in 0..whole {
            let u = i * L;
            let count = L.min(self.mul - u);
            for (d, &column) in d.chunks_exact(n).zip(&self.columns) {
                let mut acc = [T::ZERO; L];
                for (m, &d) in d.iter().enumerate() {
                    fma(&mut acc, d, &x[m * whole + i]);
                }
                write(&mut out[column + u..][..count], &acc);
            }
        }
    }

    /// `x_m = Σ_m' D_m'm y_m'`.
    #[inline(always)]
    fn rotate_back<T: Real>(
        &self,
        d: &[T],
        y: &[T],
        scratch: &mut [T],
        out: &mut [MaybeUninit<T>],
    ) {
        let n = 2 * self.l + 1;
        let d = &self.matrix(d)[self.skipped() * n..];
        let (frame, global) = scratch.split_at_mut(n * L);
        let mut u = 0;
        while u < self.mul {
            let count = L.min(self.mul - u);
            for (lanes, &column) in frame.as_chunks_mut::<L>().0.iter_mut().zip(&self.columns) {
                *lanes = load(&y[column + u..][..count]);
            }
            let frame = &frame.as_chunks::<L>().0[..self.columns.len()];
            for (m, global) in global.as_chunks_mut::<L>().0.iter_mut().take(n).enumerate() {
                let mut acc = [T::ZERO; L];
                for (k, y) in frame.iter().enumerate() {
                    fma(&mut acc, d[k * n + m], y);
                }
                *global = acc;
            }
            if self.copy == 1 {
                for (m, lanes) in global.as_chunks::<L>().0.iter().take(n).enumerate() {
                    let first = self.first + m * self.component + u;
                    write(&mut out[first..][..count], lanes);
                }
            } else {
                let out = &mut out[self.first + u * n..][..count * n];
                to_copies(global, L, n, out);
            }
            u += count;
        }
    }

    /// `D_m'm += Σ_u y_m'u x_mu`, by sums over copies in lanes, or with components in lanes, copy after copy: whichever takes
    /// fewer steps.
    #[inline(always)]
    fn outer<T: Real>(&self, x: &[T], y: &[T], scratch: &mut [T], sums: &mut [T]) {
        let n = 2 * self.l + 1;
        let first = wigner_offset(self.l) + self.skipped() * n;
        let sums = &mut sums[first..][..self.columns.len() * n];
        // A sum over lanes takes as long as about 15 multiplications of lanes.
        let [by_copies, by_components] = [n * (self.mul / 16 + 15), 2 * self.mul];
        if self.mul > 1 && self.copy != 1 && n <= L && by_components < by_copies {
            self.outer_by_components(x, y, scratch, sums);
            return;
        }
        self.gather(x, scratch);
        let stride = self.stride();
        for (sums, &column) in sums.chunks_exact_mut(n).zip(&self.columns) {
            let y = &y[column..][..self.mul];
            for (m, out) in sums.iter_mut().enumerate() {
                let x = &scratch[m * stride..][..self.mul];
                *out = *out + dot(x, y);
            }
        }
    }

    #[inline(always)]
    fn outer_by_components<T: Real>(&self, x: &[T], y: &[T], scratch: &mut [T], sums: &mut [T]) {
        let n = 2 * self.l + 1;
        let x = x[self.first..][..self.mul * n].chunks_exact(n);
        let copies = &mut scratch.as_chunks_mut::<L>().0[..self.mul];
        for (lanes, copy) in copies.iter_mut().zip(x) {
            for (to, &from) in lanes.iter_mut().zip(copy) {
                *to = from;
            }
        }
        for (sums, &column) in sums.chunks_exact_mut(n).zip(&self.columns) {
            let y = &y[column..][..self.mul];
            let mut acc = [T::ZERO; L];
            for (copy, &y) in copies.iter().zip(y) {
                fma(&mut acc, y, copy);
            }
            for (out, &sum) in sums.iter_mut().zip(&acc) {
                *out = *out + sum;
            }
        }
    }
}

/// The first lanes, as many as there is room for.
#[inline(always)]
fn write<T: Real>(out: &mut [MaybeUninit<T>], lanes: &[T; L]) {
    if let Some(out) = out.first_chunk_mut::<L>() {
        out.write_copy_of_slice(lanes);
        return;
    }
    for (out, &value) in out.iter_mut().zip(lanes) {
        out.write(value);
    }
}
