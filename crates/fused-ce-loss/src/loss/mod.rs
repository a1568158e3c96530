//! The loss: checks, one pass of the engine, and a small expression over its row statistics.

mod asked;
mod terms;

use crate::classifier::Classifier;
use crate::engine::{Spec, column};
use crate::options::{LossOptions, Reduction};
use crate::output::LossOutput;
use crate::plan::Monitor;
use crate::targets::{Kind, Targets};
pub(crate) use asked::Asked;
use burn::tensor::{DType, Int, IntDType, Tensor};
use core::ops::Range;
use core_tensor::ext::compute_dtype;

/// Cross-entropy of a linear layer, `−log softmax(hidden · weightᵀ + bias)[target]`, without the logits: they exist
/// tile by tile in the caches, or, where the plan says so, once in memory for the backward pass.
///
/// Follows "Cut Your Losses in Large-Vocabulary Language Models" (arXiv 2411.09009) in what it avoids, and is
/// exact unless the plan filters. Differentiable by hidden states, weight, bias, the weights of rows and the probabilities of
/// [`Targets::top_k`]; not by the weights of classes or [`Targets::probabilities`], which count as constants. Sums of every
/// precision below f64 are taken in f32, and the bits do not depend on the number of threads.
///
/// # Shapes
/// - `hidden`: `[.., D]`, f64, f32, bf16 or f16, N rows in all
/// - `classifier`: weight `[V, D]` or `[D, V]`, bias `[V]`, of the same dtype
/// - `targets`: N classes, or distributions, see [`Targets`]
///
/// # Panics
/// If shapes or dtypes disagree, if a target is neither a class nor the ignored index (with the row and its target), or if
/// the options do not go with the kind of targets, see [`Targets`].
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Int, Tensor};
/// use fused_ce_loss::{LossConfig, Reduction, linear_cross_entropy};
///
/// let device = Device::flex().autodiff();
/// let hidden = Tensor::<3>::random([2, 5, 16], Distribution::Default, &device).require_grad();
/// let weight = Tensor::<2>::random([1000, 16], Distribution::Default, &device).require_grad();
/// let targets = Tensor::<2, Int>::from_ints([[1, 2, 3, 4, 5], [6, 7, 8, 9, -100]], &device);
///
/// let options = LossConfig::new().with_reduction(Reduction::Sum).build()?;
/// let out = linear_cross_entropy(hidden.clone(), weight, targets, &options);
/// let grads = out.loss.backward();
/// assert_eq!(hidden.grad(&grads).unwrap().dims(), [2, 5, 16]);
/// # Ok::<(), fused_ce_loss::OptionsError>(())
/// ```
pub fn linear_cross_entropy<const R: usize>(
    hidden: Tensor<R>,
    classifier: impl Into<Classifier>,
    targets: impl Into<Targets>,
    options: &LossOptions,
) -> LossOutput {
    let hidden = flatten(hidden);
    Call::new(hidden, classifier.into(), targets.into(), options).run(crate::engine::statistics)
}

/// `[.., D]` to `[N, D]`.
pub(crate) fn flatten<const R: usize>(hidden: Tensor<R>) -> Tensor<2> {
    let dims = hidden.dims();
    let (rows, width) = (dims[..R - 1].iter().product(), dims[R - 1]);
    if rows == 0 {
        // Burn reads a 0 in the shape to reshape to as "as long as this axis is now".
        return hidden.flatten(0, R.saturating_sub(2));
    }
    hidden.reshape([rows, width])
}

/// Row statistics `[N, columns]`, and the classes of the largest logits where they are wanted.
pub(crate) type Rows = (Tensor<2>, Option<Tensor<2, Int>>);

