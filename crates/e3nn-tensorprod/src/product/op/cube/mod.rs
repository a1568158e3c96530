//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU. Fully connected paths of some size go through
//! [`matrix`], everything else through [`walk`], mode by mode. Sums are in a fixed order, without atomics: the same
//! bits in every run.

mod matrix;
mod tables;
mod walk;

use super::{ProductBackend, Slot, Spec};
use crate::cube::Tables;
use crate::product::{ConnectionMode, Path, RowClasses, WeightRows};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::{
    CubeBackend, CubeTensor, address_type, dtype_to_storage_type, empty, into_contiguous, zeros,
};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use matrix::{BlocksLaunch, Form, ROWS, RangeLaunch};
use std::sync::Arc;
use tables::{Layout, input, matrix_tables, walk_tables};
use walk::{OperandsLaunch, SizesLaunch, Walk};

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

/// Paths that share a launch of [`walk`].
struct Group<'a> {
    mode: ConnectionMode,
    weighted: bool,
    /// Whether these are all such paths of the product.
    all: bool,
    paths: Vec<&'a Path>,
}

impl Call<'_> {
    fn run(&self) -> CubeTensor {
        let spec = self.spec;
        let (mut large, mut groups) = (Vec::new(), Vec::<Group<'_>>::new());
        for (number, path) in spec.paths() {
            if self.is_large(path) {
                large.push((number, path));
            }
        }
        for (_, path) in spec.paths() {
            let (mode, weighted) = (path.instruction.mode, path.instruction.has_weight);
            if self.is_large(path) {
                continue;
            }
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
            self.multiply(number, path, &out);
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

    fn tables(&self, group: &Group<'_>) -> Arc<Tables<Layout>> {
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

    fn walk(&self, group: &Group<'_>, tables: &Tables<Layout>, out: &CubeTensor, adds: bool) {
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
        walk::partial::launch(
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

    /// Sums the parts of some rows and columns of the result.
    fn add_chunks(
        &self,
        parts: &CubeTensor,
        out: &CubeTensor,
        chunks: usize,
        rows: core::ops::Range<usize>,
        columns: core::ops::Range<usize>,
        adds: bool,
    ) {
        let client = &self.beside.client;
        let units = rows.len() * columns.len();
        let dim = CubeDim::new(client, units);
        walk::add_chunks::launch(
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

    /// A fully connected path; with weights by class, class by class.
    fn multiply(&self, number: usize, path: &Path, out: &CubeTensor) {
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
        rows: core::ops::Range<usize>,
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
            columns: copies.next_power_of_two().clamp(16, 64),
        };
        let across = copies.div_ceil(form.columns);
        let (down, chunks) = if slot == Slot::Weight {
            let down = pairs.div_ceil(ROWS);
            let wanted = BUSY / (across * down * form.units());
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
        let cube = CubeDim::new_1d(form.units() as u32);
        matrix::multiply::launch(
            client,
            calculate_cube_count_elemwise(client, all * form.units(), cube),
            cube,
            address_type(operands.into_iter().chain([target])),
            first,
            second,
            third,
            tables.whole.clone().into_tensor_arg(),
            tables.numbers.clone().into_tensor_arg(),
            self.list(true).map(CubeTensor::into_tensor_arg).into(),
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
