//! A unit per value of the result walks over everything that contributes to it: for every mode, any multiplicity and any
//! weights, in one launch per mode.

mod kernel;
mod mode;

use super::tables::{Layout, walk_tables};
use super::{BUSY, CHUNK, Call, Key};
use crate::cube::Tables;
use crate::product::op::Slot;
use crate::product::{ConnectionMode, Path, WeightRows};
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, zeros};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use kernel::{OperandsLaunch, SizesLaunch};
use mode::Walk;
use std::sync::Arc;

/// Numbers of a column, and of a path, in the table.
pub(super) const COLUMN: usize = 5;
pub(super) const PATH: usize = 11;

/// Paths that share a launch.
pub(super) struct Group<'a> {
    pub(super) mode: ConnectionMode,
    pub(super) weighted: bool,
    /// Whether these are all such paths of the product.
    pub(super) all: bool,
    pub(super) paths: Vec<&'a Path>,
}

impl Call<'_> {
    pub(super) fn tables(&self, group: &Group<'_>) -> Arc<Tables<Layout>> {
        let slot = self.spec.slot;
        let key = Key::Walk {
            slot,
            mode: group.mode,
            weighted: group.weighted,
            all: group.all,
        };
        let uploads = &self.spec.plan.uploads;
        uploads.get(key, &self.beside, || walk_tables(&group.paths, slot))
    }

    /// Launches a group; the result is written, or added to what is there.
    pub(super) fn walk(
        &self,
        group: &Group<'_>,
        tables: &Tables<Layout>,
        out: &CubeTensor,
        adds: bool,
    ) {
        let (spec, client, dtype) = (self.spec, &self.beside.client, self.beside.dtype);
        let (slot, layout) = (spec.slot, tables.layout);
        let [height, width] = spec.shape(slot);
        let per_row = matches!(spec.rows, WeightRows::PerRow);
        let summed = slot == Slot::Weight && !per_row;
        let chunks = if summed {
            let wanted = BUSY / (height * layout.reached).max(1);
            (spec.batch / height / CHUNK).min(wanted).max(1)
        } else {
            1
        };
        let parts = (chunks > 1).then(|| {
            let shape = [height * chunks, width];
            zeros(client, &self.beside.device, shape, dtype)
        });
        let target = parts.as_ref().unwrap_or(out);
        let units = height * chunks * layout.reached;
        let dim = CubeDim::new(client, units);
        let arg = |slot: Slot| {
            let operand = self.operand(slot).cloned();
            operand.map(CubeTensor::into_tensor_arg).into()
        };
        let given = self.operands.iter().flatten();
        kernel::partial::launch(
            client,
            calculate_cube_count_elemwise(client, units, dim),
            dim,
            address_type(given.chain([target])),
            OperandsLaunch::new(
                arg(Slot::In1),
                arg(Slot::In2),
                arg(Slot::Weight),
                arg(Slot::Out),
            ),
            tables.numbers.clone().into_tensor_arg(),
            tables.whole.clone().into_tensor_arg(),
            self.list(summed).map(CubeTensor::into_tensor_arg).into(),
            target.clone().into_tensor_arg(),
            SizesLaunch::new(
                units,
                layout.reached,
                width,
                chunks,
                usize::from(adds && parts.is_none()),
                spec.batch,
                usize::from(per_row),
                self.width(Slot::In1),
                self.width(Slot::In2),
                self.width(Slot::Weight),
                self.width(Slot::Out),
                layout.list,
                layout.paths,
                layout.starts,
                layout.entries,
                height,
            ),
            Walk {
                slot,
                mode: group.mode,
                weighted: group.weighted,
                summed,
            },
            dtype_to_storage_type(dtype),
        );
        if let Some(parts) = parts {
            self.add_chunks(&parts, out, chunks, 0..height, 0..width, adds);
        }
    }
}
