//! A unit per value of the result. The mode is known when the kernel is compiled; the irreps are in tables.

use super::mode::{Copies, PathAt, Walk, copies, fed, number};
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

/// What a path adds to one value of the result from one row of the batch.
#[cube]
fn terms<F: Float>(
    operands: &Operands<F>,
    numbers: &Tensor<F>,
    whole: &Tensor<u32>,
    sizes: Sizes,
    path: PathAt,
    c: Copies,
    row: usize,
    weight_row: usize,
    #[comptime] walk: Walk,
) -> F {
    let x_row = row * sizes.width1 + path.o1;
    let y_row = row * sizes.width2 + path.o2;
    let g_row = row * sizes.width3 + path.o3;
    let w_row = weight_row * sizes.width_w + path.weight;
    let mut fan = 1usize.runtime();
    if comptime!(walk.fans()) {
        fan = path.m3;
    }
    let mut sum = F::new(0.0_f32);
    for e in path.from..path.to {
        let packed = whole[sizes.entries + e];
        let i = usize::cast_from(packed & 255u32);
        let j = usize::cast_from((packed >> 8u32) & 255u32);
        let k = usize::cast_from(packed >> 16u32);
        let mut part = F::new(0.0_f32);
        for u in c.u0..c.u1 {
            let mut from = c.v0;
            let mut to = c.v1;
            if comptime!(walk.equal()) {
                from = select(c.v0 > u, c.v0, u);
                to = select(c.v1 < u + 1, c.v1, u + 1);
            }
            if comptime!(walk.triangle()) {
                from = select(c.v0 > u + 1, c.v0, u + 1);
            }
            let mut inner = F::new(0.0_f32);
            let mut v = from;
            while v < to {
                let number = number(path, u, v, walk);
                let first = fed(u, v, number, walk);
                let mut fans = F::new(0.0_f32);
                for f in c.f0..c.f1 {
                    let g = factor::<F>(&operands.g, g_row + (first + f) * path.d3 + k);
                    if comptime!(walk.reads_weights()) {
                        let w = factor::<F>(&operands.w, w_row + number * fan + f);
                        fans = fma(w, g, fans);
                    } else {
                        fans += g;
                    }
                }
                let y = factor::<F>(&operands.y, y_row + v * path.d2 + j);
                inner = fma(y, fans, inner);
                v += 1;
            }
            let x = factor::<F>(&operands.x, x_row + u * path.d1 + i);
            part = fma(x, inner, part);
        }
        sum = fma(numbers[e], part, sum);
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
    c: Copies,
    from: usize,
    to: usize,
    #[comptime] walk: Walk,
) -> F {
    let number = number(path, c.u0, c.v0, walk);
    let first = fed(c.u0, c.v0, number, walk);
    let x_at = path.o1 + c.u0 * path.d1;
    let y_at = path.o2 + c.v0 * path.d2;
    let g_at = path.o3 + (first + c.f0) * path.d3;
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
        let c = copies(path, copy, walk);
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
                operands, numbers, whole, &rows, sizes, path, c, from, to, walk,
            );
        } else {
            let weight_row = #[comptime]
            match &rows {
                ComptimeOption::Some(rows) => usize::cast_from(rows[line]),
                ComptimeOption::None => line * sizes.weight_step,
            };
            sum += terms::<F>(
                operands, numbers, whole, sizes, path, c, line, weight_row, walk,
            );
        }
    }
    let at = line * sizes.width + column;
    if sizes.adds > 0 {
        sum += out[at];
    }
    out[at] = sum;
}
