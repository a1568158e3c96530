//! From row statistics to the loss.

use super::{Asked, Call, Statistics};
use crate::engine::column;
use crate::options::Reduction;
use crate::targets::Kind;
use burn::tensor::{Bool, Tensor};

impl Call<'_> {
    /// Loss of every row before its own weight, and what that weight is to be multiplied with in the mean.
    pub(super) fn cross_entropy(
        &self,
        statistics: &Statistics,
        counted: &Tensor<1, Bool>,
        asked: &Asked,
    ) -> (Tensor<1>, Tensor<1>) {
        let lse = || statistics.column(column::LSE);
        let one = counted.clone().float().cast(self.compute);
        let alpha = self.smoothing();
        let (loss, weight) = match &self.kind {
            Kind::Classes { .. } => {
                let nll = statistics.column(column::NLL);
                match (&self.class_weights, &asked.ids) {
                    (Some(weights), Some(ids)) => {
                        // Ignored rows look up class 0 and count for nothing.
                        let known = ids.clone().mask_fill(counted.clone().bool_not(), 0);
                        let weight = weights.clone().select(0, known) * one;
                        (nll * weight.clone(), weight)
                    }
                    _ => (nll, one),
                }
            }
            Kind::Probabilities(_) => {
                let mass = match self.distributions() {
                    Some(q) => q.sum_dim(1).flatten(0, 1),
                    None => one.clone(),
                };
                (lse() * mass - statistics.column(column::DENSE), one)
            }
            Kind::TopK {
                probabilities,
                tail,
                ..
            } => {
                return (
                    self.divergence(statistics, probabilities.clone(), *tail),
                    one,
                );
            }
        };
        let loss = if asked.common.is_some() {
            let lse = match &self.class_weights {
                Some(w) => lse() * w.clone().sum(),
                None => lse() * self.classes as f64,
            };
            let spread = lse - statistics.column(column::SUM);
            loss * (1.0 - alpha) + spread * (alpha / self.classes as f64)
        } else {
            loss
        };
        (loss, weight)
    }

    /// `Σ_k q_k (log q_k − log p_k)`, the tail as one more class.
    fn divergence(&self, statistics: &Statistics, q: Tensor<2>, tail: bool) -> Tensor<1> {
        let (lse, q) = (statistics.column(column::LSE), q.cast(self.compute));
        let [_, k] = q.dims();
        let log_p = statistics.range(column::PICKS, k) - lse.unsqueeze_dim(1);
        let loss = (q.clone() * (log_or_zero(q.clone()) - log_p.clone())).sum_dim(1);
        if !tail {
            return loss.flatten(0, 1);
        }
        // What is left of 1; rounding must not make it negative.
        let rest = |x: Tensor<2>| (x.sum_dim(1).neg() + 1.0).clamp_min(1e-30);
        let (rest_q, rest_p) = (rest(q), rest(log_p.exp()));
        let gap = log_or_zero(rest_q.clone()) - rest_p.log();
        (loss + rest_q * gap).flatten(0, 1)
    }

    /// The losses of the rows, with z-loss and their weights, as one.
    pub(super) fn reduce(
        &self,
        loss: Tensor<1>,
        weight: Tensor<1>,
        lse: &Tensor<1>,
        counted: &Tensor<1, Bool>,
    ) -> Tensor<1> {
        let config = &self.options.config;
        let one = counted.clone().float().cast(self.compute);
        let weigh = |x: Tensor<1>| match &self.row_weights {
            Some(w) => x * w.clone().mask_fill(counted.clone().bool_not(), 0.0),
            None => x,
        };
        let square =
            (config.z_loss > 0.0).then(|| weigh(lse.clone().powi_scalar(2)) * config.z_loss);
        let loss = weigh(loss);
        let with_square = |loss: Tensor<1>| match &square {
            Some(square) => loss + square.clone(),
            None => loss,
        };
        match config.reduction {
            Reduction::None => with_square(loss),
            Reduction::Sum => with_square(loss).sum(),
            // Burn takes the gradient of a division by a number in f32.
            Reduction::Normalizer(n) => with_square(loss).sum() * (1.0 / n),
            Reduction::Mean => {
                let mean = |x: Tensor<1>, weight: Tensor<1>| {
                    let total = weigh(weight).sum();
                    let none = total.clone().equal_elem(0.0);
                    x.sum() / total.mask_fill(none, 1.0)
                };
                let loss = mean(loss, weight);
                match square {
                    Some(square) => loss + mean(square, one),
                    None => loss,
                }
            }
        }
    }
}

/// `log x`, and 0 for 0: as a factor of `x`.
fn log_or_zero(x: Tensor<2>) -> Tensor<2> {
    let zero = x.clone().equal_elem(0.0);
    x.mask_fill(zero, 1.0).log()
}
