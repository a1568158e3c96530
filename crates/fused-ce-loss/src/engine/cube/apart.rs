//! The gradient at the targets, apart from factors of half precision.
//!
//! Entry `g_iy` of the gradient of the logits is the largest of its row; as an entry of a factor in bf16 it would bring an
//! error of 2⁻⁹ into what row `i` and class `y` get. It is taken out of the factor, and its share `g_iy c_y` and `g_iy e_i`
//! is added to the products in f32. Rows with the same target are added one after another by the cubes of the first of them; where
//! there are few classes, and with them many rows for each, in several interleaved parts side by side.

use super::call::{Call, Room};
use crate::engine::spec::Layout;
use burn::tensor::DType;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, dtype_to_storage_type};
use cubecl::prelude::*;

/// Units of a cube that adds rows, a column each.
const UNITS: usize = 256;
/// Rows of the sums of parts at most, and parts.
const PART_ROWS: usize = 2048;
const PARTS: usize = 64;

/// No row.
const NONE: u32 = u32::MAX;

/// The gradient at the targets.
pub(super) struct Apart {
    /// `[N]`; nothing where a row has no target among these classes.
    slopes: Room,
}

impl Apart {
    /// Room for them.
    pub(super) fn new(call: &Call<'_>) -> Self {
        let [n, ..] = call.size;
        Self {
            slopes: call.room([n], DType::F32),
        }
    }

    /// Takes the entries at the targets out of a panel, zeros in their place.
    pub(super) fn take(
        &self,
        call: &Call<'_>,
        g: &CubeTensor,
        [tokens, classes]: [&Range<usize>; 2],
    ) {
        let (cubes, dim) = call.units(tokens.len());
        take::launch(
            call.client(),
            cubes,
            dim,
            call.address_type(&[g]),
            g.clone().into_tensor_arg(),
            self.slopes.tensor.clone().into_tensor_arg(),
            call.codes.tensor.clone().into_tensor_arg(),
            tokens.start,
            tokens.len(),
            classes.start,
            classes.len(),
        );
    }

    /// `dE_i += g_iy c_y`, where `out [N, D]` is contiguous.
    pub(super) fn add_to_hidden(&self, call: &Call<'_>, out: &CubeTensor) {
        let [n, v, d] = call.size;
        let (cubes, dim) = call.units(n * d);
        let classes = call.classes(0..v);
        add_to_hidden::launch(
            call.client(),
            cubes,
            dim,
            call.address_type(&[&classes, out]),
            classes.into_tensor_arg(),
            self.slopes.tensor.clone().into_tensor_arg(),
            call.codes.tensor.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            v,
            n,
            d,
            dtype_to_storage_type(call.dtype()),
            dtype_to_storage_type(out.dtype),
        );
    }

    /// `dC_y += Σ_i g_iy e_i`, where `out` lies as the classifier.
    pub(super) fn add_to_classes(&self, call: &Call<'_>, out: &CubeTensor) {
        let [n, v, d] = call.size;
        let parts = (PART_ROWS / v).clamp(1, PARTS);
        let sums = (parts > 1).then(|| call.zeros([parts * v, d]));
        let target = sums.as_ref().map_or(out, |sums| &sums.tensor);
        let links = call.room([n, 2], DType::U32);
        let (cubes, dim) = call.units(n);
        link::launch(
            call.client(),
            cubes,
            dim,
            call.address_type(&[]),
            call.codes.tensor.clone().into_tensor_arg(),
            links.tensor.clone().into_tensor_arg(),
            v,
            n,
            parts,
        );
        let slices = d.div_ceil(UNITS);
        let (cubes, dim) = call.cubes_of(UNITS, n * slices);
        let by_row = sums.is_some() || call.spec.layout == Layout::Rows;
        add_to_classes::launch(
            call.client(),
            cubes,
            dim,
            call.address_type(&[call.hidden(), target]),
            call.hidden().clone().into_tensor_arg(),
            self.slopes.tensor.clone().into_tensor_arg(),
            call.codes.tensor.clone().into_tensor_arg(),
            links.tensor.into_tensor_arg(),
            target.clone().into_tensor_arg(),
            n,
            d,
            slices,
            v,
            parts,
            by_row,
            dtype_to_storage_type(call.dtype()),
            dtype_to_storage_type(target.dtype),
        );
        if let Some(sums) = sums {
            let (cubes, dim) = call.units(v * d);
            add_parts::launch(
                call.client(),
                cubes,
                dim,
                call.address_type(&[&sums.tensor, out]),
                sums.tensor.into_tensor_arg(),
                out.clone().into_tensor_arg(),
                v,
                d,
                parts,
                call.spec.layout == Layout::Rows,
                dtype_to_storage_type(out.dtype),
            );
        }
    }
}

