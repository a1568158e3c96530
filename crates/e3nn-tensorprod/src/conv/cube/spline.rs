//! Weights from a table of cubic Hermite splines, and gradients of distances.

use super::super::table::Knots;
use super::harmonics::UNITS;
use super::terms::constant;
use cubecl::prelude::*;

/// [`Knots`] as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Grid {
    start: u64,
    spacing: u64,
    count: usize,
}

impl Grid {
    pub(super) fn new(knots: Knots) -> Self {
        Self {
            start: knots.start.to_bits(),
            spacing: knots.spacing.to_bits(),
            count: knots.count,
        }
    }

    fn inverse(self) -> u64 {
        (1.0 / f64::from_bits(self.spacing)).to_bits()
    }

    fn last(self) -> u64 {
        ((self.count - 1) as f64).to_bits()
    }
}

/// The interval of a distance, the place in it from 0 to 1, and 1 if the distance lies inside the table, else 0.
#[cube]
fn locate<F: Float>(r: F, #[comptime] grid: Grid) -> (usize, F, F) {
    let zero = F::new(0.0_f32);
    let one = F::new(1.0_f32);
    let t = (r - constant::<F>(comptime!(grid.start))) * constant::<F>(comptime!(grid.inverse()));
    let last = constant::<F>(comptime!(grid.last()));
    // Written so that NaN passes.
    let low = t < zero;
    let high = t > last;
    let clamped = select(low, zero, select(high, last, t));
    let k = usize::cast_from(u32::cast_from(clamped.floor()));
    let most = comptime!(grid.count - 2).runtime();
    let k = select(k > most, most, k);
    let s = clamped - F::cast_from(u32::cast_from(k));
    (k, s, select(low || high, zero, one))
}

/// The derivative of order `order` of the spline at place `s` of an interval, from its four rows.
#[cube]
fn combine<F: Float>(
    table: &Tensor<F>,
    k: usize,
    column: usize,
    s: F,
    #[comptime] grid: Grid,
    #[comptime] order: usize,
) -> F {
    let one = F::new(1.0_f32);
    let two = F::new(2.0_f32);
    let three = F::new(3.0_f32);
    let four = F::new(4.0_f32);
    let six = F::new(6.0_f32);
    let h = constant::<F>(comptime!(grid.spacing));
    let width = table.stride(0);
    let at = 2 * k * width + column;
    let left = table[at];
    let left_slope = table[at + width];
    let right = table[at + 2 * width];
    let right_slope = table[at + 3 * width];
    if comptime!(order == 0) {
        let share = s * s * (three - two * s);
        let slopes = s * (one - s) * ((one - s) * left_slope - s * right_slope);
        fma(h, slopes, fma(share, right, (one - share) * left))
    } else if comptime!(order == 1) {
        let rise = six * s * (one - s) * constant::<F>(comptime!(grid.inverse()));
        let slopes = fma(
            one - s * (four - three * s),
            left_slope,
            s * (three * s - two) * right_slope,
        );
        fma(rise, right - left, slopes)
    } else {
        let inverse = constant::<F>(comptime!(grid.inverse()));
        let bend = (six - (six + six) * s) * inverse;
        let slopes = fma(six * s - four, left_slope, (six * s - two) * right_slope);
        inverse * fma(bend, right - left, slopes)
    }
}

/// Weights of the edges from `first` on, and their tangents `w'(r) ṙ`. A unit per edge and weight.
#[cube(launch, address_type = "dynamic")]
pub(super) fn evaluate<F: Float>(
    r: &Tensor<F>,
    r_dot: ComptimeOption<&Tensor<F>>,
    table: &Tensor<F>,
    w: &mut Tensor<F>,
    mut w_dot: ComptimeOption<&mut Tensor<F>>,
    first: usize,
    count: usize,
    #[comptime] grid: Grid,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let edge = first + ABSOLUTE_POS / w.stride(0);
    let column = ABSOLUTE_POS % w.stride(0);
    let (k, s, inside) = locate::<F>(r[edge * r.stride(0)], grid);
    w[ABSOLUTE_POS] = combine::<F>(table, k, column, s, grid, 0usize);
    #[comptime]
    if let (ComptimeOption::Some(r_dot), ComptimeOption::Some(w_dot)) = (&r_dot, &mut w_dot) {
        let slope = inside * combine::<F>(table, k, column, s, grid, 1usize);
        w_dot[ABSOLUTE_POS] = slope * r_dot[edge * r_dot.stride(0)];
    }
}

/// Gradients of distances `Σ ∂w w'(r) + ∂ẇ w''(r) ṙ` and of their tangents `Σ ∂ẇ w'(r)`, from gradients of weights
/// `[parts, edges from first on, weights]`. A row of `lanes` units per edge; sums in a fixed order.
#[cube(launch, address_type = "dynamic")]
pub(super) fn gradients<F: Float>(
    r: &Tensor<F>,
    r_dot: ComptimeOption<&Tensor<F>>,
    table: &Tensor<F>,
    gw: &Tensor<F>,
    gr: &mut Tensor<F>,
    first: usize,
    end: usize,
    #[comptime] lanes: usize,
    #[comptime] dual: bool,
    #[comptime] grid: Grid,
    #[define(F)] _dtype: ElemType,
) {
    let lane = UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize;
    let wanted = first + CUBE_POS * comptime!(UNITS / lanes) + row;
    let active = wanted < end;
    let edge = select(active, wanted, end - 1);
    let (k, s, inside) = locate::<F>(r[edge * r.stride(0)], grid);
    let mut sum = Array::<F>::new(2usize);
    sum[0] = F::new(0.0_f32);
    sum[1] = F::new(0.0_f32);
    let width = gw.stride(1);
    let mut column = lane;
    while column < width {
        let at = (edge - first) * width + column;
        let slope = inside * combine::<F>(table, k, column, s, grid, 1usize);
        sum[0] = fma(slope, gw[at], sum[0]);
        if comptime!(dual) {
            let g_dot = gw[gw.stride(0) + at];
            sum[1] = fma(slope, g_dot, sum[1]);
            #[comptime]
            if let ComptimeOption::Some(r_dot) = &r_dot {
                let bend = inside * combine::<F>(table, k, column, s, grid, 2usize);
                sum[0] = fma(bend * r_dot[edge * r_dot.stride(0)], g_dot, sum[0]);
            }
        }
        column += lanes;
    }
    let mut shared = Shared::<[F]>::new_slice(comptime!(2 * UNITS));
    shared[row * lanes + lane] = sum[0];
    shared[UNITS + row * lanes + lane] = sum[1];
    sync_cube();
    if lane == 0 && active {
        #[unroll]
        for part in 0..comptime!(if dual { 2 } else { 1 }) {
            let at = part * UNITS + row * lanes;
            let mut total = shared[at];
            for l in 1..lanes {
                total += shared[at + l];
            }
            let to = part * gr.stride(0) + edge;
            gr[to] = total;
        }
    }
}
