//! Sums of messages: a unit per node and channel keeps those of all output components of its paths in registers, and walks
//! over the edges that arrive.

use super::groups::Unrolled;
use super::terms::{Edges, Form, Walk, couple, moved};
use cubecl::prelude::*;

/// `out[row] = Σ_e message(e)` over the edges of the launch; a row whose edges began in an earlier launch goes on.
///
/// A row is a node, with up to `longest` of its edges; or, with `ranges`, edges from one place of them to the next.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn forward<F: Float>(
    edges: &Edges<F>,
    ranges: ComptimeOption<&Tensor<u32>>,
    out: &mut Tensor<F>,
    first_row: usize,
    rows: usize,
    longest: usize,
    #[comptime] group: Unrolled,
    #[comptime] form: Form,
    #[define(F)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS / comptime!(group.channels);
    if unit >= rows {
        terminate!();
    }
    let channel = ABSOLUTE_POS % comptime!(group.channels);
    let row = first_row + unit;
    let count = comptime!(group.out.len());
    #[comptime]
    let first = match &ranges {
        ComptimeOption::Some(ranges) => usize::cast_from(ranges[2 * row]),
        ComptimeOption::None => edges.arriving(row),
    };
    #[comptime]
    let last = match &ranges {
        ComptimeOption::Some(ranges) => usize::cast_from(ranges[2 * row + 1]),
        ComptimeOption::None => edges.arriving(row + 1),
    };
    let last = select(last - first > longest, first + longest, last);
    let begin = select(first < edges.first, edges.first, first);
    let end = select(last > edges.end, edges.end, last);
    // In an earlier launch.
    let resumes = first < edges.first;

    let at = row * out.stride(1);
    let part = out.stride(0);
    let mut sums = Array::<F>::new(comptime!(count * form.parts()));
    #[unroll]
    for c in 0..count {
        let slot = comptime!(group.out[c]);
        let column = at + comptime!(slot.column) + channel * comptime!(slot.apart);
        sums[c] = F::new(0.0_f32);
        if comptime!(form.dual()) {
            sums[count + c] = F::new(0.0_f32);
        }
        if comptime!(slot.adds).runtime() || resumes {
            sums[c] = out[column];
            if comptime!(form.dual()) {
                sums[count + c] = out[part + column];
            }
        }
    }

    if begin < end {
        let mut walk = Walk::<F>::new(edges, begin, end, channel, comptime!(group.clone()), form);
        for edge in begin..end {
            walk.step(edges, edge, end, channel, comptime!(group.clone()), form);
            #[unroll]
            for p in 0..comptime!(group.pieces.len()) {
                let piece = comptime!(group.pieces[p].clone());
                let w = walk.now.w[p];
                let w_dot = walk.now.w_dot[p];
                #[unroll]
                for i in 0..comptime!(piece.components.len()) {
                    let component = comptime!(piece.components[i].clone());
                    let message = w * walk.now.x[comptime!(component.a)];
                    let drift = moved::<F>(
                        w,
                        w_dot,
                        walk.now.x[comptime!(component.a)],
                        walk.now.x_dot[comptime!(component.a)],
                        form,
                    );
                    #[unroll]
                    for j in 0..comptime!(component.pairs.len()) {
                        let pair = comptime!(component.pairs[j].clone());
                        let c = comptime!(pair.c);
                        let table = couple::<F>(&walk.now.y, comptime!(pair.clone()));
                        sums[c] = fma(table, message, sums[c]);
                        if comptime!(form.y_dot) {
                            let slope = couple::<F>(&walk.now.y_dot, pair);
                            sums[count + c] = fma(slope, message, sums[count + c]);
                        }
                        if comptime!(form.moves()) {
                            sums[count + c] = fma(table, drift, sums[count + c]);
                        }
                    }
                }
            }
        }
    }
    #[unroll]
    for c in 0..count {
        let slot = comptime!(group.out[c]);
        let column = at + comptime!(slot.column) + channel * comptime!(slot.apart);
        out[column] = sums[c];
        if comptime!(form.dual()) {
            out[part + column] = sums[count + c];
        }
    }
}