/// A checked call.
pub(crate) struct Call<'a> {
    pub(crate) hidden: Tensor<2>,
    pub(crate) classifier: Classifier,
    /// Number of all classes, and which of them the classifier has.
    pub(crate) classes: usize,
    pub(crate) shard: Option<Range<usize>>,
    kind: Kind,
    /// Weights of the rows, `[N]`, in the compute type.
    row_weights: Option<Tensor<1>>,
    /// Weights of the classes, `[V]`, in the compute type.
    class_weights: Option<Tensor<1>>,
    compute: DType,
    options: &'a LossOptions,
    monitor: Monitor,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        hidden: Tensor<2>,
        classifier: Classifier,
        targets: Targets,
        options: &'a LossOptions,
    ) -> Self {
        let classes = classifier.classes();
        Self::sharded(hidden, classifier, classes, None, targets, options)
    }

    /// A call with some of all `classes`.
    pub(crate) fn sharded(
        hidden: Tensor<2>,
        classifier: Classifier,
        classes: usize,
        shard: Option<Range<usize>>,
        targets: Targets,
        options: &'a LossOptions,
    ) -> Self {
        let op = "linear_cross_entropy";
        let [rows, width] = hidden.dims();
        let dtype = hidden.dtype();
        assert!(
            matches!(dtype, DType::F64 | DType::F32 | DType::BF16 | DType::F16),
            "{op}: expected f64, f32, bf16 or f16, got {dtype:?}"
        );
        assert_eq!(
            classifier.width(),
            width,
            "{op}: expected a classifier of width {width} as the hidden states, got {}",
            classifier.width()
        );
        assert!(
            classes > 0 && width > 0,
            "{op}: expected at least one class and one feature"
        );
        let others = core::iter::once(classifier.weight.dtype());
        for other in others.chain(classifier.bias.as_ref().map(Tensor::dtype)) {
            assert_eq!(
                other, dtype,
                "{op}: classifier and hidden states differ in dtype"
            );
        }
        assert_eq!(
            targets.rows(),
            rows,
            "{op}: expected targets for {rows} rows, got {}",
            targets.rows()
        );
        match &targets.kind {
            Kind::Probabilities(q) => assert_eq!(
                q.dims(),
                [rows, classes],
                "{op}: expected probabilities [rows, classes]"
            ),
            Kind::Classes { .. } | Kind::TopK { .. } => {}
        }
        let config = options.config;
        assert!(
            config.shift == 0 || matches!(targets.kind, Kind::Classes { .. }),
            "{op}: expected classes as targets, which alone have an axis of time to shift along"
        );
        assert!(
            !matches!(targets.kind, Kind::TopK { .. })
                || (!config.smoothing.smooths() && options.class_weights.is_none()),
            "{op}: expected neither smoothing nor class weights with the largest probabilities of a teacher"
        );
        let compute = compute_dtype(dtype);
        let class_weights = options.class_weights.clone().map(Tensor::detach);
        let check = |x: &Tensor<1>, len: usize, what: &str| {
            assert_eq!(
                x.dims(),
                [len],
                "{op}: expected {what} [{len}], got {:?}",
                x.dims()
            );
        };
        if let Some(w) = &targets.weights {
            check(w, rows, "weights of rows");
        }
        if let Some(w) = &options.class_weights {
            check(w, classes, "weights of classes");
        }
        Self {
            hidden,
            classifier,
            classes,
            shard,
            kind: match targets.kind {
                // The engine's part of their gradient is missing: better none than half.
                Kind::Probabilities(q) => Kind::Probabilities(q.detach()),
                kind => kind,
            },
            row_weights: targets.weights.map(|w| w.cast(compute)),
            class_weights: class_weights.map(|w| w.cast(compute)),
            compute,
            options,
            monitor: Monitor::default(),
        }
    }

    /// The result for no rows: Burn's element-wise operations do not take empty tensors.
    fn nothing(
        self,
        provider: impl FnOnce(Tensor<2>, &Classifier, &Asked, &Spec) -> Rows,
        asked: &Asked,
    ) -> LossOutput {
        let config = self.options.config;
        let spec = self.spec(asked);
        let (statistics, top) = provider(self.hidden.clone(), &self.classifier, asked, &spec);
        let empty = || statistics.clone().sum_dim(1).flatten(0, 1);
        let kinds = Tensor::<1, Int>::zeros([0], &self.hidden.device()).bool();
        LossOutput {
            loss: match config.reduction {
                Reduction::None => empty(),
                _ => statistics.clone().sum(),
            },
            lse: empty(),
            entropy: config.entropy.then(empty),
            top_log_probs: top
                .as_ref()
                .map(|top| Tensor::zeros(top.shape(), (&top.device(), self.compute))),
            correct: top.as_ref().zip(asked.ids.as_ref()).map(|_| kinds.clone()),
            top_classes: top,
            counted: kinds,
            monitor: self.monitor,
        }
    }

    pub(crate) fn run(
        self,
        provider: impl FnOnce(Tensor<2>, &Classifier, &Asked, &Spec) -> Rows,
    ) -> LossOutput {
        let config = self.options.config;
        let [rows, _] = self.hidden.dims();
        let device = self.hidden.device();
        let asked = self.asked();
        if rows == 0 {
            return self.nothing(provider, &asked);
        }
        let spec = self.spec(&asked);
        let (statistics, top) = provider(self.hidden.clone(), &self.classifier, &asked, &spec);
        let statistics = Statistics(statistics);
        let counted = match &asked.ids {
            Some(ids) => ids.clone().not_equal_elem(config.ignore_index),
            None => Tensor::<1>::ones([rows], &device).greater_elem(0.0),
        };
        let lse = statistics.column(column::LSE);
        let (loss, weight_of_row) = self.cross_entropy(&statistics, &counted, &asked);
        let loss = self.reduce(loss, weight_of_row, &lse, &counted);
        let top_log_probs = top.is_some().then(|| {
            let first = column::PICKS + spec.picks;
            statistics.range(first, spec.top) - lse.clone().unsqueeze_dim(1)
        });
        let correct = top.as_ref().zip(asked.ids).map(|(top, ids)| {
            let best = top.clone().slice([0..rows, 0..1]).flatten(0, 1);
            best.cast(IntDType::from(ids.dtype()))
                .equal(ids)
                .bool_and(counted.clone())
        });
        LossOutput {
            loss,
            entropy: config.entropy.then(|| statistics.column(column::ENTROPY)),
            top_classes: top,
            top_log_probs,
            correct,
            counted,
            lse,
            monitor: self.monitor,
        }
    }
}

/// Row statistics `[N, columns]`.
struct Statistics(Tensor<2>);

impl Statistics {
    pub(super) fn column(&self, at: usize) -> Tensor<1> {
        self.range(at, 1).flatten(0, 1)
    }

    pub(super) fn range(&self, first: usize, count: usize) -> Tensor<2> {
        let [rows, _] = self.0.dims();
        self.0.clone().slice([0..rows, first..first + count])
    }
}
