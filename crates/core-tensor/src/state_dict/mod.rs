//! Named tensors of a safetensors file, checked: what importers of weights read from, and write.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use core_tensor::state_dict::{StateDict, StateDictWriter};
//!
//! let device = Device::flex();
//! let mut file = StateDictWriter::new();
//! file.insert("layers.0.weight", Tensor::<2>::ones([2, 3], &device));
//! let bytes = file.to_bytes()?;
//!
//! let layer = StateDict::open(&bytes, &device)?.at("layers.0.");
//! assert_eq!(layer.names(), ["weight"]);
//! assert_eq!(layer.shaped("weight", [2, 3])?.dims(), [2, 3]);
//! let error = layer.shaped("weight", [3, 2]).unwrap_err().to_string();
//! assert_eq!(error, "tensor \"layers.0.weight\": expected [3, 2], other axes of length 1, got F32 [2, 3]");
//! # Ok::<(), core_tensor::state_dict::StateDictError>(())
//! ```

mod writer;

pub use writer::StateDictWriter;

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::fmt;
use std::sync::Arc;

/// Why a tensor could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDictError {
    /// The bytes are no safetensors file.
    #[error("no valid safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor is not there.
    #[error("expected a tensor {name:?}; the file has {available:?}")]
    Missing {
        /// Its name.
        name: String,
        /// Names in the file, the first twenty.
        available: Vec<String>,
    },
    /// A tensor has another shape or dtype than expected.
    #[error("tensor {name:?}: expected {expected}, got {got}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is needed.
        expected: String,
        /// What the file has.
        got: String,
    },
}

/// The tensors of a safetensors file below a prefix, as PyTorch's `state_dict` names them. Tensors keep the dtype that
/// they have in the file. Cheap to clone.
///
/// PyTorch saves such a file by `safetensors.torch.save_file(module.state_dict(), path)`.
#[derive(Clone)]
pub struct StateDict<'a> {
    tensors: Arc<SafeTensors<'a>>,
    prefix: String,
    device: Device,
}

impl fmt::Debug for StateDict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDict({:?}, {:?})", self.prefix, self.names())
    }
}

impl<'a> StateDict<'a> {
    /// Opens the bytes of a file; tensors will be made on `device`.
    ///
    /// # Errors
    /// If the bytes are no safetensors file. Sizes in its header are checked against its length before anything is
    /// allocated.
    pub fn open(bytes: &'a [u8], device: &Device) -> Result<Self, StateDictError> {
        Ok(Self {
            tensors: Arc::new(SafeTensors::deserialize(bytes)?),
            prefix: String::new(),
            device: device.clone(),
        })
    }

    /// The tensors whose names begin with `prefix` here, by the rest of their names: `at("layers.0.")`.
    pub fn at(&self, prefix: &str) -> Self {
        Self {
            prefix: self.full(prefix),
            ..self.clone()
        }
    }

    /// The device that tensors are made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A tensor's whole name in the file.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&self.full(name)).is_ok()
    }

    /// The names below the prefix, sorted.
    pub fn names(&self) -> Vec<String> {
        let all = self.tensors.names().into_iter();
        let mut names: Vec<String> = all
            .filter_map(|name| name.strip_prefix(self.prefix.as_str()))
            .map(String::from)
            .collect();
        names.sort();
        names
    }

    /// The error about a tensor that is not what is needed.
    pub fn mismatch(&self, name: &str, expected: String, got: String) -> StateDictError {
        StateDictError::Tensor {
            name: self.full(name),
            expected,
            got,
        }
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, StateDictError> {
        let name = self.full(name);
        self.tensors.tensor(&name).map_err(|_| {
            let mut available: Vec<String> =
                self.tensors.names().into_iter().map(String::from).collect();
            available.sort();
            available.truncate(20);
            StateDictError::Missing { name, available }
        })
    }

    /// A float tensor in the shape that `shape` makes of the one in the file; `expected` says in words what fits.
    ///
    /// # Errors
    /// If it is not there, of another dtype, has no elements, or does not fit.
    ///
    /// # Panics
    /// If `shape` returns another number of elements.
    pub fn tensor<const D: usize>(
        &self,
        name: &str,
        expected: &str,
        shape: impl Fn(&[usize]) -> Option<[usize; D]>,
    ) -> Result<Tensor<D>, StateDictError> {
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
        Ok(Tensor::from_data(data, (&self.device, dtype)))
    }

    /// A float tensor of that shape, which the file may have with further axes of 1, or fewer.
    ///
    /// # Errors
    /// If it is not there, of another dtype, has no elements, or its axes longer than 1 are others.
    pub fn shaped<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, StateDictError> {
        let long =
            |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|&n| n != 1).collect() };
        let expected = format!("{shape:?}, other axes of length 1");
        self.tensor(name, &expected, |got| {
            (long(got) == long(&shape)).then_some(shape)
        })
    }
}
