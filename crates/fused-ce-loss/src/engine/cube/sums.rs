//! Sums over rows, and what becomes of the products of panels.

use super::panel::Panel;
use super::rows::coefficient;
use super::scan;
use super::targets::{ABSENT, IGNORED, WRONG};
use crate::engine::spec::state;
use core_tensor::ext::cube::math::exp_of_negative;
use cubecl::prelude::*;

/// Adjacent columns of a cube that sums them.
pub(super) const LANES: usize = 32;
/// Units that share the rows of a column.
pub(super) const STRIPES: usize = 8;
/// Rows of a stripe that are summed before they are added to the rest: the error of a long sum stays that of two short
/// ones.
const RUN: usize = 32;

/// `out[first + j] (+)= Σ_i w_i x_ij`, with `w = 1` where there is none.
#[cube(launch, address_type = "dynamic")]
pub(super) fn columns<E: Float>(
    x: &Tensor<E>,
    weights: ComptimeOption<&Tensor<f32>>,
    out: &mut Tensor<f32>,
    rows: usize,
    width: usize,
    first_weight: usize,
    first: usize,
    adds: u32,
    #[define(E)] _dtype: ElemType,
) {
    let lane = UNIT_POS_X as usize;
    let stripe = UNIT_POS_Y as usize;
    let wanted = CUBE_POS * LANES + lane;
    let active = wanted < width;
    // Lanes beyond the last column repeat it and write nothing.
    let column = select(active, wanted, width - 1);
    let mut total = f32::new(0.0);
    let mut i = stripe;
    while i < rows {
        let mut part = f32::new(0.0);
        let mut n = 0usize.runtime();
        while n < RUN && i < rows {
            let value = f32::cast_from(x[i * x.stride(0) + column * x.stride(1)]);
            let value = #[comptime]
            match &weights {
                ComptimeOption::Some(weights) => weights[first_weight + i] * value,
                ComptimeOption::None => value,
            };
            part += value;
            i += STRIPES;
            n += 1;
        }
        total += part;
    }
    let mut sums = Shared::<[f32]>::new_slice(LANES * STRIPES);
    sums[stripe * LANES + lane] = total;
    sync_cube();
    if stripe == 0 && active {
        let mut all = f32::new(0.0);
        if adds != 0 {
            all = out[first + column];
        }
        #[unroll]
        for s in 0..STRIPES {
            all += sums[s * LANES + lane];
        }
        out[first + column] = all;
    }
}

/// `sums ← sums · s + x` over rows `[.., width]` from `first_row` on, where `s` is the [`scan::RESCALE`] of the row, or 1.
#[cube(launch, address_type = "dynamic")]
pub(super) fn accumulate(
    sums: &mut Tensor<f32>,
    x: &Tensor<f32>,
    partials: ComptimeOption<&Tensor<f32>>,
    first_row: usize,
    rows: usize,
    width: usize,
    starts: u32,
) {
    let row = ABSOLUTE_POS / width;
    if row >= rows {
        terminate!();
    }
    let at = first_row * width + ABSOLUTE_POS;
    let mut so_far = f32::new(0.0);
    if starts == 0 {
        so_far = sums[at];
        #[comptime]
        if let ComptimeOption::Some(partials) = &partials {
            so_far *=
                partials[(first_row + row) * comptime!(scan::COLUMNS) + comptime!(scan::RESCALE)];
        }
    }
    sums[at] = so_far + x[ABSOLUTE_POS];
}

/// Sums relative to the largest logit of the others, relative to `e^{lse}` from now on.
#[cube(launch, address_type = "dynamic")]
pub(super) fn normalise(
    sums: &mut Tensor<f32>,
    partials: &Tensor<f32>,
    states: &Tensor<f32>,
    rows: usize,
    width: usize,
) {
    let row = ABSOLUTE_POS / width;
    if row >= rows {
        terminate!();
    }
    let max = states[row * comptime!(state::COLUMNS) + comptime!(state::MAX)];
    let log = states[row * comptime!(state::COLUMNS) + comptime!(state::LOG)];
    let gap = (partials[row * comptime!(scan::COLUMNS) + comptime!(scan::MAX)] - max) - log;
    let so_far = sums[ABSOLUTE_POS];
    sums[ABSOLUTE_POS] = so_far * exp_of_negative::<f32>(gap);
}

/// Gradient of the hidden states `[N, D]` where the forward pass has left `Σ_{v ≠ y} p_v (dz_v / dx_v) c_v`:
/// `n Σ + g_y (dz_y / dx_y) c_y + s Σ_v u_v c_v`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn from_sums<E: Float>(
    sums: &Tensor<f32>,
    classifier: &Tensor<E>,
    common: &Tensor<f32>,
    coefficients: &Tensor<f32>,
    states: &Tensor<f32>,
    out: &mut Tensor<E>,
    panel: &Panel,
    width: usize,
    #[comptime] has_common: bool,
    #[define(E)] _dtype: ElemType,
) {
    let row = ABSOLUTE_POS / width;
    if row >= panel.rows {
        terminate!();
    }
    let d = ABSOLUTE_POS % width;
    let from = row * comptime!(coefficient::COLUMNS);
    let mut x = coefficients[from + comptime!(coefficient::NORMALISER)] * sums[ABSOLUTE_POS];
    if comptime!(!panel.form.capped) {
        // With a cap, the sums hold the temperature too.
        x *= panel.rate;
    }
    let code = panel.codes[row];
    let ignored = code == u32::new(comptime!(i64::from(IGNORED)));
    let wrong = code == u32::new(comptime!(i64::from(WRONG)));
    if !(ignored || wrong || code == u32::new(comptime!(i64::from(ABSENT)))) {
        let own = row * comptime!(state::COLUMNS);
        let lse = states[own + comptime!(state::MAX)] + states[own + comptime!(state::LOG)];
        let z = lse - states[own + comptime!(state::NLL)];
        let g = coefficients[from + comptime!(coefficient::AT_TARGET)] * panel.chain(z);
        let class = usize::cast_from(code);
        let c = classifier[class * classifier.stride(0) + d * classifier.stride(1)];
        x = fma(g, f32::cast_from(c), x);
    }
    if comptime!(has_common) {
        let s = coefficients[from + comptime!(coefficient::COMMON)] * panel.rate;
        x = fma(s, common[d], x);
    }
    // What was summed for a row left out counts for nothing, even if it is no number.
    out[ABSOLUTE_POS] = E::cast_from(select(ignored, f32::new(0.0), x));
}

/// `x`, contiguous, into a tensor of any strides and dtype.
#[cube(launch, address_type = "dynamic")]
pub(super) fn store<E: Float>(
    x: &Tensor<f32>,
    out: &mut Tensor<E>,
    rows: usize,
    width: usize,
    #[define(E)] _dtype: ElemType,
) {
    let row = ABSOLUTE_POS / width;
    if row >= rows {
        terminate!();
    }
    let at = row * out.stride(0) + ABSOLUTE_POS % width * out.stride(1);
    out[at] = E::cast_from(x[ABSOLUTE_POS]);
}
