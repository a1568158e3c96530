//! Backward pass of the plan that sums the gradient of the hidden states while the logits pass by.

use super::accumulate::Accumulate;
use super::gradient::{Above, Gradient};
use super::inputs::Inputs;
use super::logits::LogitShape;
use super::matrix::Matrix;
use super::product::Product;
use super::slope::chain_of;
use core_tensor::cpu::{Isa, Real, RowsMut, for_each_task};
use core_tensor::ext::flex::{Compute, scratch};

impl<E: Product> Inputs<'_, E> {
    /// `n_i Σ_{v ≠ y} p_v c_v + g_y c_y + s_i Σ_v u_v c_v`, where the forward pass has left the first sum.
    pub(super) fn gradient_from_sums(
        &self,
        above: &Above<'_, Compute<E>>,
        sums: Matrix<'_, Compute<E>>,
    ) -> Gradient<E> {
        let (live, width) = (self.live.len(), self.width);
        let shape = LogitShape::new(self.spec);
        let rate = <Compute<E> as Real>::ONE / shape.temperature;
        let common = self.common_row();
        let mut out = scratch::<Compute<E>>(live * width);
        let rows = RowsMut::new(&mut out, width);
        for_each_task(live.div_ceil(64), |task| {
            let isa = Isa::detect();
            let mut wide = scratch::<Compute<E>>(width);
            for at in task * 64..live.min((task + 1) * 64) {
                // SAFETY: every row is written by one task.
                #[allow(unsafe_code)]
                let out = unsafe { rows.piece(at, 0..width) };
                let (slope, nll, from_nll) = self.slope(self.live[at], above);
                // With a cap, the sums hold its slope and that of the temperature.
                let scale = if shape.cap.is_some() { Real::ONE } else { rate };
                let mut terms = vec![(slope.normaliser * scale, sums.row(at))];
                if let Some(y) = self.targets[at] {
                    let z = (slope.max + slope.log) - nll;
                    let g = slope.at_target(nll, from_nll) * chain_of(z, shape);
                    terms.push((g, self.classifier.widened_row(y, &mut wide)));
                }
                if let Some(common) = &common {
                    terms.push((slope.sum * rate, common));
                }
                isa.run(Accumulate {
                    out,
                    terms: &terms,
                    part: &mut [],
                });
            }
        });
        Gradient {
            hidden: self.spread(out),
            classifier: Vec::new(),
            bias: Vec::new(),
        }
    }
}
