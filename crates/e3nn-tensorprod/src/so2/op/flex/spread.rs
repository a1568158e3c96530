//! Weights of paths spread over matrices.

use super::super::{Slot, Spread};
use core_tensor::cpu::{Isa, Kernel, Real, Storage};
use core_tensor::ext::flex::output;

pub(super) fn run<T: Real + Storage>(spread: &Spread, slot: Slot, [a, b]: [&[T]; 2]) -> Vec<T> {
    let (len, from) = match slot {
        Slot::Output => (spread.outputs, b),
        Slot::Factor => (spread.numel, b),
        // The number 1 stands for itself; its gradient is that of the whole map.
        Slot::Input => (spread.outputs, a),
    };
    let mut out = output::<T>(len);
    out.fill(T::ZERO);
    Isa::detect().run(Entries {
        spread,
        back: slot == Slot::Factor,
        from,
        out: &mut out,
    });
    match slot {
        Slot::Input => {
            let products = out.iter().zip(b).map(|(&x, &y)| x * y);
            vec![products.fold(T::ZERO, |sum, x| sum + x)]
        }
        _ => {
            out.iter_mut().for_each(|x| *x = *x * a[0]);
            out
        }
    }
}

struct Entries<'a, T> {
    spread: &'a Spread,
    back: bool,
    from: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Kernel for Entries<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for e in &self.spread.entries {
            let value = T::from_f64(e.value);
            for row in 0..e.rows {
                let (path, matrix) = (e.weight + row * e.columns, e.out + row * e.stride);
                let (from, to) = if self.back {
                    (matrix, path)
                } else {
                    (path, matrix)
                };
                let from = &self.from[from..][..e.columns];
                let out = &mut self.out[to..][..e.columns];
                for (out, &x) in out.iter_mut().zip(from) {
                    *out = value.fma(x, *out);
                }
            }
        }
    }
}
