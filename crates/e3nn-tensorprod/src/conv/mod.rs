//! The fused convolution of equivariant message passing: gather, channel-wise ("uvu", depth-wise) tensor product with
//! weights of every edge, sum at the destination.
//!
//! ```text
//! out[n, o, u, c] = Σ_{e → n} Σ_{paths p into o} k_p · w[e, p, u] · Σ_{a,b} C^p_abc · x[source(e), i_p, u, a] · y[e, j_p, b]
//! ```
//!
//! with the Wigner 3j symbols `C` of the path's irreps and its factor `k_p`: the message of NequIP, MACE and SevenNet.
//! Nothing of size edges × outputs is ever allocated, in either direction. Sums run over a [`Graph`], whose edges are
//! sorted once: every result has the same bits for any number of threads and any order of the edge list.
//!
//! [`Convolution`] chooses paths from irreps and is what layers hold; [`convolve`] is the function under it.
//!
//! # Derivatives
//!
//! With `Φ(x, y, w, g) = ⟨f(x, y, w), g⟩` the gradients are the partial derivatives `Φ_x`, `Φ_y`, `Φ_w`, and one walk over
//! the edges computes those that are wanted ([`partials`] as a function). On [`Dual`]s value and tangent
//!
//! ```text
//! f,   ḟ = f(ẋ, y, w) + f(x, ẏ, w) + f(x, y, ẇ)
//! ```
//!
//! come from one walk, and so do their gradients for cotangents `(g, ġ)`, for example
//! `∂w = Φ_w(x, y, g) + Φ_w(ẋ, y, ġ) + Φ_w(x, ẏ, ġ)` and `∂ẇ = Φ_w(x, y, ġ)`. With that, training on forces needs Burn's
//! first-order autodiff only ([`core_tensor::dual`]).

mod backward;
#[cfg(feature = "cube")]
mod cube;
mod error;
mod explain;
#[cfg(feature = "flex")]
mod flex;
mod layer;
mod partials;
pub mod reference;
mod spec;
mod table;

pub use crate::product::InstructionOrder;
#[cfg(all(feature = "cube", feature = "testing"))]
pub use cube::limit_panels;
pub use error::ConvError;
pub use explain::{ConvExplanation, ConvPathCost};
pub use layer::{Convolution, ConvolutionConfig};
pub use partials::partials;
pub use spec::{Call, ConvPath, Paths};
pub use table::RadialTable;

use burn::tensor::{DType, Tensor};
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension, has_kernel};
use core_tensor::graph::Graph;
use spec::Weighting;
#[cfg(feature = "cube")]
use spec::promised;

/// What a backend provides; [`convolve`] checks its arguments and comes here.
///
/// `w` are weights `[edges, weights]` or what they follow from, and `matrix` how; absent tensors are stood in for by a copy
/// of the first. The [`Call`] tells which ones count.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
#[allow(
    clippy::too_many_arguments,
    reason = "the macro takes tensors as plain arguments only"
)]
pub trait ConvBackend: Backend {
    /// The sums, or the sums and their tangents, `[1 or 2, nodes, outputs]`.
    #[fusion(meta = |x, _y, _w, _matrix, _x_dot, _y_dot, _w_dot, call: &Call| promised::sums(x, call))]
    fn conv_forward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `y`, `w`, each with that of its tangent, `[1 or 2, …]`, and of `matrix`; those that are not
    /// `wanted` have no elements.
    #[fusion(meta = |x, _y, w, matrix, _x_dot, _y_dot, _w_dot, _gradient, wanted: &[bool; 4], call: &Call| promised::gradients(x, w, matrix, *wanted, call))]
    fn conv_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; 4],
        call: Call,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

/// The convolution with stored weights.
///
/// # Shapes
/// - `x`: features of nodes `[nodes, paths.irreps_in().dim()]`, in the layout of `paths`
/// - `y`: harmonics of edges `[edges, paths.irreps_sh().dim()]`
/// - `w`: weights of edges `[edges, paths.weight_numel()]`, path after path
/// - result: `[nodes, paths.irreps_out().dim()]`
///
/// Edges are in the order of the graph ([`Graph::order`] maps it to the list that it was built from). f64 and f32 compute in
/// their own precision; bf16 and f16 are computed in f32.
///
/// # Panics
/// If a shape or dtype is another.
pub fn convolve<V: Value<2>>(x: V, y: V, w: V, paths: &Paths, graph: &Graph) -> V {
    let weights = Weights {
        w: w.into(),
        matrix: None,
        weighting: Weighting::Stored,
    };
    V::from_dual(run(x.into(), y.into(), weights, paths, graph))
}

