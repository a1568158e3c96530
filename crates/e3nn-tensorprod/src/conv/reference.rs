//! The same in plain tensor operations: gather, product of every edge, sum at the destinations. Differentiable by Burn;
//! allocates edges × outputs.

use super::spec::Weighting;
use super::{Paths, RadialTable, Weights};
use crate::Layout;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use core_tensor::dual::{Dual, Value, sum};
use core_tensor::graph::Graph;
use core_tensor::product::matmul;

/// As [`convolve`](super::convolve).
///
/// # Panics
/// As [`convolve`](super::convolve), by the operations it is made of.
pub fn convolve<V: Value<2>>(x: V, y: V, w: V, paths: &Paths, graph: &Graph) -> V {
    let f = |x, y, w| plain(x, y, w, paths, graph);
    let (x, y, w) = (x.into(), y.into(), w.into());
    let (dx, dy, dw) = (x.tangent, y.tangent, w.tangent);
    let (x, y, w) = (x.value, y.value, w.value);
    let along_x = dx.map(|dx| f(dx, y.clone(), w.clone()));
    let along_y = dy.map(|dy| f(x.clone(), dy, w.clone()));
    let along_w = dw.map(|dw| f(x.clone(), y.clone(), dw));
    V::from_dual(Dual {
        value: f(x, y, w),
        tangent: sum(sum(along_x, along_y), along_w),
    })
}

pub(super) fn run(
    x: Dual<2>,
    y: Dual<2>,
    weights: Weights,
    paths: &Paths,
    graph: &Graph,
) -> Dual<2> {
    let w = match (weights.weighting, weights.matrix) {
        (Weighting::Product, Some(matrix)) => {
            weights.w.linear(|hidden| matmul(hidden, matrix.clone()))
        }
        (Weighting::Spline(knots), Some(rows)) => RadialTable { rows, knots }.evaluate(weights.w),
        _ => weights.w,
    };
    convolve(x, y, w, paths, graph)
}

/// Whole numbers as a tensor.
fn indices(list: &[u32], like: &Tensor<2>) -> Tensor<1, Int> {
    let list: Vec<i32> = list.iter().map(|&i| i as i32).collect();
    let len = list.len();
    Tensor::from_data(TensorData::new(list, [len]), &like.device())
}

fn plain(x: Tensor<2>, y: Tensor<2>, w: Tensor<2>, paths: &Paths, graph: &Graph) -> Tensor<2> {
    let (nodes, edges) = (graph.nodes(), graph.edges());
    let (device, dtype) = (x.device(), x.dtype());
    let out = Tensor::<2>::zeros([nodes, paths.irreps_out().dim()], (&device, dtype));
    if edges == 0 {
        // Tied to the inputs, whose gradients are zeros.
        let tie = x.sum() * 0.0 + y.sum() + w.sum();
        return out + tie.reshape([1, 1]);
    }
    let sources = indices(graph.sources(), &x);
    let destinations = indices(graph.destinations(), &x);
    let x = x.select(0, sources);
    let mut out = out;
    for path in paths.compiled() {
        let ([n1, n2, n3], mul) = (path.dims, path.channels);
        if mul == 0 {
            continue;
        }
        let mut dense = vec![0.0; n1 * n2 * n3];
        for term in &path.terms {
            dense[(term.a * n2 + term.b) * n3 + term.c] += term.value;
        }
        let dense = Tensor::<2>::from_data(TensorData::new(dense, [n1 * n2, n3]), (&device, dtype));
        // [edges, channels, components].
        let block = x.clone().narrow(1, path.outer[0].first, mul * n1);
        let block = match paths.layout() {
            Layout::MulIr => block.reshape([edges, mul, n1]),
            Layout::IrMul => block.reshape([edges, n1, mul]).swap_dims(1, 2),
        };
        let harmonic = y.clone().narrow(1, path.harmonic, n2);
        let pairs = block.reshape([edges, mul, n1, 1]) * harmonic.reshape([edges, 1, 1, n2]);
        let product = matmul(pairs.reshape([edges * mul, n1 * n2]), dense);
        let weights = w.clone().narrow(1, path.weight, mul);
        let message = product.reshape([edges, mul, n3]) * weights.reshape([edges, mul, 1]);
        // A column of the output at a time would be slow; places of channels and components are two strides.
        let place = path.outer[1];
        let columns: Vec<u32> = (0..mul * n3)
            .map(|i| (place.first + i / n3 * place.channel + i % n3 * place.component) as u32)
            .collect();
        let columns = indices(&columns, &y);
        let sums = Tensor::<2>::zeros([nodes, mul * n3], (&device, dtype)).select_assign(
            0,
            destinations.clone(),
            message.reshape([edges, mul * n3]),
            IndexingUpdateOp::Add,
        );
        out = out.select_assign(1, columns, sums, IndexingUpdateOp::Add);
    }
    out
}
