//! Storage types, and the types that kernels compute in.

use super::{Real, stream};
use core::mem::MaybeUninit;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// An element type as stored in a tensor; kernels compute in [`Storage::Compute`].
///
/// Half-precision types are storage only: a row is widened to `f32`, computed, and rounded once
/// (to nearest, ties to even) when it is written.
pub trait Storage: bytemuck::Pod + burn::tensor::Element + Send + Sync {
    /// The type computed in: the type itself for `f32` and `f64`, else `f32`.
    type Compute: Real + Storage<Compute = Self::Compute>;

    /// `row` in the compute type: itself, or widened into `scratch`.
    fn widen<'a>(row: &'a [Self], scratch: &'a mut [Self::Compute]) -> &'a [Self::Compute];

    /// Writes all of `row` from as many `values`, rounded where the types differ.
    fn narrow(values: &[Self::Compute], row: &mut [MaybeUninit<Self>]);

    /// As [`narrow`](Self::narrow), past the caches where the processor can and no rounding is needed:
    /// for outputs larger than the last-level cache, whose lines would be read in vain to be
    /// overwritten. [`fence`](super::fence) must follow before another thread reads them.
    fn narrow_past_caches(values: &[Self::Compute], row: &mut [MaybeUninit<Self>]) {
        Self::narrow(values, row);
    }
}

macro_rules! same {
    ($t:ty) => {
        impl Storage for $t {
            type Compute = $t;

            #[inline(always)]
            fn widen<'a>(row: &'a [$t], _: &'a mut [$t]) -> &'a [$t] {
                row
            }
            #[inline(always)]
            fn narrow(values: &[$t], row: &mut [MaybeUninit<$t>]) {
                row.write_copy_of_slice(values);
            }
            #[inline(always)]
            fn narrow_past_caches(values: &[$t], row: &mut [MaybeUninit<$t>]) {
                stream::copy(values, row);
            }
        }
    };
}
same!(f32);
same!(f64);

macro_rules! half {
    ($t:ty) => {
        impl Storage for $t {
            type Compute = f32;

            #[inline(always)]
            fn widen<'a>(row: &'a [$t], scratch: &'a mut [f32]) -> &'a [f32] {
                let scratch = &mut scratch[..row.len()];
                row.convert_to_f32_slice(scratch);
                scratch
            }
            #[inline(always)]
            fn narrow(values: &[f32], row: &mut [MaybeUninit<$t>]) {
                // The row stays in the first-level cache: writing it twice is cheap.
                row.fill(MaybeUninit::new(<$t>::ZERO));
                // SAFETY: just filled.
                #[allow(unsafe_code)]
                unsafe { row.assume_init_mut() }.convert_from_f32_slice(values);
            }
        }
    };
}
half!(f16);
half!(bf16);
