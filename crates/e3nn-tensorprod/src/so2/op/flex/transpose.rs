//! Copies of an irrep, each with its components side by side, to components, each with its copies side by side, and back.
//!
//! With the number of components known to the compiler, 16 copies at a time, loads and stores become shuffles of
//! vectors: 2 to 4 times as fast as a walk over elements.

use core::mem::MaybeUninit;
use core_tensor::cpu::Real;

/// Copies at a time.
const TILE: usize = 16;

/// Runs `$body` with `$N` a constant for 3, 5, … 13 components, otherwise `$other`.
macro_rules! with_components {
    ($n:expr, $N:ident => $body:expr, $other:expr) => {
        with_components!(@ $n, $N => $body, $other, 3 5 7 9 11 13)
    };
    (@ $n:expr, $N:ident => $body:expr, $other:expr, $($value:literal)*) => {
        match $n {
            $($value => {
                const $N: usize = $value;
                $body
            })*
            _ => $other,
        }
    };
}

/// `to[m · stride + u] = from[u · n + m]` for all of `from`.
#[inline(always)]
pub(super) fn to_components<T: Real>(from: &[T], n: usize, to: &mut [T], stride: usize) {
    with_components!(
        n,
        N => tiles_to_components::<T, N>(from.as_chunks().0, to, stride),
        {
            for (u, copy) in from.chunks_exact(n).enumerate() {
                for (m, &value) in copy.iter().enumerate() {
                    to[m * stride + u] = value;
                }
            }
        }
    );
}

#[inline(always)]
fn tiles_to_components<T: Real, const N: usize>(from: &[[T; N]], to: &mut [T], stride: usize) {
    let (tiles, rest) = from.as_chunks::<TILE>();
    for (i, tile) in tiles.iter().enumerate() {
        for m in 0..N {
            let row = &mut to[m * stride + i * TILE..][..TILE];
            for (to, copy) in row.iter_mut().zip(tile) {
                *to = copy[m];
            }
        }
    }
    let first = tiles.len() * TILE;
    for (u, copy) in rest.iter().enumerate() {
        for (m, &value) in copy.iter().enumerate() {
            to[m * stride + first + u] = value;
        }
    }
}

/// `to[u · n + m] = from[m · stride + u]` for all of `to`.
#[inline(always)]
pub(super) fn to_copies<T: Real>(from: &[T], stride: usize, n: usize, to: &mut [MaybeUninit<T>]) {
    with_components!(
        n,
        N => tiles_to_copies::<T, N>(from, stride, to.as_chunks_mut().0),
        {
            for (u, copy) in to.chunks_exact_mut(n).enumerate() {
                for (m, value) in copy.iter_mut().enumerate() {
                    value.write(from[m * stride + u]);
                }
            }
        }
    );
}

#[inline(always)]
fn tiles_to_copies<T: Real, const N: usize>(
    from: &[T],
    stride: usize,
    to: &mut [[MaybeUninit<T>; N]],
) {
    let (tiles, rest) = to.as_chunks_mut::<TILE>();
    let first = tiles.len() * TILE;
    for (i, tile) in tiles.iter_mut().enumerate() {
        for m in 0..N {
            let row = &from[m * stride + i * TILE..][..TILE];
            for (copy, &value) in tile.iter_mut().zip(row) {
                copy[m].write(value);
            }
        }
    }
    for (u, copy) in rest.iter_mut().enumerate() {
        for (m, value) in copy.iter_mut().enumerate() {
            value.write(from[m * stride + first + u]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for n in [1, 3, 5, 7, 9, 11, 13, 15] {
            for copies in [1, 15, 16, 17, 40] {
                let values: Vec<f64> = (0..n * copies).map(|i| i as f64).collect();
                let stride = copies + 3;
                let mut rows = vec![-1.0; n * stride];
                to_components(&values, n, &mut rows, stride);
                for (u, m) in (0..copies).flat_map(|u| (0..n).map(move |m| (u, m))) {
                    assert_eq!(rows[m * stride + u], (u * n + m) as f64);
                }
                let mut back = vec![MaybeUninit::new(f64::NAN); n * copies];
                to_copies(&rows, stride, n, &mut back);
                // SAFETY: all were initialised above.
                #[allow(unsafe_code)]
                let back: Vec<f64> = back.iter().map(|x| unsafe { x.assume_init() }).collect();
                assert_eq!(back, values);
            }
        }
    }
}
