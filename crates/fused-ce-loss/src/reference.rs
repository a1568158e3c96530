//! The same loss in plain tensor operations, with all logits in memory: what the tests compare with, and what runs
//! on backends without a kernel.

use crate::classifier::Classifier;
use crate::engine::{Layout, Spec};
use crate::loss::{Asked, Call, Rows};
use crate::options::LossOptions;
use crate::output::LossOutput;
use crate::targets::Targets;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use core_tensor::ext::compute_dtype;

/// As [`linear_cross_entropy`](crate::linear_cross_entropy), in plain tensor operations; the plan counts for nothing.
///
/// # Panics
/// If shapes or dtypes disagree.
pub fn linear_cross_entropy<const R: usize>(
    hidden: Tensor<R>,
    classifier: impl Into<Classifier>,
    targets: impl Into<Targets>,
    options: &LossOptions,
) -> LossOutput {
    let hidden = crate::loss::flatten(hidden);
    Call::new(hidden, classifier.into(), targets.into(), options).run(statistics)
}

/// All logits `[N, V]`: `cap(hidden · weightᵀ + bias) / τ`, in f32 (f64 for f64 inputs).
///
/// # Panics
/// If the shapes disagree.
pub fn logits<const R: usize>(
    hidden: Tensor<R>,
    classifier: impl Into<Classifier>,
    softcap: Option<f64>,
    temperature: f64,
) -> Tensor<2> {
    let classifier = classifier.into();
    let compute = compute_dtype(hidden.dtype());
    let weight = match classifier.layout {
        Layout::Rows => classifier.weight.transpose(),
        Layout::Columns => classifier.weight,
    };
    let mut z = crate::loss::flatten(hidden)
        .cast(compute)
        .matmul(weight.cast(compute));
    if let Some(bias) = classifier.bias {
        z = z + bias.cast(compute).unsqueeze();
    }
    if let Some(s) = softcap {
        // Burn takes the gradient of a division by a number in f32.
        z = (z * (1.0 / s)).tanh() * s;
    }
    z * (1.0 / temperature)
}

/// Log-probabilities `[N, V]` of all classes.
///
/// # Panics
/// If the shapes disagree.
pub fn log_probabilities<const R: usize>(
    hidden: Tensor<R>,
    classifier: impl Into<Classifier>,
    softcap: Option<f64>,
    temperature: f64,
) -> Tensor<2> {
    log_softmax(logits(hidden, classifier, softcap, temperature), 1)
}

/// What the engine computes: row statistics `[N, columns]`, zeros in ignored rows, and the classes of the largest
/// logits, −1 there.
pub(crate) fn statistics(
    hidden: Tensor<2>,
    classifier: &Classifier,
    asked: &Asked,
    spec: &Spec,
) -> Rows {
    let [rows, _] = hidden.dims();
    let device = hidden.device();
    let classes = classifier.classes();
    let ignored = asked
        .ids
        .clone()
        .map(|ids| ids.equal_elem(spec.ignore_index));
    let blank = |x: Tensor<2>| match &ignored {
        // Ignored rows may hold NaN, which no product removes.
        Some(mask) => x.mask_fill(mask.clone().unsqueeze_dim(1), 0.0),
        None => x,
    };
    let z = logits(
        blank(hidden),
        classifier.clone(),
        spec.softcap,
        spec.temperature,
    );
    let max = z.clone().detach().max_dim(1);
    let lse = (z.clone() - max.clone()).exp().sum_dim(1).log() + max;
    let none = || Tensor::<2>::zeros([rows, 1], (&device, z.dtype()));
    let weigh = |w: Option<Tensor<2>>| w.map_or_else(none, |w| (z.clone() * w).sum_dim(1));
    let nll = match (&asked.ids, &ignored) {
        (Some(ids), Some(mask)) => {
            let known = ids.clone().mask_fill(mask.clone(), 0).unsqueeze_dim(1);
            lse.clone() - z.clone().gather(1, known)
        }
        _ => none(),
    };
    let entropy = if spec.entropy {
        let log_p = z.clone() - lse.clone();
        (log_p.clone().exp() * log_p).sum_dim(1).neg()
    } else {
        none()
    };
    let mut columns = vec![
        nll,
        lse,
        entropy,
        weigh(asked.common.clone().map(Tensor::unsqueeze)),
        weigh(asked.dense.clone()),
    ];
    if let Some(picks) = &asked.picks {
        columns.push(z.clone().gather(1, picks.clone()));
    }
    let mut top = None;
    if spec.top > 0 {
        let count = spec.top.min(classes);
        let (values, ids) = z.clone().topk_with_indices(count, 1);
        let mut ids = match &ignored {
            Some(mask) => ids.mask_fill(mask.clone().unsqueeze_dim(1), -1),
            None => ids,
        };
        columns.push(values);
        if count < spec.top {
            let missing = [rows, spec.top - count];
            columns.push(Tensor::full(
                missing,
                f64::NEG_INFINITY,
                (&device, z.dtype()),
            ));
            let fill = Tensor::<2, Int>::zeros(missing, &device) - 1;
            ids = Tensor::cat(vec![ids, fill], 1);
        }
        top = Some(ids);
    }
    (blank(Tensor::cat(columns, 1)), top)
}
