//! Blocks of a vector of irreps as `[batch, mul, 2l + 1]`.

use crate::irreps::{Irreps, MulIrrep};
use burn::tensor::Tensor;
use core_tensor::dual::Dual;

/// The block that begins at `start`, as `[batch, mul, 2l + 1]`.
pub(super) fn block(x: &Dual<2>, start: usize, block: MulIrrep) -> Dual<3> {
    let (mul, dim) = (block.mul, block.irrep.dim());
    x.clone().linear(|x: Tensor<2>| {
        let [batch, _] = x.dims();
        x.narrow(1, start, mul * dim).reshape([batch, mul, dim])
    })
}

/// Back to `[batch, mul · (2l + 1)]`.
pub(super) fn flatten(x: Dual<3>) -> Dual<2> {
    x.linear(|x: Tensor<3>| {
        let [batch, mul, dim] = x.dims();
        x.reshape([batch, mul * dim])
    })
}

/// Applies `f` to every block that is not empty and joins the results; `f` gets the place of the block, the
/// block, and the number of irreps before it.
pub(super) fn map(
    layer: &str,
    irreps: &Irreps,
    x: Dual<2>,
    mut f: impl FnMut(usize, MulIrrep, usize, Dual<3>) -> Dual<3>,
) -> Dual<2> {
    check(layer, irreps, &x);
    let (mut parts, mut start, mut before) = (Vec::new(), 0, 0);
    for (index, &mul_irrep) in irreps.iter().enumerate() {
        if mul_irrep.mul > 0 {
            let part = f(index, mul_irrep, before, block(&x, start, mul_irrep));
            parts.push(flatten(part));
        }
        start += mul_irrep.dim();
        before += mul_irrep.mul;
    }
    join(parts, x)
}

/// The parts side by side; `like` where there are none.
pub(super) fn join(parts: Vec<Dual<2>>, like: Dual<2>) -> Dual<2> {
    match parts.len() {
        0 => like,
        1 => parts.into_iter().next().expect("one part"),
        _ => Dual::cat(parts, 1),
    }
}

/// Panics unless `x` is `[batch, irreps.dim]`.
pub(super) fn check(layer: &str, irreps: &Irreps, x: &Dual<2>) {
    let [_, dim] = x.value.dims();
    let expected = irreps.dim();
    assert!(
        dim == expected,
        "{layer}: expected [batch, {expected}] for {irreps}, got a last axis of {dim}"
    );
}
