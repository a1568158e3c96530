//! Borrowed matrices with strides, and their product.
#![allow(unsafe_code)]

use super::buffer::Buffer;
use core::any::TypeId;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;
use core_tensor::cpu::{Real, Storage};
use core_tensor::ext::flex::Compute;

/// A matrix borrowed for reading: element `(r, c)` lies `r · strides.0 + c · strides.1` from the start.
#[derive(Debug)]
pub(super) struct Matrix<'a, T> {
    start: *const T,
    rows: usize,
    columns: usize,
    strides: (isize, isize),
    borrow: PhantomData<&'a [T]>,
}

impl<T> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Matrix<'_, T> {}

// SAFETY: stands for a shared borrow of a slice.
unsafe impl<T: Sync> Send for Matrix<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Matrix<'_, T> {}

/// A matrix borrowed for writing, parts of which several threads write at once.
#[derive(Debug)]
pub(super) struct MatrixMut<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    strides: (isize, isize),
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: stands for an exclusive borrow of a slice; parts are handed out under the caller's promise
// that they do not overlap.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}
// SAFETY: as above; sharing it only shares the right to ask for disjoint parts.
unsafe impl<T: Send> Sync for MatrixMut<'_, T> {}

/// Rows that are turned together: as many `f32` as a line of the cache holds.
pub(super) const GROUP: usize = 16;

/// Panics unless every element of a matrix lies within `len` elements.
fn check_bounds(len: usize, rows: usize, columns: usize, strides: (isize, isize)) {
    if rows == 0 || columns == 0 {
        return;
    }
    let last = (rows as isize - 1) * strides.0 + (columns as isize - 1) * strides.1;
    assert!(
        strides.0 >= 0 && strides.1 >= 0 && (last as usize) < len,
        "matrix [{rows}, {columns}] with strides {strides:?} leaves its {len} elements"
    );
}

impl<'a, T> Matrix<'a, T> {
    /// A view of `data`.
    ///
    /// # Panics
    /// If an element lies outside.
    pub(super) fn new(data: &'a [T], rows: usize, columns: usize, strides: (isize, isize)) -> Self {
        check_bounds(data.len(), rows, columns, strides);
        Self {
            start: data.as_ptr(),
            rows,
            columns,
            strides,
            borrow: PhantomData,
        }
    }

    /// A view of contiguous rows.
    pub(super) fn rows(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, (columns as isize, 1))
    }

    /// Number of rows.
    pub(super) fn height(&self) -> usize {
        self.rows
    }

    /// The matrix, if `U` is its type.
    pub(super) fn same<U: 'static>(self) -> Option<Matrix<'a, U>>
    where
        T: 'static,
    {
        (TypeId::of::<T>() == TypeId::of::<U>()).then(|| Matrix {
            start: self.start.cast(),
            rows: self.rows,
            columns: self.columns,
            strides: self.strides,
            borrow: PhantomData,
        })
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Start and strides.
    pub(super) fn raw(&self) -> (*const T, (isize, isize)) {
        (self.start, self.strides)
    }

    /// The transposed view, where its rows are contiguous and those of the matrix are not.
    pub(super) fn contiguous_columns(self) -> Option<Self> {
        (self.strides.0 == 1 && self.strides.1 != 1).then(|| self.transposed())
    }

    /// The transposed view.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }

    /// Part of the matrix.
    ///
    /// # Panics
    /// If it lies outside.
    pub(super) fn block(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.rows && columns.end <= self.columns);
        let at = rows.start as isize * self.strides.0 + columns.start as isize * self.strides.1;
        Self {
            start: self.start.wrapping_offset(at),
            rows: rows.len(),
            columns: columns.len(),
            ..self
        }
    }

    /// Row `r` where rows are contiguous.
    pub(super) fn row(&self, r: usize) -> &'a [T] {
        assert!(r < self.rows && (self.strides.1 == 1 || self.columns <= 1));
        // SAFETY: bounds were checked when the view was made; elements of a row are adjacent.
        unsafe {
            let start = self.start.offset(r as isize * self.strides.0);
            core::slice::from_raw_parts(start, self.columns)
        }
    }
}

