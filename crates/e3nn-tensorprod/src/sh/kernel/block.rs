//! Rows of memory into lanes and back.

use super::lanes::{Lanes, Vectors};
use super::transpose::Transpose;
use core::mem::MaybeUninit;

/// Columns `column..column + out.len()` of `count` rows into lanes; lanes without a row are 0.
#[inline(always)]
pub(super) fn load<T: Transpose, const W: usize>(
    data: &[T],
    stride: usize,
    column: usize,
    count: usize,
    out: &mut [Lanes<T, W>],
) {
    if count == W {
        return T::gather(&data[column..], stride, out);
    }
    for lane in 0..W {
        if lane < count {
            let row = &data[lane * stride + column..][..out.len()];
            for (out, &value) in out.iter_mut().zip(row) {
                out[lane] = value;
            }
        } else {
            out.iter_mut().for_each(|out| out[lane] = T::ZERO);
        }
    }
}

/// Lanes into columns `column..column + values.len()` of `count` rows.
#[inline(always)]
pub(super) fn store<T: Transpose, const W: usize>(
    values: &[Lanes<T, W>],
    out: &mut [MaybeUninit<T>],
    stride: usize,
    column: usize,
    count: usize,
) {
    // Only the last block of all is not full.
    if count == W {
        return T::scatter(values, &mut out[column..], stride);
    }
    for lane in 0..count {
        let row = &mut out[lane * stride + column..][..values.len()];
        for (out, value) in row.iter_mut().zip(values) {
            out.write(value[lane]);
        }
    }
}

/// Points whose vectors are taken apart together, well before they are used: what was written in halves of a register
/// and is read whole has to wait for the cache.
const AHEAD: usize = 128;

/// Vectors, taken apart.
pub(super) struct Points<'a, T, const W: usize> {
    vectors: &'a [[T; 3]],
    apart: [[T; AHEAD]; 3],
}

impl<'a, T: Transpose, const W: usize> Points<'a, T, W> {
    /// From `[points, 3]`.
    #[inline(always)]
    pub(super) fn new(data: &'a [T]) -> Self {
        Self {
            vectors: data.as_chunks::<3>().0,
            apart: [[T::ZERO; AHEAD]; 3],
        }
    }

    /// Those from `start` on, which follow the ones taken before; lanes without one are 0.
    #[inline(always)]
    pub(super) fn take(&mut self, start: usize) -> Vectors<T, W> {
        const { assert!(AHEAD.is_multiple_of(W)) };
        let at = start % AHEAD;
        if at == 0 {
            let rest = &self.vectors[start..];
            let some = &rest[..rest.len().min(AHEAD)];
            if some.len() < AHEAD {
                self.apart = [[T::ZERO; AHEAD]; 3];
            }
            T::apart(some, self.apart.each_mut().map(|axis| &mut axis[..]));
        }
        self.apart
            .each_ref()
            .map(|axis| axis.as_chunks::<W>().0[at / W])
    }
}
