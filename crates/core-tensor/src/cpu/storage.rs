//! Storage types, and the types that kernels compute in.

use super::Real;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// An element type as stored in a tensor; kernels compute in [`Storage::Compute`].
///
/// Half-precision types are storage only: a row is widened to `f32`, computed, and rounded once
/// (to nearest, ties to even) when it is written.
pub trait Storage: bytemuck::Pod + burn::tensor::Element + Send + Sync {
    /// The type computed in: the type itself for `f32` and `f64`, else `f32`.
    type Compute: Real;

    /// `row` in the compute type: itself, or widened into `scratch`.
    fn widen<'a>(row: &'a [Self], scratch: &'a mut [Self::Compute]) -> &'a [Self::Compute];

    /// Writes `values` into `row`, rounded where the types differ.
    fn narrow(values: &[Self::Compute], row: &mut [Self]);
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
            fn narrow(values: &[$t], row: &mut [$t]) {
                row.copy_from_slice(values);
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
            fn narrow(values: &[f32], row: &mut [$t]) {
                row.convert_from_f32_slice(values);
            }
        }
    };
}
half!(f16);
half!(bf16);
