//! One vector operation per scalar operation of the product: a lane per row of the batch.

use super::call::Block;
use core::mem::MaybeUninit;
use core::ops::Range;
use core_tensor::cpu::{Real, RowsMut};

/// One value of every row of a block.
pub(super) type Lanes<T, const L: usize> = [T; L];

/// `acc += a · b`.
#[inline(always)]
pub(super) fn fma<T: Real, const L: usize>(
    acc: &mut Lanes<T, L>,
    a: &Lanes<T, L>,
    b: &Lanes<T, L>,
) {
    for l in 0..L {
        acc[l] = a[l].fma(b[l], acc[l]);
    }
}

/// The sum of all lanes, pairwise.
#[inline(always)]
pub(super) fn sum<T: Real, const L: usize>(mut x: Lanes<T, L>) -> T {
    let mut half = L / 2;
    while half > 0 {
        for l in 0..half {
            x[l] = x[l] + x[l + half];
        }
        half /= 2;
    }
    x[0]
}

/// Columns of a block's rows into lanes; lanes without a row are 0.
#[inline(always)]
pub(super) fn load<T: Real, const L: usize>(
    data: &[T],
    width: usize,
    columns: Range<usize>,
    block: &Block<'_>,
    out: &mut [Lanes<T, L>],
) {
    let out = &mut out[..columns.len()];
    for lane in 0..L {
        if lane < block.len() {
            let row = &data[block.row(lane) * width..][columns.clone()];
            for (out, &value) in out.iter_mut().zip(row) {
                out[lane] = value;
            }
        } else {
            out.iter_mut().for_each(|out| out[lane] = T::ZERO);
        }
    }
}

/// Writes columns of a block's rows from lanes.
///
/// # Safety
/// Nobody else uses these rows' columns meanwhile.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn store<T: Real, const L: usize>(
    values: &[Lanes<T, L>],
    rows: &RowsMut<'_, MaybeUninit<T>>,
    columns: Range<usize>,
    block: &Block<'_>,
) {
    for lane in 0..block.len() {
        // SAFETY: by the caller's promise.
        let row = unsafe { rows.piece(block.row(lane), columns.clone()) };
        for (out, value) in row.iter_mut().zip(values) {
            out.write(value[lane]);
        }
    }
}

/// Weights of a path, in lanes.
pub(super) trait Weights<T, const L: usize>: Copy {
    /// Whether rows share them.
    const SHARED: bool;
    /// Whether there are any.
    const WEIGHTED: bool = true;

    /// One weight as it is stored.
    type One: Copy;
    /// Stands for a weight that is not yet there.
    const NONE: Self::One;

    /// The weight numbered `i`.
    fn one(self, i: usize) -> Self::One;

    /// A weight, for every row.
    fn lanes(one: Self::One) -> Lanes<T, L>;

    /// The weight numbered `i`, for every row.
    #[inline(always)]
    fn get(self, i: usize) -> Lanes<T, L> {
        Self::lanes(self.one(i))
    }
}

/// The same for all rows.
#[derive(Clone, Copy)]
pub(super) struct Same<'a, T>(pub(super) &'a [T]);

impl<T: Real, const L: usize> Weights<T, L> for Same<'_, T> {
    const SHARED: bool = true;
    type One = T;
    const NONE: T = T::ZERO;

    #[inline(always)]
    fn one(self, i: usize) -> T {
        self.0[i]
    }
    #[inline(always)]
    fn lanes(one: T) -> Lanes<T, L> {
        [one; L]
    }
}

/// Each row its own.
#[derive(Clone, Copy)]
pub(super) struct Own<'a, T, const L: usize>(pub(super) &'a [Lanes<T, L>]);

impl<T: Real, const L: usize> Weights<T, L> for Own<'_, T, L> {
    const SHARED: bool = false;
    type One = Lanes<T, L>;
    const NONE: Lanes<T, L> = [T::ZERO; L];

    #[inline(always)]
    fn one(self, i: usize) -> Lanes<T, L> {
        self.0[i]
    }
    #[inline(always)]
    fn lanes(one: Lanes<T, L>) -> Lanes<T, L> {
        one
    }
}

/// None: 1.
#[derive(Clone, Copy)]
pub(super) struct Unit;

impl<T: Real, const L: usize> Weights<T, L> for Unit {
    const SHARED: bool = true;
    const WEIGHTED: bool = false;
    type One = ();
    const NONE: () = ();

    #[inline(always)]
    fn one(self, _: usize) {}
    #[inline(always)]
    fn lanes((): ()) -> Lanes<T, L> {
        [T::ONE; L]
    }
}
