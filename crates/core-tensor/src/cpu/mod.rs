//! Building blocks of the CPU kernels: run-time SIMD dispatch ([`Isa`]), vector math
//! ([`Real`]), storage types ([`Storage`]) and threads over disjoint parts of one output
//! ([`for_each_task`], [`RowsMut`]).
//!
//! A kernel is written as plain loops over slices of a [`Real`] type, marked `#[inline(always)]`
//! all the way down, and entered through [`Isa::run`]: the compiler then vectorises the same source
//! once per instruction set. Every operation is an IEEE operation on one lane (a fused
//! multiply-add counts as one), so the bits of a result depend neither on the instruction set nor
//! on where a row was cut into vectors, tiles or threads.

mod math;
mod rows;
mod storage;
mod stream;

pub use math::Real;
pub use rows::RowsMut;
pub use storage::Storage;
pub use stream::fence;

use core::ops::Range;
use rayon::prelude::*;

/// A computation that [`Isa::run`] compiles once per instruction set.
pub trait Kernel {
    /// What [`run`](Kernel::run) returns.
    type Output;

    /// The computation. Implementations carry `#[inline(always)]`, and so does everything that
    /// they call in a loop: only inlined code is compiled for the wider instruction set.
    fn run(self) -> Self::Output;
}

/// The widest instruction set of this processor (AVX-512, AVX2 with FMA, NEON, or the compile
/// target's own), found at run time.
#[derive(Debug, Clone, Copy)]
pub struct Isa(pulp::Arch);

impl Isa {
    /// Looks at the processor.
    pub fn detect() -> Self {
        Self(pulp::Arch::new())
    }

    /// Runs `kernel`; costs one indirect branch, so a row of a few dozen values is work enough.
    #[inline(always)]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        struct Entry<K>(K);
        impl<K: Kernel> pulp::WithSimd for Entry<K> {
            type Output = K::Output;

            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, _: S) -> K::Output {
                self.0.run()
            }
        }
        self.0.dispatch(Entry(kernel))
    }
}

/// Number of threads that [`for_each_task`] spreads its work over.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `task(0), …, task(count - 1)`, spread over the threads of the current rayon pool; a single
/// task runs on the caller.
pub fn for_each_task(count: usize, task: impl Fn(usize) + Send + Sync) {
    // Behind a pointer, so that the two branches share one copy of the kernel in it.
    let task: &(dyn Fn(usize) + Sync) = &task;
    if count <= 1 || threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().for_each(task);
    }
}

/// `task` of `0..part`, `part..2 * part`, … up to `len`, in order, spread over the threads of the current rayon pool; a
/// single part runs on the caller, without waking anyone.
pub fn map_parts<T: Send>(
    len: usize,
    part: usize,
    task: impl Fn(Range<usize>) -> T + Send + Sync,
) -> Vec<T> {
    let parts = len.div_ceil(part);
    // As above.
    let task: &(dyn Fn(usize) -> T + Sync) = &|k| task(k * part..len.min((k + 1) * part));
    if parts <= 1 || threads() == 1 {
        (0..parts).map(task).collect()
    } else {
        (0..parts).into_par_iter().map(task).collect()
    }
}
