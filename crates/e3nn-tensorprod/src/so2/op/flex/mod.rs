//! CPU kernels of the forms. Edges are spread over threads; sums over edges run in an order that depends on the sizes
//! alone, so that bits are the same for any number of threads.

mod mix;
mod paths;
mod rotate;
mod spread;
mod transpose;

use super::{Form, FrameBackend, Spec};
use burn::tensor::DType;
use core_tensor::cpu::{Real, Storage};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::flex::{Flex, FlexTensor, tensor};

/// Edges per task of a thread.
const TASK: usize = 256;
/// Channels per step. Sums of 32 lanes stay in registers as vectors; of arrays of 16 and fewer, compilers make as many scalar
/// sums.
const L: usize = 32;

impl FrameBackend for Flex {
    fn frame_form(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let operands = [a, b].map(|t| t.to_contiguous());
        match operands[0].dtype() {
            DType::F32 => run::<f32>(&operands, &spec),
            DType::F64 => run::<f64>(&operands, &spec),
            other => panic!("frame_form: no CPU kernel for dtype {other:?}"),
        }
    }
}

fn run<T: Real + Storage>(operands: &[FlexTensor; 2], spec: &Spec) -> FlexTensor {
    let places = spec.slot.others();
    let slices = [0, 1].map(|i| {
        let slice = operands[i].as_slice::<T>();
        let slice = slice.expect("contiguous, of the dtype of the first");
        let want: usize = spec.shape(places[i]).iter().product();
        assert!(
            slice.len() == want,
            "frame_form: {:?} has {} values, expected {want}",
            places[i],
            slice.len()
        );
        slice
    });
    let edges = spec.edges;
    let data = match &spec.form {
        Form::Rotate { layout, lmax } => rotate::run(layout, *lmax, spec.slot, edges, slices),
        Form::Mix(mix) => mix::run(mix, spec.slot, edges, slices),
        Form::Paths(form) => paths::run(form, spec.slot, edges, slices),
        Form::Spread(spread) => spread::run(spread, spec.slot, slices),
    };
    tensor(data, spec.shape(spec.slot))
}

/// The next `L` values, zeros behind the end.
#[inline(always)]
fn load<T: Real>(from: &[T]) -> [T; L] {
    if let Some(all) = from.first_chunk::<L>() {
        return *all;
    }
    let mut lanes = [T::ZERO; L];
    lanes[..from.len()].copy_from_slice(from);
    lanes
}

/// `acc + x y`, lane by lane.
#[inline(always)]
fn fma<T: Real>(acc: &mut [T; L], x: T, y: &[T; L]) {
    for l in 0..L {
        acc[l] = x.fma(y[l], acc[l]);
    }
}

/// `Σ x y`.
#[inline(always)]
fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut acc = [T::ZERO; L];
    let mut first = 0;
    while first < x.len() {
        let (x, y) = (load(&x[first..]), load(&y[first..]));
        for l in 0..L {
            acc[l] = x[l].fma(y[l], acc[l]);
        }
        first += L;
    }
    sum(acc)
}

/// Sum of all lanes.
#[inline(always)]
fn sum<T: Real>(acc: [T; L]) -> T {
    let mut half = [T::ZERO; L / 2];
    for l in 0..L / 2 {
        half[l] = acc[l] + acc[l + L / 2];
    }
    let mut quarter = [T::ZERO; L / 4];
    for l in 0..L / 4 {
        quarter[l] = half[l] + half[l + L / 4];
    }
    let mut all = T::ZERO;
    for x in quarter {
        all = all + x;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{load, sum};

    #[test]
    fn sums_of_what_is_loaded() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert_eq!(sum(load(&values)), 528.0);
        assert_eq!(sum(load(&values[32..])), 292.0);
    }
}
