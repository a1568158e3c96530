//! Fully connected paths as matrix products.

mod kernel;
mod read;

use super::tables::{Layout, input, matrix_tables};
use super::{BUSY, CHUNK, Call, Key};
use crate::cube::Tables;
use crate::cube::tile::{self, ROWS};
use crate::product::Path;
use crate::product::op::Slot;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, empty};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use kernel::{BlocksLaunch, Form, OperandsLaunch, RangeLaunch};

impl Call<'_> {
    /// A fully connected path; with weights by class, class by class.
    pub(super) fn multiply(&self, number: usize, path: &Path, out: &CubeTensor) {
        let (spec, slot) = (self.spec, self.spec.slot);
        let key = Key::Matrix { slot, path: number };
        let uploads = &spec.plan.uploads;
        let tables = uploads.get(key, &self.beside, || matrix_tables(path, slot));
        match self.classes() {
            None => self.multiply_rows(path, &tables, out, 0, 0..spec.batch),
            Some(classes) => {
                let mut first = classes.classes() + 1;
                for class in 0..classes.classes() {
                    let rows = classes.rows_of(class).len();
                    if rows > 0 {
                        self.multiply_rows(path, &tables, out, class, first..first + rows);
                    }
                    first += rows;
                }
            }
        }
    }

    /// The rows at some places of the list (without one, themselves), which have one row of weights.
    fn multiply_rows(
        &self,
        path: &Path,
        tables: &Tables<Layout>,
        out: &CubeTensor,
        weight_row: usize,
        rows: Range<usize>,
    ) {
        let (client, device, dtype) = (&self.beside.client, &self.beside.device, self.beside.dtype);
        let slot = self.spec.slot;
        let [m1, m2, m3] = path.mul;
        let (u, v, w) = (m2 * m3, m3, 1);
        // First, second and third factor; copies of the second and the slot, pairs; strides of the weights.
        let (factors, [seconds, pairs, copies], strides) = match slot {
            Slot::In1 => (
                [Slot::In2, Slot::Out, Slot::Weight],
                [m3, m2 * m3, m1],
                [u, v, w],
            ),
            Slot::In2 => (
                [Slot::In1, Slot::Out, Slot::Weight],
                [m3, m1 * m3, m2],
                [v, u, w],
            ),
            Slot::Out => (
                [Slot::In1, Slot::In2, Slot::Weight],
                [m2, m1 * m2, m3],
                [w, u, v],
            ),
            Slot::Weight => (
                [Slot::In1, Slot::In2, Slot::Out],
                [m2, m1 * m2, m3],
                [0, 0, 0],
            ),
        };
        let [first, second, third] = factors;
        let dim = path.dims()[input(slot)];
        let third_at = match third {
            Slot::Weight => path.weights.start,
            _ => path.offset[2],
        };
        let blocks = BlocksLaunch::new(
            self.width(first),
            path.offset[input(first)],
            path.dims()[input(first)],
            self.width(second),
            path.offset[input(second)],
            path.dims()[input(second)],
            seconds,
            pairs,
            self.width(third),
            third_at,
            strides[0],
            strides[1],
            strides[2],
            self.width(slot),
            path.offset[input(slot)],
            dim,
            copies,
        );
        let form = Form {
            slot,
            columns: tile::columns(copies, dtype),
            single: tables.layout.single,
            fixed: tables.layout.single && m2 == 1 && matches!(slot, Slot::In1 | Slot::Out),
        };
        let across = copies.div_ceil(form.columns);
        let (down, chunks) = if slot == Slot::Weight {
            let down = pairs.div_ceil(ROWS);
            let wanted = BUSY / (across * down * tile::units(form.columns));
            (down, (rows.len() / CHUNK).min(wanted).max(1))
        } else {
            ((rows.len() * dim).div_ceil(ROWS), 1)
        };
        let chunk = rows.len().div_ceil(chunks);
        let parts = (slot == Slot::Weight)
            .then(|| empty(client, device, [chunks, path.weights.len()], dtype));
        let target = parts.as_ref().unwrap_or(out);
        let operands = factors.map(|slot| self.operand(slot).expect("an operand of this slot"));
        let [first, second, third] = operands.map(|operand| operand.clone().into_tensor_arg());
        let all = across * down * chunks;
        let cube = CubeDim::new_1d(tile::units(form.columns) as u32);
        kernel::multiply::launch(
            client,
            calculate_cube_count_elemwise(client, all * tile::units(form.columns), cube),
            cube,
            address_type(operands.into_iter().chain([target])),
            OperandsLaunch::new(
                first,
                second,
                third,
                tables.whole.clone().into_tensor_arg(),
                tables.numbers.clone().into_tensor_arg(),
                self.list(true).map(CubeTensor::into_tensor_arg).into(),
            ),
            target.clone().into_tensor_arg(),
            blocks,
            RangeLaunch::new(rows.start, rows.len(), weight_row, across, all, chunk),
            form,
            dtype_to_storage_type(dtype),
        );
        if let Some(parts) = parts {
            let weights = path.weights.clone();
            self.add_chunks(
                &parts,
                out,
                chunks,
                weight_row..weight_row + 1,
                weights,
                true,
            );
        }
    }
}
