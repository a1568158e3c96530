//! A matrix that several threads fill, each its own part.

use core::marker::PhantomData;
use core::ops::Range;

/// A row-major matrix of which several threads write disjoint parts at once.
///
/// Tiles of adjacent columns interleave in memory, so `chunks_mut` cannot split them; this type
/// hands out the pieces and leaves it to the caller that no two of them overlap.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    start: *mut T,
    len: usize,
    columns: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer stands for an exclusive borrow of `[T]`, and pieces of it are handed out
// under the caller's promise that they do not overlap.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: as above; sharing the view only shares the right to ask for disjoint pieces.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// A view of `data` as rows of `columns` values.
    ///
    /// # Panics
    /// If `data` is not a whole number of rows.
    pub fn new(data: &'a mut [T], columns: usize) -> Self {
        assert!(
            if columns == 0 {
                data.is_empty()
            } else {
                data.len().is_multiple_of(columns)
            },
            "RowsMut: {} values are no whole number of rows of {columns}",
            data.len()
        );
        Self {
            start: data.as_mut_ptr(),
            len: data.len(),
            columns,
            borrow: PhantomData,
        }
    }

    /// Part of one row.
    ///
    /// # Panics
    /// If it lies outside.
    ///
    /// # Safety
    /// No other piece handed out and still in use may overlap this one.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn piece(&self, row: usize, columns: Range<usize>) -> &mut [T] {
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let first = row * self.columns + columns.start;
        assert!(first + columns.len() <= self.len);
        // SAFETY: in bounds by the assertions, not aliased by the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(first), columns.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::RowsMut;
    use crate::cpu::for_each_task;

    #[test]
    fn tiles_are_written_by_threads() {
        let mut data = vec![0_usize; 7 * 10];
        let view = RowsMut::new(&mut data, 10);
        for_each_task(5, |tile| {
            for row in 0..7 {
                // SAFETY: tiles do not overlap.
                #[allow(unsafe_code)]
                let piece = unsafe { view.piece(row, 2 * tile..2 * tile + 2) };
                piece
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, x)| *x = row * 10 + 2 * tile + i);
            }
        });
        assert!(data.iter().enumerate().all(|(i, &x)| i == x));
    }

    #[test]
    #[should_panic(expected = "no whole number of rows")]
    fn ragged_data_is_refused() {
        RowsMut::new(&mut [0; 7], 2);
    }
}
