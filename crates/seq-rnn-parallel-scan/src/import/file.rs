//! Tensors of a safetensors file, checked.

use super::ImportError;
use super::named::NamedLinear;
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// An opened file.
pub(super) struct File<'a> {
    tensors: SafeTensors<'a>,
    /// Stands before every name.
    prefix: &'a str,
    device: &'a Device,
}

/// A linear map as PyTorch has it: weight `[outputs, inputs]` and bias `[outputs]`.
#[derive(Clone)]
pub(super) struct Map {
    pub(super) weight: Tensor<2>,
    pub(super) bias: Option<Tensor<1>>,
}

impl<'a> File<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        prefix: &'a str,
        device: &'a Device,
    ) -> Result<Self, ImportError> {
        let tensors = SafeTensors::deserialize(bytes)?;
        Ok(Self {
            tensors,
            prefix,
            device,
        })
    }

    /// A tensor's name in the file.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&self.full(name)).is_ok()
    }

    /// The error about a tensor.
    pub(super) fn mismatch(&self, name: &str, expected: String, got: String) -> ImportError {
        ImportError::Tensor {
            name: self.full(name),
            expected,
            got,
        }
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, ImportError> {
        let name = self.full(name);
        self.tensors.tensor(&name).map_err(|_| {
            let mut available: Vec<String> =
                self.tensors.names().into_iter().map(String::from).collect();
            available.sort();
            available.truncate(20);
            ImportError::Missing { name, available }
        })
    }

    /// A float tensor of the shape that `shape` makes of the one in the file, if it fits.
    fn tensor<const D: usize>(
        &self,
        name: &str,
        expected: &str,
        shape: impl Fn(&[usize]) -> Option<[usize; D]>,
    ) -> Result<Tensor<D>, ImportError> {
        let view = self.view(name)?;
        let error = |expected: &str| {
            let got = format!("{:?} {:?}", view.dtype(), view.shape());
            self.mismatch(name, expected.to_owned(), got)
        };
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            _ => return Err(error("a float dtype")),
        };
        let fits = shape(view.shape()).filter(|shape| !shape.contains(&0));
        let shape = fits.ok_or_else(|| error(expected))?;
        let data = TensorData::from_bytes_vec(view.data().to_vec(), shape.to_vec(), dtype);
        Ok(Tensor::from_data(data, (self.device, dtype)))
    }

    /// A vector of that length and dtype, which the file may have with further axes of 1.
    pub(super) fn vector(
        &self,
        name: &str,
        len: usize,
        dtype: DType,
    ) -> Result<Tensor<1>, ImportError> {
        let expected = format!("{dtype:?} [{len}], other axes of length 1");
        let vector = self.tensor::<1>(name, &expected, |shape| {
            let longest = shape.iter().max();
            let fits = longest == Some(&len) && shape.iter().product::<usize>() == len;
            fits.then_some([len])
        })?;
        if vector.dtype() != dtype {
            let got = format!("{:?} [{len}]", vector.dtype());
            return Err(self.mismatch(name, expected, got));
        }
        Ok(vector)
    }

    /// A vector of zeros on the device that the file is read to.
    pub(super) fn zeros(&self, len: usize, dtype: DType) -> Tensor<1> {
        Tensor::zeros([len], (self.device, dtype))
    }

    /// A linear map. With `input_first`, the file has its weight as `[inputs, outputs]`.
    pub(super) fn linear(
        &self,
        names: &NamedLinear,
        input_first: bool,
    ) -> Result<Map, ImportError> {
        let weight = self.tensor::<2>(&names.weight, "2 axes, none of them empty", |shape| {
            shape.try_into().ok()
        })?;
        let weight = if input_first {
            weight.transpose()
        } else {
            weight
        };
        let [outputs, _] = weight.dims();
        let bias = names.bias.as_ref();
        let bias = bias.map(|bias| self.vector(bias, outputs, weight.dtype()));
        Ok(Map {
            bias: bias.transpose()?,
            weight,
        })
    }
}
