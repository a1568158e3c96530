//! One step of all channels of a tile, per cell and instruction set.
//!
//! The kernels are chosen once per call and entered through function pointers, so that what walks over
//! sequences is compiled per storage type only, not per cell too.

use super::super::cell::{Step, with_cell};
use super::super::spec::Cell;
use core::marker::PhantomData;
use core_tensor::cpu::{Isa, Kernel, Real};

/// The two row kernels of a cell.
pub(super) struct RowKernels<T> {
    isa: Isa,
    step: fn(Isa, [&[T]; 3], &mut [T]),
    gradient: fn(Isa, GradientRow<'_, T>),
    /// Whether the gradient looks at the state after the step.
    pub(super) uses_after: bool,
}

/// The gradient of one step. `carry` is what flows from the step after, on return what flows to the
/// step before.
pub(super) struct GradientRow<'a, T> {
    pub(super) planes: [&'a [T]; 3],
    pub(super) before: &'a [T],
    pub(super) after: &'a [T],
    pub(super) upstream: &'a [T],
    pub(super) carry: &'a mut [T],
    pub(super) out: &'a mut [Vec<T>; 3],
}

impl<T: Real> RowKernels<T> {
    pub(super) fn of(cell: Cell) -> Self {
        with_cell!(cell, S => Self {
            isa: Isa::detect(),
            step: |isa, planes, state| isa.run(StepKernel::<S, T> { planes, state, cell: PhantomData }),
            gradient: |isa, row| isa.run(GradientKernel::<S, T> { row, cell: PhantomData }),
            uses_after: S::USES_AFTER,
        })
    }

    /// Advances `state` by one step.
    #[inline(always)]
    pub(super) fn step(&self, planes: [&[T]; 3], state: &mut [T]) {
        (self.step)(self.isa, planes, state);
    }

    /// Takes the gradient of one step.
    #[inline(always)]
    pub(super) fn gradient(&self, row: GradientRow<'_, T>) {
        (self.gradient)(self.isa, row);
    }
}

struct StepKernel<'a, S, T> {
    planes: [&'a [T]; 3],
    state: &'a mut [T],
    cell: PhantomData<S>,
}

impl<S: Step, T: Real> Kernel for StepKernel<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let n = self.state.len();
        let [p, q, r] = self.planes.map(|plane| &plane[..n]);
        for i in 0..n {
            self.state[i] = S::step([p[i], q[i], r[i]], self.state[i]);
        }
    }
}

struct GradientKernel<'a, S, T> {
    row: GradientRow<'a, T>,
    cell: PhantomData<S>,
}

impl<S: Step, T: Real> Kernel for GradientKernel<'_, S, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let GradientRow {
            planes,
            before,
            after,
            upstream,
            carry,
            out,
        } = self.row;
        let n = carry.len();
        let [p, q, r] = planes.map(|plane| &plane[..n]);
        let (before, after, upstream) = (&before[..n], &after[..n], &upstream[..n]);
        let [gp, gq, gr] = out;
        let (gp, gq, gr) = (&mut gp[..n], &mut gq[..n], &mut gr[..n]);
        for i in 0..n {
            let s = carry[i] + upstream[i];
            let ([dp, dq, dr], flow) = S::gradient([p[i], q[i], r[i]], before[i], after[i], s);
            (gp[i], gq[i], gr[i]) = (dp, dq, dr);
            carry[i] = flow;
        }
    }
}
