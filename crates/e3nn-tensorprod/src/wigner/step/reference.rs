//! The step in plain tensor operations.

use super::{Step, X, Y, Z};
use crate::rotation::constant;
use burn::tensor::Tensor;
use core_tensor::product::matmul;

/// What [`advance`](super::advance) computes, on any device.
pub(crate) fn advance(step: &Step, d: Tensor<3>, r: Tensor<3>) -> Tensor<3> {
    let [batch, n, _] = d.dims();
    // C as a matrix [(b, a), 2l+3].
    let mut symbols = vec![0.0_f64; 3 * n * (n + 2)];
    for i in 0..n + 2 {
        for term in step.row(i) {
            symbols[(term.b * n + term.a) * (n + 2) + i] = term.value;
        }
    }
    let symbols = constant(symbols, [3 * n, n + 2], &d);
    let scale = constant(step.scale.clone(), [1, n + 2, 1], &d);

    // Product vectors, [batch, rows, (b, a)]: rows of D^l with one row of R.
    let product = |rows: Tensor<3>, axis: usize| {
        let height = rows.dims()[1];
        let vector = r.clone().narrow(1, axis, 1).reshape([batch, 1, 3, 1]);
        let product = rows.reshape([batch, height, 1, n]) * vector;
        product.reshape([batch, height, 3 * n])
    };
    let row = |j: usize| d.clone().narrow(1, j, 1);
    let (first, last) = (row(0), row(n - 1));
    let products = Tensor::cat(
        vec![
            product(last.clone(), X) + product(first.clone(), Z),
            product(d.clone(), Y),
            product(last, Z) - product(first, X),
        ],
        1,
    );
    let flat: Tensor<2> = products.reshape([batch * (n + 2), 3 * n]);
    matmul(flat, symbols).reshape([batch, n + 2, n + 2]) * scale
}
