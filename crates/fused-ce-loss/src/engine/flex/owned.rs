//! The gradient of the classifier while it is made.

use super::inputs::Inputs;
use super::matrix::MatrixMut;
use super::product::Product;
use crate::engine::spec::Layout;
use core::any::TypeId;
use core::ops::Range;
use core_tensor::cpu::for_each_task;
use core_tensor::ext::flex::{Compute, Output};

/// Gradient of the classifier in the making: written by the products where storage and compute type agree,
/// otherwise summed panel by panel and rounded once.
pub(super) struct Owned<E> {
    data: Output<E>,
    pub(super) len: usize,
}

impl<E: Product> Owned<E> {
    pub(super) fn new(len: usize) -> Self {
        Self {
            data: Output::new(len),
            len,
        }
    }

    /// Whether the products write to its final place.
    pub(super) fn direct(&self) -> bool {
        TypeId::of::<E>() == TypeId::of::<Compute<E>>()
    }

    /// Where the products of a panel go: `[classes, D]` whatever the layout.
    pub(super) fn panel<'a>(
        &'a mut self,
        inputs: &Inputs<'_, E>,
        classes: &Range<usize>,
        narrow: &'a mut [Compute<E>],
    ) -> MatrixMut<'a, Compute<E>> {
        let (width, all) = (inputs.width as isize, inputs.classes as isize);
        if self.len == 0 {
            return MatrixMut::rows(&mut [], 0, 0);
        }
        if !self.direct() {
            let strides = match inputs.spec.layout {
                Layout::Rows => (width, 1),
                Layout::Columns => (1, classes.len() as isize),
            };
            return MatrixMut::new(narrow, classes.len(), inputs.width, strides);
        }
        let strides = match inputs.spec.layout {
            Layout::Rows => (width, 1),
            Layout::Columns => (1, all),
        };
        // SAFETY: storage and compute type are the same; the products write before anything reads.
        #[allow(unsafe_code)]
        let data = unsafe {
            let spare = self.data.spare();
            core::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<Compute<E>>(), spare.len())
        };
        let whole = MatrixMut::new(data, inputs.classes, inputs.width, strides);
        // SAFETY: the whole is given up.
        #[allow(unsafe_code)]
        unsafe {
            whole.block(classes.clone(), 0..inputs.width)
        }
    }

    /// Rounds the sums of a panel into their place.
    pub(super) fn narrow(
        &mut self,
        inputs: &Inputs<'_, E>,
        classes: &Range<usize>,
        sums: &[Compute<E>],
    ) {
        if self.direct() {
            return;
        }
        let width = inputs.width;
        // Rows of the output in memory, and which part of them this panel is.
        let (rows, columns, count, long) = match inputs.spec.layout {
            Layout::Rows => (classes.clone(), 0..width, width, width),
            Layout::Columns => (0..width, classes.clone(), classes.len(), inputs.classes),
        };
        let out = self.data.rows(long);
        let tasks = rows.len().div_ceil(64);
        for_each_task(tasks, |task| {
            for i in task * 64..rows.len().min((task + 1) * 64) {
                // SAFETY: every row is written by one task.
                #[allow(unsafe_code)]
                let row = unsafe { out.piece(rows.start + i, columns.clone()) };
                E::narrow(&sums[i * count..][..count], row);
            }
        });
    }

    pub(super) fn finish(self) -> Vec<E> {
        // SAFETY: the panels cover all classes, and every product writes all of its part.
        #[allow(unsafe_code)]
        unsafe {
            self.data.finish()
        }
    }
}
