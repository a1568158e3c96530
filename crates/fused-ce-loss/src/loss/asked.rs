//! What a call asks the engine for.

use super::Call;
use crate::engine::{Engine, Needs, Spec};
use crate::options::Smoothing;
use crate::targets::Kind;
use burn::tensor::{DType, Int, IntDType, Tensor};

/// The tensors of a call beside hidden states and classifier.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Targets of the rows, `[N]`.
    pub(crate) ids: Option<Tensor<1, Int>>,
    /// Classes whose logits are wanted, `[N, K]`.
    pub(crate) picks: Option<Tensor<2, Int>>,
    /// Weights common to all rows, `[V]`.
    pub(crate) common: Option<Tensor<1>>,
    /// Weights of each row, `[N, V]`.
    pub(crate) dense: Option<Tensor<2>>,
}

impl Call<'_> {
    pub(crate) fn asked(&self) -> Asked {
        let (mut ids, mut picks, mut dense) = (None, None, None);
        match &self.kind {
            Kind::Classes { ids: given, time } => {
                // The ignored index may lie outside the type of the targets.
                let fits = match given.dtype() {
                    DType::I64 => true,
                    DType::I32 => i32::try_from(self.options.config.ignore_index).is_ok(),
                    _ => false,
                };
                let given = given.clone();
                let given = if fits {
                    given
                } else {
                    given.cast(IntDType::I64)
                };
                ids = Some(self.shifted(given, *time));
            }
            Kind::Probabilities(_) => dense = self.distributions().map(|q| self.own_columns(q)),
            Kind::TopK { classes, .. } => picks = Some(classes.clone()),
        }
        let smoothed = self.smoothing() > 0.0 && picks.is_none();
        let common = smoothed.then(|| {
            let device = self.hidden.device();
            let ones = || Tensor::ones([self.classes], (&device, self.compute));
            let all = self.class_weights.clone().unwrap_or_else(ones);
            match &self.shard {
                Some(own) => all.slice([own.clone()]),
                None => all,
            }
        });
        Asked {
            ids,
            picks,
            common,
            dense,
        }
    }

    /// The distributions to compare with, `[N, V]`, times the weights of the classes.
    pub(super) fn distributions(&self) -> Option<Tensor<2>> {
        let Kind::Probabilities(q) = &self.kind else {
            return None;
        };
        let q = q.clone().cast(self.compute);
        Some(match &self.class_weights {
            Some(w) => q * w.clone().unsqueeze(),
            None => q,
        })
    }

    /// The columns of the shard.
    fn own_columns(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.shard {
            Some(own) => {
                let [rows, _] = x.dims();
                x.slice([0..rows, own.clone()])
            }
            None => x,
        }
    }

    pub(crate) fn spec(&self, asked: &Asked) -> Spec {
        let config = self.options.config;
        Spec {
            engine: Engine::on(&self.hidden.device(), self.hidden.dtype()),
            layout: self.classifier.layout,
            has_targets: asked.ids.is_some(),
            ignore_index: config.ignore_index,
            has_bias: self.classifier.bias.is_some(),
            has_sum: asked.common.is_some(),
            has_dense: asked.dense.is_some(),
            picks: asked.picks.as_ref().map_or(0, |p| p.dims()[1]),
            entropy: config.entropy,
            top: config.top_k,
            softcap: config.softcap,
            temperature: config.temperature,
            shard_start: self.shard.as_ref().map(|own| own.start),
            plan: config.plan,
            step: self.options.step,
            budget: config.memory_budget,
            panel: Spec::PANEL,
            needs: Needs::default(),
            monitor: self.monitor.clone(),
        }
    }

    /// Smoothing `α` in PyTorch's form.
    pub(super) fn smoothing(&self) -> f64 {
        let classes = self.classes as f64;
        match self.options.config.smoothing {
            Smoothing::None => 0.0,
            Smoothing::Torch(a) => a,
            // One class has no others to spread over.
            Smoothing::Megatron(_) if classes == 1.0 => 0.0,
            Smoothing::Megatron(a) => a * classes / (classes - 1.0),
        }
    }

    /// Targets moved against the rows by the shift, the rest ignored.
    pub(super) fn shifted(&self, ids: Tensor<1, Int>, time: usize) -> Tensor<1, Int> {
        let config = &self.options.config;
        let shift = config.shift.min(time);
        if shift == 0 || time == 0 {
            return ids;
        }
        let sequences = ids.dims()[0] / time;
        let ids = ids.reshape([sequences, time]);
        let every = 0..sequences;
        let ignored = ids
            .clone()
            .slice([every.clone(), 0..shift])
            .full_like(config.ignore_index);
        if shift == time {
            return ignored.flatten(0, 1);
        }
        Tensor::cat(vec![ids.slice([every, shift..time]), ignored], 1).flatten(0, 1)
    }
}
