//! Structures as tensors.

use burn::tensor::{DType, Device};
use core_tensor::atoms::to_tensor;

#[test]
fn rows_become_a_matrix() {
    let rows = [[0.1, 0.2, 0.3], [1.0, -2.0, 3.5]];
    let tensor = to_tensor(&rows, DType::F64, &Device::flex());
    assert_eq!(tensor.dims(), [2, 3]);
    let values = tensor.into_data().try_to_vec::<f64>().unwrap();
    assert_eq!(values, rows.concat());
    let narrow = to_tensor(&rows, DType::F32, &Device::flex()).into_data();
    assert_eq!(narrow.try_to_vec::<f32>().unwrap()[1], 0.2_f32);
    assert_eq!(to_tensor(&[], DType::F64, &Device::flex()).dims(), [0, 3]);
}
