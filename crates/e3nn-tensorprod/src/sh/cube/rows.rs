//! The gradient as rows of a sparse matrix, and places in memory.

use super::super::spec::Spec;
use super::super::table::{Table, row};
use cubecl::prelude::*;

/// `∂x, ∂y, ∂z` of component `i` of degree `l ≥ 1` as sums of at most two harmonics of degree `l − 1`: places among all
/// degrees in order, and factors. See [`Table`].
pub(super) fn gradient_rows(table: &Table<f64>, l: usize, i: usize) -> [Vec<(usize, f64)>; 3] {
    let m = i.abs_diff(l);
    let [alpha, beta, gamma] = table.ladder[row(l) + m];
    // Of degree l − 1, the component of an order to the cosine (even) or sine; absent where there is none.
    let centre = l * (l - 1);
    let at = |order: usize, cosine: bool, factor: f64| {
        let there = order < l && (cosine || order > 0);
        let place = if cosine {
            centre + order
        } else {
            centre - order.min(centre)
        };
        there.then_some((place, factor))
    };
    let cosine = i >= l;
    let sign = if cosine { -1.0 } else { 1.0 };
    let down = |cosine: bool, factor: f64| (m > 0).then(|| at(m - 1, cosine, factor)).flatten();
    let x = [down(!cosine, sign * alpha), at(m + 1, !cosine, sign * beta)];
    let y = [at(m, cosine, gamma), None];
    let z = [down(cosine, alpha), at(m + 1, cosine, -beta)];
    [x, y, z].map(|terms| terms.into_iter().flatten().collect())
}

/// Degree and first column of a block of the output.
pub(super) fn dim(spec: &Spec, n: usize) -> (usize, usize) {
    let before = spec.degrees[..n].iter().map(|l| 2 * l + 1).sum();
    (spec.degrees[n], before)
}

/// Where value `within` of rows of `width` lies if rows begin every `stride`.
#[cube]
pub(super) fn next_row(
    within: usize,
    #[comptime] width: usize,
    #[comptime] stride: usize,
) -> usize {
    if comptime!(width == stride) {
        within
    } else {
        within / width * stride + within % width
    }
}