/// The convolution with weights `w = hidden · matrix`, computed for some edges at a time and never stored: the last linear
/// layer of a radial network, fused. Its gradients are those of `hidden` and of `matrix`.
///
/// # Shapes
/// - `hidden`: `[edges, hidden]`, `matrix`: `[hidden, paths.weight_numel()]`; the others as for [`convolve`]
///
/// # Panics
/// If a shape or dtype is another.
pub fn convolve_radial<V: Value<2>>(
    x: V,
    y: V,
    hidden: V,
    matrix: Tensor<2>,
    paths: &Paths,
    graph: &Graph,
) -> V {
    let weights = Weights {
        w: hidden.into(),
        matrix: Some(matrix),
        weighting: Weighting::Product,
    };
    V::from_dual(run(x.into(), y.into(), weights, paths, graph))
}

/// The convolution with weights that are splines of the distances `r` `[edges, 1]`, evaluated for some edges at a time and
/// never stored.
///
/// # Shapes
/// - `r`: `[edges, 1]`; `table` has `paths.weight_numel()` weights; the others as for [`convolve`]
///
/// # Panics
/// If a shape or dtype is another.
pub fn convolve_spline<V: Value<2>>(
    x: V,
    y: V,
    r: V,
    table: &RadialTable,
    paths: &Paths,
    graph: &Graph,
) -> V {
    let weights = Weights {
        w: r.into(),
        matrix: Some(table.rows.clone()),
        weighting: Weighting::Spline(table.knots),
    };
    V::from_dual(run(x.into(), y.into(), weights, paths, graph))
}

/// The weights of a call.
struct Weights {
    w: Dual<2>,
    matrix: Option<Tensor<2>>,
    weighting: Weighting,
}

fn run(x: Dual<2>, y: Dual<2>, weights: Weights, paths: &Paths, graph: &Graph) -> Dual<2> {
    let dtype = x.value.dtype();
    let width = match (weights.weighting, &weights.matrix) {
        (Weighting::Stored, _) | (_, None) => paths.weight_numel(),
        (weighting, Some(matrix)) => {
            let [rows, columns] = matrix.dims();
            check_tensor(
                "matrix",
                [rows, columns],
                matrix.dtype(),
                [rows, paths.weight_numel()],
                dtype,
            );
            if weighting == Weighting::Product {
                rows
            } else {
                1
            }
        }
    };
    let [features, harmonics, _] = paths.dims();
    let checks = [
        ("features", &x, [graph.nodes(), features]),
        ("harmonics", &y, [graph.edges(), harmonics]),
        ("weights", &weights.w, [graph.edges(), width]),
    ];
    for (what, dual, expected) in checks {
        check_tensor(what, dual.value.dims(), dual.value.dtype(), expected, dtype);
        if let Some(tangent) = &dual.tangent {
            check_tensor(what, tangent.dims(), tangent.dtype(), expected, dtype);
        }
    }
    check_dtype(dtype);
    if !has_kernel(&x.value.device(), dtype) {
        return reference::run(x, y, weights, paths, graph);
    }
    let compute = core_tensor::ext::compute_dtype(dtype);
    let out = dispatch(
        [x, y, weights.w],
        weights.matrix,
        weights.weighting,
        paths,
        graph,
        compute,
    );
    out.linear(|t| if compute == dtype { t } else { t.cast(dtype) })
}

fn check_dtype(dtype: DType) {
    assert!(
        matches!(dtype, DType::F64 | DType::F32 | DType::BF16 | DType::F16),
        "convolve: expected f64, f32, bf16 or f16, got {dtype:?}"
    );
}

fn check_tensor(what: &str, got: [usize; 2], dtype: DType, expected: [usize; 2], first: DType) {
    assert!(
        got == expected && dtype == first,
        "convolve: expected {what} {expected:?} of {first:?}, got {got:?} of {dtype:?}"
    );
}

fn dispatch(
    inputs: [Dual<2>; 3],
    matrix: Option<Tensor<2>>,
    weighting: Weighting,
    paths: &Paths,
    graph: &Graph,
    compute: DType,
) -> Dual<2> {
    let cast = |t: Tensor<2>| {
        if t.dtype() == compute {
            t
        } else {
            t.cast(compute)
        }
    };
    let call = Call {
        paths: paths.clone(),
        graph: graph.clone(),
        tangents: inputs.each_ref().map(|dual| dual.tangent.is_some()),
        weighting,
    };
    let [x, y, w] = inputs.map(|dual| dual.linear(cast));
    let tangent = |t: Option<Tensor<2>>| t.unwrap_or_else(|| x.value.clone());
    let [x_dot, y_dot, w_dot] = [x.tangent.clone(), y.tangent, w.tangent].map(tangent);
    let matrix = matrix.map_or_else(|| x.value.clone(), cast);
    let dual = call.dual();
    let out = Dispatch::conv_forward(
        x.value.into_dispatch(),
        y.value.into_dispatch(),
        w.value.into_dispatch(),
        matrix.into_dispatch(),
        x_dot.into_dispatch(),
        y_dot.into_dispatch(),
        w_dot.into_dispatch(),
        call,
    );
    let out = Tensor::<3>::from_dispatch(out);
    if !dual {
        return Dual::constant(out.squeeze_dim::<2>(0));
    }
    let part = |i: usize| out.clone().narrow(0, i, 1).squeeze_dim::<2>(0);
    Dual::new(part(0), part(1))
}
