//! Softmax over the edges of a node, and its gradient; a unit per node and feature.
//!
//! Nothing here relies on −∞, which shading languages need not know: from [`LOWEST`] down, a score counts as that.

use super::edges::Edges;
use cubecl::prelude::*;

/// Stands for −∞.
const LOWEST: f32 = -1e30;
/// Below this, `e^x` is 0 in `f32`, and far below one rounding of the sum in `f64`.
const EXP_LOWEST: f32 = -104.0;

/// Scores and weights `[edges, features]`.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Attention<E: Float> {
    pub(super) scores: OwnedTensor<E>,
    pub(super) weights: ComptimeOption<OwnedTensor<E>>,
    /// Where exponents saturate.
    pub(super) limit: f32,
}

#[cube]
fn score<E: Float, F: Float>(attention: &Attention<E>, edge: usize, feature: usize) -> F {
    F::cast_from(attention.scores[edge * attention.scores.stride(0) + feature])
}

#[cube]
fn weight<E: Float, F: Float>(attention: &Attention<E>, edge: usize, feature: usize) -> F {
    #[comptime]
    match &attention.weights {
        ComptimeOption::Some(weights) => F::cast_from(weights[edge * weights.stride(0) + feature]),
        ComptimeOption::None => F::new(1.0_f32),
    }
}

/// `s + ln w`.
#[cube]
fn logit<E: Float, F: Float>(attention: &Attention<E>, edge: usize, feature: usize) -> F {
    let score = score::<E, F>(attention, edge, feature);
    let weight = weight::<E, F>(attention, edge, feature);
    let counts = weight > F::new(0.0_f32);
    let positive = select(counts, weight, F::new(1.0_f32));
    select(counts, score + positive.ln(), F::new(LOWEST))
}

/// `exp(s − m)`, saturated.
#[cube]
fn exponential<E: Float, F: Float>(
    attention: &Attention<E>,
    edge: usize,
    feature: usize,
    largest: F,
) -> F {
    let limit = F::cast_from(attention.limit);
    let x = score::<E, F>(attention, edge, feature) - largest;
    // Written so that NaN passes.
    let x = select(x > limit, limit, x);
    select(x < F::new(EXP_LOWEST), F::new(0.0_f32), x.exp())
}

/// The largest logit of a node, and one over the sum of its weighted exponentials.
#[cube]
fn sums<E: Float, F: Float>(
    attention: &Attention<E>,
    edges: &Edges,
    node: usize,
    feature: usize,
) -> (F, F) {
    let zero = F::new(0.0_f32);
    let first = edges.first(node);
    let end = edges.first(node + 1);
    let mut largest = F::new(LOWEST);
    for i in first..end {
        let logit = logit::<E, F>(attention, edges.edge(i), feature);
        largest = select(logit > largest, logit, largest);
    }
    let largest = select(largest > F::new(LOWEST), largest, zero);
    let mut sum = F::new(0.0_f32);
    for i in first..end {
        let edge = edges.edge(i);
        let e = exponential::<E, F>(attention, edge, feature, largest);
        sum = fma(e, weight::<E, F>(attention, edge, feature), sum);
    }
    let none = sum == zero;
    let inverse = F::new(1.0_f32) / select(none, F::new(1.0_f32), sum);
    (largest, select(none, zero, inverse))
}

#[cube(launch, address_type = "dynamic")]
pub(super) fn forward<E: Float, F: Float>(
    attention: &Attention<E>,
    edges: &Edges,
    output: &mut Tensor<E>,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let node = ABSOLUTE_POS / edges.width;
    let feature = ABSOLUTE_POS % edges.width;
    if node >= edges.nodes {
        terminate!();
    }
    let (largest, inverse) = sums::<E, F>(attention, edges, node, feature);
    let first = edges.first(node);
    let end = edges.first(node + 1);
    for i in first..end {
        let edge = edges.edge(i);
        let q = exponential::<E, F>(attention, edge, feature, largest) * inverse;
        output[edge * edges.width + feature] = E::cast_from(q);
    }
}

/// With the cotangent `g` of `q` and `c = Σ g q`: `∂s = q (g − w c)`, `∂w = −q c`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn backward<E: Float, F: Float>(
    attention: &Attention<E>,
    edges: &Edges,
    cotangent: &Tensor<E>,
    by_scores: &mut Tensor<E>,
    mut by_weights: ComptimeOption<&mut Tensor<E>>,
    #[define(E, F)] _dtypes: [ElemType; 2],
) {
    let node = ABSOLUTE_POS / edges.width;
    let feature = ABSOLUTE_POS % edges.width;
    if node >= edges.nodes {
        terminate!();
    }
    let (largest, inverse) = sums::<E, F>(attention, edges, node, feature);
    let first = edges.first(node);
    let end = edges.first(node + 1);
    let mut c = F::new(0.0_f32);
    for i in first..end {
        let edge = edges.edge(i);
        let q = exponential::<E, F>(attention, edge, feature, largest) * inverse;
        let g = F::cast_from(cotangent[edge * cotangent.stride(0) + feature]);
        c = fma(g, q, c);
    }
    for i in first..end {
        let edge = edges.edge(i);
        let at = edge * edges.width + feature;
        let q = exponential::<E, F>(attention, edge, feature, largest) * inverse;
        let g = F::cast_from(cotangent[edge * cotangent.stride(0) + feature]);
        let w = weight::<E, F>(attention, edge, feature);
        by_scores[at] = E::cast_from(q * (g - w * c));
        #[comptime]
        if let ComptimeOption::Some(by_weights) = &mut by_weights {
            by_weights[at] = E::cast_from(-(q * c));
        }
    }
}
