//! GPU kernel: a unit per value of the result (in large batches, of some rotations), its products from a table that the device keeps. Sums run in the order of
//! the form's terms, as on the CPU.

use super::{Form, Spec, StepBackend};
use core_tensor::ext::cube::{
    CubeBackend, address_type, dtype_to_storage_type, empty, into_contiguous,
};
use core_tensor::ext::{FloatTensor, TensorMetadata};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Rotations that a unit has, where enough units remain.
const ROWS: usize = 4;
/// Units that keep a device busy.
const BUSY: usize = 1 << 16;

impl StepBackend for CubeBackend {
    fn wigner_step(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let [a, b] = [a, b].map(into_contiguous);
        let Spec { step, slot } = spec;
        let (client, dtype) = (a.client.clone(), a.dtype);
        let [batch, ..] = a.shape().dims::<3>();
        let [width_a, width_b] = slot.others().map(|other| step.len(other));
        let (size, width) = (step.size(slot), step.len(slot));
        let tables = step.uploads.get(slot, &a, || tables(step.form(slot)));
        let out = empty(&client, &a.device, [batch, size, size], dtype);
        let rows = if batch * width >= ROWS * BUSY {
            ROWS
        } else {
            1
        };
        let units = batch.div_ceil(rows) * width;
        let dim = CubeDim::new(&client, units);
        let address = address_type([&a, &b, &out]);
        contract::launch(
            &client,
            calculate_cube_count_elemwise(&client, units, dim),
            dim,
            address,
            a.into_tensor_arg(),
            b.into_tensor_arg(),
            tables.whole.clone().into_tensor_arg(),
            tables.numbers.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            units,
            batch,
            width,
            width_a,
            width_b,
            rows,
            dtype_to_storage_type(dtype),
        );
        out
    }
}

/// Where the products of every value begin, then the products, places packed in halves; and their coefficients.
fn tables(form: &Form) -> (Vec<u32>, Vec<f64>, ()) {
    let packed = form.places.iter().map(|&[a, b]| {
        assert!(a.max(b) < 1 << 16, "wigner_step: degree above 126");
        (a | b << 16) as u32
    });
    let offsets = form.offsets.iter().map(|&offset| offset as u32);
    (
        offsets.chain(packed).collect(),
        form.coefficients.clone(),
        (),
    )
}

/// `out_i = Σ c a_p b_q` over the products of value `i`, for rows of `width` values; `rows` of them to a unit, which looks up
/// a product once for all.
#[cube(launch, address_type = "dynamic")]
fn contract<F: Float>(
    a: &Tensor<F>,
    b: &Tensor<F>,
    whole: &Tensor<u32>,
    numbers: &Tensor<F>,
    out: &mut Tensor<F>,
    units: usize,
    batch: usize,
    width: usize,
    width_a: usize,
    width_b: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let first = ABSOLUTE_POS / width * rows;
    let value = ABSOLUTE_POS % width;
    let from = usize::cast_from(whole[value]);
    let to = usize::cast_from(whole[value + 1]);
    let mut sums = Array::<F>::new(rows);
    #[unroll]
    for r in 0..rows {
        sums[r] = F::new(0.0_f32);
    }
    for product in from..to {
        let packed = whole[width + 1 + product];
        let p = usize::cast_from(packed & 0xFFFFu32);
        let q = usize::cast_from(packed >> 16u32);
        let coefficient = numbers[product];
        #[unroll]
        for r in 0..rows {
            // Past the last row, that row again, which is not written.
            let row = select(first + r < batch, first + r, batch - 1);
            let factor = coefficient * b[row * width_b + q];
            sums[r] = fma(factor, a[row * width_a + p], sums[r]);
        }
    }
    #[unroll]
    for r in 0..rows {
        if first + r < batch {
            out[(first + r) * width + value] = sums[r];
        }
    }
}
