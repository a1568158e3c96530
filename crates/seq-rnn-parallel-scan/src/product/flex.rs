//! CPU kernel: a few rows by a few vectors of columns stay in registers while the inner index runs.

use super::ProductBackend;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task, threads};
use core_tensor::ext::flex::{Compute, Flex, FlexTensor, Output, scratch, tensor};
use core_tensor::ext::{FloatTensor, TensorMetadata};
use core_tensor::with_float;

/// Columns of a tile.
const COLUMNS: usize = 32;
/// Rows of a tile.
const ROWS: usize = 6;
/// Rows of a task: whole tiles, and few enough to stay in the second-level cache.
const TASK_ROWS: usize = 8 * ROWS;
/// From this many rows on, `b` is copied into panels of [`COLUMNS`] first.
const PACK_FROM: usize = 4 * ROWS;
/// Multiplications below which a single row of tasks is not split between threads.
const WORTH_SPLITTING: usize = 1 << 19;
/// Products in one chain; longer sums add up chains, which bounds how far rounding grows. Part of what
/// defines the bits.
const CHAIN: usize = 256;

impl ProductBackend for Flex {
    fn fixed_order_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ([rows, _], [_, columns]) = (a.shape().dims(), b.shape().dims());
        let (a, b) = (a.to_contiguous(), b.to_contiguous());
        with_float!(a.dtype(), E => tensor(multiply::<E>(&a, &b), [rows, columns]))
    }
}

#[allow(unsafe_code)]
fn multiply<E: Storage>(a: &FlexTensor, b: &FlexTensor) -> Vec<E> {
    let ([rows, inner], [_, columns]) = (a.shape().dims(), b.shape().dims());
    let (mut wide_a, mut wide_b) = (Vec::new(), Vec::new());
    let a = values::<E>(a, &mut wide_a);
    let b = Panels::new(
        values::<E>(b, &mut wide_b),
        inner,
        columns,
        rows >= PACK_FROM,
    );
    let mut output = Output::<E>::new(rows * columns);
    let out = output.rows(columns);
    let isa = Isa::detect();
    let panels = columns.div_ceil(COLUMNS);
    let blocks = rows.div_ceil(TASK_ROWS);
    let large = rows * inner * columns >= WORTH_SPLITTING;
    let parts = if blocks < 4 * threads() && large {
        panels.min(4 * threads().div_ceil(blocks))
    } else {
        1
    };
    for_each_task(blocks * parts, |task| {
        let (block, part) = (task / parts, task % parts);
        let first = block * TASK_ROWS;
        isa.run(Block {
            a,
            b: &b,
            inner,
            rows: first..rows.min(first + TASK_ROWS),
            panels: part * panels / parts..(part + 1) * panels / parts,
            write: |row: usize, column: usize, values: &[Compute<E>]| {
                // SAFETY: blocks share no row, and parts no column.
                let piece = unsafe { out.piece(row, column..column + values.len()) };
                E::narrow(values, piece);
            },
            columns,
        });
    });
    // SAFETY: the blocks cover all rows and the panels all columns.
    unsafe { output.finish() }
}

/// The values of a contiguous tensor in the compute type.
fn values<'a, E: Storage>(x: &'a FlexTensor, wide: &'a mut Vec<Compute<E>>) -> &'a [Compute<E>] {
    let x = x.as_slice::<E>().expect("contiguous, of this dtype");
    if size_of::<E>() != size_of::<Compute<E>>() {
        *wide = scratch(x.len());
    }
    E::widen(x, wide)
}

/// The right factor by panels of [`COLUMNS`] columns: in place, or copied so that a panel is read in
/// order. The last panel is always copied and filled up with 0 if it is narrower.
struct Panels<'a, T> {
    matrix: &'a [T],
    columns: usize,
    inner: usize,
    copied: Vec<T>,
    /// First panel that is copied.
    first: usize,
}