impl<'a, E: Storage> Matrix<'a, E> {
    /// Row `r` in the compute type; `scratch` holds a row.
    pub(super) fn widened_row<'b>(
        &self,
        r: usize,
        scratch: &'b mut [Compute<E>],
    ) -> &'b [Compute<E>]
    where
        'a: 'b,
    {
        if self.strides.1 == 1 {
            return E::widen(self.row(r), scratch);
        }
        for (c, out) in scratch.iter_mut().enumerate() {
            let at = r as isize * self.strides.0 + c as isize * self.strides.1;
            assert!(r < self.rows && c < self.columns);
            // SAFETY: bounds were checked when the view was made.
            let x = unsafe { &*self.start.offset(at) };
            widen_row::<E>(core::slice::from_ref(x), core::slice::from_mut(out));
        }
        scratch
    }

    /// Rows `rows` into `out`, one after the other, in the compute type.
    pub(super) fn copy_rows(&self, rows: Range<usize>, out: &mut [Compute<E>]) {
        let width = self.columns;
        assert!(rows.end <= self.rows && out.len() == rows.len() * width);
        if self.strides.1 == 1 {
            let out = out.chunks_mut(width.max(1));
            rows.zip(out)
                .for_each(|(r, out)| widen_row::<E>(self.row(r), out));
            return;
        }
        if self.strides.0 != 1 {
            for (r, out) in rows.zip(out.chunks_mut(width.max(1))) {
                self.widened_row(r, out);
            }
            return;
        }
        // Columns are contiguous: a line of the cache holds some of each, and is read once for all of them.
        let across = self.transposed();
        let mut part = [Compute::<E>::ZERO; GROUP];
        for first in rows.clone().step_by(GROUP) {
            let group = first..rows.end.min(first + GROUP);
            let out = &mut out[(first - rows.start) * width..];
            for c in 0..width {
                let part = &mut part[..group.len()];
                widen_row::<E>(&across.row(c)[group.clone()], part);
                part.iter()
                    .enumerate()
                    .for_each(|(r, &x)| out[r * width + c] = x);
            }
        }
    }

    /// Whether rows are contiguous and of the compute type.
    pub(super) fn is_plain(&self) -> bool {
        self.strides.1 == 1 && TypeId::of::<E>() == TypeId::of::<Compute<E>>()
    }

    /// The matrix in the compute type: itself, or widened into `scratch`, whose former content is lost.
    pub(super) fn widened<'b>(self, scratch: &'b mut Buffer<Compute<E>>) -> Matrix<'b, Compute<E>>
    where
        'a: 'b,
    {
        if let Some(same) = self.same::<Compute<E>>() {
            return same;
        }
        if let Some(across) = self.contiguous_columns() {
            return across.widened(scratch).transposed();
        }
        let [rows, columns] = self.shape();
        let scratch = scratch.sized(rows * columns);
        self.copy_rows(0..rows, scratch);
        Matrix::rows(scratch, rows, columns)
    }
}

/// Writes all of `row` to `out` in another type of the same compute type, rounded where that is narrower.
pub(super) fn convert_row<A: Storage, B: Storage<Compute = Compute<A>>>(row: &[A], out: &mut [B]) {
    if TypeId::of::<A>() == TypeId::of::<B>() {
        out.copy_from_slice(bytemuck::cast_slice(row));
    } else if TypeId::of::<B>() == TypeId::of::<Compute<A>>() {
        widen_row::<A>(row, bytemuck::cast_slice_mut(out));
    } else {
        assert!(TypeId::of::<A>() == TypeId::of::<Compute<A>>());
        // SAFETY: an initialised slice may be written as an uninitialised one.
        let out = unsafe {
            core::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<MaybeUninit<B>>(), out.len())
        };
        B::narrow(bytemuck::cast_slice(row), out);
    }
}

