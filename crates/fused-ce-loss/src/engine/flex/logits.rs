//! Logits of a tile from its products: bias, soft cap, temperature.

use core_tensor::cpu::{Kernel, Real};

/// `z = cap(x + b) / τ`, in place over a row.
pub(super) struct Finish<'a, T> {
    pub(super) row: &'a mut [T],
    pub(super) bias: Option<&'a [T]>,
    pub(super) shape: LogitShape<T>,
}

/// Soft cap and temperature.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogitShape<T> {
    pub(super) cap: Option<T>,
    pub(super) temperature: T,
}

impl<T: Real> LogitShape<T> {
    pub(super) fn new(spec: &crate::engine::spec::Spec) -> Self {
        Self {
            cap: spec.softcap.map(T::from_f64),
            temperature: T::from_f64(spec.temperature),
        }
    }
}

impl<T: Real> Kernel for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { row, bias, shape } = self;
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(x, &b)| *x = *x + b);
        }
        let rate = T::ONE / shape.temperature;
        if let Some(cap) = shape.cap {
            let (inverse, outer) = (T::ONE / cap, cap * rate);
            row.iter_mut()
                .for_each(|x| *x = outer * (*x * inverse).tangent_h());
        } else if shape.temperature != T::ONE {
            row.iter_mut().for_each(|x| *x = *x * rate);
        }
    }
}
