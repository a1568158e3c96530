//! A unit per value of the result. The mode is known when the kernel is compiled; the irreps are in tables.

use super::mode::{Copies, PathAt, Walk, copies, fan, fed, number};
use super::{COLUMN, PATH};
use cubecl::prelude::*;

/// Sizes, and where the parts of the table begin.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Sizes {
    /// Values computed.
    pub(super) units: usize,
    /// Columns computed, and all columns, of the result.
    pub(super) reached: usize,
    pub(super) width: usize,
    /// Parts that the rows which share weights are summed in, each a row of the result.
    pub(super) chunks: usize,
    /// 1 if the result is added to what is there, otherwise 0.
    pub(super) adds: usize,
    /// Rows of the batch.
    pub(super) batch: usize,
    /// From the weights of a row of the batch to those of the next, in rows: 1, or 0 if all share them.
    pub(super) weight_step: usize,
    /// Columns of the inputs, the weights and the output.
    pub(super) width1: usize,
    pub(super) width2: usize,
    pub(super) width_w: usize,
    pub(super) width3: usize,
    pub(super) list: usize,
    pub(super) paths: usize,
    pub(super) starts: usize,
    pub(super) entries: usize,
    /// Classes, of which the list of rows has the first of each before the rows.
    pub(super) classes: usize,
}

#[cube]
fn path_at(whole: &Tensor<u32>, sizes: Sizes, path: usize, component: usize) -> PathAt {
    let at = sizes.paths + PATH * path;
    let starts = sizes.starts + usize::cast_from(whole[at + 10]) + component;
    PathAt {
        m1: usize::cast_from(whole[at]),
        m2: usize::cast_from(whole[at + 1]),
        m3: usize::cast_from(whole[at + 2]),
        d1: usize::cast_from(whole[at + 3]),
        d2: usize::cast_from(whole[at + 4]),
        d3: usize::cast_from(whole[at + 5]),
        o1: usize::cast_from(whole[at + 6]),
        o2: usize::cast_from(whole[at + 7]),
        o3: usize::cast_from(whole[at + 8]),
        weight: usize::cast_from(whole[at + 9]),
        from: usize::cast_from(whole[starts]),
        to: usize::cast_from(whole[starts + 1]),
    }
}

/// Operands in the order of the slots; that of the slot itself stands for nothing.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Operands<F: Float> {
    pub(super) x: ComptimeOption<OwnedTensor<F>>,
    pub(super) y: ComptimeOption<OwnedTensor<F>>,
    pub(super) w: ComptimeOption<OwnedTensor<F>>,
    pub(super) g: ComptimeOption<OwnedTensor<F>>,
}

/// A value of an operand, 1 where there is none.
#[cube]
fn factor<F: Float>(operand: &ComptimeOption<OwnedTensor<F>>, at: usize) -> F {
    #[comptime]
    match operand {
        ComptimeOption::Some(operand) => operand[at],
        ComptimeOption::None => F::new(1.0_f32),
    }
}

/// Where the values lie that a symbol couples, of the first copy of each; and the weights.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Places {
    x: usize,
    y: usize,
    w: usize,
    g: usize,
}

/// `Σ_f w g` for a pair of copies.
#[cube]
fn over_outputs<F: Float>(
    operands: &Operands<F>,
    path: PathAt,
    places: Places,
    own: Copies,
    u: usize,
    v: usize,
    #[comptime] walk: Walk,
) -> F {
    let number = number(path, u, v, walk);
    let first = fed(u, v, number, walk);
    let w_at = places.w + number * fan(path, walk);
    let g_at = places.g + first * path.d3;
    if comptime!(walk.one_f()) {
        let g = factor::<F>(&operands.g, g_at + own.f * path.d3);
        if comptime!(walk.reads_weights()) {
            factor::<F>(&operands.w, w_at + own.f) * g
        } else {
            g
        }
    } else {
        let mut sum = F::new(0.0_f32);
        for f in 0..path.m3 {
            let g = factor::<F>(&operands.g, g_at + f * path.d3);
            if comptime!(walk.reads_weights()) {
                sum = fma(factor::<F>(&operands.w, w_at + f), g, sum);
            } else {
                sum += g;
            }
        }
        sum
    }
}

/// `Σ_v y Σ_f w g` for a copy of the first input.
#[cube]
fn over_seconds<F: Float>(
    operands: &Operands<F>,
    path: PathAt,
    places: Places,
    own: Copies,
    u: usize,
    #[comptime] walk: Walk,
) -> F {
    if comptime!(walk.equal() || walk.one_v()) {
        let mut v = own.v;
        if comptime!(walk.equal()) {
            v = u;
        }
        let y = factor::<F>(&operands.y, places.y + v * path.d2);
        y * over_outputs::<F>(operands, path, places, own, u, v, walk)
    } else {
        let mut from = 0usize.runtime();
        if comptime!(walk.triangle()) {
            from = u + 1;
        }
        let mut sum = F::new(0.0_f32);
        for v in from..path.m2 {
            let y = factor::<F>(&operands.y, places.y + v * path.d2);
            let inner = over_outputs::<F>(operands, path, places, own, u, v, walk);
            sum = fma(y, inner, sum);
        }
        sum
    }
}

