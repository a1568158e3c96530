//! A unit per value of the result.

use super::super::Slot;
use super::tables::{COLUMN, PATH};
use cubecl::prelude::*;

/// Which weights a row gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RowKind {
    Shared,
    PerRow,
    ByClass,
}

/// Sizes, and where the parts of the table begin.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Places {
    /// Rows and columns of the result.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Rows of the batch.
    pub(super) batch: usize,
    /// Columns of the operands.
    pub(super) width_a: usize,
    pub(super) width_b: usize,
    pub(super) width_c: usize,
    pub(super) list: usize,
    pub(super) paths: usize,
    pub(super) starts: usize,
    pub(super) entries: usize,
}

/// The three operands are those of the other slots, in order.
#[cube(launch, address_type = "dynamic")]
pub(super) fn partial<F: Float>(
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    values: &Tensor<F>,
    table: &Tensor<u32>,
    rows: &Tensor<u32>,
    out: &mut Tensor<F>,
    places: Places,
    #[comptime] slot: Slot,
    #[comptime] kind: RowKind,
    #[define(F)] _dtype: ElemType,
) {
    let row = ABSOLUTE_POS / places.width;
    let column = ABSOLUTE_POS % places.width;
    if row >= places.height {
        terminate!();
    }
    let first = usize::cast_from(table[column * COLUMN]);
    let count = usize::cast_from(table[column * COLUMN + 1]);
    let copy = usize::cast_from(table[column * COLUMN + 2]);
    let component = usize::cast_from(table[column * COLUMN + 3]);
    let mut sum = F::new(0.0_f32);
    for n in 0..count {
        let path = places.paths + PATH * usize::cast_from(table[places.list + first + n]);
        if comptime!(slot == Slot::Weight && kind != RowKind::PerRow) {
            // Over all rows that share the weights.
            let mut from = 0usize.runtime();
            let mut to = places.batch;
            if comptime!(kind == RowKind::ByClass) {
                from = usize::cast_from(rows[row]);
                to = usize::cast_from(rows[row + 1]);
            }
            for at in from..to {
                let mut r = at;
                if comptime!(kind == RowKind::ByClass) {
                    r = usize::cast_from(rows[places.height + 1 + at]);
                }
                sum += terms::<F>(
                    a, b, c, values, table, places, path, r, r, copy, component, slot,
                );
            }
        } else {
            let mut weight_row = 0usize.runtime();
            if comptime!(kind == RowKind::PerRow) {
                weight_row = row;
            }
            if comptime!(kind == RowKind::ByClass) {
                weight_row = usize::cast_from(rows[row]);
            }
            sum += terms::<F>(
                a, b, c, values, table, places, path, row, weight_row, copy, component, slot,
            );
        }
    }
    out[ABSOLUTE_POS] = sum;
}

