//! Logits of a panel to their gradient, in place: a cube per row.

use super::panel::Panel;
use super::pool::UNITS;
use super::rows::coefficient;
use crate::engine::spec::column;
use core_tensor::ext::cube::math::exp_of_negative;
use cubecl::prelude::*;

/// Gradient of the products `[rows, classes]`, from them in `g`, or from logits that were stored.
#[cube(launch, address_type = "dynamic")]
pub(super) fn differentiate(
    g: &mut Tensor<f32>,
    stored: ComptimeOption<&Tensor<f32>>,
    coefficients: &Tensor<f32>,
    panel: &Panel,
    #[comptime] entropy: bool,
) {
    let row = CUBE_POS;
    if row >= panel.rows {
        terminate!();
    }
    let at = panel.first_row + row;
    let code = panel.codes[at];
    let from = at * comptime!(coefficient::COLUMNS);
    let max = coefficients[from + comptime!(coefficient::MAX)];
    let log = coefficients[from + comptime!(coefficient::LOG)];
    let mean = coefficients[from + comptime!(coefficient::ENTROPY)];
    let normaliser = coefficients[from + comptime!(coefficient::NORMALISER)];
    let surprise = coefficients[from + comptime!(coefficient::SURPRISE)];
    let common = coefficients[from + comptime!(coefficient::COMMON)];
    let own = coefficients[from + comptime!(coefficient::OWN)];
    let at_target = coefficients[from + comptime!(coefficient::AT_TARGET)];
    let mut j = UNIT_POS as usize;
    while j < panel.classes {
        let i = row * panel.classes + j;
        let v = panel.first_class + j;
        let z = #[comptime]
        match &stored {
            ComptimeOption::Some(stored) => stored[i],
            ComptimeOption::None => panel.logit(g[i], v),
        };
        let log_p = (z - max) - log;
        let p = exp_of_negative::<f32>(log_p);
        let mut x = p * normaliser;
        if comptime!(entropy) {
            let tilted = p * (normaliser - surprise * (log_p + mean));
            x = select(p == f32::new(0.0), f32::new(0.0), tilted);
        }
        x = select(u32::cast_from(v) == code, at_target, x);
        x = panel.add_common(x, v, common);
        x = panel.add_own(x, at, v, own);
        g[i] = x * panel.chain(z);
        j += UNITS;
    }
}

/// Adds the gradient by picked logits: a unit per row, since a class may be picked twice.
#[cube(launch, address_type = "dynamic")]
pub(super) fn add_picked(
    g: &mut Tensor<f32>,
    picked: &Tensor<u32>,
    statistics: &Tensor<f32>,
    cotangent: &Tensor<f32>,
    panel: &Panel,
    columns: usize,
    count: usize,
) {
    let row = ABSOLUTE_POS;
    if row >= panel.rows {
        terminate!();
    }
    let at = panel.first_row + row;
    let mut k = 0usize.runtime();
    while k < count {
        let class = usize::cast_from(picked[at * count + k]);
        if class >= panel.first_class && class < panel.first_class + panel.classes {
            let from = at * columns + comptime!(column::PICKS) + k;
            let i = row * panel.classes + class - panel.first_class;
            let slope = cotangent[from] * panel.chain(statistics[from]);
            let so_far = g[i];
            g[i] = so_far + slope;
        }
        k += 1;
    }
}

/// A gradient of logits as a factor of half precision, rounded up or down at random so that its expectation is right: entries
/// that are nearly equal would otherwise all be rounded the same way. The number drawn is a hash of place and key.
#[cube(launch, address_type = "dynamic")]
pub(super) fn narrow<E: Float>(
    g: &Tensor<f32>,
    out: &mut Tensor<E>,
    count: usize,
    key: u32,
    #[comptime] dropped_bits: u32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    // The finaliser of MurmurHash3.
    let mut h = u32::cast_from(ABSOLUTE_POS) ^ key;
    h = (h ^ (h >> 16u32)) * 0x85EB_CA6Bu32;
    h = (h ^ (h >> 13u32)) * 0xC2B2_AE35u32;
    h = h ^ (h >> 16u32);
    let mask = u32::new(comptime!((1i64 << dropped_bits) - 1));
    let bits = u32::reinterpret(g[ABSOLUTE_POS]);
    let rounded = (bits + (h & mask)) & (mask ^ 0xFFFF_FFFFu32);
    // The carry would turn a NaN of many set bits, as NVIDIA's is, into 0.
    let finite = (bits & 0x7F80_0000u32) != 0x7F80_0000u32;
    out[ABSOLUTE_POS] = E::cast_from(f32::reinterpret(select(finite, rounded, bits)));
}
