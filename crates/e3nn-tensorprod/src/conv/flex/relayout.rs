//! Rows turned from one order of components to the other.

use crate::Layout;
use crate::irreps::Irreps;
use core_tensor::cpu::Storage;
use core_tensor::cpu::{Real, RowsMut, for_each_task};
use core_tensor::ext::flex::output;
use std::borrow::Cow;

/// Values of a task, about.
const TASK: usize = 1 << 16;

/// Rows of `irreps` in the order of `layout`, with all blocks component by component.
pub(super) fn by_component<'a, T: Real + Storage>(
    rows: &'a [T],
    irreps: &Irreps,
    layout: Layout,
) -> Cow<'a, [T]> {
    match layout {
        Layout::IrMul => Cow::Borrowed(rows),
        Layout::MulIr => Cow::Owned(turn(rows, irreps, true)),
    }
}

/// The inverse of [`by_component`].
pub(super) fn in_layout<T: Real + Storage>(
    rows: Vec<T>,
    irreps: &Irreps,
    layout: Layout,
) -> Vec<T> {
    match layout {
        Layout::IrMul => rows,
        Layout::MulIr => turn(&rows, irreps, false),
    }
}

#[allow(unsafe_code)]
fn turn<T: Real + Storage>(rows: &[T], irreps: &Irreps, to_components: bool) -> Vec<T> {
    let width = irreps.dim();
    let mut out = output::<T>(rows.len());
    if rows.is_empty() {
        return out;
    }
    let (count, per_task) = (rows.len() / width, TASK.div_ceil(width));
    let blocks: Vec<_> = irreps.slices().into_iter().zip(irreps.iter()).collect();
    let view = RowsMut::new(&mut out, width);
    for_each_task(count.div_ceil(per_task), |task| {
        for row in task * per_task..count.min((task + 1) * per_task) {
            let from = &rows[row * width..][..width];
            // SAFETY: tasks have rows of their own.
            let to = unsafe { view.piece(row, 0..width) };
            for (range, block) in &blocks {
                let (from, to) = (&from[range.clone()], &mut to[range.clone()]);
                let (rows, columns) = if to_components {
                    (block.mul, block.irrep.dim())
                } else {
                    (block.irrep.dim(), block.mul)
                };
                if rows <= 1 || columns <= 1 {
                    to.copy_from_slice(from);
                    continue;
                }
                for (j, to) in to.chunks_exact_mut(rows).enumerate() {
                    for (i, to) in to.iter_mut().enumerate() {
                        *to = from[i * columns + j];
                    }
                }
            }
        }
    });
    out
}
