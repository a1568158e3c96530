//! What kernels on GPUs share: constants, tables on devices, tiles of products, sums of parts.

pub(crate) mod chunks;
pub(crate) mod tile;

use burn::tensor::DType;
use core_tensor::ext::cube::{CubeDevice, CubeTensor, upload_u32};
use cubecl::client::Client;
use cubecl::ir::ConstantValue;
use cubecl::prelude::*;
use std::sync::{Arc, Mutex};

/// What a kernel looks up.
#[derive(Debug)]
pub(crate) struct Tables<L = ()> {
    pub(crate) whole: CubeTensor,
    pub(crate) numbers: CubeTensor,
    /// Where what lies.
    pub(crate) layout: L,
}

/// Tables by key on every device that has asked for them: made and copied there once.
#[derive(Debug)]
pub(crate) struct Uploads<K, L = ()>(Mutex<Vec<Entry<K, L>>>);

#[derive(Debug)]
struct Entry<K, L> {
    key: K,
    device: CubeDevice,
    dtype: DType,
    tables: Arc<Tables<L>>,
}

impl<K, L> Default for Uploads<K, L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, L> Uploads<K, L> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: PartialEq, L> Uploads<K, L> {
    /// The tables of a key on the device of a tensor, numbers in the dtype of that; `make` is called if they are not there.
    pub(crate) fn get(
        &self,
        key: K,
        beside: &CubeTensor,
        make: impl FnOnce() -> (Vec<u32>, Vec<f64>, L),
    ) -> Arc<Tables<L>> {
        let (client, device, dtype) = (&beside.client, &beside.device, beside.dtype);
        let mut all = self.0.lock().unwrap_or_else(|broken| broken.into_inner());
        let known = all
            .iter()
            .find(|e| e.key == key && e.device == *device && e.dtype == dtype);
        if let Some(entry) = known {
            return entry.tables.clone();
        }
        let (mut whole, mut numbers, layout) = make();
        // A buffer is never empty.
        whole.resize(whole.len().max(1), 0);
        numbers.resize(numbers.len().max(1), 0.0);
        let tables = Arc::new(Tables {
            whole: upload_u32(client, device, &whole),
            numbers: upload(client, device, &numbers, dtype),
            layout,
        });
        all.push(Entry {
            key,
            device: device.clone(),
            dtype,
            tables: tables.clone(),
        });
        tables
    }
}

/// Numbers as a vector on the device, in f32 or f64.
fn upload(client: &Client, device: &CubeDevice, values: &[f64], dtype: DType) -> CubeTensor {
    let buffer = if dtype == DType::F64 {
        client.create_from_slice(bytemuck::cast_slice(values))
    } else {
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        client.create_from_slice(bytemuck::cast_slice(&narrow))
    };
    let shape = [values.len()].into();
    CubeTensor::new_contiguous(client.clone(), device.clone(), shape, buffer, dtype)
}

/// A number in the type of a kernel, with all the digits that it has there.
#[cube]
pub(crate) fn constant<F: Float>(#[comptime] value: f64) -> F {
    intrinsic!(|scope| {
        let value = ConstantValue::Float(value);
        F::elem_type(scope).constant(value).into()
    })
}
