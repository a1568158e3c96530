//! The way back: tensors under names, as a safetensors file.

use super::StateDictError;
use burn::tensor::{DType, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;

struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Tensors under names, to be written as a safetensors file that PyTorch reads by
/// `module.load_state_dict(safetensors.torch.load_file(path), strict=False)`.
#[derive(Default)]
pub struct StateDictWriter {
    entries: BTreeMap<String, Entry>,
}

impl std::fmt::Debug for StateDictWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl StateDictWriter {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a float tensor, in its dtype; one of the same name is replaced.
    ///
    /// # Panics
    /// If its dtype is not f64, f32, bf16 or f16, or its data cannot be read from the device.
    pub fn insert<const D: usize>(&mut self, name: impl Into<String>, tensor: Tensor<D>) {
        let dtype = match tensor.dtype() {
            DType::F64 => Dtype::F64,
            DType::F32 => Dtype::F32,
            DType::BF16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            other => panic!("StateDictWriter: expected a float tensor, got {other:?}"),
        };
        let data = tensor.into_data();
        let entry = Entry {
            dtype,
            shape: data.shape().to_vec(),
            bytes: data.as_bytes().to_vec(),
        };
        self.entries.insert(name.into(), entry);
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// If the format cannot hold the tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateDictError> {
        let views = self.entries.iter().map(|(name, entry)| {
            TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes).map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>()?;
        Ok(safetensors::serialize(views, None)?)
    }
}
