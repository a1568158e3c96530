//! The product on a GPU: outside of the matrix units.

use super::{MatmulBackend, output_shape};
use crate::ext::cube::{
    CubeBackend, CubeTensor, block, empty, into_contiguous, unrounded, untiled, zeros,
};
use crate::ext::{Backend, FloatTensor, TensorMetadata};

/// Rows and columns of the tile that a cube computes, about.
const TILE: usize = 64;
/// Tiles that keep a large device busy.
const TILES: usize = 512;
/// Terms of a sum that are worth a tile of their own.
const TERMS: usize = 512;

impl MatmulBackend for CubeBackend {
    fn matmul_highest(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let (a, b) = (untiled(a), untiled(b));
        let parts = parts(&a, &b);
        if parts < 2 {
            return product(a, b);
        }
        let ([rows, inner], [_, columns]) = (a.shape().dims(), b.shape().dims());
        let part = inner / parts;
        let whole = part * parts;
        let sums = product(
            cut(dense(block(&a, 0..rows, 0..whole)), 1, parts),
            cut(dense(block(&b, 0..whole, 0..columns)), 0, parts),
        );
        let rest = (whole < inner).then(|| {
            product(
                block(&a, 0..rows, whole..inner),
                block(&b, whole..inner, 0..columns),
            )
        });
        total::<Self>(sums, rest)
    }
}

fn product(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let shape = output_shape(&a.shape(), &b.shape());
    let (client, device) = (&a.client, &a.device);
    if [&a, &b].iter().any(|x| x.meta.num_elements() == 0) {
        return zeros(client, device, shape, a.dtype);
    }
    let out = empty(client, device, shape, a.dtype);
    unrounded(a, b, out.clone());
    out
}

/// In how many parts the sums of a product of two matrices are computed: gradients by weights have few elements and a term
/// per row of a batch.
fn parts(a: &CubeTensor, b: &CubeTensor) -> usize {
    if a.meta.num_dims() != 2 {
        return 1;
    }
    let ([rows, inner], [_, columns]) = (a.shape().dims(), b.shape().dims());
    let tiles = rows.div_ceil(TILE) * columns.div_ceil(TILE);
    (inner / TERMS).min(TILES / tiles.max(1))
}

/// A matrix without gaps in memory. CubeCL 0.11.3 copies three axes in vectors if the smallest step allows it, whether or
/// not the others do.
fn dense(x: CubeTensor) -> CubeTensor {
    let [rows, columns] = x.shape().dims();
    let steps = x.meta.strides();
    if [steps[0], steps[1]] == [columns, 1] || [steps[0], steps[1]] == [1, rows] {
        x
    } else {
        into_contiguous(x)
    }
}

/// A matrix cut into equal parts along an axis, which become a leading one.
fn cut(mut x: CubeTensor, axis: usize, parts: usize) -> CubeTensor {
    let part = x.meta.shape()[axis] / parts;
    let step = x.meta.strides()[axis] * part;
    x.meta.shape_mut()[axis] = part;
    x.meta.insert(0, parts, step);
    x
}

/// The sum of all parts, and of what was left over.
fn total<B: Backend>(parts: FloatTensor<B>, rest: Option<FloatTensor<B>>) -> FloatTensor<B> {
    let [_, rows, columns] = parts.shape().dims();
    let sum = B::float_reshape(B::float_sum_dim(parts, 0), [rows, columns].into());
    match rest {
        None => sum,
        Some(rest) => B::float_add(sum, rest),
    }
}
