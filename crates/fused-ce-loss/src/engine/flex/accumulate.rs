//! Sums of few scaled rows: the products of a sparse matrix.

use super::inputs::Inputs;
use super::matrix::Matrix;
use super::online::Weigh;
use super::product::Product;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

/// `out += Σ_k by_k x_k`, in the order of the terms, blocks of them first: the error of a sum of a million terms stays
/// that of a few thousand.
pub(super) struct Accumulate<'a, T> {
    pub(super) out: &'a mut [T],
    pub(super) terms: &'a [(T, &'a [T])],
    /// As long as `out`; used where there are many terms.
    pub(super) part: &'a mut [T],
}

/// Terms of a block.
const TERMS: usize = 512;

impl<T: Real> Kernel for Accumulate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { out, terms, part } = self;
        if terms.len() <= TERMS {
            return add_all(out, terms);
        }
        for terms in terms.chunks(TERMS) {
            part.fill(T::ZERO);
            add_all(part, terms);
            out.iter_mut()
                .zip(&*part)
                .for_each(|(out, &x)| *out = *out + x);
        }
    }
}

#[inline(always)]
fn add_all<T: Real>(out: &mut [T], terms: &[(T, &[T])]) {
    // Four at a time: `out` is loaded and stored once for all of them.
    let (fours, rest) = terms.as_chunks::<4>();
    for &[(a, w), (b, x), (c, y), (d, z)] in fours {
        for ((((out, &w), &x), &y), &z) in out.iter_mut().zip(w).zip(x).zip(y).zip(z) {
            *out = d.fma(z, c.fma(y, b.fma(x, a.fma(w, *out))));
        }
    }
    for &(a, w) in rest {
        out.iter_mut()
            .zip(w)
            .for_each(|(out, &w)| *out = a.fma(w, *out));
    }
}

/// Rows that are summed in the compute type before they go into a wider sum.
const BLOCK: usize = 64;

/// `Σ_r weight(r) x_r`; rows of weight 0 are not read.
pub(super) fn weighted_sum<E: Storage>(
    x: Matrix<'_, E>,
    width: usize,
    weight: impl Fn(usize) -> Compute<E> + Sync,
) -> Vec<Compute<E>> {
    if let Some(columns) = x.contiguous_columns() {
        return columns_times::<E>(columns, width, weight);
    }
    let blocks = x.height().div_ceil(BLOCK);
    // A task has many blocks, so that the partial sums stay few.
    let tasks = blocks.div_ceil(64).max(1);
    let mut parts = vec![0.0_f64; tasks * width];
    let rows = RowsMut::new(&mut parts, width);
    for_each_task(tasks, |task| {
        // SAFETY: every task has its own row.
        #[allow(unsafe_code)]
        let total = unsafe { rows.piece(task, 0..width) };
        let isa = Isa::detect();
        let (mut part, mut wide) = (scratch::<Compute<E>>(width), scratch::<Compute<E>>(width));
        for block in task * 64..blocks.min((task + 1) * 64) {
            part.fill(Real::ZERO);
            for r in block * BLOCK..x.height().min((block + 1) * BLOCK) {
                let by = weight(r);
                if by != Real::ZERO {
                    let row = x.widened_row(r, &mut wide);
                    let terms = &[(by, row)];
                    isa.run(Accumulate {
                        out: &mut part,
                        terms,
                        part: &mut [],
                    });
                }
            }
            total
                .iter_mut()
                .zip(&part)
                .for_each(|(t, p)| *t += p.to_f64());
        }
    });
    let column = |c: usize| (0..tasks).map(|t| parts[t * width + c]).sum::<f64>();
    (0..width).map(|c| Real::from_f64(column(c))).collect()
}

/// As [`weighted_sum`], of a matrix whose columns are the rows of `columns`: a dot product for each.
fn columns_times<E: Storage>(
    columns: Matrix<'_, E>,
    width: usize,
    weight: impl Fn(usize) -> Compute<E> + Sync,
) -> Vec<Compute<E>> {
    let [_, height] = columns.shape();
    let weights: Vec<Compute<E>> = (0..height).map(weight).collect();
    let mut out = scratch::<Compute<E>>(width);
    let parts = RowsMut::new(&mut out, 1);
    for_each_task(width.div_ceil(8), |task| {
        let isa = Isa::detect();
        let mut wide = scratch::<Compute<E>>(DOT);
        for c in task * 8..width.min((task + 1) * 8) {
            let pieces = columns.row(c).chunks(DOT).zip(weights.chunks(DOT));
            let total = pieces.map(|(x, weights)| {
                let row = E::widen(x, &mut wide[..x.len()]);
                isa.run(Weigh { row, weights })
            });
            // SAFETY: every column belongs to one task.
            #[allow(unsafe_code)]
            unsafe {
                parts.piece(c, 0..1)[0] = Real::from_f64(total.sum::<f64>());
            }
        }
    });
    out
}

/// Values of a column that are summed in the compute type.
const DOT: usize = 4096;

impl<E: Product> Inputs<'_, E> {
    /// `Σ_v u_v c_v` with the weights common to all rows.
    pub(super) fn common_row(&self) -> Option<Vec<Compute<E>>> {
        let u = self.weights?;
        Some(weighted_sum(self.classifier, self.width, |v| u[v]))
    }
}
