//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU. Fully connected paths of some size go through
//! [`matrix`], or through both in [`steps`], everything else through [`walk`], mode by mode. Sums are in a fixed order, without atomics: the same
//! bits in every run.

mod matrix;
mod steps;
mod tables;
mod walk;

use super::{ProductBackend, Slot, Spec};
use crate::cube::chunks;
use crate::product::{ConnectionMode, Path, RowClasses, WeightRows};
use core::ops::Range;
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::{
    CubeBackend, CubeTensor, address_type, dtype_to_storage_type, empty, into_contiguous, zeros,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use std::sync::Arc;
use tables::Layout;
use walk::Group;

/// Copies of the slot, and pairs of copies of the others, from which a fully connected path is a matrix product.
const LARGE: usize = 8;
/// Rows of the batch that a unit (of a matrix product, a cube) sums at least, if it does not sum all.
const CHUNK: usize = 128;
/// Units that sums of weights over rows are spread over, about.
const BUSY: usize = 1 << 16;

/// What tables depend on within a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// All paths of a mode, with or without weights; or only those that are no matrix product.
    Walk {
        slot: Slot,
        mode: ConnectionMode,
        weighted: bool,
        all: bool,
    },
    /// A path.
    Matrix { slot: Slot, path: usize },
}

/// Tables of a product on devices.
pub(crate) type Uploads = crate::cube::Uploads<Key, Layout>;
pub(crate) use steps::AllSteps;

impl ProductBackend for CubeBackend {
    fn partial_product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        let operands = [a, b, c].map(into_contiguous);
        let beside = operands[0].clone();
        let mut operands = operands.into_iter();
        let operands = Slot::ALL.map(|slot| {
            if slot == spec.slot {
                None
            } else {
                operands.next()
            }
        });
        let call = Call {
            spec: &spec,
            beside,
            operands,
        };
        call.run()
    }
}

/// A call and its tensors.
struct Call<'a> {
    spec: &'a Spec,
    /// Any of the operands.
    beside: CubeTensor,
    /// In the order of the slots; absent for the slot computed.
    operands: [Option<CubeTensor>; 4],
}

impl Call<'_> {
    fn run(&self) -> CubeTensor {
        let spec = self.spec;
        let (large, small): (Vec<_>, Vec<_>) = spec
            .paths()
            .partition(|(_, path)| self.is_large(path) || self.in_steps(path));
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (_, path) in small {
            let (mode, weighted) = (path.instruction.mode, path.instruction.has_weight);
            match groups
                .iter_mut()
                .find(|g| (g.mode, g.weighted) == (mode, weighted))
            {
                Some(group) => group.paths.push(path),
                None => groups.push(Group {
                    mode,
                    weighted,
                    all: !large.iter().any(|(_, path)| path.instruction.mode == mode),
                    paths: vec![path],
                }),
            }
        }
        let shape = spec.shape(spec.slot);
        let tables: Vec<_> = groups.iter().map(|group| self.tables(group)).collect();
        // Whether one launch writes every value; otherwise all launches add to zeros.
        let at_once = large.is_empty() && groups.len() == 1 && tables[0].layout.reached == shape[1];
        let (client, device, dtype) = (&self.beside.client, &self.beside.device, self.beside.dtype);
        let out = if at_once {
            empty(client, device, shape, dtype)
        } else {
            zeros(client, device, shape, dtype)
        };
        for (group, tables) in groups.iter().zip(&tables) {
            self.walk(group, tables, &out, !at_once);
        }
        for (number, path) in large {
            if self.in_steps(path) {
                self.step(number, path, &out);
            } else {
                self.multiply(number, path, &out);
            }
        }
        out
    }

    /// Whether a path is computed as a matrix product.
    fn is_large(&self, path: &Path) -> bool {
        let [m1, m2, m3] = path.mul;
        let (copies, pairs) = match self.spec.slot {
            Slot::In1 => (m1, m2 * m3),
            Slot::In2 => (m2, m1 * m3),
            Slot::Weight | Slot::Out => (m3, m1 * m2),
        };
        path.instruction.mode == ConnectionMode::Uvw
            && !matches!(self.spec.rows, WeightRows::PerRow)
            && copies.min(pairs) >= LARGE
    }

    fn classes(&self) -> Option<&Arc<RowClasses>> {
        match &self.spec.rows {
            WeightRows::ByClass(classes) => Some(classes),
            _ => None,
        }
    }

    /// The class of every row, or where the rows of each class begin and the rows.
    fn list(&self, grouped: bool) -> Option<CubeTensor> {
        let classes = self.classes()?;
        let tables = classes.uploads.get(grouped, &self.beside, || {
            let list = if grouped {
                classes.grouped()
            } else {
                classes.class().to_vec()
            };
            (list, Vec::new(), ())
        });
        Some(tables.whole.clone())
    }

    /// Columns of the tensor of a slot.
    fn width(&self, slot: Slot) -> usize {
        self.spec.shape(slot)[1]
    }

    fn operand(&self, slot: Slot) -> Option<&CubeTensor> {
        self.operands[slot as usize].as_ref()
    }

    /// Sums the parts of some rows and columns of the result.
    fn add_chunks(
        &self,
        parts: &CubeTensor,
        out: &CubeTensor,
        chunks: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        adds: bool,
    ) {
        let client = &self.beside.client;
        let units = rows.len() * columns.len();
        let dim = CubeDim::new(client, units);
        chunks::add::launch(
            client,
            calculate_cube_count_elemwise(client, units, dim),
            dim,
            address_type([parts, out]),
            parts.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            units,
            columns.len(),
            chunks,
            rows.start,
            columns.start,
            self.width(self.spec.slot),
            usize::from(adds),
            dtype_to_storage_type(self.beside.dtype),
        );
    }
}
