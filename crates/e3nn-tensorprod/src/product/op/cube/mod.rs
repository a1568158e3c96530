//! GPU kernel: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! A unit per value of the result walks all terms that contribute to it, from [`tables`] that describe the paths.
//! Sums are in a fixed order, without atomics. Correct for every mode and multiplicity; it reads each operand once per
//! term, so that for many copies a product of several matrix products would be faster.

mod kernel;
mod tables;

use super::{ProductBackend, Slot, Spec};
use crate::product::WeightRows;
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::{
    CubeBackend, CubeTensor, address_type, dtype_to_storage_type, empty, into_contiguous,
    upload_u32,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use kernel::{PlacesLaunch, RowKind, partial};
use tables::Tables;

impl ProductBackend for CubeBackend {
    fn partial_product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let operands = [a, b, c].map(into_contiguous);
        let (client, device) = (operands[0].client.clone(), operands[0].device.clone());
        let dtype = operands[0].dtype;
        let [height, width] = spec.shape(spec.slot);
        let out = empty(&client, &device, [height, width], dtype);
        let tables = Tables::new(&spec);
        let values = tables.values(&client, &device, dtype);
        let table = upload_u32(&client, &device, &tables.table);
        // For weights by class: the class of every row, or the rows of every class.
        let (kind, rows) = match &spec.rows {
            WeightRows::Shared => (RowKind::Shared, vec![0]),
            WeightRows::PerRow => (RowKind::PerRow, vec![0]),
            WeightRows::ByClass(classes) if spec.slot == Slot::Weight => {
                let mut rows = vec![0_u32];
                let count = classes.classes();
                for class in 0..count {
                    rows.push(rows[class] + classes.rows_of(class).len() as u32);
                }
                rows.extend((0..count).flat_map(|class| classes.rows_of(class)));
                (RowKind::ByClass, rows)
            }
            WeightRows::ByClass(classes) => (RowKind::ByClass, classes.class().to_vec()),
        };
        let rows = upload_u32(&client, &device, &rows);
        let places = spec.slot.others();
        let [wa, wb, wc] = places.map(|slot| spec.shape(slot)[1]);
        let units = height * width;
        let dim = CubeDim::new(&client, units);
        let count = calculate_cube_count_elemwise(&client, units, dim);
        let all = [
            &operands[0],
            &operands[1],
            &operands[2],
            &values,
            &table,
            &rows,
            &out,
        ];
        let address = address_type(all);
        let [a, b, c] = operands.map(CubeTensor::into_tensor_arg);
        partial::launch(
            &client,
            count,
            dim,
            address,
            a,
            b,
            c,
            values.into_tensor_arg(),
            table.into_tensor_arg(),
            rows.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            PlacesLaunch::new(
                height,
                width,
                spec.batch,
                wa,
                wb,
                wc,
                tables.list,
                tables.paths,
                tables.starts,
                tables.entries,
            ),
            spec.slot,
            kind,
            dtype_to_storage_type(dtype),
        );
        out
    }
}
