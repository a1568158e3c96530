//! Row statistics of a panel, merged with those of the panels before: a cube per row.

use super::panel::{LOWEST, Panel};
use super::pool::{Pool, UNITS};
use super::targets::WRONG;
use crate::engine::spec::column;
use core_tensor::ext::cube::math::exp_of_negative;
use cubecl::prelude::*;

/// Columns of what is known of a row so far. The target is left out of `MAX`, `SUM` and `TILT`.
pub(super) const COLUMNS: usize = 8;
/// Largest logit `m`.
pub(super) const MAX: usize = 0;
/// `Σ e^{z − m}`.
pub(super) const SUM: usize = 1;
/// `Σ e^{z − m} (z − m)`.
pub(super) const TILT: usize = 2;
/// `Σ u z`.
pub(super) const WEIGHTED: usize = 3;
/// `Σ q z`.
pub(super) const DENSE: usize = 4;
/// Logit of the target.
pub(super) const TARGET: usize = 5;
/// What sums relative to the largest logit before this panel are to be multiplied with.
pub(super) const RESCALE: usize = 6;

/// What a scan is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// Whether `TILT` is wanted.
    pub(super) entropy: bool,
    /// What becomes of the products.
    pub(super) leaves: Leaves,
}

/// What a scan leaves in the place of the products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Leaves {
    /// Nothing else.
    Products,
    /// The logits.
    Logits,
    /// `e^{z − m} · dz/dx` (with a soft cap; otherwise without the slope), 0 for the target.
    Shares,
}

/// Scans products `[rows, classes]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn scan(
    z: &mut Tensor<f32>,
    partials: &mut Tensor<f32>,
    panel: &Panel,
    #[comptime] wanted: Wanted,
) {
    let row = CUBE_POS;
    if row >= panel.rows {
        terminate!();
    }
    let at = panel.first_row + row;
    let code = panel.codes[at];
    let unit = UNIT_POS as usize;
    let mut pool = Pool::new();
    let known = at * COLUMNS;
    let mut before = f32::new(LOWEST);
    let mut old_sum = f32::new(0.0);
    let mut old_tilt = f32::new(0.0);
    let mut old_weighted = f32::new(0.0);
    let mut old_dense = f32::new(0.0);
    if panel.first_class > 0 {
        before = partials[known + MAX];
        old_sum = partials[known + SUM];
        old_tilt = partials[known + TILT];
        old_weighted = partials[known + WEIGHTED];
        old_dense = partials[known + DENSE];
    }
    let mut largest = before;
    let mut weighted = f32::new(0.0);
    let mut dense = f32::new(0.0);
    let mut j = unit;
    while j < panel.classes {
        let v = panel.first_class + j;
        let x = panel.logit(z[row * panel.classes + j], v);
        if comptime!(wanted.leaves != Leaves::Products) {
            z[row * panel.classes + j] = x;
        }
        weighted = panel.add_common(weighted, v, x);
        dense = panel.add_own(dense, at, v, x);
        if u32::cast_from(v) == code {
            partials[known + TARGET] = x;
        } else {
            largest = select(x > largest, x, largest);
        }
        j += UNITS;
    }
    let max = pool.max(largest);
    let mut sum = f32::new(0.0);
    let mut tilt = f32::new(0.0);
    let mut k = unit;
    while k < panel.classes {
        let v = panel.first_class + k;
        let x = z[row * panel.classes + k];
        let x = if comptime!(wanted.leaves == Leaves::Products) {
            panel.logit(x, v)
        } else {
            x
        };
        let target = u32::cast_from(v) == code;
        let gap = select(target, f32::new(0.0), x - max);
        let share = select(target, f32::new(0.0), exp_of_negative::<f32>(gap));
        sum += share;
        if comptime!(wanted.entropy) {
            tilt = fma(share, gap, tilt);
        }
        if comptime!(wanted.leaves == Leaves::Shares) {
            let share = if comptime!(panel.form.capped) {
                share * panel.chain(x)
            } else {
                share
            };
            z[row * panel.classes + k] = share;
        }
        k += UNITS;
    }
    let sum = pool.sum(sum);
    let tilt = if comptime!(wanted.entropy) {
        pool.sum(tilt)
    } else {
        tilt
    };
    let weighted = pool.sum(weighted);
    let dense = pool.sum(dense);
    if unit == 0 {
        let gap = before - max;
        let scale = exp_of_negative::<f32>(gap);
        // A sum whose share vanishes does not count, however far away it was.
        let gap = select(scale == f32::new(0.0), f32::new(0.0), gap);
        partials[known + MAX] = max;
        partials[known + SUM] = fma(old_sum, scale, sum);
        partials[known + TILT] = fma(fma(old_sum, gap, old_tilt), scale, tilt);
        partials[known + RESCALE] = scale;
        partials[known + WEIGHTED] = old_weighted + weighted;
        partials[known + DENSE] = old_dense + dense;
    }
}

/// Logits `[rows, classes]` of picked classes to the row statistics `[N, columns]`: a unit per row and pick.
#[cube(launch, address_type = "dynamic")]
pub(super) fn pick(
    z: &Tensor<f32>,
    picked: &Tensor<u32>,
    statistics: &mut Tensor<f32>,
    panel: &Panel,
    columns: usize,
    count: usize,
    nan: f32,
) {
    let row = ABSOLUTE_POS / count;
    if row >= panel.rows {
        terminate!();
    }
    let at = panel.first_row + row;
    let k = ABSOLUTE_POS % count;
    let code = picked[at * count + k];
    let class = usize::cast_from(code);
    let to = at * columns + comptime!(column::PICKS) + k;
    if class >= panel.first_class && class < panel.first_class + panel.classes {
        statistics[to] = z[row * panel.classes + class - panel.first_class];
    } else if panel.first_class == 0 {
        let wrong = code == u32::new(comptime!(i64::from(WRONG)));
        statistics[to] = select(wrong, nan, f32::new(0.0));
    }
}