impl<'a, T: Real> Panels<'a, T> {
    fn new(matrix: &'a [T], inner: usize, columns: usize, copy: bool) -> Self {
        let first = if copy { 0 } else { columns / COLUMNS };
        let panels = columns.div_ceil(COLUMNS) - first;
        let mut copied = scratch(panels * inner * COLUMNS);
        let work = RowsMut::new(&mut copied, inner * COLUMNS);
        let one = |panel: usize| {
            // SAFETY: each panel is written once.
            #[allow(unsafe_code)]
            let panel_values = unsafe { work.piece(panel, 0..inner * COLUMNS) };
            let start = (first + panel) * COLUMNS;
            let width = COLUMNS.min(columns - start);
            for (k, row) in panel_values.chunks_exact_mut(COLUMNS).enumerate() {
                row[..width].copy_from_slice(&matrix[k * columns + start..][..width]);
            }
        };
        if inner > 0 {
            for_each_task(panels, one);
        }
        Self {
            matrix,
            columns,
            inner,
            copied,
            first,
        }
    }

    /// The values of a panel from its first on, and how far apart its rows are.
    #[inline(always)]
    fn panel(&self, panel: usize) -> (&[T], usize) {
        if panel >= self.first {
            let len = self.inner * COLUMNS;
            (&self.copied[(panel - self.first) * len..][..len], COLUMNS)
        } else {
            // Without an inner index there is no matrix.
            let start = (panel * COLUMNS).min(self.matrix.len());
            (&self.matrix[start..], self.columns)
        }
    }
}

/// Some rows by some panels of the product.
struct Block<'a, T, W> {
    a: &'a [T],
    b: &'a Panels<'a, T>,
    inner: usize,
    rows: core::ops::Range<usize>,
    panels: core::ops::Range<usize>,
    write: W,
    columns: usize,
}

impl<T: Real, W: Fn(usize, usize, &[T])> Kernel for Block<'_, T, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for panel in self.panels.clone() {
            let mut row = self.rows.start;
            while row + ROWS <= self.rows.end {
                self.tile::<ROWS>(row, panel);
                row += ROWS;
            }
            while row + 2 <= self.rows.end {
                self.tile::<2>(row, panel);
                row += 2;
            }
            if row < self.rows.end {
                self.tile::<1>(row, panel);
            }
        }
    }
}

impl<T: Real, W: Fn(usize, usize, &[T])> Block<'_, T, W> {
    #[inline(always)]
    fn tile<const N: usize>(&self, first: usize, panel: usize) {
        let (b, stride) = self.b.panel(panel);
        let rows: [&[T]; N] =
            core::array::from_fn(|i| &self.a[(first + i) * self.inner..][..self.inner]);
        let mut sum = [[T::ZERO; COLUMNS]; N];
        for start in (0..self.inner).step_by(CHAIN) {
            let end = self.inner.min(start + CHAIN);
            let chains = chains(
                rows.map(|row| &row[start..end]),
                &b[start * stride..],
                stride,
            );
            for (sum, chain) in sum.iter_mut().zip(&chains) {
                for (sum, &chain) in sum.iter_mut().zip(chain) {
                    *sum = *sum + chain;
                }
            }
        }
        let column = panel * COLUMNS;
        let width = COLUMNS.min(self.columns - column);
        for (i, sum) in sum.iter().enumerate() {
            (self.write)(first + i, column, &sum[..width]);
        }
    }
}

/// One chain of multiply-adds per element of a tile.
#[inline(always)]
fn chains<T: Real, const N: usize>(rows: [&[T]; N], b: &[T], stride: usize) -> [[T; COLUMNS]; N] {
    let mut sums = [[T::ZERO; COLUMNS]; N];
    let len = rows[0].len();
    let rows = rows.map(|row| &row[..len]);
    for k in 0..len {
        let b: [T; COLUMNS] = b[k * stride..][..COLUMNS]
            .try_into()
            .expect("as many as asked for");
        let a: [T; N] = core::array::from_fn(|i| rows[i][k]);
        for i in 0..N {
            for j in 0..COLUMNS {
                sums[i][j] = a[i].fma(b[j], sums[i][j]);
            }
        }
    }
    sums
}
