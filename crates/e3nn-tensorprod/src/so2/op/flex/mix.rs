//! Matrices that all edges share, by whole products of matrices.

use super::super::{Mix, Slot, Term};
use super::TASK;
use crate::gemm::{Matrix, product_at};
use core_tensor::cpu::{Real, Storage, for_each_task};
use core_tensor::ext::flex::output;

/// A part of a row-major matrix.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    /// How far apart rows and columns are.
    strides: [usize; 2],
}

impl Part {
    fn new(first: usize, row: usize) -> Self {
        Self {
            first,
            strides: [row, 1],
        }
    }

    fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self {
            strides: [column, row],
            ..self
        }
    }

    /// The part of those values.
    fn of<T>(self, values: &[T]) -> Matrix<'_, T> {
        Matrix {
            values: &values[self.first..],
            strides: self.strides,
        }
    }

    /// Where the last value of `rows` by `columns` lies.
    fn last(self, rows: usize, columns: usize) -> usize {
        self.first + (rows - 1) * self.strides[0] + (columns - 1) * self.strides[1]
    }
}

pub(super) fn run<T: Real + Storage>(
    mix: &Mix,
    slot: Slot,
    edges: usize,
    [a, b]: [&[T]; 2],
) -> Vec<T> {
    if slot == Slot::Factor {
        return matrices(mix, edges, a, b);
    }
    let width = match slot {
        Slot::Output => mix.outputs,
        _ => mix.inputs,
    };
    // Columns that no term has stay 0.
    let mut out = output::<T>(edges * width);
    let all = mix.covered(slot) == width;
    let target = Target(out.as_mut_ptr(), out.len());
    for_each_task(edges.div_ceil(TASK), |task| {
        let first = task * TASK;
        let rows = TASK.min(edges - first);
        if !all {
            // SAFETY: no other task has these edges, whose rows lie side by side within the output.
            #[allow(unsafe_code)]
            unsafe { target.part(first * width, rows * width) }.fill(T::ZERO);
        }
        for term in &mix.terms {
            let [k, n] = [term.inputs.len(), term.outputs.len()];
            let weight = Part::new(term.weight, term.stride);
            let input = Part::new(term.inputs.start, mix.inputs);
            let output = Part::new(term.outputs.start, mix.outputs);
            let at = |part: Part, width: usize| Part {
                first: part.first + first * width,
                ..part
            };
            let (input, output) = (at(input, mix.inputs), at(output, mix.outputs));
            let (sizes, to, accumulate, left, right) = match slot {
                Slot::Output => (
                    [rows, n, k],
                    output,
                    !term.first_out,
                    (a, input),
                    (b, weight),
                ),
                _ => (
                    [rows, k, n],
                    input,
                    !term.first_in,
                    (b, output),
                    (a, weight.transposed()),
                ),
            };
            // SAFETY: no other task has these edges, and the product writes rows of theirs only.
            #[allow(unsafe_code)]
            unsafe {
                multiply(sizes, (&target, to, accumulate), left, right, term.negative);
            }
        }
    });
    out
}

/// `W += ± xᵀ y`, a matrix per task.
fn matrices<T: Real + Storage>(mix: &Mix, edges: usize, x: &[T], y: &[T]) -> Vec<T> {
    let mut out = output::<T>(mix.numel);
    out.fill(T::ZERO);
    let groups: Vec<Vec<&Term>> = mix.by_matrix();
    let target = Target(out.as_mut_ptr(), out.len());
    for_each_task(groups.len(), |i| {
        for (j, term) in groups[i].iter().enumerate() {
            let sizes = [term.inputs.len(), term.outputs.len(), edges];
            let weight = Part::new(term.weight, term.stride);
            let input = Part::new(term.inputs.start, mix.inputs);
            let output = Part::new(term.outputs.start, mix.outputs);
            // SAFETY: matrices of two tasks share no value, and the product writes those of its matrix only.
            #[allow(unsafe_code)]
            unsafe {
                multiply(
                    sizes,
                    (&target, weight, j > 0),
                    (x, input.transposed()),
                    (y, output),
                    term.negative,
                );
            }
        }
    });
    out
}

/// A buffer of which tasks write parts of their own.
struct Target<T>(*mut T, usize);

// SAFETY: parts are handed out under the promise that no value is written by two tasks.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Target<T> {}

impl<T> Target<T> {
    /// `len` values from `first` on.
    ///
    /// # Safety
    /// No value is written by two tasks.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    unsafe fn part(&self, first: usize, len: usize) -> &mut [T] {
        assert!(first + len <= self.1);
        // SAFETY: in bounds; not written elsewhere by the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.0.add(first), len) }
    }
}

/// `out = ± a · b`, or `out += ± a · b`, of `[m, k] · [k, n]`, on one thread.
///
/// # Panics
/// If a matrix ends outside its values.
///
/// # Safety
/// Nobody else reads or writes the values of the result meanwhile.
#[allow(unsafe_code)]
unsafe fn multiply<T: Real>(
    sizes: [usize; 3],
    (out, to, accumulate): (&Target<T>, Part, bool),
    left: (&[T], Part),
    right: (&[T], Part),
    negative: bool,
) {
    let [m, n, _] = sizes;
    assert!(to.last(m, n) < out.1, "multiply: the result is too short");
    let [row, column] = to.strides;
    assert!(column == 1, "multiply: the result is not row-major");
    let sign = if negative { -T::ONE } else { T::ONE };
    // SAFETY: in bounds by the assertion above; the result is exclusive by the caller's promise.
    unsafe {
        let place = (out.0.add(to.first), row);
        product_at(
            sizes,
            place,
            left.1.of(left.0),
            right.1.of(right.0),
            sign,
            accumulate,
        );
    }
}
