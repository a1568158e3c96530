//! The way to Burn.

use super::Vec3;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Positions, edge vectors or forces as a tensor [n, 3] of a dtype on a device.
pub fn to_tensor(rows: &[Vec3], dtype: DType, device: &Device) -> Tensor<2> {
    let data = TensorData::new(rows.as_flattened().to_vec(), [rows.len(), 3]);
    Tensor::from_data(data, (device, dtype))
}
