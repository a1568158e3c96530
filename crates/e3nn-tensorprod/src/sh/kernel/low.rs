//! Degrees 0 and 1 side by side, solid: multiples of the vector with gradients that are the same everywhere. What the
//! recursion would spend on them is several times the work.

use super::block::{Points, store};
use super::lanes::each;
use super::plan::Plan;
use super::{Call, Scalar};

/// Writes `Y(v)`, `[N, 4]`, and where the second output is not empty `∇Y(v)`, `[N, 3, 4]`: the numbers of the recursion,
/// to the last bit.
#[inline(always)]
pub(super) fn run<T: Scalar, const W: usize>(call: Call<'_, T>) {
    const DIM: usize = 4;
    let (table, points) = (&call.plan.table, call.vectors.len() / 3);
    let (constant, factor) = (table.seed[0], table.seed[1]);
    // Order 0 of degree 1: one step of the recursion, and the gradients from degree 0.
    let [step, _] = table.step[1];
    let ([_, _, along], [across, _, _]) = (table.ladder[1], table.ladder[2]);
    let slopes = {
        let mut slopes = [[[T::ZERO; W]; DIM]; 3];
        for (axis, slope) in [across, along, across].into_iter().enumerate() {
            slopes[axis][axis + 1] = [slope * constant; W];
        }
        slopes
    };
    let mut vectors = Points::<T, W>::new(call.vectors);
    for start in (0..points).step_by(W) {
        let count = W.min(points - start);
        let [x, y, z] = vectors.take(start);
        let values = [
            [constant; W],
            each(|i| factor * x[i]),
            each(|i| step * y[i] * factor),
            each(|i| factor * z[i]),
        ];
        let rows = &mut call.first[DIM * start..][..DIM * count];
        store(&values, rows, DIM, 0, count);
        if !call.second.is_empty() {
            let rows = &mut call.second[3 * DIM * start..][..3 * DIM * count];
            store(slopes.as_flattened(), rows, 3 * DIM, 0, count);
        }
    }
}

/// Whether [`run`] computes the values of a plan.
pub(super) fn suits<T>(plan: &Plan<T>) -> bool {
    !plan.normalize && plan.lmax == 1 && plan.dim == 4 && plan.pieces.len() == 1
}
