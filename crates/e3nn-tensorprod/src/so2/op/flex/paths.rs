//! Products path by path, with weights of every edge, which are read once and where they lie.

use super::super::{PathForm, PathTerm, Slot};
use super::{TASK, dot};
use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::flex::Output;

pub(super) fn run<T: Real + Storage>(
    form: &PathForm,
    slot: Slot,
    edges: usize,
    slices: [&[T]; 2],
) -> Vec<T> {
    let widths = [form.inputs, form.numel, form.outputs];
    let width = widths[slot as usize];
    let mut out = Output::<T>::new(edges * width);
    let rows = out.rows(width);
    let isa = Isa::detect();
    for_each_task(edges.div_ceil(TASK), |task| {
        isa.run(Edges {
            first: task * TASK,
            last: edges.min((task + 1) * TASK),
            form,
            slot,
            slices,
            widths: slot.others().map(|other| widths[other as usize]),
            width,
            rows: &rows,
        });
    });
    // SAFETY: the tasks cover all edges, and each writes the rows of its edges in full.
    #[allow(unsafe_code)]
    unsafe {
        out.finish()
    }
}

struct Edges<'a, T> {
    first: usize,
    last: usize,
    form: &'a PathForm,
    slot: Slot,
    slices: [&'a [T]; 2],
    widths: [usize; 2],
    width: usize,
    rows: &'a RowsMut<'a, MaybeUninit<T>>,
}

impl<T: Real> Kernel for Edges<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut sums = vec![T::ZERO; self.width];
        for edge in self.first..self.last {
            let row = |i: usize| &self.slices[i][edge * self.widths[i]..][..self.widths[i]];
            let [a, b] = [row(0), row(1)];
            sums.fill(T::ZERO);
            for term in &self.form.terms {
                match (self.slot, term.mixes) {
                    (Slot::Output, true) => mixed_output(term, a, term.of(b), &mut sums),
                    (Slot::Input, true) => mixed_input(term, term.of(a), b, &mut sums),
                    (Slot::Factor, true) => mixed_weight(term, a, b, &mut sums),
                    (Slot::Output, false) => single(term, a, term.of(b), &mut sums, false),
                    (Slot::Input, false) => single(term, b, term.of(a), &mut sums, true),
                    (Slot::Factor, false) => single_weight(term, a, b, &mut sums),
                }
            }
            // SAFETY: no other task has this edge.
            #[allow(unsafe_code)]
            let out = unsafe { self.rows.piece(edge, 0..self.width) };
            out.write_copy_of_slice(&sums);
        }
    }
}

impl PathTerm {
    /// The path's weights of a row; none without.
    #[inline(always)]
    fn of<'a, T>(&self, row: &'a [T]) -> &'a [T] {
        match &self.weights {
            Some(range) => &row[range.clone()],
            None => &[],
        }
    }
}

/// `to += x from`.
///
/// Loops and no closures here: only what is inlined is compiled for the wider instruction set.
#[inline(always)]
fn add<T: Real>(to: &mut [T], x: T, from: &[T]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = x.fma(from, *to);
    }
}

/// `y_w += Σ_u c x_u w_uw`.
#[inline(always)]
fn mixed_output<T: Real>(term: &PathTerm, x: &[T], w: &[T], y: &mut [T]) {
    let [copies, n] = term.mul;
    for contact in &term.contacts {
        let value = T::from_f64(contact.value);
        let x = &x[contact.input..][..copies];
        let y = &mut y[contact.output..][..n];
        for (&x, w) in x.iter().zip(w.chunks_exact(n)) {
            add(y, value * x, w);
        }
    }
}

/// `x_u += Σ_w c w_uw y_w`.
#[inline(always)]
fn mixed_input<T: Real>(term: &PathTerm, w: &[T], y: &[T], x: &mut [T]) {
    let [copies, n] = term.mul;
    for contact in &term.contacts {
        let value = T::from_f64(contact.value);
        let x = &mut x[contact.input..][..copies];
        let y = &y[contact.output..][..n];
        for (x, w) in x.iter_mut().zip(w.chunks_exact(n)) {
            *x = value.fma(dot(w, y), *x);
        }
    }
}

/// `w_uw += c x_u y_w`.
#[inline(always)]
fn mixed_weight<T: Real>(term: &PathTerm, x: &[T], y: &[T], sums: &mut [T]) {
    let Some(range) = term.weights.clone() else {
        return;
    };
    let [copies, n] = term.mul;
    let w = &mut sums[range];
    for (u, w) in w.chunks_exact_mut(n).enumerate().take(copies) {
        for contact in &term.contacts {
            let x = T::from_f64(contact.value) * x[contact.input + u];
            add(w, x, &y[contact.output..][..n]);
        }
    }
}

/// `y_u += c w_u x_u`, or the same from the output to the input.
#[inline(always)]
fn single<T: Real>(term: &PathTerm, from: &[T], w: &[T], to: &mut [T], back: bool) {
    for contact in &term.contacts {
        let (input, output) = if back {
            (contact.output, contact.input)
        } else {
            (contact.input, contact.output)
        };
        let value = T::from_f64(contact.value);
        let x = &from[input..][..term.mul[0]];
        let y = &mut to[output..][..term.mul[0]];
        if w.is_empty() {
            add(y, value, x);
        } else {
            for ((y, &x), &w) in y.iter_mut().zip(x).zip(w) {
                *y = (value * w).fma(x, *y);
            }
        }
    }
}

/// `w_u += c x_u y_u`.
#[inline(always)]
fn single_weight<T: Real>(term: &PathTerm, x: &[T], y: &[T], sums: &mut [T]) {
    let Some(range) = term.weights.clone() else {
        return;
    };
    let w = &mut sums[range];
    for contact in &term.contacts {
        let value = T::from_f64(contact.value);
        let x = &x[contact.input..][..term.mul[0]];
        let y = &y[contact.output..][..term.mul[0]];
        for ((w, &x), &y) in w.iter_mut().zip(x).zip(y) {
            *w = (value * x).fma(y, *w);
        }
    }
}
