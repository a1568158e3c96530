//! The derivatives of a convolution by its arguments, as functions.

use super::spec::{Call, Weighting};
use super::{ConvBackend, Paths, check_dtype, check_tensor, reference};
use burn::tensor::Tensor;
use core_tensor::ext::{Dispatch, compute_dtype, has_kernel};
use core_tensor::graph::Graph;

/// The partial derivatives `Φ_x(y, w, g)`, `Φ_y(x, w, g)` and `Φ_w(x, y, g)` of `Φ(x, y, w, g) = ⟨f(x, y, w), g⟩`, where `f` is
/// [`convolve`](super::convolve), in one walk over the edges. Each is linear in its three arguments, and derivatives of any order
/// are sums of these and of `f` with arguments replaced: of `⟨v, Φ_x(y, w, g)⟩`, say, that by `y` is `Φ_y(v, w, g)`.
///
/// # Shapes
/// - `x`, `y`, `w`: as for [`convolve`](super::convolve); `g`: `[nodes, paths.irreps_out().dim()]`
/// - results: those of `x`, `y` and `w`, not tracked by autodiff
///
/// # Panics
/// If a shape or dtype is another.
pub fn partials(
    x: Tensor<2>,
    y: Tensor<2>,
    w: Tensor<2>,
    g: Tensor<2>,
    paths: &Paths,
    graph: &Graph,
) -> [Tensor<2>; 3] {
    let (device, dtype) = (x.device(), x.dtype());
    let [features, harmonics, outputs] = paths.dims();
    let (nodes, edges) = (graph.nodes(), graph.edges());
    for (what, tensor, expected) in [
        ("features", &x, [nodes, features]),
        ("harmonics", &y, [edges, harmonics]),
        ("weights", &w, [edges, paths.weight_numel()]),
        ("cotangent", &g, [nodes, outputs]),
    ] {
        check_tensor(what, tensor.dims(), tensor.dtype(), expected, dtype);
    }
    check_dtype(dtype);
    if !has_kernel(&device, dtype) {
        let [x, y, w] = [x, y, w].map(|t| t.detach().autodiff().require_grad());
        let out = reference::convolve(x.clone(), y.clone(), w.clone(), paths, graph);
        let gradients = (out * g.detach().autodiff()).sum().backward();
        return [x, y, w].map(|t| t.grad(&gradients).expect("the sum depends on all"));
    }
    let compute = compute_dtype(dtype);
    let [x, y, w, g] = [x, y, w, g].map(|t| t.without_autodiff().cast(compute));
    let call = Call {
        paths: paths.clone(),
        graph: graph.clone(),
        tangents: [false; 3],
        weighting: Weighting::Stored,
    };
    let absent = || x.clone().into_dispatch();
    let (gx, gy, gw, _) = Dispatch::conv_backward(
        x.clone().into_dispatch(),
        y.into_dispatch(),
        w.into_dispatch(),
        absent(),
        absent(),
        absent(),
        absent(),
        // One part: the value's.
        g.unsqueeze::<3>().into_dispatch(),
        [true, true, true, false],
        call,
    );
    [gx, gy, gw].map(|t| {
        Tensor::<3>::from_dispatch(t)
            .squeeze_dim::<2>(0)
            .cast(dtype)
    })
}
