//! Features into frames, where the components of a copy lie side by side: neighbouring values of the result, copies of one order,
//! would read the features a copy apart. So a cube brings some columns, of whole copies, into shared memory, of which neighbours
//! read different banks, since copies have an odd number of components; then it makes all that follows from them.

use super::super::rotate::{Block, blocks};
use super::super::{Slot, Spec, wigner_offset};
use super::small;
use crate::cube::Tables;
use crate::so2::FrameLayout;
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, empty};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Values in shared memory: 8 KiB of f32, 16 of f64.
const STAGE: usize = 2048;
/// Units of a cube.
const UNITS: usize = 256;
/// Cubes that keep a device busy.
const BUSY: usize = 1 << 10;

/// Numbers of a segment, and of a group, in the table.
const SEGMENT: usize = 4;
const GROUP: usize = 5;

/// How many segments there are and the columns of the largest, and where the groups are in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    segments: usize,
    largest: usize,
    groups: usize,
}

/// Whether features are rotated here.
pub(super) fn takes(layout: &FrameLayout, slot: Slot) -> bool {
    slot == Slot::Output && layout.layout() == crate::Layout::MulIr
}

/// Some copies of a block.
struct Piece<'a> {
    block: &'a Block,
    first: usize,
    copies: usize,
}

impl Piece<'_> {
    fn columns(&self) -> usize {
        self.copies * (2 * self.block.l + 1)
    }
}

/// Copies side by side, at most [`STAGE`] columns of them at a time.
fn segments(blocks: &[Block]) -> Vec<Vec<Piece<'_>>> {
    let mut segments = vec![Vec::new()];
    let mut room = STAGE;
    for block in blocks {
        let n = 2 * block.l + 1;
        assert!(n <= STAGE, "frame_form: degree {} is too high", block.l);
        let mut first = 0;
        while first < block.mul {
            if room < n {
                segments.push(Vec::new());
                room = STAGE;
            }
            let copies = (block.mul - first).min(room / n);
            room -= copies * n;
            segments.last_mut().expect("one at least").push(Piece {
                block,
                first,
                copies,
            });
            first += copies;
        }
    }
    segments
}

/// Of every segment its first column, columns, where the groups of its values are listed, how many values; the group of every
/// value; for every group its first value within the segment, first column of the result, place in shared memory, components
/// of a copy, first value of the row of the matrix.
pub(super) fn tables(layout: &FrameLayout) -> (Vec<u32>, Vec<f64>, Layout) {
    let blocks = blocks(layout);
    let all = segments(&blocks);
    let (mut records, mut list, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut largest = 0;
    for segment in &all {
        let (begin, mut staged) = (list.len(), 0);
        for piece in segment {
            let Piece { block, first, .. } = piece;
            let n = 2 * block.l + 1;
            for (k, column) in block.columns.iter().enumerate() {
                let number = groups.len() / GROUP;
                let row = wigner_offset(block.l) + (block.skipped() + k) * n;
                groups.extend([list.len() - begin, column + first, staged, n, row]);
                list.extend(core::iter::repeat_n(number, piece.copies));
            }
            staged += piece.columns();
        }
        let at = &segment[0];
        let first = at.block.first + at.first * at.block.copy;
        records.extend([first, staged, begin, list.len() - begin]);
        largest = largest.max(staged);
    }
    let lists = records.len();
    for record in records.chunks_exact_mut(SEGMENT) {
        record[2] += lists;
    }
    let layout = Layout {
        segments: all.len(),
        largest,
        groups: lists + list.len(),
    };
    let whole = records.into_iter().chain(list).chain(groups).map(small);
    (whole.collect(), Vec::new(), layout)
}

/// The features `x` in the frames of the matrices `d`.
pub(super) fn run(spec: &Spec, tables: &Tables<Layout>, [x, d]: [CubeTensor; 2]) -> CubeTensor {
    let layout = tables.layout;
    let [width_x, width_d] = spec.slot.others().map(|other| spec.shape(other)[1]);
    let shape = spec.shape(spec.slot);
    let [edges, width] = shape;
    let (client, dtype) = (x.client.clone(), x.dtype);
    let out = empty(&client, &x.device, shape, dtype);
    // Edges of a cube: as many as fit, where enough cubes remain.
    let spread = (edges * layout.segments).div_ceil(BUSY);
    let lines = (STAGE / layout.largest).min(spread).max(1);
    let cubes = edges.div_ceil(lines) * layout.segments;
    let dim = CubeDim::new_1d(UNITS as u32);
    rotate::launch(
        &client,
        calculate_cube_count_elemwise(&client, cubes * UNITS, dim),
        dim,
        address_type([&x, &d, &out]),
        x.into_tensor_arg(),
        d.into_tensor_arg(),
        tables.whole.clone().into_tensor_arg(),
        out.clone().into_tensor_arg(),
        SizesLaunch::new(
            cubes,
            layout.segments,
            lines,
            edges,
            width_x,
            width_d,
            width,
            layout.groups,
        ),
        dtype_to_storage_type(dtype),
    );
    out
}

/// Sizes, and where the groups are in the table.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Sizes {
    cubes: usize,
    segments: usize,
    /// Edges of a cube; all.
    lines: usize,
    edges: usize,
    /// Columns of the features, the matrices and the result.
    width_x: usize,
    width_d: usize,
    width: usize,
    groups: usize,
}

/// See the module.
#[cube(launch, address_type = "dynamic")]
fn rotate<F: Float>(
    x: &Tensor<F>,
    d: &Tensor<F>,
    whole: &Tensor<u32>,
    out: &mut Tensor<F>,
    sizes: Sizes,
    #[define(F)] _dtype: ElemType,
) {
    // The same in all units of a cube.
    if CUBE_POS >= sizes.cubes {
        terminate!();
    }
    let mut stage = Shared::<[F]>::new_slice(STAGE);
    let unit = UNIT_POS as usize;
    let record = CUBE_POS % sizes.segments * SEGMENT;
    let first_edge = CUBE_POS / sizes.segments * sizes.lines;
    let first = usize::cast_from(whole[record]);
    let columns = usize::cast_from(whole[record + 1]);
    let list = usize::cast_from(whole[record + 2]);
    let values = usize::cast_from(whole[record + 3]);
    let mut i = unit;
    while i < sizes.lines * columns {
        let edge = first_edge + i / columns;
        if edge < sizes.edges {
            stage[i] = x[edge * sizes.width_x + first + i % columns];
        }
        i += UNITS;
    }
    sync_cube();
    let mut i = unit;
    while i < sizes.lines * values {
        let line = i / values;
        let value = i % values;
        let edge = first_edge + line;
        if edge < sizes.edges {
            let group = sizes.groups + GROUP * usize::cast_from(whole[list + value]);
            let copy = value - usize::cast_from(whole[group]);
            let column = usize::cast_from(whole[group + 1]) + copy;
            let terms = usize::cast_from(whole[group + 3]);
            let at = line * columns + usize::cast_from(whole[group + 2]) + copy * terms;
            let row = edge * sizes.width_d + usize::cast_from(whole[group + 4]);
            let mut sum = F::new(0.0_f32);
            for k in 0..terms {
                sum = fma(d[row + k], stage[at + k], sum);
            }
            out[edge * sizes.width + column] = sum;
        }
        i += UNITS;
    }
}