#[cube(launch, address_type = "dynamic")]
fn take(
    g: &mut Tensor<f32>,
    slopes: &mut Tensor<f32>,
    codes: &Tensor<u32>,
    first_row: usize,
    rows: usize,
    first_class: usize,
    classes: usize,
) {
    let row = ABSOLUTE_POS;
    if row >= rows {
        terminate!();
    }
    let class = usize::cast_from(codes[first_row + row]);
    if class >= first_class && class < first_class + classes {
        let i = row * classes + class - first_class;
        slopes[first_row + row] = g[i];
        g[i] = f32::new(0.0);
    }
}

#[cube(launch, address_type = "dynamic")]
fn add_to_hidden<E: Float, S: Float>(
    classifier: &Tensor<E>,
    slopes: &Tensor<f32>,
    codes: &Tensor<u32>,
    out: &mut Tensor<S>,
    classes: usize,
    rows: usize,
    width: usize,
    #[define(E)] _read: ElemType,
    #[define(S)] _written: ElemType,
) {
    let row = ABSOLUTE_POS / width;
    if row >= rows {
        terminate!();
    }
    let class = usize::cast_from(codes[row]);
    if class < classes {
        let d = ABSOLUTE_POS % width;
        let c = classifier[class * classifier.stride(0) + d * classifier.stride(1)];
        let so_far = f32::cast_from(out[ABSOLUTE_POS]);
        out[ABSOLUTE_POS] = S::cast_from(fma(slopes[row], f32::cast_from(c), so_far));
    }
}

/// Per row: whether it is the first with its target, and the next one with the same, or [`NONE`]; of the rows that are a
/// multiple of `parts` apart.
#[cube(launch, address_type = "dynamic")]
fn link(codes: &Tensor<u32>, links: &mut Tensor<u32>, classes: usize, rows: usize, parts: usize) {
    let row = ABSOLUTE_POS;
    if row >= rows {
        terminate!();
    }
    let code = codes[row];
    let mut first = usize::cast_from(code) < classes;
    let mut before = row % parts;
    while first && before < row {
        first = codes[before] != code;
        before += parts;
    }
    let mut next = row + parts;
    while next < rows && codes[next] != code {
        next += parts;
    }
    links[2 * row] = u32::cast_from(first);
    let none = u32::new(comptime!(i64::from(NONE)));
    links[2 * row + 1] = select(next < rows, u32::cast_from(next), none);
}

/// A cube per row and slice of columns; those of rows that are first add up their list, to what is there for the class or,
/// by parts, for the class in its part.
#[cube(launch, address_type = "dynamic")]
fn add_to_classes<E: Float, S: Float>(
    hidden: &Tensor<E>,
    slopes: &Tensor<f32>,
    codes: &Tensor<u32>,
    links: &Tensor<u32>,
    out: &mut Tensor<S>,
    rows: usize,
    width: usize,
    slices: usize,
    classes: usize,
    parts: usize,
    #[comptime] by_row: bool,
    #[define(E)] _read: ElemType,
    #[define(S)] _written: ElemType,
) {
    let row = CUBE_POS / slices;
    if row >= rows {
        terminate!();
    }
    if links[2 * row] == 0u32 {
        terminate!();
    }
    let d = CUBE_POS % slices * UNITS + UNIT_POS as usize;
    if d < width {
        let class = row % parts * classes + usize::cast_from(codes[row]);
        let mut sum = f32::new(0.0);
        let mut i = u32::cast_from(row);
        while i != u32::new(comptime!(i64::from(NONE))) {
            let from = usize::cast_from(i);
            let e = f32::cast_from(hidden[from * hidden.stride(0) + d]);
            sum = fma(slopes[from], e, sum);
            i = links[2 * from + 1];
        }
        let at = place(class, d, out.stride(0), out.stride(1), by_row);
        out[at] = S::cast_from(f32::cast_from(out[at]) + sum);
    }
}

/// Adds the parts of a class, in order.
#[cube(launch, address_type = "dynamic")]
fn add_parts<E: Float>(
    sums: &Tensor<f32>,
    out: &mut Tensor<E>,
    classes: usize,
    width: usize,
    parts: usize,
    #[comptime] by_row: bool,
    #[define(E)] _dtype: ElemType,
) {
    let class = ABSOLUTE_POS / width;
    if class >= classes {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    for part in 0..parts {
        sum += sums[part * classes * width + ABSOLUTE_POS];
    }
    let (first, second) = (out.stride(0), out.stride(1));
    let at = place(class, ABSOLUTE_POS % width, first, second, by_row);
    out[at] = E::cast_from(f32::cast_from(out[at]) + sum);
}

/// Where column `d` of a class lies.
#[cube]
fn place(class: usize, d: usize, first: usize, second: usize, #[comptime] by_row: bool) -> usize {
    if comptime!(by_row) {
        class * first + d * second
    } else {
        d * first + class * second
    }
}
