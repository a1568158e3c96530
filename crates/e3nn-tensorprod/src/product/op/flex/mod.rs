//! CPU kernel for every mode and multiplicity: rows of the batch lie in the lanes of vectors, so that each scalar
//! operation of the product is one vector operation, whatever the irreps.
//!
//! A block of rows is transposed into lanes. For each path, the 3j symbols are first contracted with the operand that
//! has fewer copies, the *outer* one: `M_b,ac = Σ C_a·c outer_b`, over the pairs of components `(a, c)` that are not
//! all zero. Each pair of copies then takes one multiply-add per such pair of components: `Z_c = Σ_a M_ac inner_a` for
//! the output and the weights, `Σ_c M_ac h_c` for the inner operand (`h = w ∘ g`), `B_b,ac += inner_a h_c` for the
//! outer one, contracted with the symbols at the end. Where a pair feeds many copies of the output ([`fan`]),
//! pairs are collected and weights applied to tiles of registers, as in a matrix product.
//!
//! A product with a number that is 1, as `Linear` is, is one matrix product per path instead ([`linear`]).
//!
//! Every value is summed in an order that depends on the plan alone; gradients of weights that rows share are summed
//! over groups of blocks, the groups in a fixed order. Bits do not depend on the number of threads.

mod call;
mod fan;
mod lanes;
mod linear;
mod path;
mod rows;
mod shared;
mod single;

use super::{ProductBackend, Slot, Spec};
use crate::product::WeightRows;
use burn::tensor::DType;
use call::Call;
use core_tensor::cpu::{Real, Storage};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::flex::{Flex, FlexTensor, tensor};

impl ProductBackend for Flex {
    fn partial_product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let operands = [a, b, c].map(|t| t.to_contiguous());
        match operands[0].dtype() {
            DType::F32 => run::<f32, 16>(&operands, &spec),
            DType::F64 => run::<f64, 8>(&operands, &spec),
            other => panic!("tensor product: no CPU kernel for dtype {other:?}"),
        }
    }
}

fn run<T: Real + Storage<Compute = T>, const L: usize>(
    operands: &[FlexTensor; 3],
    spec: &Spec,
) -> FlexTensor {
    let given = operands.each_ref().map(|operand| {
        operand
            .as_slice::<T>()
            .expect("contiguous, of the dtype of the first")
    });
    let call = Call::new(spec, given);
    let summed = spec.slot == Slot::Weight && !matches!(spec.rows, WeightRows::PerRow);
    let data = if linear::suits(&call) {
        linear::partial(&call)
    } else if summed {
        shared::gradient::<T, L>(&call)
    } else {
        rows::partial::<T, L>(&call)
    };
    tensor(data, spec.shape(spec.slot))
}
