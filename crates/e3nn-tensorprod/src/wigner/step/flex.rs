//! CPU kernel: rotations lie in the lanes of vectors, a tile of them at a time, so that every product of the form is one
//! multiplication and one fused multiply-add of vectors. Sums run in the order of the form's terms; bits do not depend on
//! threads, vectors or neighbours.

use super::{Form, Spec, StepBackend};
use burn::tensor::DType;
use core::mem::MaybeUninit;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, Storage, for_each_task};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::flex::{Flex, FlexTensor, Output, tensor};

/// Rotations per task of a thread.
const TASK: usize = 256;
/// Rotations per tile. Of arrays of 16 and fewer, compilers make as many scalar sums; sums of 32 lanes stay in registers
/// as vectors.
const L: usize = 32;

impl StepBackend for Flex {
    fn wigner_step(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let operands = [a, b].map(|t| t.to_contiguous());
        match operands[0].dtype() {
            DType::F32 => run::<f32>(&operands, &spec),
            DType::F64 => run::<f64>(&operands, &spec),
            other => panic!("wigner_step: no CPU kernel for dtype {other:?}"),
        }
    }
}

fn run<T: Real + Storage>(operands: &[FlexTensor; 2], spec: &Spec) -> FlexTensor {
    let Spec { step, slot } = spec;
    let slices = operands.each_ref().map(|operand| {
        let values = operand.as_slice::<T>();
        values.expect("contiguous, of the dtype of the first")
    });
    let widths = slot.others().map(|other| step.len(other));
    let batch = slices[0].len() / widths[0];
    assert_eq!(
        slices.map(<[T]>::len),
        widths.map(|width| width * batch),
        "wigner_step: sizes of operands"
    );
    let form = step.form(*slot);
    let coefficients: Vec<T> = form.coefficients.iter().map(|&c| T::from_f64(c)).collect();
    let (size, width) = (step.size(*slot), step.len(*slot));
    let mut out = Output::<T>::new(batch * width);
    let rows = out.rows(width);
    let isa = Isa::detect();
    for_each_task(batch.div_ceil(TASK), |task| {
        isa.run(Tiles {
            first: task * TASK,
            last: batch.min((task + 1) * TASK),
            slices,
            widths,
            form,
            coefficients: &coefficients,
            rows: &rows,
        });
    });
    // SAFETY: the tasks cover all rows, and each writes its rows in full.
    #[allow(unsafe_code)]
    let data = unsafe { out.finish() };
    tensor(data, [batch, size, size])
}

/// Rotations `first..last`, tile by tile.
struct Tiles<'a, T> {
    first: usize,
    last: usize,
    slices: [&'a [T]; 2],
    widths: [usize; 2],
    form: &'a Form,
    coefficients: &'a [T],
    rows: &'a RowsMut<'a, MaybeUninit<T>>,
}

impl<T: Real> Kernel for Tiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.form.offsets.len() - 1;
        let zeros = |len: usize| vec![[T::ZERO; L]; len];
        let [mut a, mut b, mut out] = [zeros(self.widths[0]), zeros(self.widths[1]), zeros(width)];
        let mut first = self.first;
        while first < self.last {
            let count = L.min(self.last - first);
            load(self.slices[0], self.widths[0], first, count, &mut a);
            load(self.slices[1], self.widths[1], first, count, &mut b);
            self.contract(&a, &b, &mut out);
            for lane in 0..count {
                // SAFETY: no other task or tile has this row.
                #[allow(unsafe_code)]
                let row = unsafe { self.rows.piece(first + lane, 0..width) };
                for (to, from) in row.iter_mut().zip(&out) {
                    to.write(from[lane]);
                }
            }
            first += count;
        }
    }
}

impl<T: Real> Tiles<'_, T> {
    #[inline(always)]
    fn contract(&self, a: &[[T; L]], b: &[[T; L]], out: &mut [[T; L]]) {
        for (out, ends) in out.iter_mut().zip(self.form.offsets.windows(2)) {
            let mut sum = [T::ZERO; L];
            let places = &self.form.places[ends[0]..ends[1]];
            for (&[i, j], &c) in places.iter().zip(&self.coefficients[ends[0]..ends[1]]) {
                let (x, y) = (&a[i], &b[j]);
                for l in 0..L {
                    sum[l] = (c * y[l]).fma(x[l], sum[l]);
                }
            }
            *out = sum;
        }
    }
}

/// Rows `first..first + count` into lanes; lanes without a row keep what they had.
#[inline(always)]
fn load<T: Real>(data: &[T], width: usize, first: usize, count: usize, lanes: &mut [[T; L]]) {
    for lane in 0..count {
        let row = &data[(first + lane) * width..][..width];
        for (to, &from) in lanes.iter_mut().zip(row) {
            to[lane] = from;
        }
    }
}
