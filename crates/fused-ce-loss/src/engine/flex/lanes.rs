//! Reductions over a row in a fixed number of lanes: the compiler turns them into vector instructions,
//! and the order of every sum is the same on every processor.

use core_tensor::cpu::Real;

/// Two vectors of sixteen `f32`, enough to hide the latency of an addition.
pub(super) const LANES: usize = 32;

/// `(… (f(init, x_0) …)` in lanes over up to three rows of equal length; `fold` then joins the lanes pairwise.
#[inline(always)]
pub(super) fn reduce<T: Real>(
    init: T,
    x: &[T],
    step: impl Fn(T, T) -> T,
    join: impl Fn(T, T) -> T,
) -> T {
    let mut lanes = [init; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (a, &x) in lanes.iter_mut().zip(chunk) {
            *a = step(*a, x);
        }
    }
    for (a, &x) in lanes.iter_mut().zip(rest) {
        *a = step(*a, x);
    }
    fold(lanes, join)
}

/// As [`reduce`], over two rows.
#[inline(always)]
pub(super) fn reduce_pair<T: Real>(
    init: T,
    x: &[T],
    y: &[T],
    step: impl Fn(T, T, T) -> T,
    join: impl Fn(T, T) -> T,
) -> T {
    assert_eq!(x.len(), y.len());
    let mut lanes = [init; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for ((a, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *a = step(*a, x, y);
        }
    }
    for ((a, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *a = step(*a, x, y);
    }
    fold(lanes, join)
}

#[inline(always)]
fn fold<T: Real>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}