/// What a path adds to one value of the result, from one row of the batch.
#[cube]
#[allow(clippy::too_many_arguments, reason = "a kernel has no closures")]
fn terms<F: Float>(
    a: &Tensor<F>,
    b: &Tensor<F>,
    c: &Tensor<F>,
    values: &Tensor<F>,
    table: &Tensor<u32>,
    places: Places,
    path: usize,
    row: usize,
    weight_row: usize,
    copy: usize,
    component: usize,
    #[comptime] slot: Slot,
) -> F {
    let mode = table[path];
    let weighted = table[path + 1] != 0;
    let m1 = usize::cast_from(table[path + 2]);
    let m2 = usize::cast_from(table[path + 3]);
    let m3 = usize::cast_from(table[path + 4]);
    let d1 = usize::cast_from(table[path + 5]);
    let d2 = usize::cast_from(table[path + 6]);
    let d3 = usize::cast_from(table[path + 7]);
    let o1 = usize::cast_from(table[path + 8]);
    let o2 = usize::cast_from(table[path + 9]);
    let o3 = usize::cast_from(table[path + 10]);
    let first_weight = usize::cast_from(table[path + 11]);
    let starts = places.starts + usize::cast_from(table[path + 12]) + component;
    let from = usize::cast_from(table[starts]);
    let to = usize::cast_from(table[starts + 1]);

    // Modes in the order of `ConnectionMode::ALL`: uvw uvu uvv uuw uuu uvuv uvu<v u<vw.
    let fans = mode == 0 || mode == 3 || mode == 7;
    let equal = mode == 3 || mode == 4;
    let triangle = mode == 6 || mode == 7;
    let fan = select(fans, m3, 1usize);

    // Copies that contribute: u in u0..u1, v in v0..v1, and of the fan f0..f1.
    let mut u0 = 0usize.runtime();
    let mut u1 = m1;
    let mut v0 = 0usize.runtime();
    let mut v1 = m2;
    let mut f0 = 0usize.runtime();
    let mut f1 = fan;
    // The pair that a weight, or a copy of the output of uvuv and uvu<v, belongs to.
    let pair = if comptime!(slot == Slot::Weight) {
        copy / fan
    } else {
        copy
    };
    let mut u_of_pair = 0usize.runtime();
    let mut v_of_pair = 0usize.runtime();
    if comptime!(slot == Slot::Weight || slot == Slot::Out) {
        if triangle {
            let mut rest = pair;
            while rest >= m1 - 1 - u_of_pair && u_of_pair + 1 < m1 {
                rest -= m1 - 1 - u_of_pair;
                u_of_pair += 1;
            }
            v_of_pair = u_of_pair + 1 + rest;
        } else {
            u_of_pair = select(equal, pair, pair / m2);
            v_of_pair = select(equal, pair, pair % m2);
        }
    }
    if comptime!(slot == Slot::In1) {
        u0 = copy;
        u1 = copy + 1;
    } else if comptime!(slot == Slot::In2) {
        v0 = copy;
        v1 = copy + 1;
    } else if comptime!(slot == Slot::Weight) {
        u0 = u_of_pair;
        u1 = u_of_pair + 1;
        v0 = v_of_pair;
        v1 = v_of_pair + 1;
        f0 = copy % fan;
        f1 = f0 + 1;
    } else {
        if fans {
            f0 = copy;
            f1 = copy + 1;
        }
        if mode == 1 || mode == 4 {
            u0 = copy;
            u1 = copy + 1;
        }
        if mode == 2 {
            v0 = copy;
            v1 = copy + 1;
        }
        if mode == 5 || mode == 6 {
            u0 = u_of_pair;
            u1 = u_of_pair + 1;
            v0 = v_of_pair;
            v1 = v_of_pair + 1;
        }
    }

    let row_a = row * places.width_a;
    let row_c = row * places.width_c;
    let mut sum = F::new(0.0_f32);
    for u in u0..u1 {
        let mut v_from = v0;
        let mut v_to = v1;
        if equal {
            v_from = select(v0 > u, v0, u);
            v_to = select(v1 < u + 1, v1, u + 1);
        }
        if triangle {
            v_from = select(v0 > u + 1, v0, u + 1);
        }
        let mut v = v_from;
        while v < v_to {
            // The number of the pair among the weights, and the copy of the output.
            let mut number = u * m2 + v;
            if equal {
                number = u;
            }
            if triangle {
                number = u * (2 * m1 - u - 1) / 2 + v - u - 1;
            }
            let mut to_copy = number;
            if fans {
                to_copy = 0usize.runtime();
            }
            if mode == 1 {
                to_copy = u;
            }
            if mode == 2 {
                to_copy = v;
            }
            let x_at = o1 + u * d1;
            let y_at = o2 + v * d2;
            for f in f0..f1 {
                let w_at = first_weight + number * fan + f;
                let g_at = o3 + (to_copy + f) * d3;
                let mut part = F::new(0.0_f32);
                for e in from..to {
                    let packed = table[places.entries + e];
                    let i = usize::cast_from(packed & 255);
                    let j = usize::cast_from((packed >> 8) & 255);
                    let k = usize::cast_from(packed >> 16);
                    // The two factors that are no weights; for weights there are three.
                    if comptime!(slot == Slot::Out) {
                        let xy = a[row_a + x_at + i] * b[row * places.width_b + y_at + j];
                        part = fma(values[e], xy, part);
                    } else if comptime!(slot == Slot::In1) {
                        let yg = a[row_a + y_at + j] * c[row_c + g_at + k];
                        part = fma(values[e], yg, part);
                    } else if comptime!(slot == Slot::In2) {
                        let xg = a[row_a + x_at + i] * c[row_c + g_at + k];
                        part = fma(values[e], xg, part);
                    } else {
                        let xy = a[row_a + x_at + i] * b[row * places.width_b + y_at + j];
                        part = fma(values[e] * xy, c[row_c + g_at + k], part);
                    }
                }
                let mut w = F::new(1.0_f32);
                if comptime!(slot == Slot::Out) {
                    if weighted {
                        w = c[weight_row * places.width_c + w_at];
                    }
                } else if comptime!(slot != Slot::Weight) {
                    if weighted {
                        w = b[weight_row * places.width_b + w_at];
                    }
                }
                sum = fma(w, part, sum);
            }
            v += 1;
        }
    }
    sum
}
