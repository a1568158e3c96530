//! What is computed once per row, a unit each: statistics from all panels, and the coefficients of the gradient.

use super::scan::{self, DENSE, MAX, SUM, TARGET, TILT, WEIGHTED};
use super::targets::{ABSENT, IGNORED, WRONG};
use crate::engine::spec::{column, state};
use core_tensor::ext::cube::math::{exp_minus_one_of_negative, exp_of_negative, log, log_one_plus};
use cubecl::prelude::*;

/// Row statistics `[N, columns]` up to the first pick, and states `[N, 4]`; zeros in rows left out.
#[cube(launch, address_type = "dynamic")]
pub(super) fn finish(
    partials: &Tensor<f32>,
    codes: &Tensor<u32>,
    statistics: &mut Tensor<f32>,
    states: &mut Tensor<f32>,
    rows: usize,
    columns: usize,
    nan: f32,
    #[comptime] entropy: bool,
) {
    let at = ABSOLUTE_POS;
    if at >= rows {
        terminate!();
    }
    let zero = f32::new(0.0);
    let known = at * comptime!(scan::COLUMNS);
    let code = codes[at];
    let ignored = code == u32::new(comptime!(i64::from(IGNORED)));
    let wrong = code == u32::new(comptime!(i64::from(WRONG)));
    let absent = code == u32::new(comptime!(i64::from(ABSENT)));
    let has_target = !(ignored || wrong || absent);
    // The other classes.
    let others = partials[known + MAX];
    let sum = partials[known + SUM];
    let tilt = partials[known + TILT];
    let alone = sum == zero;
    let log_sum = log::<f32>(select(alone, f32::new(1.0), sum));
    let target = select(has_target, partials[known + TARGET], others);
    // lse − z_y = log(1 + Σ_others e^{z − z_y}): no cancellation where the target has almost all.
    let excess = (others - target) + log_sum;
    let small = log_one_plus::<f32>(exp_of_negative::<f32>(-excess.abs()));
    let more = excess > zero;
    let nll = select(more, excess, zero) + small;
    let nll = select(alone, zero, nll);
    // lse − m over the others, as precise.
    let above = select(more, log_sum + small, nll + (target - others));
    let above = select(has_target, above, log_sum);
    let first = has_target && (alone || target >= others);
    let max = select(first, target, others);
    let from_max = select(first, nll, above);
    let mut h = f32::new(0.0);
    if comptime!(entropy) {
        // Σ p (−log p) over the others and over the target; neither has a negative term that matters.
        let share = exp_of_negative::<f32>(-above);
        h = select(alone, zero, share * (above * sum - tilt));
        h = select(has_target, fma(exp_of_negative::<f32>(-nll), nll, h), h);
    }
    let nll = select(wrong, nan, select(has_target, nll, zero));
    let to = at * columns;
    statistics[to + comptime!(column::NLL)] = select(ignored, zero, nll);
    statistics[to + comptime!(column::LSE)] = select(ignored, zero, max + from_max);
    statistics[to + comptime!(column::ENTROPY)] = select(ignored, zero, h);
    statistics[to + comptime!(column::SUM)] = select(ignored, zero, partials[known + WEIGHTED]);
    statistics[to + comptime!(column::DENSE)] = select(ignored, zero, partials[known + DENSE]);
    let to = at * comptime!(state::COLUMNS);
    states[to + comptime!(state::MAX)] = select(ignored, zero, max);
    states[to + comptime!(state::LOG)] = select(ignored, zero, from_max);
    states[to + comptime!(state::NLL)] = select(ignored, zero, nll);
    states[to + comptime!(state::ENTROPY)] = select(ignored, zero, h);
}

/// Columns of the coefficients of a row: with `log p_v = (z_v − MAX) − LOG`,
/// `g_v = p_v (NORMALISER − SURPRISE (log p_v + ENTROPY)) + COMMON · u_v + OWN · q_v`, and at the target
/// `AT_TARGET + COMMON · u_y + OWN · q_y`.
pub(super) mod coefficient {
    pub(crate) const MAX: usize = 0;
    pub(crate) const LOG: usize = 1;
    pub(crate) const ENTROPY: usize = 2;
    pub(crate) const NORMALISER: usize = 3;
    pub(crate) const SURPRISE: usize = 4;
    pub(crate) const COMMON: usize = 5;
    pub(crate) const OWN: usize = 6;
    pub(crate) const AT_TARGET: usize = 7;
    pub(crate) const COLUMNS: usize = 8;
}

/// Above every logit: probabilities of a row left out vanish.
const FAR: f32 = 1e30;

/// Coefficients `[N, 8]` from the states and from the gradient by the row statistics; none in rows left out.
#[cube(launch, address_type = "dynamic")]
pub(super) fn coefficients(
    states: &Tensor<f32>,
    cotangent: &Tensor<f32>,
    codes: &Tensor<u32>,
    out: &mut Tensor<f32>,
    rows: usize,
    columns: usize,
    #[comptime] has_targets: bool,
    #[comptime] entropy: bool,
) {
    let at = ABSOLUTE_POS;
    if at >= rows {
        terminate!();
    }
    let zero = f32::new(0.0);
    let ignored = codes[at] == u32::new(comptime!(i64::from(IGNORED)));
    let from = at * columns;
    let own = at * comptime!(state::COLUMNS);
    let from_nll = if comptime!(has_targets) {
        cotangent[from + comptime!(column::NLL)]
    } else {
        zero
    };
    let from_lse = cotangent[from + comptime!(column::LSE)];
    let surprise = if comptime!(entropy) {
        cotangent[from + comptime!(column::ENTROPY)]
    } else {
        zero
    };
    let h = states[own + comptime!(state::ENTROPY)];
    // p_y − 1 = e^{−nll} − 1 without cancellation.
    let log_p = -states[own + comptime!(state::NLL)];
    let p = exp_of_negative::<f32>(log_p);
    let rest = p * (from_lse - surprise * (log_p + h));
    let at_target = fma(from_nll, exp_minus_one_of_negative::<f32>(log_p), rest);
    let to = at * comptime!(coefficient::COLUMNS);
    let max = states[own + comptime!(state::MAX)];
    out[to + comptime!(coefficient::MAX)] = select(ignored, f32::new(FAR), max);
    out[to + comptime!(coefficient::LOG)] = states[own + comptime!(state::LOG)];
    out[to + comptime!(coefficient::ENTROPY)] = h;
    out[to + comptime!(coefficient::NORMALISER)] = select(ignored, zero, from_nll + from_lse);
    out[to + comptime!(coefficient::SURPRISE)] = select(ignored, zero, surprise);
    let common = cotangent[from + comptime!(column::SUM)];
    out[to + comptime!(coefficient::COMMON)] = select(ignored, zero, common);
    let dense = cotangent[from + comptime!(column::DENSE)];
    out[to + comptime!(coefficient::OWN)] = select(ignored, zero, dense);
    out[to + comptime!(coefficient::AT_TARGET)] = select(ignored, zero, at_target);
}