/// What a path adds to one value of the result from one row of the batch: `Σ C Σ_u x Σ_v y Σ_f w g`, without the sums over what the
/// unit has one of, and the factor that is computed.
#[cube]
fn terms<F: Float>(
    operands: &Operands<F>,
    numbers: &Tensor<F>,
    whole: &Tensor<u32>,
    sizes: Sizes,
    path: PathAt,
    own: Copies,
    row: usize,
    weight_row: usize,
    #[comptime] walk: Walk,
) -> F {
    let mut sum = F::new(0.0_f32);
    for e in path.from..path.to {
        let packed = whole[sizes.entries + e];
        let places = Places {
            x: row * sizes.width1 + path.o1 + usize::cast_from(packed & 255u32),
            y: row * sizes.width2 + path.o2 + usize::cast_from((packed >> 8u32) & 255u32),
            w: weight_row * sizes.width_w + path.weight,
            g: row * sizes.width3 + path.o3 + usize::cast_from(packed >> 16u32),
        };
        if comptime!(walk.one_u()) {
            let x = factor::<F>(&operands.x, places.x + own.u * path.d1);
            let inner = over_seconds::<F>(operands, path, places, own, own.u, walk);
            sum = fma(numbers[e], x * inner, sum);
        } else {
            let mut to = path.m1;
            if comptime!(walk.triangle() && walk.one_v()) {
                to = own.v;
            }
            let mut part = F::new(0.0_f32);
            for u in 0..to {
                let x = factor::<F>(&operands.x, places.x + u * path.d1);
                let inner = over_seconds::<F>(operands, path, places, own, u, walk);
                part = fma(x, inner, part);
            }
            sum = fma(numbers[e], part, sum);
        }
    }
    sum
}

/// The sum over places `from..to` in the list of rows of what a path adds to a weight.
#[cube]
fn weight_terms<F: Float>(
    operands: &Operands<F>,
    numbers: &Tensor<F>,
    whole: &Tensor<u32>,
    rows: &ComptimeOption<&Tensor<u32>>,
    sizes: Sizes,
    path: PathAt,
    own: Copies,
    from: usize,
    to: usize,
    #[comptime] walk: Walk,
) -> F {
    let number = number(path, own.u, own.v, walk);
    let first = fed(own.u, own.v, number, walk);
    let x_at = path.o1 + own.u * path.d1;
    let y_at = path.o2 + own.v * path.d2;
    let g_at = path.o3 + (first + own.f) * path.d3;
    let mut sum = F::new(0.0_f32);
    for e in path.from..path.to {
        let packed = whole[sizes.entries + e];
        let i = x_at + usize::cast_from(packed & 255u32);
        let j = y_at + usize::cast_from((packed >> 8u32) & 255u32);
        let k = g_at + usize::cast_from(packed >> 16u32);
        let mut part = F::new(0.0_f32);
        let mut at = from;
        while at < to {
            let row = #[comptime]
            match rows {
                ComptimeOption::Some(rows) => usize::cast_from(rows[sizes.classes + 1 + at]),
                ComptimeOption::None => at,
            };
            let x = factor::<F>(&operands.x, row * sizes.width1 + i);
            let y = factor::<F>(&operands.y, row * sizes.width2 + j);
            let g = factor::<F>(&operands.g, row * sizes.width3 + k);
            part = fma(x * y, g, part);
            at += 1;
        }
        sum = fma(numbers[e], part, sum);
    }
    sum
}

/// All paths of one mode.
#[cube(launch, address_type = "dynamic")]
pub(super) fn partial<F: Float>(
    operands: &Operands<F>,
    numbers: &Tensor<F>,
    whole: &Tensor<u32>,
    rows: ComptimeOption<&Tensor<u32>>,
    out: &mut Tensor<F>,
    sizes: Sizes,
    #[comptime] walk: Walk,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= sizes.units {
        terminate!();
    }
    let record = COLUMN * (ABSOLUTE_POS % sizes.reached);
    let line = ABSOLUTE_POS / sizes.reached;
    let column = usize::cast_from(whole[record]);
    let first = usize::cast_from(whole[record + 1]);
    let count = usize::cast_from(whole[record + 2]);
    let copy = usize::cast_from(whole[record + 3]);
    let component = usize::cast_from(whole[record + 4]);
    let mut sum = F::new(0.0_f32);
    for n in 0..count {
        let number = usize::cast_from(whole[sizes.list + first + n]);
        let path = path_at(whole, sizes, number, component);
        let own = copies(path, copy, walk);
        if comptime!(walk.summed) {
            // A part of the rows that share the weights.
            let chunk = line % sizes.chunks;
            let (begin, end) = #[comptime]
            match &rows {
                ComptimeOption::Some(rows) => {
                    let class = line / sizes.chunks;
                    (
                        usize::cast_from(rows[class]),
                        usize::cast_from(rows[class + 1]),
                    )
                }
                ComptimeOption::None => (0usize.runtime(), sizes.batch),
            };
            let each = (end - begin).div_ceil(sizes.chunks);
            let from = begin + chunk * each;
            let to = select(from + each < end, from + each, end);
            sum += weight_terms::<F>(
                operands, numbers, whole, &rows, sizes, path, own, from, to, walk,
            );
        } else {
            let weight_row = #[comptime]
            match &rows {
                ComptimeOption::Some(rows) => usize::cast_from(rows[line]),
                ComptimeOption::None => line * sizes.weight_step,
            };
            sum += terms::<F>(
                operands, numbers, whole, sizes, path, own, line, weight_row, walk,
            );
        }
    }
    let at = line * sizes.width + column;
    if sizes.adds > 0 {
        sum += out[at];
    }
    out[at] = sum;
}
