//! Rows of memory into lanes and back.

use super::lanes::{Lanes, Vectors};
use super::transpose::{SIDE, Square};
use core::mem::MaybeUninit;
use core_tensor::cpu::Real;

/// `count` vectors, one per lane; lanes without one are 0.
#[inline(always)]
pub(super) fn load_vectors<T: Real, const W: usize>(data: &[T], count: usize) -> Vectors<T, W> {
    let mut out = [[T::ZERO; W]; 3];
    let (rows, _) = data[..3 * count].as_chunks::<3>();
    for (i, row) in rows.iter().enumerate() {
        for k in 0..3 {
            out[k][i] = row[k];
        }
    }
    out
}

/// Columns `column..column + out.len()` of `count` rows into lanes; lanes without a row are 0.
#[inline(always)]
pub(super) fn load<T: Real + Square, const W: usize>(
    data: &[T],
    stride: usize,
    column: usize,
    count: usize,
    out: &mut [Lanes<T, W>],
) {
    if count == W && out.len() >= SIDE {
        for k in squares(out.len()) {
            let to = out[k..k + SIDE].as_flattened_mut();
            for lane in (0..W).step_by(SIDE) {
                let from = &data[lane * stride + column + k..];
                T::transpose(from, stride, initialised(&mut to[lane..]), W);
            }
        }
        return;
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
pub(super) fn store<T: Real + Square, const W: usize>(
    values: &[Lanes<T, W>],
    out: &mut [MaybeUninit<T>],
    stride: usize,
    column: usize,
    count: usize,
) {
    // Only the last block of all is not full.
    if count == W && values.len() >= SIDE {
        for k in squares(values.len()) {
            let from = values[k..k + SIDE].as_flattened();
            for lane in (0..W).step_by(SIDE) {
                let to = &mut out[lane * stride + column + k..];
                T::transpose(&from[lane..], W, to, stride);
            }
        }
        return;
    }
    for lane in 0..count {
        let row = &mut out[lane * stride + column..][..values.len()];
        for (out, value) in row.iter_mut().zip(values) {
            out.write(value[lane]);
        }
    }
}

/// Where squares begin that cover `len` rows; the last overlaps the one before.
#[inline(always)]
fn squares(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(SIDE).map(move |k| k.min(len - SIDE))
}

/// Memory that is written to.
#[allow(unsafe_code)]
#[inline(always)]
fn initialised<T>(x: &mut [T]) -> &mut [MaybeUninit<T>] {
    let (start, len) = (x.as_mut_ptr().cast(), x.len());
    // SAFETY: `MaybeUninit<T>` has the layout of `T`, and `transpose` writes initialised values only.
    unsafe { core::slice::from_raw_parts_mut(start, len) }
}
