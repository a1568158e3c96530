//! A unit per value of the result (in large batches, of some edges) walks over a table of what the value is the sum of.
//!
//! Columns of the result come in groups that lie side by side, as the copies of a component do. For copy `c` of a group that is
//! number `r` of its kind, on every edge,
//!
//! ```text
//! out[group + c] = Σ_contacts value · Σ_k a[a₀ + r a_row + c a_copy + k a_step] · b[b₀ + c b_copy + k b_step]
//! ```

use super::super::Spec;
use super::small;
use crate::cube::Tables;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, empty};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Edges that a unit has, where enough units remain.
const LINES: usize = 4;
/// Units that keep a device busy.
const BUSY: usize = 1 << 16;

/// Numbers of a group, and of a contact, in the table.
const GROUP: usize = 5;
const CONTACT: usize = 8;

/// Where the values lie that the first factor of a contact has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) first: usize,
    /// From one group of a kind to the next, one copy, one term.
    pub(super) row: usize,
    pub(super) copy: usize,
    pub(super) step: usize,
}

/// Products that add to the values of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contact {
    /// With a list, `step` is where the list begins in which terms have their places.
    pub(super) a: Place,
    /// Without rows.
    pub(super) b: Place,
    /// Terms; none, if the value of `a` counts alone.
    pub(super) terms: usize,
    pub(super) value: f64,
}

/// What a slot is computed from.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Whether the first factor is the second operand.
    pub(super) swapped: bool,
    /// Places of terms of the first factor; empty, if they are evenly spaced.
    pub(super) places: Vec<usize>,
    /// Columns of the result.
    width: usize,
    groups: Vec<Group>,
    contacts: Vec<Contact>,
}

#[derive(Debug)]
struct Group {
    columns: Range<usize>,
    row: usize,
    contacts: Range<usize>,
}

/// Where the parts of the table begin, and what the kernel is compiled for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layout {
    groups: usize,
    contacts: usize,
    places: usize,
    listed: bool,
    swapped: bool,
}

impl Table {
    /// Without groups, for a result of so many columns.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Contacts that groups can have.
    pub(super) fn contacts(&mut self, list: impl IntoIterator<Item = Contact>) -> Range<usize> {
        let first = self.contacts.len();
        self.contacts.extend(list);
        first..self.contacts.len()
    }

    /// Columns that no other group has. Those of groups given one after the other are computed side by side.
    pub(super) fn group(&mut self, columns: Range<usize>, row: usize, contacts: Range<usize>) {
        self.groups.push(Group {
            columns,
            row,
            contacts,
        });
    }

    /// Columns without a group are 0: groups without contacts.
    fn fill(&mut self) {
        let mut taken: Vec<Range<usize>> = self.groups.iter().map(|g| g.columns.clone()).collect();
        taken.sort_by_key(|columns| columns.start);
        let mut next = 0;
        let end = core::iter::once(self.width..self.width);
        for columns in taken.into_iter().chain(end) {
            assert!(next <= columns.start, "frame_form: two groups of a column");
            if next < columns.start {
                self.group(next..columns.start, 0, 0..0);
            }
            next = columns.end;
        }
    }

    /// The group of every value; for every group its first value, its first column, its number, its contacts; the contacts; the
    /// places. Then the values of the contacts.
    pub(super) fn finish(mut self) -> (Vec<u32>, Vec<f64>, Layout) {
        self.fill();
        let mut whole = Vec::with_capacity(self.width);
        for (number, group) in self.groups.iter().enumerate() {
            whole.extend(core::iter::repeat_n(number, group.columns.len()));
        }
        let mut layout = Layout {
            groups: whole.len(),
            listed: !self.places.is_empty(),
            swapped: self.swapped,
            ..Layout::default()
        };
        let mut first = 0;
        for group in &self.groups {
            let contacts = &group.contacts;
            whole.extend([
                first,
                group.columns.start,
                group.row,
                contacts.start,
                contacts.end,
            ]);
            first += group.columns.len();
        }
        layout.contacts = whole.len();
        for Contact { a, b, terms, .. } in &self.contacts {
            whole.extend([
                a.first, a.row, a.copy, a.step, b.first, b.copy, b.step, *terms,
            ]);
        }
        layout.places = whole.len();
        whole.extend(&self.places);
        let values = self.contacts.iter().map(|contact| contact.value).collect();
        (whole.into_iter().map(small).collect(), values, layout)
    }
}

