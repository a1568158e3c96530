//! The gradient of the Wigner matrices, `D_m'm = Σ_u y_m'u x_mu` over the copies of all blocks of a degree. Both factors have the
//! copies that are summed side by side, or neither has; either way neighbouring entries would read far apart. So a cube, which
//! makes the matrix of a degree for an edge, brings some copies of both into shared memory at a time.

use super::super::rotate::{Block, blocks};
use super::super::{Slot, Spec, wigner_offset};
use super::small;
use crate::Layout as Order;
use crate::cube::Tables;
use crate::so2::FrameLayout;
use core_tensor::ext::cube::{CubeTensor, address_type, dtype_to_storage_type, empty, zeros};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

/// Values in shared memory: 8 KiB of f32, 16 of f64.
const STAGE: usize = 2048;
/// Units of a cube.
const UNITS: usize = 128;

/// Numbers of a degree, and of a block, in the table.
const DEGREE: usize = 6;
const BLOCK: usize = 5;

/// How many degrees there are, and entries of their matrices that are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    degrees: usize,
    entries: usize,
    /// Whether copies lie side by side in the global frame.
    copies_inside: bool,
}

/// Of every degree its components, the orders kept, where its matrix begins (the rows kept), copies that are staged at a time,
/// its first block and that after the last; of every block its first value, the distance of components and of copies, the
/// copies, and where the list of its first columns in frames begins; the lists.
pub(super) fn tables(layout: &FrameLayout) -> (Vec<u32>, Vec<f64>, Layout) {
    let mut blocks = blocks(layout);
    blocks.sort_by_key(|block| block.l);
    let of_degrees: Vec<&[Block]> = blocks.chunk_by(|a, b| a.l == b.l).collect();
    let first_block = DEGREE * of_degrees.len();
    let first_list = first_block + BLOCK * blocks.len();
    let (mut degrees, mut records, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let mut entries = 0;
    for these in &of_degrees {
        let (l, orders) = (these[0].l, these[0].columns.len());
        let n = 2 * l + 1;
        assert!(n + orders <= STAGE, "frame_form: degree {l} is too high");
        // Odd, so that components lie in different banks.
        let copies = (STAGE / (n + orders) - 1) | 1;
        let row = wigner_offset(l) + these[0].skipped() * n;
        let begin = first_block + records.len();
        for block in *these {
            let list = first_list + lists.len();
            records.extend([block.first, block.component, block.copy, block.mul, list]);
            lists.extend(&block.columns);
        }
        degrees.extend([n, orders, row, copies, begin, first_block + records.len()]);
        entries += n * orders;
    }
    let layout = Layout {
        degrees: of_degrees.len(),
        entries,
        copies_inside: layout.layout() == Order::IrMul,
    };
    let whole = degrees.into_iter().chain(records).chain(lists).map(small);
    (whole.collect(), Vec::new(), layout)
}

/// The gradient by the matrices, from the features `x` and those in frames `y`.
pub(super) fn run(spec: &Spec, tables: &Tables<Layout>, [x, y]: [CubeTensor; 2]) -> CubeTensor {
    let layout = tables.layout;
    let [width_x, width_y] = [Slot::Input, Slot::Output].map(|slot| spec.shape(slot)[1]);
    let shape = spec.shape(spec.slot);
    let [edges, width] = shape;
    let (client, dtype) = (x.client.clone(), x.dtype);
    let out = if layout.entries == width {
        empty(&client, &x.device, shape, dtype)
    } else {
        zeros(&client, &x.device, shape, dtype)
    };
    let cubes = edges * layout.degrees;
    let dim = CubeDim::new_1d(UNITS as u32);
    sum::launch(
        &client,
        calculate_cube_count_elemwise(&client, cubes * UNITS, dim),
        dim,
        address_type([&x, &y, &out]),
        x.into_tensor_arg(),
        y.into_tensor_arg(),
        tables.whole.clone().into_tensor_arg(),
        out.clone().into_tensor_arg(),
        SizesLaunch::new(cubes, layout.degrees, width_x, width_y, width),
        layout.copies_inside,
        dtype_to_storage_type(dtype),
    );
    out
}

#[derive(CubeLaunch, CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Sizes {
    cubes: usize,
    degrees: usize,
    /// Columns of both factors and of the result.
    width_x: usize,
    width_y: usize,
    width: usize,
}

/// See the module.
#[cube(launch, address_type = "dynamic")]
fn sum<F: Float>(
    x: &Tensor<F>,
    y: &Tensor<F>,
    whole: &Tensor<u32>,
    out: &mut Tensor<F>,
    sizes: Sizes,
    #[comptime] copies_inside: bool,
    #[define(F)] _dtype: ElemType,
) {
    // The same in all units of a cube.
    if CUBE_POS >= sizes.cubes {
        terminate!();
    }
    let mut stage = Shared::<[F]>::new_slice(STAGE);
    let unit = UNIT_POS as usize;
    let degree = CUBE_POS % sizes.degrees * DEGREE;
    let edge = CUBE_POS / sizes.degrees;
    let n = usize::cast_from(whole[degree]);
    let orders = usize::cast_from(whole[degree + 1]);
    let matrix = edge * sizes.width + usize::cast_from(whole[degree + 2]);
    let most = usize::cast_from(whole[degree + 3]);
    let first_block = usize::cast_from(whole[degree + 4]);
    let last_block = usize::cast_from(whole[degree + 5]);
    let entries = n * orders;
    let mut first = 0usize.runtime();
    while first < entries {
        let entry = first + unit;
        let x_row = entry % n * most;
        let y_row = (n + entry / n) * most;
        let mut sum = F::new(0.0_f32);
        let mut block = first_block;
        while block < last_block {
            let x_at = edge * sizes.width_x + usize::cast_from(whole[block]);
            let component = usize::cast_from(whole[block + 1]);
            let copy = usize::cast_from(whole[block + 2]);
            let mul = usize::cast_from(whole[block + 3]);
            let list = usize::cast_from(whole[block + 4]);
            let mut from = 0usize.runtime();
            while from < mul {
                let copies = select(from + most < mul, most, mul - from);
                let mut i = unit;
                while i < n * copies {
                    // Neighbouring units take what lies side by side.
                    let (m, u) = if comptime!(copies_inside) {
                        (i / copies, i % copies)
                    } else {
                        (i % n, i / n)
                    };
                    stage[m * most + u] = x[x_at + m * component + (from + u) * copy];
                    i += UNITS;
                }
                let mut i = unit;
                while i < orders * copies {
                    let k = i / copies;
                    let u = i % copies;
                    let column = usize::cast_from(whole[list + k]);
                    stage[(n + k) * most + u] = y[edge * sizes.width_y + column + from + u];
                    i += UNITS;
                }
                sync_cube();
                if entry < entries {
                    for u in 0..copies {
                        sum = fma(stage[x_row + u], stage[y_row + u], sum);
                    }
                }
                sync_cube();
                from += copies;
            }
            block += BLOCK;
        }
        if entry < entries {
            out[matrix + entry] = sum;
        }
        first += UNITS;
    }
}
