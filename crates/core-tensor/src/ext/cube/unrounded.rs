//! Products of matrices outside of the matrix units.

use super::{CubeTensor, address_type, dtype_to_storage_type, untiled};
use crate::ext::compute_dtype;
use cubecl::client::Client;
use cubecl::ir::ElemType;
use cubecl::{calculate_cube_count_elemwise, prelude::*, tf32};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy as Units;
use cubek::matmul::multi_level::routines::TileSizeSelection;
use cubek::matmul::multi_level::routines::batch::double_unit::DoubleUnitSelectionArgs;
use cubek::matmul::routine::BlueprintStrategy;
use cubek::matmul::strategy::Strategy;
use cubek::std::InputBinding;

/// Sizes up to which a tile of a product would be mostly padding.
const SMALL: usize = 16;

/// Whether the matrix units of a device take factors in `f32`, and round them to TF32, ten bits of fraction: where
/// CubeCL has that type, its products use it.
pub fn rounds(client: &Client) -> bool {
    let tf32 = tf32::elem_type_native();
    client.properties().supports_type(tf32)
}

/// `a · b` into `out` by the ordinary units of the device, which round sums but no factor; leading axes broadcast.
///
/// Sums are in `f32`, in `f64` for `f64`. The same bits in every run.
///
/// # Panics
/// If the shapes disagree, or if a tensor is empty.
pub fn unrounded(a: CubeTensor, b: CubeTensor, out: CubeTensor) {
    let [a, b] = [a, b].map(untiled);
    let rank = out.meta.num_dims();
    let [rows, columns] = [out.meta.shape()[rank - 2], out.meta.shape()[rank - 1]];
    let inner = a.meta.shape()[rank - 1];
    let thin = rows.min(columns).max(inner) <= SMALL;
    if thin || rows.max(columns) <= SMALL || tiled(&a, &b, &out).is_err() {
        by_element(a, b, out);
    }
}

/// By tiles in shared memory and registers.
fn tiled(a: &CubeTensor, b: &CubeTensor, out: &CubeTensor) -> Result<(), MatmulSetupError> {
    let [lhs, rhs, result] = [a, b, out].map(|x| dtype_to_storage_type(x.dtype));
    let mut types = MatmulElems::from_globals(&MatmulGlobalElems {
        lhs,
        rhs,
        out: result,
    });
    let units = DoubleUnitSelectionArgs {
        tile_size: TileSizeSelection::MaxTileSize,
    };
    launch_ref(
        &Strategy::MultiLevel(Units::DoubleUnit(BlueprintStrategy::Inferred(units))),
        &out.client,
        InputBinding::new(a.clone().binding(), lhs),
        InputBinding::new(b.clone().binding(), rhs),
        out.clone().binding(),
        &mut types,
    )
}

/// A unit per element: what tiny matrices take, any number of them, and what any strides can.
fn by_element(a: CubeTensor, b: CubeTensor, out: CubeTensor) {
    let rank = out.meta.num_dims();
    let inner = a.meta.shape()[rank - 1];
    let [a, b] = [a, b].map(|x| broadcast(x, &out));
    let units = out.meta.num_elements();
    let dim = CubeDim::new(&out.client, units);
    let types = [a.dtype, out.dtype, compute_dtype(a.dtype)].map(dtype_to_storage_type);
    element::launch(
        &out.client,
        calculate_cube_count_elemwise(&out.client, units, dim),
        dim,
        address_type([&a, &b, &out]),
        a.into_tensor_arg(),
        b.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        units,
        inner,
        rank,
        types,
    );
}

/// Steps of 0 along the leading axes that a factor has once and the product more often.
fn broadcast(mut x: CubeTensor, out: &CubeTensor) -> CubeTensor {
    for axis in 0..out.meta.num_dims() - 2 {
        if x.meta.shape()[axis] == 1 {
            x.meta.strides_mut()[axis] = 0;
        }
    }
    x
}

#[cube(launch, address_type = "dynamic")]
fn element<E: Float, O: Float, F: Float>(
    a: &Tensor<E>,
    b: &Tensor<E>,
    out: &mut Tensor<O>,
    units: usize,
    inner: usize,
    #[comptime] rank: usize,
    #[define(E, O, F)] _dtypes: [ElemType; 3],
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let row_axis = comptime!(rank - 2);
    let column_axis = comptime!(rank - 1);
    let column = ABSOLUTE_POS % out.shape(column_axis);
    let mut rest = ABSOLUTE_POS / out.shape(column_axis);
    let row = rest % out.shape(row_axis);
    rest /= out.shape(row_axis);
    let mut at_a = row * a.stride(row_axis);
    let mut at_b = column * b.stride(column_axis);
    let mut to = row * out.stride(row_axis) + column * out.stride(column_axis);
    #[unroll]
    for i in 0..comptime!(rank - 2) {
        let axis = comptime!(rank - 3 - i);
        let at = rest % out.shape(axis);
        rest /= out.shape(axis);
        at_a += at * a.stride(axis);
        at_b += at * b.stride(axis);
        to += at * out.stride(axis);
    }
    let step_a = a.stride(column_axis);
    let step_b = b.stride(row_axis);
    let mut sum = F::new(0.0_f32);
    for k in 0..inner {
        let x = F::cast_from(a[at_a + k * step_a]);
        let y = F::cast_from(b[at_b + k * step_b]);
        sum = fma(x, y, sum);
    }
    out[to] = O::cast_from(sum);
}