/// Computes the slot.
pub(super) fn run(spec: &Spec, tables: &Tables<Layout>, operands: [CubeTensor; 2]) -> CubeTensor {
    let [mut a, mut b] = operands;
    let mut widths = spec.slot.others().map(|other| spec.shape(other)[1]);
    let layout = tables.layout;
    if layout.swapped {
        core::mem::swap(&mut a, &mut b);
        widths.reverse();
    }
    let shape = spec.shape(spec.slot);
    let [rows, width] = shape;
    let (client, dtype) = (a.client.clone(), a.dtype);
    let out = empty(&client, &a.device, shape, dtype);
    let lines = if rows * width >= LINES * BUSY {
        LINES
    } else {
        1
    };
    let units = rows.div_ceil(lines) * width;
    let dim = CubeDim::new(&client, units);
    kernel::launch(
        &client,
        calculate_cube_count_elemwise(&client, units, dim),
        dim,
        address_type([&a, &b, &tables.whole, &out]),
        a.into_tensor_arg(),
        b.into_tensor_arg(),
        tables.whole.clone().into_tensor_arg(),
        tables.numbers.clone().into_tensor_arg(),
        out.clone().into_tensor_arg(),
        SizesLaunch::new(
            units,
            rows,
            width,
            widths[0],
            widths[1],
            layout.groups,
            layout.contacts,
            layout.places,
        ),
        lines,
        layout.listed,
        dtype_to_storage_type(dtype),
    );
    out
}

/// Sizes, and where the parts of the table begin.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Sizes {
    units: usize,
    /// Edges.
    rows: usize,
    /// Columns of the result and of both factors.
    width: usize,
    width_a: usize,
    width_b: usize,
    groups: usize,
    contacts: usize,
    places: usize,
}

/// See the module.
#[cube(launch, address_type = "dynamic")]
fn kernel<F: Float>(
    a: &Tensor<F>,
    b: &Tensor<F>,
    whole: &Tensor<u32>,
    numbers: &Tensor<F>,
    out: &mut Tensor<F>,
    sizes: Sizes,
    #[comptime] lines: usize,
    #[comptime] listed: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= sizes.units {
        terminate!();
    }
    let value = ABSOLUTE_POS % sizes.width;
    let first = ABSOLUTE_POS / sizes.width * lines;
    let group = sizes.groups + GROUP * usize::cast_from(whole[value]);
    let copy = value - usize::cast_from(whole[group]);
    let column = usize::cast_from(whole[group + 1]) + copy;
    let number = usize::cast_from(whole[group + 2]);
    let from = usize::cast_from(whole[group + 3]);
    let to = usize::cast_from(whole[group + 4]);
    let mut sums = Array::<F>::new(lines);
    let mut parts = Array::<F>::new(lines);
    #[unroll]
    for r in 0..lines {
        sums[r] = F::new(0.0_f32);
    }
    for c in from..to {
        let contact = sizes.contacts + CONTACT * c;
        let a_at = usize::cast_from(whole[contact])
            + number * usize::cast_from(whole[contact + 1])
            + copy * usize::cast_from(whole[contact + 2]);
        let a_step = usize::cast_from(whole[contact + 3]);
        let b_at =
            usize::cast_from(whole[contact + 4]) + copy * usize::cast_from(whole[contact + 5]);
        let b_step = usize::cast_from(whole[contact + 6]);
        let terms = usize::cast_from(whole[contact + 7]);
        #[unroll]
        for r in 0..lines {
            parts[r] = F::new(0.0_f32);
        }
        if terms == 0 {
            #[unroll]
            for r in 0..lines {
                let row = select(first + r < sizes.rows, first + r, sizes.rows - 1);
                parts[r] = a[row * sizes.width_a + a_at];
            }
        }
        for k in 0..terms {
            let a_place = if comptime!(listed) {
                a_at + usize::cast_from(whole[sizes.places + a_step + k])
            } else {
                a_at + k * a_step
            };
            let b_place = b_at + k * b_step;
            #[unroll]
            for r in 0..lines {
                // Past the last edge, that edge again, which is not written.
                let row = select(first + r < sizes.rows, first + r, sizes.rows - 1);
                let x = a[row * sizes.width_a + a_place];
                let y = b[row * sizes.width_b + b_place];
                parts[r] = fma(x, y, parts[r]);
            }
        }
        let factor = numbers[c];
        #[unroll]
        for r in 0..lines {
            sums[r] = fma(factor, parts[r], sums[r]);
        }
    }
    #[unroll]
    for r in 0..lines {
        if first + r < sizes.rows {
            out[(first + r) * sizes.width + column] = sums[r];
        }
    }
}