/// Widens all of `row` into `out`.
pub(super) fn widen_row<E: Storage>(row: &[E], out: &mut [Compute<E>]) {
    if TypeId::of::<E>() == TypeId::of::<Compute<E>>() {
        out.copy_from_slice(bytemuck::cast_slice(row));
    } else {
        E::widen(row, out);
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// A view of contiguous rows that may be written but not read before.
    pub(super) fn rows(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, (columns as isize, 1))
    }

    /// A view of `data`.
    ///
    /// # Panics
    /// If an element lies outside.
    pub(super) fn new(
        data: &'a mut [T],
        rows: usize,
        columns: usize,
        strides: (isize, isize),
    ) -> Self {
        check_bounds(data.len(), rows, columns, strides);
        Self {
            start: data.as_mut_ptr(),
            rows,
            columns,
            strides,
            borrow: PhantomData,
        }
    }

    /// Part of the matrix.
    ///
    /// # Panics
    /// If it lies outside.
    ///
    /// # Safety
    /// No other part that overlaps this one may be in use while it is.
    pub(super) unsafe fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.rows && columns.end <= self.columns);
        let at = rows.start as isize * self.strides.0 + columns.start as isize * self.strides.1;
        Self {
            start: self.start.wrapping_offset(at),
            rows: rows.len(),
            columns: columns.len(),
            strides: self.strides,
            borrow: PhantomData,
        }
    }

    /// Row `r` where rows are contiguous.
    ///
    /// # Panics
    /// If there is no such row.
    pub(super) fn row(&mut self, r: usize) -> &mut [T] {
        assert!(r < self.rows && (self.strides.1 == 1 || self.columns <= 1));
        // SAFETY: bounds were checked when the view was made, and it is exclusive.
        unsafe {
            let start = self.start.offset(r as isize * self.strides.0);
            core::slice::from_raw_parts_mut(start, self.columns)
        }
    }

    /// The matrix, if `U` is its type.
    pub(super) fn into_same<U: 'static>(self) -> Option<MatrixMut<'a, U>>
    where
        T: 'static,
    {
        (TypeId::of::<T>() == TypeId::of::<U>()).then(|| MatrixMut {
            start: self.start.cast(),
            rows: self.rows,
            columns: self.columns,
            strides: self.strides,
            borrow: PhantomData,
        })
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Start and strides.
    pub(super) fn raw(&mut self) -> (*mut T, (isize, isize)) {
        (self.start, self.strides)
    }

    /// Writes rows from `first` on, which follow each other in `rows`.
    ///
    /// # Panics
    /// If there are not so many, or `rows` is no whole number of rows.
    pub(super) fn set_rows(&mut self, first: usize, rows: &[T])
    where
        T: Copy,
    {
        let (width, count) = (self.columns, rows.len() / self.columns.max(1));
        assert!(first + count <= self.rows && rows.len() == count * width);
        if self.strides.1 == 1 {
            for (r, row) in rows.chunks(width.max(1)).enumerate() {
                self.row(first + r).copy_from_slice(row);
            }
            return;
        }
        for c in 0..width {
            for r in 0..count {
                let (down, across) = self.strides;
                let at = (first + r) as isize * down + c as isize * across;
                // SAFETY: bounds were checked when the view was made, and it is exclusive.
                unsafe { self.start.offset(at).write(rows[r * width + c]) };
            }
        }
    }

    /// Adds `by · x` to row `r`.
    ///
    /// # Panics
    /// If there is no such row, or `x` has another length.
    pub(super) fn add_row(&mut self, r: usize, by: T, x: &[T])
    where
        T: Real,
    {
        assert!(r < self.rows && x.len() == self.columns);
        for (c, &x) in x.iter().enumerate() {
            let at = r as isize * self.strides.0 + c as isize * self.strides.1;
            // SAFETY: bounds were checked when the view was made, and it is exclusive.
            let place = unsafe { &mut *self.start.offset(at) };
            *place = *place + by * x;
        }
    }

    /// The matrix for reading.
    pub(super) fn as_matrix(&self) -> Matrix<'_, T> {
        Matrix {
            start: self.start,
            rows: self.rows,
            columns: self.columns,
            strides: self.strides,
            borrow: PhantomData,
        }
    }
}

/// `out = a · b`, or `out += a · b` where `accumulate`; otherwise `out` may start uninitialised.
/// On one thread, summed in an order that depends on the shapes alone.
///
/// # Panics
/// If the shapes disagree.
pub(super) fn gemm_product<T: Real>(
    out: &mut MatrixMut<'_, T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    accumulate: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!((out.rows, out.columns, b.rows), (m, n, k));
    // SAFETY: bounds of all three were checked when the views were made, and `out` is exclusive.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.start,
            out.strides.1,
            out.strides.0,
            accumulate,
            a.start,
            a.strides.1,
            a.strides.0,
            b.start,
            b.strides.1,
            b.strides.0,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
