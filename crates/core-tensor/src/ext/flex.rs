//! Custom kernels on Burn's CPU backend.

pub use burn_flex::{Flex, FlexTensor};

use crate::cpu::{Real, RowsMut, Storage};
use burn::tensor::{DType, Device, Element, Shape};
use core::mem::MaybeUninit;

/// Runs `$body` with `$E` bound to the [`Storage`] type of a float dtype.
///
/// # Panics
/// If the dtype is no float type that the CPU backend stores.
#[macro_export]
macro_rules! with_float {
    ($dtype:expr, $E:ident => $body:expr) => {
        $crate::ext::flex::with_float_impl!($dtype, $E => $body)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __with_float_impl {
    ($dtype:expr, $E:ident => $body:expr) => {{
        use $crate::ext::flex::__private as p;
        match $dtype {
            p::DType::F32 => {
                type $E = f32;
                $body
            }
            p::DType::F64 => {
                type $E = f64;
                $body
            }
            p::DType::F16 => {
                type $E = p::f16;
                $body
            }
            p::DType::BF16 => {
                type $E = p::bf16;
                $body
            }
            other => panic!("no CPU kernel for dtype {other:?}"),
        }
    }};
}
#[doc(hidden)]
pub use crate::__with_float_impl as with_float_impl;

#[doc(hidden)]
pub mod __private {
    pub use burn::tensor::DType;
    pub use half::{bf16, f16};
}

/// Whether a tensor of this dtype on this device is one that kernels for this backend take.
pub fn takes(device: &Device, dtype: DType) -> bool {
    let stored = matches!(dtype, DType::F64 | DType::F32 | DType::BF16 | DType::F16);
    stored && *device == Device::flex()
}

/// A tensor whose rows along the last axis are contiguous: itself where they are, otherwise a copy.
/// Views that a slice along any axis makes are used as they are.
pub fn contiguous_rows(x: &FlexTensor) -> FlexTensor {
    let layout = x.layout();
    let last = layout.shape().num_dims().saturating_sub(1);
    if layout.shape()[last] <= 1 || layout.strides()[last] == 1 {
        x.clone()
    } else {
        x.to_contiguous()
    }
}

/// Reads a tensor `[batch, time, channels]` row by row, through any strides of the two outer axes. A matrix
/// `[time, channels]` counts as one batch entry.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, E> {
    data: &'a [E],
    offset: usize,
    strides: [isize; 2],
    time: usize,
    channels: usize,
}

impl<'a, E: Element + bytemuck::Pod> Rows<'a, E> {
    /// Borrows `x`, which comes from [`contiguous_rows`].
    ///
    /// # Panics
    /// If `x` has not two or three dimensions, another dtype, or rows that are not contiguous.
    pub fn new(x: &'a FlexTensor) -> Self {
        let layout = x.layout();
        let (time, channels, strides) = match *layout.strides() {
            [rows, within] => {
                let [time, channels] = layout.shape().dims();
                (time, channels, [0, rows, within])
            }
            [batch, rows, within] => {
                let [_, time, channels] = layout.shape().dims();
                (time, channels, [batch, rows, within])
            }
            _ => panic!("Rows: expected [batch, time, channels] or [time, channels]"),
        };
        assert!(
            channels <= 1 || layout.shape().num_elements() == 0 || strides[2] == 1,
            "Rows: rows are not contiguous"
        );
        Self {
            data: x.storage(),
            offset: layout.start_offset(),
            strides: [strides[0], strides[1]],
            time,
            channels,
        }
    }

    /// The `channels` values from column `first` of row `t` of batch entry `b`.
    ///
    /// # Panics
    /// If it lies outside.
    #[inline(always)]
    pub fn piece(&self, b: usize, t: usize, first: usize, channels: usize) -> &'a [E] {
        assert!(t < self.time && first + channels <= self.channels);
        let at = self.offset as isize + b as isize * self.strides[0] + t as isize * self.strides[1];
        let at = at as usize + first;
        &self.data[at..at + channels]
    }
}

/// A new buffer for a small output of a kernel, which writes every element: zeros, or NaN where
/// `testing::poison_outputs` is on.
pub fn output<E: Storage>(len: usize) -> Vec<E> {
    if super::poison::poisoned() {
        vec![E::from_elem(f64::NAN); len]
    } else {
        bytemuck::zeroed_vec(len)
    }
}

/// Memory for a large output of a kernel, which writes every element. It starts uninitialised (a pass
/// of zeros over it would cost as much as a light kernel), or as NaN where `testing::poison_outputs`
/// is on.
#[derive(Debug)]
pub struct Output<E> {
    data: Vec<E>,
    len: usize,
}

impl<E: Storage> Output<E> {
    /// Memory for `len` values.
    pub fn new(len: usize) -> Self {
        let mut data = Vec::with_capacity(len);
        if super::poison::poisoned() {
            data.spare_capacity_mut()[..len].fill(MaybeUninit::new(E::from_elem(f64::NAN)));
        }
        Self { data, len }
    }

    /// The values to write.
    pub fn spare(&mut self) -> &mut [MaybeUninit<E>] {
        &mut self.data.spare_capacity_mut()[..self.len]
    }

    /// The values to write, as rows of `columns`.
    ///
    /// # Panics
    /// If they are no whole number of rows.
    pub fn rows(&mut self, columns: usize) -> RowsMut<'_, MaybeUninit<E>> {
        RowsMut::new(self.spare(), columns)
    }

    /// The values.
    ///
    /// # Safety
    /// All of them have been written.
    #[allow(unsafe_code)]
    pub unsafe fn finish(mut self) -> Vec<E> {
        // SAFETY: the capacity was made for `len` values, and the caller promises that all are written.
        unsafe { self.data.set_len(self.len) };
        self.data
    }
}

/// A contiguous tensor that takes over `data`.
pub fn tensor<E: Storage>(data: Vec<E>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(burn::tensor::TensorData::new(data, shape))
}

/// The compute type of a storage type.
pub type Compute<E> = <E as Storage>::Compute;

/// `len` zeros of a compute type, for a kernel's scratch memory.
pub fn scratch<T: Real>(len: usize) -> Vec<T> {
    vec![T::ZERO; len]
}
