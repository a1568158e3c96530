//! The largest logits of a row that arrives panel by panel: a cube per row. Equal logits rank by class.

use super::panel::Panel;
use super::pool::UNITS;
use super::targets::{ABSENT, IGNORED};
use cubecl::prelude::*;

/// Below every logit: an empty place.
const EMPTY: f32 = -3e38;
/// Above every finite logit that a place was found for.
const ALL: f32 = 3e38;

/// Whether `(z, v)` ranks before `(other, w)`.
#[cube]
fn before(z: f32, v: u32, other: f32, w: u32) -> bool {
    z > other || (z == other && v < w)
}

/// The largest `count` of the logits `[rows, classes]` and of a list of those before, as a new list: logits and classes,
/// both `[N, count]`. NaN ranks nowhere.
#[cube(launch, address_type = "dynamic")]
pub(super) fn largest(
    z: &Tensor<f32>,
    old_z: &Tensor<f32>,
    old_v: &Tensor<u32>,
    new_z: &mut Tensor<f32>,
    new_v: &mut Tensor<u32>,
    panel: &Panel,
    count: usize,
) {
    let row = CUBE_POS;
    if row >= panel.rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let list = (panel.first_row + row) * count;
    let mut logits = Shared::<[f32]>::new_slice(UNITS);
    let mut classes = Shared::<[u32]>::new_slice(UNITS);
    let mut last_z = f32::new(ALL);
    let mut last_v = 0u32.runtime();
    let mut k = 0usize.runtime();
    while k < count {
        let mut best_z = f32::new(EMPTY);
        let mut best_v = u32::new(comptime!(i64::from(ABSENT)));
        let mut j = unit;
        while j < panel.classes {
            let x = z[row * panel.classes + j];
            let v = u32::cast_from(panel.first_class + j);
            if before(last_z, last_v, x, v) && before(x, v, best_z, best_v) {
                best_z = x;
                best_v = v;
            }
            j += UNITS;
        }
        if unit == 0 && panel.first_class > 0 {
            let mut o = 0usize.runtime();
            while o < count {
                let x = old_z[list + o];
                let v = old_v[list + o];
                if before(last_z, last_v, x, v) && before(x, v, best_z, best_v) {
                    best_z = x;
                    best_v = v;
                }
                o += 1;
            }
        }
        logits[unit] = best_z;
        classes[unit] = best_v;
        sync_cube();
        let mut half = (UNITS / 2).runtime();
        while half > 0 {
            if unit < half {
                let x = logits[unit + half];
                let v = classes[unit + half];
                if before(x, v, logits[unit], classes[unit]) {
                    logits[unit] = x;
                    classes[unit] = v;
                }
            }
            sync_cube();
            half /= 2;
        }
        last_z = logits[0];
        last_v = classes[0];
        sync_cube();
        if unit == 0 {
            new_z[list + k] = last_z;
            new_v[list + k] = last_v;
        }
        k += 1;
    }
}

/// Lists `[N, count]` to the row statistics, and their classes: −1 in rows left out and in empty places, whose logits
/// become `lowest`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn write(
    list_z: &Tensor<f32>,
    list_v: &Tensor<u32>,
    codes: &Tensor<u32>,
    statistics: &mut Tensor<f32>,
    top: &mut Tensor<i32>,
    rows: usize,
    columns: usize,
    count: usize,
    lowest: f32,
) {
    let at = ABSOLUTE_POS / count;
    if at >= rows {
        terminate!();
    }
    let k = ABSOLUTE_POS % count;
    let v = list_v[ABSOLUTE_POS];
    let empty = v == u32::new(comptime!(i64::from(ABSENT)));
    let ignored = codes[at] == u32::new(comptime!(i64::from(IGNORED)));
    let z = select(empty, lowest, list_z[ABSOLUTE_POS]);
    statistics[at * columns + columns - count + k] = select(ignored, f32::new(0.0), z);
    let class = select(empty || ignored, 0u32, v);
    let class = i32::cast_from(class);
    top[ABSOLUTE_POS] = select(empty || ignored, i32::new(-1), class);
}
