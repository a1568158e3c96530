//! The CPU kernel: points lie in the lanes of vectors, and every operation of the recursions is one vector operation.
//!
//! A block of 16 (f32) or 8 (f64) points is transposed into lanes, evaluated in the first-level cache, and
//! transposed back, a piece of the degrees at a time: above degree 1 moving the results to their rows takes longer than to compute
//! them. One evaluation of the values serves all derivatives: the gradient of degree `l` is a sparse linear
//! map of the values of degree `l − 1`, its derivative along a direction the same map of the derivatives of degree
//! `l − 1`. Every point is computed by itself: bits depend neither on its neighbours nor on the number of threads.

mod block;
mod lanes;
mod low;
mod pass;
mod place;
mod plan;
mod sinks;
mod transpose;

pub(super) use plan::Plan;

use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Real, RowsMut, for_each_task};
use pass::Pass;

/// Points per task.
const TASK: usize = 1024;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// `Y(v)`, `[N, dim]`.
    Values,
    /// `∇Y(v) · v̇`, `[N, dim]`.
    Tangents,
    /// `Σ_i g_i ∇Y_i(v)`, `[N, 3]`.
    Gradients,
    /// `Σ_i g_i ∇(∇Y_i · v̇)`, `[N, 3]`.
    Curvatures,
    /// `Y(v)` and in a second output `∇Y(v)`, `[N, 3, dim]`.
    ValuesAndGradients,
}

/// A type of the CPU kernel: `f32` or `f64`.
#[allow(private_bounds, reason = "a detail of the kernel")]
pub trait Scalar: Real + num_traits::Float + transpose::Transpose {
    /// The pass over one task's points.
    #[doc(hidden)]
    fn run(isa: Isa, call: Call<'_, Self>);
}

impl Scalar for f32 {
    fn run(isa: Isa, call: Call<'_, Self>) {
        isa.run(Pass::<'_, f32, 16>(call));
    }
}

impl Scalar for f64 {
    fn run(isa: Isa, call: Call<'_, Self>) {
        isa.run(Pass::<'_, f64, 8>(call));
    }
}

/// Inputs and outputs of some points. What an output does not need is empty.
#[derive(Debug)]
#[doc(hidden)]
pub struct Call<'a, T> {
    pub(super) plan: &'a Plan<T>,
    pub(super) output: Output,
    /// `[points, 3]`.
    pub(super) vectors: &'a [T],
    /// `[points, 3]`.
    pub(super) tangents: &'a [T],
    /// `[points, dim]`.
    pub(super) cotangents: &'a [T],
    pub(super) first: &'a mut [MaybeUninit<T>],
    pub(super) second: &'a mut [MaybeUninit<T>],
}

/// Runs over all points, spread over the threads; every element of the outputs is written.
#[allow(unsafe_code)]
pub(super) fn run<T: Scalar>(call: Call<'_, T>) {
    let Call {
        plan,
        output,
        vectors,
        tangents,
        cotangents,
        first,
        second,
    } = call;
    let points = vectors.len() / 3;
    let dim = plan.dim();
    let (columns, columns_second) = match output {
        Output::Values | Output::Tangents => (dim, 0),
        Output::Gradients | Output::Curvatures => (3, 0),
        Output::ValuesAndGradients => (dim, 3 * dim),
    };
    let (first, second) = (
        RowsMut::new(first, first.len()),
        RowsMut::new(second, second.len()),
    );
    let isa = Isa::detect();
    for_each_task(points.div_ceil(TASK), |task| {
        let at = task * TASK..points.min((task + 1) * TASK);
        fn part<T>(x: &[T], at: &core::ops::Range<usize>, width: usize) -> core::ops::Range<usize> {
            if x.is_empty() {
                0..0
            } else {
                at.start * width..at.end * width
            }
        }
        // SAFETY: tasks have disjoint points.
        let (first, second) = unsafe {
            (
                first.piece(0, at.start * columns..at.end * columns),
                second.piece(0, at.start * columns_second..at.end * columns_second),
            )
        };
        T::run(
            isa,
            Call {
                plan,
                output,
                vectors: &vectors[part(vectors, &at, 3)],
                tangents: &tangents[part(tangents, &at, 3)],
                cotangents: &cotangents[part(cotangents, &at, dim)],
                first,
                second,
            },
        );
    });
}
