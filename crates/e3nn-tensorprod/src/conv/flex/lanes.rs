//! Vectors of numbers, blocks of channels, and the entry to the micro-kernels by their size.
//!
//! The micro-kernels are written in explicit vectors: what a compiler makes of arrays that should stay in registers
//! changes with their size.

use super::backward::{Gradient, GradientKernel};
use super::forward::{Forward, ForwardKernel};
use core_tensor::cpu::Real;
use pulp::{Arch, Simd, WithSimd};

/// A type with vectors. Methods are named as operations on one lane.
pub(super) trait Lanes: Real {
    /// A vector.
    type V<S: Simd>: Copy;
    /// Lanes of a vector.
    fn lanes<S: Simd>() -> usize;
    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::V<S>;
    /// All lanes.
    fn load<S: Simd>(from: &[Self]) -> Self::V<S>;
    /// As many lanes as there are values; the others are 0.
    fn load_part<S: Simd>(simd: S, from: &[Self]) -> Self::V<S>;
    /// All lanes.
    fn store<S: Simd>(to: &mut [Self], v: Self::V<S>);
    /// As many lanes as fit.
    fn store_part<S: Simd>(simd: S, to: &mut [Self], v: Self::V<S>);
    /// `a · b`.
    fn times<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// `a + b`.
    fn plus<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// `a · b + c`, rounded once.
    fn times_plus<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;
}

macro_rules! lanes {
    ($t:ty, $v:ident, $lanes:ident, $splat:ident, $load:ident, $store:ident, $mul:ident, $add:ident, $fma:ident) => {
        impl Lanes for $t {
            type V<S: Simd> = S::$v;

            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$v {
                simd.$splat(x)
            }
            #[inline(always)]
            fn load<S: Simd>(from: &[Self]) -> S::$v {
                bytemuck::pod_read_unaligned(bytemuck::cast_slice(&from[..S::$lanes]))
            }
            #[inline(always)]
            fn load_part<S: Simd>(simd: S, from: &[Self]) -> S::$v {
                simd.$load(from)
            }
            #[inline(always)]
            fn store<S: Simd>(to: &mut [Self], v: S::$v) {
                let to: &mut [u8] = bytemuck::cast_slice_mut(&mut to[..S::$lanes]);
                to.copy_from_slice(bytemuck::bytes_of(&v));
            }
            #[inline(always)]
            fn store_part<S: Simd>(simd: S, to: &mut [Self], v: S::$v) {
                simd.$store(to, v);
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn times_plus<S: Simd>(simd: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                simd.$fma(a, b, c)
            }
        }
    };
}
lanes!(
    f32,
    f32s,
    F32_LANES,
    splat_f32s,
    partial_load_f32s,
    partial_store_f32s,
    mul_f32s,
    add_f32s,
    mul_add_f32s
);
lanes!(
    f64,
    f64s,
    F64_LANES,
    splat_f64s,
    partial_load_f64s,
    partial_store_f64s,
    mul_f64s,
    add_f64s,
    mul_add_f64s
);

/// Channels that a micro-kernel takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first: usize,
    pub(super) size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Two vectors.
    Two,
    /// One vector.
    One,
    /// So many lanes of a vector.
    Part(usize),
}

/// Cuts `channels` into blocks: two vectors where there are 32 registers and no tangents, which hold twice as much.
pub(super) fn blocks<T: Lanes>(channels: usize, dual: bool) -> Vec<Block> {
    let (lanes, registers) = Arch::new().dispatch(Registers::<T>(core::marker::PhantomData));
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < channels {
        let left = channels - first;
        let (size, taken) = if left >= 2 * lanes && registers >= 32 && !dual {
            (Size::Two, 2 * lanes)
        } else if left >= lanes {
            (Size::One, lanes)
        } else {
            (Size::Part(left), left)
        };
        blocks.push(Block { first, size });
        first += taken;
    }
    blocks
}

struct Registers<T>(core::marker::PhantomData<T>);

