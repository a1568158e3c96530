//! Linear maps and vectors of a file.

use super::ImportError;
use super::named::NamedLinear;
use burn::tensor::{DType, Tensor};
use core_tensor::state_dict::StateDict;

/// A linear map as PyTorch has it: weight `[outputs, inputs]` and bias `[outputs]`.
#[derive(Clone)]
pub(super) struct Map {
    pub(super) weight: Tensor<2>,
    pub(super) bias: Option<Tensor<1>>,
}

/// A vector of that length and dtype.
pub(super) fn vector(
    file: &StateDict<'_>,
    name: &str,
    len: usize,
    dtype: DType,
) -> Result<Tensor<1>, ImportError> {
    let vector = file.shaped(name, [len])?;
    if vector.dtype() != dtype {
        let got = format!("{:?} [{len}]", vector.dtype());
        return Err(file
            .mismatch(name, format!("{dtype:?} [{len}]"), got)
            .into());
    }
    Ok(vector)
}

/// A linear map. With `input_first`, the file has its weight as `[inputs, outputs]`.
pub(super) fn linear(
    file: &StateDict<'_>,
    names: &NamedLinear,
    input_first: bool,
) -> Result<Map, ImportError> {
    let weight = file.tensor::<2>(&names.weight, "2 axes, none of them empty", |shape| {
        shape.try_into().ok()
    })?;
    let weight = if input_first {
        weight.transpose()
    } else {
        weight
    };
    let [outputs, _] = weight.dims();
    let bias = names.bias.as_ref();
    let bias = bias.map(|bias| vector(file, bias, outputs, weight.dtype()));
    Ok(Map {
        bias: bias.transpose()?,
        weight,
    })
}
