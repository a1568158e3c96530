//! Sums over the units of a plane, where a device has planes of one size: those of gradients of harmonics over channels.

use super::groups::Unrolled;
use cubecl::prelude::*;

/// What the units of a plane hold of `count` values when they have been summed: unit `lane` those from
/// `lane / same · held` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shares {
    /// Values that a unit holds in the end.
    pub(super) held: usize,
    /// Units beside each other that hold the same.
    pub(super) same: usize,
}

impl Shares {
    pub(super) fn new(count: usize, plane: usize) -> Self {
        // Every halving fixes a bit of the place of what a unit holds.
        let padded = count.next_power_of_two();
        let halvings = padded.ilog2().min(plane.ilog2());
        Self {
            held: padded >> halvings,
            same: plane >> halvings,
        }
    }
}

/// Sums values over the units of a plane, in an order that depends on nothing but its size, and leaves each unit its
/// [`Shares`], in front.
///
/// Units trade halves of what they hold rather than all of it: about as many exchanges as there are values, not that times
/// the logarithm of the size. `values` holds a power of two of them.
#[cube]
pub(super) fn sum_over_plane<F: Float>(
    values: &mut Array<F>,
    lane: usize,
    #[comptime] count: usize,
    #[comptime] plane: usize,
) {
    let padded = comptime!(count.next_power_of_two());
    #[unroll]
    for level in 0..comptime!(plane.ilog2() as usize) {
        let distance = comptime!(plane >> (level + 1));
        let held = comptime!(padded >> level);
        if comptime!(held > 1) {
            let upper = lane / distance % 2 == 1;
            let half = comptime!(held / 2);
            #[unroll]
            for i in 0..half {
                let low = values[i];
                let high = values[half + i];
                let send = select(upper, low, high);
                let keep = select(upper, high, low);
                values[i] = keep + plane_shuffle_xor(send, comptime!(distance as u32).runtime());
            }
        } else {
            let value = values[0];
            values[0] = value + plane_shuffle_xor(value, comptime!(distance as u32).runtime());
        }
    }
}

/// `gy[part, first + edge, column] (+)= Σ_plane rows[edge, plane]` for the harmonics of a group. A unit per edge and sum.
#[cube(launch_unchecked, address_type = "dynamic")]
pub(super) fn fold<F: Float>(
    rows: &Tensor<F>,
    gy: &mut Tensor<F>,
    first: usize,
    count: usize,
    #[comptime] planes: usize,
    #[comptime] parts: usize,
    #[comptime] group: Unrolled,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let harmonics = comptime!(group.y.len());
    let sums = comptime!(harmonics * parts);
    let edge = ABSOLUTE_POS / sums;
    let place = ABSOLUTE_POS % sums;
    let at = edge * comptime!(planes * sums) + place;
    let mut total = rows[at];
    #[unroll]
    for i in 1..planes {
        total += rows[at + comptime!(i * sums)];
    }
    let b = place % harmonics;
    let mut column = 0usize.runtime();
    let mut adds = false.runtime();
    #[unroll]
    for k in 0..harmonics {
        column = select(b == k, comptime!(group.y[k].0).runtime(), column);
        adds = select(b == k, comptime!(group.y[k].1).runtime(), adds);
    }
    let to = place / harmonics * gy.stride(0) + (first + edge) * gy.stride(1) + column;
    if adds {
        gy[to] += total;
    } else {
        gy[to] = total;
    }
}
