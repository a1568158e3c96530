//! Custom kernels on Burn's GPU backends (CubeCL).
//!
//! One kernel source runs on CUDA, ROCm, Metal, Vulkan and WebGPU. What the weakest of them, WebGPU's
//! shading language, cannot do decides how kernels here are written: no −∞ or NaN as a literal, no float
//! atomics, no waiting for another cube; every multiply-add that matters is an explicit `fma`.

pub mod math;
mod matrix;
mod unrounded;

pub use burn::backend::cubecl::dtype_to_storage_type;
pub use burn_cubecl::kernel::into_contiguous;
pub use burn_cubecl::tensor::CubeTensor;
pub use burn_cubecl::{CubeBackend, CubeDevice};
pub use matrix::{block, block_mut, converted, product, transposed};
pub use unrounded::{rounds, unrounded};

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Shape};
use burn_cubecl::ops::numeric::full_device_dtype;
use cubecl::client::Client;
use cubecl::ir::AddressType;
use cubecl::prelude::InputScalar;
use std::collections::HashSet;
use std::sync::Mutex;

/// Whether a device is one that kernels for this backend run on.
pub fn runs_on(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
}

/// Whether [`Tensor::matmul`](burn::tensor::Tensor::matmul) on a device rounds factors in `f32` to TF32: [`rounds`] of its client.
pub fn rounds_products(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => rounds(&device.client()),
        _ => false,
    }
}

/// A new contiguous tensor for the output of a kernel, which writes every element: whatever memory
/// held, or NaN (in whole numbers, a large one) where [`testing::poison_outputs`](crate::testing) is on.
pub fn empty(
    client: &Client,
    device: &CubeDevice,
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor {
    let shape = shape.into();
    if super::poison::poisoned() && shape.num_elements() > 0 {
        let kind = dtype_to_storage_type(dtype);
        let poison = match dtype.size() {
            _ if dtype.is_float() => InputScalar::new(f32::NAN, kind),
            1 | 2 => InputScalar::new(i8::MAX, kind),
            _ => InputScalar::new(i32::MAX, kind),
        };
        return filled(client, device, shape, dtype, poison);
    }
    let buffer = client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(client.clone(), device.clone(), shape, buffer, dtype)
}

/// A new contiguous tensor of zeros.
pub fn zeros(
    client: &Client,
    device: &CubeDevice,
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor {
    let shape = shape.into();
    if shape.num_elements() == 0 {
        return empty(client, device, shape, dtype);
    }
    let zero = InputScalar::new(0u32, dtype_to_storage_type(dtype));
    filled(client, device, shape, dtype, zero)
}

/// Burn lays rows of what it makes out with gaps where the device likes them aligned (CUDA does), which kernels that count on
/// contiguous outputs must not meet. A vector has none.
fn filled(
    client: &Client,
    device: &CubeDevice,
    shape: Shape,
    dtype: DType,
    value: InputScalar,
) -> CubeTensor {
    let flat = [shape.num_elements()].into();
    let flat = full_device_dtype(client.clone(), flat, device.clone(), value, dtype);
    CubeTensor::new_contiguous(client.clone(), device.clone(), shape, flat.handle, dtype)
}

/// Copies whole numbers that a kernel looks up (offsets, sizes) to the device, as a `u32` vector.
pub fn upload_u32(client: &Client, device: &CubeDevice, values: &[u32]) -> CubeTensor {
    let buffer = client.create_from_slice(bytemuck::cast_slice(values));
    let shape = [values.len()].into();
    CubeTensor::new_contiguous(client.clone(), device.clone(), shape, buffer, DType::U32)
}

/// A tensor whose rows along the last axis are contiguous: itself where they are, otherwise a copy.
/// Views that a slice along any axis makes are used as they are.
pub fn contiguous_rows(x: CubeTensor) -> CubeTensor {
    let last = x.meta.num_dims() - 1;
    let in_place = x.meta.shape()[last] <= 1 || x.meta.strides()[last] == 1;
    if in_place && !x.meta.is_tiled() {
        x
    } else {
        into_contiguous(x)
    }
}

/// A tensor whose strides are those of its values: itself, unless it is stored in tiles.
pub fn untiled(x: CubeTensor) -> CubeTensor {
    if x.meta.is_tiled() {
        into_contiguous(x)
    } else {
        x
    }
}

/// The width of index that reaches every element of all tensors, for kernels marked
/// `address_type = "dynamic"`.
pub fn address_type<'a>(tensors: impl IntoIterator<Item = &'a CubeTensor>) -> AddressType {
    let each = tensors.into_iter().map(CubeTensor::required_address_type);
    each.max().unwrap_or_default()
}

/// Notes that `op` runs another way than its fastest on this device, and why: once per reason, through
/// `log`. With feature `strict` it panics instead, so that a test run sees it.
///
/// # Panics
/// With feature `strict`.
pub fn fall_back(op: &'static str, why: &str) {
    static TOLD: Mutex<Option<HashSet<(&'static str, String)>>> = Mutex::new(None);
    if cfg!(feature = "strict") {
        panic!("{op}: {why} (feature `strict` forbids to fall back)");
    }
    let mut told = TOLD.lock().unwrap_or_else(|broken| broken.into_inner());
    if told.get_or_insert_default().insert((op, why.to_owned())) {
        log::warn!("{op}: {why}");
    }
}
