//! Matrices that all edges share: one launch for all orders, each range of columns (or each matrix) the sum of the products that
//! end there, in their order.

mod kernel;

use super::super::{Mix, Slot, Spec, Term};
use super::small;
use crate::cube::chunks;
use crate::cube::tile::{self, ROWS};
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, empty, zeros};
use cubecl::{calculate_cube_count_elemwise, prelude::*};
use kernel::{Form, SizesLaunch};

/// Edges that a cube sums at least, if it does not sum all.
const CHUNK: usize = 128;
/// Units that sums over edges are spread over, about.
const BUSY: usize = 1 << 16;

/// Numbers of a tile, and of a product, in the table.
const TILE: usize = 8;
const PRODUCT: usize = 8;

/// How many tiles there are (of features, of 64 edges), and where their products begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    tiles: usize,
    products: usize,
    /// Whether tiles cover the result.
    whole: bool,
}

/// Computes the slot.
pub(super) fn run(mix: &Mix, spec: &Spec, [a, b]: &[CubeTensor; 2]) -> CubeTensor {
    let (slot, dtype) = (spec.slot, a.dtype);
    let (client, device) = (&a.client, &a.device);
    let columns = tile::columns(widest(mix, slot), dtype);
    let tables = mix
        .uploads
        .get((slot, columns), a, || tables(mix, slot, columns));
    let layout = tables.layout;
    let output = |shape: [usize; 2]| {
        if layout.whole {
            empty(client, device, shape, dtype)
        } else {
            zeros(client, device, shape, dtype)
        }
    };
    let shape = spec.shape(slot);
    let units = tile::units(columns);
    let weights = slot == Slot::Factor;
    // Edges of a cube: those of a tile, or those whose products it sums.
    let chunks = if weights {
        let wanted = BUSY / (layout.tiles * units).max(1);
        (spec.edges / CHUNK).min(wanted).max(1)
    } else {
        spec.edges.div_ceil(ROWS)
    };
    let parts = (weights && chunks > 1).then(|| output([chunks, mix.numel]));
    let out = if parts.is_some() {
        empty(client, device, shape, dtype)
    } else {
        output(shape)
    };
    let target = parts.as_ref().unwrap_or(&out);
    // Features first, then the matrices.
    let (left, right) = if slot == Slot::Input { (b, a) } else { (a, b) };
    let all = layout.tiles * chunks;
    if all > 0 {
        let dim = CubeDim::new_1d(units as u32);
        kernel::multiply::launch(
            client,
            calculate_cube_count_elemwise(client, all * units, dim),
            dim,
            address_type([left, right, target]),
            left.clone().into_tensor_arg(),
            right.clone().into_tensor_arg(),
            tables.whole.clone().into_tensor_arg(),
            target.clone().into_tensor_arg(),
            SizesLaunch::new(
                all,
                layout.tiles,
                layout.products,
                spec.edges,
                spec.edges.div_ceil(chunks),
                mix.numel,
            ),
            Form { slot, columns },
            dtype_to_storage_type(dtype),
        );
    }
    if let Some(parts) = parts {
        let dim = CubeDim::new(client, mix.numel);
        chunks::add::launch(
            client,
            calculate_cube_count_elemwise(client, mix.numel, dim),
            dim,
            address_type([&parts, &out]),
            parts.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            mix.numel,
            mix.numel,
            chunks,
            0,
            0,
            mix.numel,
            0,
            dtype_to_storage_type(dtype),
        );
    }
    out
}

fn widest(mix: &Mix, slot: Slot) -> usize {
    let columns = mix.terms.iter().map(|term| match slot {
        Slot::Input => term.inputs.len(),
        _ => term.outputs.len(),
    });
    columns.max().unwrap_or(0)
}

/// The terms that end in the same place.
fn groups(mix: &Mix, slot: Slot) -> Vec<Vec<&Term>> {
    if slot == Slot::Factor {
        return mix.by_matrix();
    }
    let ends = |term: &Term| match slot {
        Slot::Input => term.inputs.clone(),
        _ => term.outputs.clone(),
    };
    let mut groups: Vec<Vec<&Term>> = Vec::new();
    for term in &mix.terms {
        match groups.iter_mut().find(|g| ends(g[0]) == ends(term)) {
            Some(group) => group.push(term),
            None => groups.push(vec![term]),
        }
    }
    groups
}

/// Of every tile its first row and column, rows and columns of its matrix, where that begins and how far apart its rows are, its
/// first product and that after the last; then the products. Numbers that edges decide are 0: rows of features, terms of sums
/// over edges.
fn tables(mix: &Mix, slot: Slot, columns: usize) -> (Vec<u32>, Vec<f64>, Layout) {
    let (mut tiles, mut products) = (Vec::new(), Vec::new());
    let mut covered = 0;
    for group in groups(mix, slot) {
        let first = products.len() / PRODUCT;
        for term in &group {
            products.extend(product(mix, slot, term));
        }
        let last = products.len() / PRODUCT;
        let [k, n] = [group[0].inputs.len(), group[0].outputs.len()];
        let (height, width, at, stride) = match slot {
            Slot::Output => (0, n, group[0].outputs.start, mix.outputs),
            Slot::Input => (0, k, group[0].inputs.start, mix.inputs),
            Slot::Factor => (k, n, group[0].weight, group[0].stride),
        };
        covered += height.max(1) * width;
        for row in (0..height.max(1)).step_by(ROWS) {
            for column in (0..width).step_by(columns) {
                tiles.extend([row, column, height, width, at, stride, first, last]);
            }
        }
    }
    let layout = Layout {
        tiles: tiles.len() / TILE,
        products: tiles.len(),
        whole: covered
            == match slot {
                Slot::Output => mix.outputs,
                Slot::Input => mix.inputs,
                Slot::Factor => mix.numel,
            },
    };
    let whole = tiles.into_iter().chain(products).map(small);
    (whole.collect(), Vec::new(), layout)
}

/// Where the left factor begins, from row to row, from term to term; the right one, from term to term, from column to column;
/// terms; 1 if the product is subtracted.
fn product(mix: &Mix, slot: Slot, term: &Term) -> [usize; PRODUCT] {
    let [k, n] = [term.inputs.len(), term.outputs.len()];
    let [x, y] = [term.inputs.start, term.outputs.start];
    let (left, right, terms) = match slot {
        Slot::Output => ([x, mix.inputs, 1], [term.weight, term.stride, 1], k),
        Slot::Input => ([y, mix.outputs, 1], [term.weight, 1, term.stride], n),
        Slot::Factor => ([x, 1, mix.inputs], [y, mix.outputs, 1], 0),
    };
    let [[a, b, c], [d, e, f]] = [left, right];
    [a, b, c, d, e, f, terms, usize::from(term.negative)]
}