impl<T: Lanes> WithSimd for Registers<T> {
    type Output = (usize, usize);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (usize, usize) {
        (T::lanes::<S>(), S::REGISTER_COUNT)
    }
}

/// `V` vectors from `at` on; only `n` lanes where the vector is not `FULL`.
#[inline(always)]
pub(super) fn read<T: Lanes, S: Simd, const V: usize, const FULL: bool>(
    simd: S,
    from: &[T],
    at: usize,
    n: usize,
) -> [T::V<S>; V] {
    let mut all = [T::splat(simd, T::ZERO); V];
    if FULL {
        let lanes = T::lanes::<S>();
        let from = &from[at..at + V * lanes];
        for v in 0..V {
            all[v] = T::load::<S>(&from[v * lanes..(v + 1) * lanes]);
        }
    } else {
        all[0] = T::load_part(simd, &from[at..at + n]);
    }
    all
}

/// Asks for `count` values from `at` on to be brought near, wherever they lie: rows of weights are read once, in pieces that
/// no processor foresees.
#[inline(always)]
#[allow(unsafe_code)]
pub(super) fn prefetch<T>(from: &[T], at: usize, count: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let start = from.as_ptr().wrapping_add(at).cast::<i8>();
        for line in (0..count * size_of::<T>()).step_by(64) {
            // SAFETY: SSE is part of x86-64, and a prefetch touches no memory that the program sees.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(line)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, at, count);
}

/// The inverse of [`read`].
#[inline(always)]
pub(super) fn write<T: Lanes, S: Simd, const V: usize, const FULL: bool>(
    simd: S,
    to: &mut [T],
    at: usize,
    n: usize,
    values: [T::V<S>; V],
) {
    if FULL {
        let lanes = T::lanes::<S>();
        let to = &mut to[at..at + V * lanes];
        for v in 0..V {
            T::store::<S>(&mut to[v * lanes..(v + 1) * lanes], values[v]);
        }
    } else {
        T::store_part(simd, &mut to[at..at + n], values[0]);
    }
}

/// Runs a kernel by its width: one of the four there are.
macro_rules! by_width {
    ($arch:expr, $kernel:ident, $args:expr, $n:expr, [$($constants:literal),+]) => {{
        let args = $args;
        match args.piece.width {
            1 => $arch.dispatch($kernel::<T, 1, $($constants),+>(args, $n)),
            3 => $arch.dispatch($kernel::<T, 3, $($constants),+>(args, $n)),
            5 => $arch.dispatch($kernel::<T, 5, $($constants),+>(args, $n)),
            7 => $arch.dispatch($kernel::<T, 7, $($constants),+>(args, $n)),
            width => unreachable!("no kernel for {width} components"),
        }
    }};
}

/// Runs a kernel for a block, without tangents or with them.
macro_rules! by_size {
    ($arch:expr, $kernel:ident, $dual:expr, $size:expr, $args:expr) => {
        match ($dual, $size) {
            (false, Size::Two) => by_width!($arch, $kernel, $args, 0, [2, false, true]),
            (false, Size::One) => by_width!($arch, $kernel, $args, 0, [1, false, true]),
            (false, Size::Part(n)) => by_width!($arch, $kernel, $args, n, [1, false, false]),
            (true, Size::One) => by_width!($arch, $kernel, $args, 0, [1, true, true]),
            (true, Size::Part(n)) => by_width!($arch, $kernel, $args, n, [1, true, false]),
            (true, Size::Two) => unreachable!("blocks of duals are one vector"),
        }
    };
}

/// Runs the forward kernel.
#[inline(always)]
pub(super) fn forward<T: Lanes>(arch: Arch, dual: bool, size: Size, args: Forward<'_, T>) {
    by_size!(arch, ForwardKernel, dual, size, args);
}

/// Runs the backward kernel.
#[inline(always)]
pub(super) fn backward<T: Lanes>(arch: Arch, dual: bool, size: Size, args: Gradient<'_, T>) {
    by_size!(arch, GradientKernel, dual, size, args);
}
