//! Matrices on the device: views of parts of them, and Burn's own product.

use super::{CubeTensor, rounds, unrounded};
use burn::tensor::DType;
use burn_cubecl::kernel::{cast, into_contiguous, matmul, slice};
use core::ops::Range;

/// Rows and columns of a matrix that a view of memory starts at.
fn offset(x: &CubeTensor, row: usize, column: usize) -> u64 {
    let strides = x.meta.strides();
    ((row * strides[0] + column * strides[1]) * x.dtype.size()) as u64
}

fn view(x: &CubeTensor, rows: &Range<usize>, columns: &Range<usize>) -> Option<CubeTensor> {
    let first = offset(x, rows.start, columns.start);
    let alignment = x.client.properties().memory.alignment;
    if x.meta.is_tiled() || !first.is_multiple_of(alignment) {
        return None;
    }
    let mut part = x.clone();
    part.handle = part.handle.offset_start(first);
    part.meta.shape[0] = rows.len();
    part.meta.shape[1] = columns.len();
    Some(part)
}

/// Part of a matrix: a view where the device binds memory from there, otherwise a copy.
pub fn block(x: &CubeTensor, rows: Range<usize>, columns: Range<usize>) -> CubeTensor {
    view(x, &rows, &columns).unwrap_or_else(|| slice(x.clone(), &[rows, columns]))
}

/// Part of a matrix, to be written. Offsets of whole multiples of 512 bytes are bound on every device.
///
/// # Panics
/// If the device binds no memory from there.
pub fn block_mut(x: &CubeTensor, rows: Range<usize>, columns: Range<usize>) -> CubeTensor {
    view(x, &rows, &columns).expect("block_mut: the part of a matrix is not aligned")
}

/// The transpose of a matrix, as a view.
pub fn transposed(mut x: CubeTensor) -> CubeTensor {
    x.meta.swap(0, 1);
    x
}

/// `a · b` into `out`, whose dtype may be wider than theirs: Burn's product, autotuned where Burn's feature `autotune`
/// is on, on the matrix units that the device has.
///
/// Factors in f32 are never rounded. Burn's own product takes the matrix units for them too, where they round both factors to
/// TF32, ten bits of fraction; here such a device multiplies outside of them. Half-precision factors lose nothing there.
///
/// # Panics
/// If the shapes disagree, or if no product of these dtypes runs on the device.
pub fn product(a: CubeTensor, b: CubeTensor, out: CubeTensor) {
    let empty = [&a, &b].into_iter().any(|x| x.meta.num_elements() == 0);
    if a.dtype == DType::F32 && rounds(&a.client) && !empty {
        return unrounded(a, b, out);
    }
    let dtype = out.dtype;
    matmul::matmul(a, b, Some(out), Default::default(), dtype)
        .unwrap_or_else(|e| panic!("product: {e:?}"));
}

/// The values in another dtype, contiguous; the tensor itself where it has that and is.
pub fn converted(x: CubeTensor, dtype: DType) -> CubeTensor {
    into_contiguous(cast(x, dtype))
}
