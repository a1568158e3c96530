//! Sums that several units have made parts of.

use cubecl::prelude::*;

/// `out[row, first + i] (+)= Σ_c parts[row, c, i]` for `len` values of each row.
#[cube(launch, address_type = "dynamic")]
pub(crate) fn add<F: Float>(
    parts: &Tensor<F>,
    out: &mut Tensor<F>,
    units: usize,
    len: usize,
    chunks: usize,
    first_row: usize,
    first: usize,
    width: usize,
    adds: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let row = ABSOLUTE_POS / len;
    let i = ABSOLUTE_POS % len;
    let at = (first_row + row) * width + first + i;
    let mut sum = F::new(0.0_f32);
    if adds > 0 {
        sum = out[at];
    }
    for chunk in 0..chunks {
        sum += parts[(row * chunks + chunk) * len + i];
    }
    out[at] = sum;
}
