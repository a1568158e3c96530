//! Classes that rows name, as indices into the classifier at hand; hidden states without the rows that are ignored.

use cubecl::prelude::*;

/// No class of this classifier.
pub(super) const ABSENT: u32 = u32::MAX;
/// The row is left out.
pub(super) const IGNORED: u32 = u32::MAX - 1;
/// No class at all: what it is asked for becomes NaN.
pub(super) const WRONG: u32 = u32::MAX - 2;

/// How integers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    /// What an integer outside the classes stands for.
    pub(super) outside: u32,
    /// Whether one of them marks rows to be left out.
    pub(super) ignores: bool,
}

/// Integers `[rows, per_row]` to codes, into columns of `[rows, stride]` from `column` on.
#[cube(launch, address_type = "dynamic")]
pub(super) fn classify<I: Int>(
    ids: &Tensor<I>,
    codes: &mut Tensor<u32>,
    first: InputScalar,
    end: InputScalar,
    ignored: InputScalar,
    count: usize,
    per_row: usize,
    stride: usize,
    column: usize,
    #[comptime] reading: Reading,
    #[define(I)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let id = ids[ABSOLUTE_POS];
    let (first, end) = (first.get::<I>(), end.get::<I>());
    let inside = id >= first && id < end;
    let mut code = select(
        inside,
        u32::cast_from(id - first),
        u32::new(comptime!(i64::from(reading.outside))),
    );
    if comptime!(reading.ignores) {
        code = select(
            id == ignored.get::<I>(),
            u32::new(comptime!(i64::from(IGNORED))),
            code,
        );
    }
    codes[ABSOLUTE_POS / per_row * stride + column + ABSOLUTE_POS % per_row] = code;
}

/// Rows of `[.., D]` from `first_row` on; zeros for those left out, which may hold NaN.
#[cube(launch, address_type = "dynamic")]
pub(super) fn blank<E: Float>(
    hidden: &Tensor<E>,
    codes: &Tensor<u32>,
    out: &mut Tensor<E>,
    first_row: usize,
    rows: usize,
    width: usize,
    #[define(E)] _dtype: ElemType,
) {
    let row = ABSOLUTE_POS / width;
    if row >= rows {
        terminate!();
    }
    let at = first_row + row;
    let x = hidden[at * hidden.stride(0) + ABSOLUTE_POS % width];
    let ignored = codes[at] == u32::new(comptime!(i64::from(IGNORED)));
    out[ABSOLUTE_POS] = select(ignored, E::new(0.0_f32), x);
}
