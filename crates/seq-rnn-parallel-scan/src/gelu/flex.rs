//! CPU kernel: pieces that stay in the first-level cache, spread over the threads.

use super::GeluBackend;
use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Kernel, Real, Storage, for_each_task};
use core_tensor::ext::flex::{Compute, Flex, FlexTensor, Output, scratch, tensor};
use core_tensor::ext::{FloatTensor, TensorMetadata};
use core_tensor::with_float;

/// Values per call of a kernel.
const PIECE: usize = 1024;
/// Pieces per task.
const TASK: usize = 16;

impl GeluBackend for Flex {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.shape();
        let x = x.to_contiguous();
        with_float!(x.dtype(), E => {
            tensor(map::<E, 1>([&x], |isa, [x], y| isa.run(Value { x, y })), shape)
        })
    }

    fn exact_gelu_backward(
        x: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let shape = x.shape();
        let (x, cotangent) = (x.to_contiguous(), cotangent.to_contiguous());
        with_float!(x.dtype(), E => {
            let kernel = |isa: Isa, [x, g]: [&[_]; 2], y: &mut [_]| isa.run(Slope { x, g, y });
            tensor(map::<E, 2>([&x, &cotangent], kernel), shape)
        })
    }
}

/// One output from `N` inputs of as many values, piece by piece.
#[allow(unsafe_code)]
fn map<E: Storage, const N: usize>(
    inputs: [&FlexTensor; N],
    kernel: impl Fn(Isa, [&[Compute<E>]; N], &mut [Compute<E>]) + Send + Sync,
) -> Vec<E> {
    let inputs = inputs.map(|x| x.as_slice::<E>().expect("contiguous, of this dtype"));
    let len = inputs[0].len();
    let mut output = Output::<E>::new(len);
    let isa = Isa::detect();
    let rows = output.rows(len);
    for_each_task(len.div_ceil(PIECE * TASK), |task| {
        let (mut wide, mut y) = ([(); N].map(|()| scratch(PIECE)), scratch(PIECE));
        let end = len.min((task + 1) * TASK * PIECE);
        for start in (task * TASK * PIECE..end).step_by(PIECE) {
            let at = start..end.min(start + PIECE);
            let mut wide = wide.iter_mut();
            let x = inputs.map(|x| {
                let wide = wide.next().expect("one per input");
                E::widen(&x[at.clone()], wide)
            });
            let y = &mut y[..at.len()];
            kernel(isa, x, y);
            // SAFETY: pieces do not overlap.
            let out: &mut [MaybeUninit<E>] = unsafe { rows.piece(0, at) };
            E::narrow(y, out);
        }
    });
    // SAFETY: the tasks cover all of it.
    unsafe { output.finish() }
}

/// `x` where products with Φ(x) or φ(x), both 0, could make NaN of it: −∞ and ∞ come nearer.
#[inline(always)]
fn bounded<T: Real>(x: T) -> T {
    let limit = T::from_f64(40.0);
    let x = if x > limit { limit } else { x };
    if x < -limit { -limit } else { x }
}

struct Value<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Value<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let x = &self.x[..self.y.len()];
        for (y, &x) in self.y.iter_mut().zip(x) {
            let (below, _) = x.normal();
            let x = if x < T::ZERO { bounded(x) } else { x };
            *y = x * below;
        }
    }
}

struct Slope<'a, T> {
    x: &'a [T],
    g: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Slope<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (x, g) = (&self.x[..self.y.len()], &self.g[..self.y.len()]);
        for ((y, &x), &g) in self.y.iter_mut().zip(x).zip(g) {
            let (below, density) = x.normal();
            *y = g * bounded(x).fma(density, below);
        }
    }
}
