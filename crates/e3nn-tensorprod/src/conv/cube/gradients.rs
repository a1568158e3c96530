//! Gradients of weights, and of the features that an edge reads: a unit per channel and run of edges, with the cotangents of
//! the node where they arrive in registers.

#![allow(clippy::manual_is_multiple_of, reason = "kernels have no such method")]

use super::groups::Unrolled;
use super::planes::{Shares, sum_over_plane};
use super::terms::{Edges, Form, Walk, couple, moved, spread};
use cubecl::prelude::*;

/// With `p_a = Σ_c A_ac g_c + Ȧ_ac ġ_c` and `ṗ_a = Σ_c A_ac ġ_c`, where `A_ac = Σ_b C_abc y_b`:
/// `∂w = Σ_a x_a p_a + ẋ_a ṗ_a`, `∂ẇ = Σ_a x_a ṗ_a`, `∂x_a = w p_a + ẇ ṗ_a`, `∂ẋ_a = w ṗ_a`, summed over paths.
///
/// `gw` and `gx` are `[parts, edges, …]` from edge `first_row` on. `gy` is `[edges, planes, harmonics]`, those of the group, the
/// tangents' after the others: for every plane of units what its channels add to the gradients of harmonics.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn gradients<F: Float>(
    edges: &Edges<F>,
    cotangent: &Tensor<F>,
    mut gw: ComptimeOption<&mut Tensor<F>>,
    mut gx: ComptimeOption<&mut Tensor<F>>,
    mut gy: ComptimeOption<&mut Tensor<F>>,
    first_gw: usize,
    run: usize,
    #[comptime] plane: usize,
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
    let mut to_x = Array::<F>::new(comptime!(features * form.parts()));
    let mut to_w = Array::<F>::new(comptime!(pieces * form.parts()));
    let harmonics = comptime!(group.y.len());
    let mut to_y = Array::<F>::new(comptime!((harmonics * form.parts()).next_power_of_two()));
    let mut current = 0usize.runtime();
    let mut walk = Walk::<F>::new(edges, start, stop, channel, comptime!(group.clone()), form);
    for edge in start..stop {
        walk.step(edges, edge, stop, channel, comptime!(group.clone()), form);
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
        #[unroll]
        for a in 0..comptime!(features * form.parts()) {
            to_x[a] = F::new(0.0_f32);
        }
        if comptime!(plane > 0) {
            #[unroll]
            for b in 0..comptime!((harmonics * form.parts()).next_power_of_two()) {
                to_y[b] = F::new(0.0_f32);
            }
        }
        #[unroll]
        for p in 0..comptime!(pieces * form.parts()) {
            to_w[p] = F::new(0.0_f32);
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
                let w = walk.now.w[p];
                let w_dot = walk.now.w_dot[p];
                let x = walk.now.x[a];
                let x_dot = walk.now.x_dot[a];
                let message = w * x;
                let drift = moved::<F>(w, w_dot, x, x_dot, form);
                #[unroll]
                for j in 0..comptime!(component.pairs.len()) {
                    let pair = comptime!(component.pairs[j].clone());
                    let c = comptime!(pair.c);
                    let table = couple::<F>(&walk.now.y, comptime!(pair.clone()));
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
                        let slope = couple::<F>(&walk.now.y_dot, comptime!(pair.clone()));
                        pull = fma(slope, g[count + c], pull);
                    }
                    if comptime!(plane > 0) {
                        spread::<F>(message, drift, &g, &mut to_y, pair, count, harmonics, form);
                    }
                }
                to_w[p] = fma(x, pull, to_w[p]);
                to_x[a] = fma(w, pull, to_x[a]);
                if comptime!(form.dual()) {
                    to_w[pieces + p] = fma(x, pull_dot, to_w[pieces + p]);
                    to_x[features + a] = fma(w, pull_dot, to_x[features + a]);
                }
                if comptime!(form.x_dot) {
                    to_w[p] = fma(x_dot, pull_dot, to_w[p]);
                }
                if comptime!(form.w_dot) {
                    to_x[a] = fma(w_dot, pull_dot, to_x[a]);
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
        #[comptime]
        if let ComptimeOption::Some(gy) = &mut gy {
            let sums = comptime!(harmonics * form.parts());
            let planes = comptime!(group.channels / plane);
            let row = (edge - edges.first) * planes + channel / plane;
            let shares = comptime!(Shares::new(sums, plane));
            let lane = channel % plane;
            sum_over_plane::<F>(&mut to_y, lane, sums, plane);
            let first = lane / comptime!(shares.same) * comptime!(shares.held);
            if lane % comptime!(shares.same) == 0 {
                #[unroll]
                for i in 0..comptime!(shares.held) {
                    if first + i < sums {
                        gy[row * sums + first + i] = to_y[i];
                    }
                }
            }
        }
    }
}
