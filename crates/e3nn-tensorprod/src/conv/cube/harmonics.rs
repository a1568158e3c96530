//! Gradients of harmonics: sums over the channels of an edge.

use super::groups::Unrolled;
use super::terms::{Edges, Form, moved, read, read_node, spread};
use cubecl::prelude::*;

/// Units of a cube.
pub(super) const UNITS: usize = 128;
/// Sums that lie in shared memory at a time.
const SHARED: usize = 8;

/// `∂y_b = Σ_u Σ_abc C_abc (m_a g_c + ṁ_a ġ_c)` and `∂ẏ_b = Σ_u Σ_abc C_abc m_a ġ_c` with `m = w x`.
///
/// A row of `lanes` units per edge. Every unit adds up each `lanes`-th channel, and then one unit per component the units of
/// its edge, in their order.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gradients<F: Float>(
    edges: &Edges<F>,
    cotangent: &Tensor<F>,
    gy: &mut Tensor<F>,
    #[comptime] lanes: usize,
    #[comptime] group: Unrolled,
    #[comptime] form: Form,
    #[define(F)] _dtype: ElemType,
) {
    let lane = UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize;
    let wanted = edges.first + CUBE_POS * comptime!(UNITS / lanes) + row;
    let active = wanted < edges.end;
    // Rows beyond the last edge repeat it and write nothing.
    let edge = select(active, wanted, edges.end - 1);
    let source = edges.source(edge);
    let at = edges.destination(edge) * cotangent.stride(1);
    let weight_row = edge - edges.first_weight;

    let count = comptime!(group.y.len());
    let features = comptime!(group.x.len());
    let mut sums = Array::<F>::new(comptime!(count * form.parts()));
    #[unroll]
    for b in 0..comptime!(count * form.parts()) {
        sums[b] = F::new(0.0_f32);
    }
    let mut x = Array::<F>::new(features);
    let mut x_dot = Array::<F>::new(features);
    let outputs = comptime!(group.out.len());
    let mut g = Array::<F>::new(comptime!(outputs * form.parts()));
    let mut channel = lane;
    while channel < comptime!(group.channels) {
        read_node::<F>(
            edges,
            source,
            channel,
            &mut x,
            &mut x_dot,
            comptime!(group.clone()),
            form,
        );
        #[unroll]
        for p in 0..comptime!(group.pieces.len()) {
            let piece = comptime!(group.pieces[p].clone());
            let column = comptime!(piece.weight) + channel;
            let w = read::<F>(&edges.w, weight_row, column);
            let w_dot = read::<F>(&edges.w_dot, weight_row, column);
            #[unroll]
            for i in 0..comptime!(piece.outputs.len()) {
                let c = comptime!(piece.outputs[i]);
                let slot = comptime!(group.out[c]);
                let from = at + comptime!(slot.column) + channel * comptime!(slot.apart);
                g[c] = cotangent[from];
                if comptime!(form.dual()) {
                    g[outputs + c] = cotangent[cotangent.stride(0) + from];
                }
            }
            #[unroll]
            for i in 0..comptime!(piece.components.len()) {
                let component = comptime!(piece.components[i].clone());
                let a = comptime!(component.a);
                let message = w * x[a];
                let drift = moved::<F>(w, w_dot, x[a], x_dot[a], form);
                #[unroll]
                for j in 0..comptime!(component.pairs.len()) {
                    let pair = comptime!(component.pairs[j].clone());
                    spread::<F>(message, drift, &g, &mut sums, pair, outputs, count, form);
                }
            }
        }
        channel += lanes;
    }

    // A column more, so that units that read side by side meet other banks.
    let stride = comptime!(lanes + 1);
    let mut shared = Shared::<[F]>::new_slice(comptime!(SHARED * (UNITS / lanes) * (lanes + 1)));
    let batches = comptime!((count * form.parts()).div_ceil(SHARED));
    #[unroll]
    for batch in 0..batches {
        let begin = comptime!(batch * SHARED);
        let here = comptime!((count * form.parts() - begin).min(SHARED));
        sync_cube();
        #[unroll]
        for i in 0..here {
            shared[(row * SHARED + i) * stride + lane] = sums[comptime!(begin + i)];
        }
        sync_cube();
        #[unroll]
        for turn in 0..comptime!(here.div_ceil(lanes)) {
            let i = comptime!(turn * lanes) + lane;
            if active && i < here {
                let mut total = shared[(row * SHARED + i) * stride];
                for l in 1..lanes {
                    total += shared[(row * SHARED + i) * stride + l];
                }
                #[unroll]
                for k in 0..here {
                    if i == k {
                        let b = comptime!((begin + k) % count);
                        let part = comptime!((begin + k) / count);
                        let to =
                            part * gy.stride(0) + edge * gy.stride(1) + comptime!(group.y[b].0);
                        if comptime!(group.y[b].1) {
                            gy[to] += total;
                        } else {
                            gy[to] = total;
                        }
                    }
                }
            }
        }
    }
}
