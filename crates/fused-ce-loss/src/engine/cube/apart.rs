//! The gradient at the targets, apart from factors of half precision.
//!
//! Entry `g_iy` of the gradient of the logits is the largest of its row; as an entry of a factor in bf16 it would bring an
//! error of 2⁻⁹ into what row `i` and class `y` get. It is taken out of the factor, and its share `g_iy c_y` and `g_iy e_i`
//! is added to the products in f32. Rows with the same target are added one after another by the cube of the first of them.

use super::call::{Call, Room};
use crate::engine::spec::Layout;
use burn::tensor::DType;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, dtype_to_storage_type};
use cubecl::prelude::*;

/// Units of the cube of a class.
const UNITS: usize = 256;

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
        );
        let dim = CubeDim::new_1d(UNITS as u32);
        let cubes = cubecl::calculate_cube_count_elemwise(call.client(), n * UNITS, dim);
        add_to_classes::launch(
            call.client(),
            cubes,
            dim,
            call.address_type(&[call.hidden(), out]),
            call.hidden().clone().into_tensor_arg(),
            self.slopes.tensor.clone().into_tensor_arg(),
            call.codes.tensor.clone().into_tensor_arg(),
            links.tensor.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            n,
            d,
            call.spec.layout == Layout::Rows,
            dtype_to_storage_type(call.dtype()),
        );
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

/// Per row: whether it is the first with its target, and the next one with the same, or [`NONE`].
#[cube(launch, address_type = "dynamic")]
fn link(codes: &Tensor<u32>, links: &mut Tensor<u32>, classes: usize, rows: usize) {
    let row = ABSOLUTE_POS;
    if row >= rows {
        terminate!();
    }
    let code = codes[row];
    let mut first = usize::cast_from(code) < classes;
    let mut before = 0usize.runtime();
    while first && before < row {
        first = codes[before] != code;
        before += 1;
    }
    let mut next = row + 1;
    while next < rows && codes[next] != code {
        next += 1;
    }
    links[2 * row] = u32::cast_from(first);
    links[2 * row + 1] = select(
        next < rows,
        u32::cast_from(next),
        u32::new(comptime!(i64::from(NONE))),
    );
}

#[cube(launch, address_type = "dynamic")]
fn add_to_classes<E: Float>(
    hidden: &Tensor<E>,
    slopes: &Tensor<f32>,
    codes: &Tensor<u32>,
    links: &Tensor<u32>,
    out: &mut Tensor<E>,
    rows: usize,
    width: usize,
    #[comptime] class_by_row: bool,
    #[define(E)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    if links[2 * row] == 0u32 {
        terminate!();
    }
    let class = usize::cast_from(codes[row]);
    let mut d = UNIT_POS as usize;
    while d < width {
        let at = if comptime!(class_by_row) {
            class * out.stride(0) + d * out.stride(1)
        } else {
            d * out.stride(0) + class * out.stride(1)
        };
        let mut sum = f32::new(0.0);
        let mut i = u32::cast_from(row);
        while i != u32::new(comptime!(i64::from(NONE))) {
            let from = usize::cast_from(i);
            let e = f32::cast_from(hidden[from * hidden.stride(0) + d]);
            sum = fma(slopes[from], e, sum);
            i = links[2 * from + 1];
        }
        out[at] = E::cast_from(f32::cast_from(out[at]) + sum);
        d += UNITS;
    }
}
