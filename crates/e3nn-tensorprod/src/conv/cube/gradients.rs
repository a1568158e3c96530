//! Gradients of weights, and of the features that an edge reads: a unit per channel and run of edges, with the cotangents of
//! the node where they arrive in registers.

use super::groups::Unrolled;
use super::terms::{Edges, Form, couple, read, read_harmonics, read_node};
use cubecl::prelude::*;

/// With `p_a = Σ_c A_ac g_c + Ȧ_ac ġ_c` and `ṗ_a = Σ_c A_ac ġ_c`, where `A_ac = Σ_b C_abc y_b`:
/// `∂w = Σ_a x_a p_a + ẋ_a ṗ_a`, `∂ẇ = Σ_a x_a ṗ_a`, `∂x_a = w p_a + ẇ ṗ_a`, `∂ẋ_a = w ṗ_a`, summed over paths.
///
/// `gw` and `gx` are `[parts, edges, …]` from edge `first_row` on.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gradients<F: Float>(
    edges: &Edges<F>,
    cotangent: &Tensor<F>,
    mut gw: ComptimeOption<&mut Tensor<F>>,
    mut gx: ComptimeOption<&mut Tensor<F>>,
    first_gw: usize,
    run: usize,
    #[comptime] group: Unrolled,
    #[comptime] form: Form,
    #[define(F)] _dtype: ElemType,
) {
    let start = edges.first + ABSOLUTE_POS / comptime!(group.channels) * run;
    if start >= edges.end {
        terminate!();
    }
    let channel = ABSOLUTE_POS % comptime!(group.channels);
    let stop = select(start + run > edges.end, edges.end, start + run);
    let count = comptime!(group.out.len());
    let features = comptime!(group.x.len());
    let pieces = comptime!(group.pieces.len());

    let mut g = Array::<F>::new(comptime!(count * form.parts()));
    let mut x = Array::<F>::new(features);
    let mut x_dot = Array::<F>::new(features);
    let mut y = Array::<F>::new(comptime!(group.y.len()));
    let mut y_dot = Array::<F>::new(comptime!(group.y.len()));
    let mut to_x = Array::<F>::new(comptime!(features * form.parts()));
    let mut w = Array::<F>::new(pieces);
    let mut w_dot = Array::<F>::new(pieces);
    let mut to_w = Array::<F>::new(comptime!(pieces * form.parts()));
    let mut current = 0usize.runtime();
    for edge in start..stop {
        let node = edges.destination(edge);
        if edge == start || node != current {
            current = node;
            let at = node * cotangent.stride(1);
            #[unroll]
            for c in 0..count {
                let slot = comptime!(group.out[c]);
                let column = at + comptime!(slot.column) + channel * comptime!(slot.apart);
                g[c] = cotangent[column];
                if comptime!(form.dual()) {
                    g[count + c] = cotangent[cotangent.stride(0) + column];
                }
            }
        }
        let source = edges.source(edge);
        read_harmonics::<F>(&edges.y, edge, &mut y, comptime!(group.clone()));
        if comptime!(form.y_dot) {
            read_harmonics::<F>(&edges.y_dot, edge, &mut y_dot, comptime!(group.clone()));
        }
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
        for a in 0..comptime!(features * form.parts()) {
            to_x[a] = F::new(0.0_f32);
        }
        // All reads are on their way before the first result is written: for all that a compiler knows, it could be read next.
        #[unroll]
        for p in 0..pieces {
            let column = comptime!(group.pieces[p].weight) + channel;
            w[p] = read::<F>(&edges.w, edge - edges.first_weight, column);
            if comptime!(form.w_dot) {
                w_dot[p] = read::<F>(&edges.w_dot, edge - edges.first_weight, column);
            }
            #[unroll]
            for part in 0..comptime!(form.parts()) {
                to_w[part * pieces + p] = F::new(0.0_f32);
            }
        }
        #[unroll]
        for p in 0..pieces {
            let piece = comptime!(group.pieces[p].clone());
            #[unroll]
            for i in 0..comptime!(piece.components.len()) {
                let component = comptime!(piece.components[i].clone());
                let a = comptime!(component.a);
                // `p_a` and `ṗ_a`.
                let mut pull = F::new(0.0_f32);
                let mut pull_dot = F::new(0.0_f32);
                #[unroll]
                for j in 0..comptime!(component.pairs.len()) {
                    let pair = comptime!(component.pairs[j].clone());
                    let c = comptime!(pair.c);
                    let table = couple::<F>(&y, comptime!(pair.clone()));
                    if comptime!(j == 0) {
                        pull = table * g[c];
                    } else {
                        pull = fma(table, g[c], pull);
                    }
                    if comptime!(form.dual()) {
                        if comptime!(j == 0) {
                            pull_dot = table * g[count + c];
                        } else {
                            pull_dot = fma(table, g[count + c], pull_dot);
                        }
                    }
                    if comptime!(form.y_dot) {
                        let slope = couple::<F>(&y_dot, pair);
                        pull = fma(slope, g[count + c], pull);
                    }
                }
                to_w[p] = fma(x[a], pull, to_w[p]);
                to_x[a] = fma(w[p], pull, to_x[a]);
                if comptime!(form.dual()) {
                    to_w[pieces + p] = fma(x[a], pull_dot, to_w[pieces + p]);
                    to_x[features + a] = fma(w[p], pull_dot, to_x[features + a]);
                }
                if comptime!(form.x_dot) {
                    to_w[p] = fma(x_dot[a], pull_dot, to_w[p]);
                }
                if comptime!(form.w_dot) {
                    to_x[a] = fma(w_dot[p], pull_dot, to_x[a]);
                }
            }
        }
        #[comptime]
        if let ComptimeOption::Some(gw) = &mut gw {
            let at = (edge - first_gw) * gw.stride(1) + channel;
            #[unroll]
            for p in 0..pieces {
                let at = at + comptime!(group.pieces[p].weight);
                #[unroll]
                for part in 0..comptime!(form.parts()) {
                    let at = at + part * gw.stride(0);
                    if comptime!(group.pieces[p].adds) {
                        gw[at] += to_w[part * pieces + p];
                    } else {
                        gw[at] = to_w[part * pieces + p];
                    }
                }
            }
        }
        #[comptime]
        if let ComptimeOption::Some(gx) = &mut gx {
            let at = (edge - edges.first) * gx.stride(1);
            #[unroll]
            for a in 0..features {
                let slot = comptime!(group.x[a]);
                let at = at + comptime!(slot.column) + channel * comptime!(slot.apart);
                #[unroll]
                for part in 0..comptime!(form.parts()) {
                    let at = at + part * gx.stride(0);
                    if comptime!(slot.adds) {
                        gx[at] += to_x[part * features + a];
                    } else {
                        gx[at] = to_x[part * features + a];
                    }
                }
            }
        }
    }
}
