//! A classifier whose classes lie apart: on several devices, in several processes, or in a file that is read piece by
//! piece. No communicator is built in: what has to travel are small tensors, and any collective, or a loop, moves them.
//!
//! 1. Every holder of classes computes its [`Partial`] of all rows with [`partial`].
//! 2. The partials are combined with [`Partial::merge`], in any order, wherever they meet.
//! 3. [`finish`] turns the result into the loss, and [`backward_with`] gives every holder the gradient of its classes, and its
//!    part of that of the hidden states; the parts are to be added up.
//!
//! Equal to one call of [`linear_cross_entropy`](crate::linear_cross_entropy) with all classes, smoothing and every other
//! option included. (Vocabulary-parallel losses that mix up local and global numbers of classes are a known kind of error.)
//!
//! ```
//! use burn::tensor::{Device, Distribution, Int, Tensor};
//! use fused_ce_loss::{Classifier, LossConfig, Targets, shard};
//!
//! let device = Device::flex();
//! let hidden = Tensor::<2>::random([6, 16], Distribution::Default, &device);
//! let weight = Tensor::<2>::random([1000, 16], Distribution::Default, &device);
//! let targets = Targets::classes(Tensor::<1, Int>::from_ints([1, 999, 3, 4, 500, 6], &device));
//! let options = LossConfig::new().build()?;
//!
//! let holders = [0..400, 400..1000].map(|range| {
//!     let own = Classifier::from_rows(weight.clone().slice([range.clone()]));
//!     shard::Shard::new(own, range.start, 1000)
//! });
//! let parts = holders.each_ref().map(|own| shard::partial(hidden.clone(), own, targets.clone(), &options));
//! let all = parts.into_iter().reduce(shard::Partial::merge).expect("at least one shard");
//! let loss = shard::finish(&all, &hidden, 1000, targets.clone(), &options).loss;
//! for own in &holders {
//!     let gradient = shard::backward_with(&all, hidden.clone(), own, targets.clone(), &options, |out| out.loss.clone());
//!     assert_eq!(gradient.hidden.dims(), [6, 16]);
//! }
//! # Ok::<(), fused_ce_loss::OptionsError>(())
//! ```

use crate::classifier::Classifier;
use crate::engine::{Engine, Needs, Spec, Tensors, column};
use crate::loss::{Asked, Call};
use crate::options::LossOptions;
use crate::output::LossOutput;
use crate::plan::Plan;
use crate::targets::Targets;
use burn::tensor::{Bool, Int, Tensor};

/// Some of all classes.
#[derive(Debug, Clone)]
pub struct Shard {
    classifier: Classifier,
    first: usize,
    classes: usize,
}

impl Shard {
    /// The classes from `first` of `classes` in all.
    ///
    /// # Panics
    /// If they are not that many.
    pub fn new(classifier: Classifier, first: usize, classes: usize) -> Self {
        let end = first + classifier.classes();
        assert!(
            end <= classes,
            "Shard: expected at most {classes} classes, these end at {end}"
        );
        Self {
            classifier,
            first,
            classes,
        }
    }
}

/// What some classes contribute to every row.
#[derive(Debug, Clone)]
pub struct Partial {
    /// `[N, 7 + picks]`, see [`PartialColumn`].
    statistics: Tensor<2>,
    /// Largest logits and their classes, `[N, K]`, where they are asked for.
    top: Option<(Tensor<2>, Tensor<2, Int>)>,
}

/// Columns of [`Partial::statistics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum PartialColumn {
    /// Largest logit `m`.
    Max,
    /// `log Σ e^{z − m}`.
    Log,
    /// `lse − z_y` if the target is among the classes, otherwise 0.
    Nll,
    /// Whether it is: 1 or 0.
    Owner,
    /// Entropy of the softmax over the classes.
    Entropy,
    /// `Σ u z`.
    Sum,
    /// `Σ q z`.
    Dense,
    /// The first of the picked logits; 0 for those elsewhere.
    Picks,
}

use PartialColumn as P;

impl Partial {
    /// Row statistics, `[N, 7 + picks]`, to be sent elsewhere.
    pub fn statistics(&self) -> &Tensor<2> {
        &self.statistics
    }

    /// Largest logits and their classes, `[N, K]`, where the options ask for them.
    pub fn top(&self) -> Option<&(Tensor<2>, Tensor<2, Int>)> {
        self.top.as_ref()
    }

    /// From what [`Partial::statistics`] and [`Partial::top`] gave elsewhere.
    pub fn new(statistics: Tensor<2>, top: Option<(Tensor<2>, Tensor<2, Int>)>) -> Self {
        Self { statistics, top }
    }

    fn column(&self, at: usize) -> Tensor<2> {
        let [rows, _] = self.statistics.dims();
        self.statistics.clone().slice([0..rows, at..at + 1])
    }

    /// Both together. Associative and commutative but for rounding.
    ///
    /// # Panics
    /// If they come from different calls.
    pub fn merge(self, other: Self) -> Self {
        let (a, b) = (
            |p: P| self.column(p as usize),
            |p: P| other.column(p as usize),
        );
        // lse − lse_a = log(1 + e^{lse_b − lse_a}), and the reverse: exact also where one has nearly everything.
        let masked = |max: Tensor<2>| max.equal_elem(f64::NEG_INFINITY);
        let gap = (b(P::Max) - a(P::Max)) + (b(P::Log) - a(P::Log));
        // Where all classes of both are masked (logits of −∞) there is no gap; where those of one are, what it brings is 0,
        // but not as 0 · ∞.
        let none = masked(a(P::Max)).bool_and(masked(b(P::Max)));
        let gap = gap.mask_fill(none, 0.0);
        let gap = [1e30, -1e30].into_iter().fold(gap, |gap, most: f64| {
            let infinite = gap.clone().equal_elem(f64::INFINITY.copysign(most));
            gap.mask_fill(infinite, most)
        });
        let (up_a, up_b) = (softplus(gap.clone()), softplus(gap.neg()));
        let first = a(P::Max).greater_equal(b(P::Max));
        let log = (b(P::Log) + up_b.clone()).mask_where(first, a(P::Log) + up_a.clone());
        let nll = |nll: Tensor<2>, owner: Tensor<2>, up: Tensor<2>| nll + owner * up;
        let entropy = |h: Tensor<2>, up: Tensor<2>| up.clone().neg().exp() * (h + up);
        let columns = vec![
            a(P::Max).max_pair(b(P::Max)),
            log,
            nll(a(P::Nll), a(P::Owner), up_a.clone()) + nll(b(P::Nll), b(P::Owner), up_b.clone()),
            a(P::Owner) + b(P::Owner),
            entropy(a(P::Entropy), up_a) + entropy(b(P::Entropy), up_b),
        ];
        let [rows, count] = self.statistics.dims();
        let additive = |x: &Tensor<2>| x.clone().slice([0..rows, P::Sum as usize..count]);
        let rest = additive(&self.statistics) + additive(&other.statistics);
        let head = Tensor::cat(columns, 1);
        let top = self.top.zip(other.top).map(|((za, va), (zb, vb))| {
            let [_, k] = za.dims();
            let (z, v) = (Tensor::cat(vec![za, zb], 1), Tensor::cat(vec![va, vb], 1));
            let (z, places) = z.topk_with_indices(k, 1);
            (z, v.gather(1, places))
        });
        Self {
            statistics: Tensor::cat(vec![head, rest], 1),
            top,
        }
    }
}

/// `log(1 + e^x)`.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().abs().neg().exp().log1p() + x.clamp_min(0.0)
}

/// What the classes of a shard contribute to every row. Autodiff, where hidden states or shard have it, is left aside:
/// [`backward_with`] computes the gradients.
///
/// # Panics
/// As [`linear_cross_entropy`](crate::linear_cross_entropy), or on a device without the engine.
pub fn partial(
    hidden: Tensor<2>,
    shard: &Shard,
    targets: impl Into<Targets>,
    options: &LossOptions,
) -> Partial {
    assert!(
        Engine::on(&hidden.device(), hidden.dtype()).is_some(),
        "shard::partial: no engine on {:?}",
        hidden.device()
    );
    let call = shard.call(hidden.clone(), targets.into(), options);
    let (asked, [rows, _]) = (call.asked(), hidden.dims());
    let spec = call.spec(&asked);
    let owner = match &asked.ids {
        Some(ids) => shard.owns(ids, options.config.ignore_index).float(),
        None => Tensor::zeros([rows], &hidden.device()),
    };
    let tensors = Tensors::new(hidden, &shard.classifier, &asked).without_autodiff();
    let (statistics, state, top) = tensors.forward(&spec);
    let owner = owner.cast(statistics.dtype()).unsqueeze_dim(1);
    let of = |x: &Tensor<2>, from: usize, to: usize| x.clone().slice([0..rows, from..to]);
    let picks_end = column::PICKS + spec.picks;
    let columns = vec![
        // Largest logit, log Σ and nll.
        of(&state, 0, 3),
        owner,
        of(&statistics, column::ENTROPY, column::ENTROPY + 1),
        of(&statistics, column::SUM, picks_end),
    ];
    let top = top.map(|ids| {
        let missing = ids.clone().lower_elem(0);
        let ids = (ids + shard.first as i64).mask_fill(missing, -1);
        (of(&statistics, picks_end, picks_end + spec.top), ids)
    });
    Partial {
        statistics: Tensor::cat(columns, 1),
        top,
    }
}

/// The loss from the merged partials of all shards. `hidden` tells shapes and types.
///
/// # Panics
/// If a target is in no shard, or in several.
pub fn finish(
    merged: &Partial,
    hidden: &Tensor<2>,
    classes: usize,
    targets: impl Into<Targets>,
    options: &LossOptions,
) -> LossOutput {
    // A stand-in: no row of it is read.
    let [_, width] = hidden.dims();
    let none = Tensor::zeros([1, width], (&hidden.device(), hidden.dtype()));
    let whole = 0..classes;
    let call = Call::sharded(
        hidden.clone(),
        none.into(),
        classes,
        Some(whole),
        targets.into(),
        options,
    );
    let asked = call.asked();
    if let Some(ids) = &asked.ids {
        check_owners(merged, ids, options.config.ignore_index);
    }
    call.run(|_, _, asked, _| merged.rows(asked, options.config.ignore_index))
}

/// Gradients of one shard.
#[derive(Debug, Clone)]
pub struct ShardGradients {
    /// By the hidden states, `[N, D]`: this shard's part of a sum over all shards.
    pub hidden: Tensor<2>,
    /// By the weight of the shard, in its layout.
    pub weight: Tensor<2>,
    /// By the bias of the shard, if it has one.
    pub bias: Option<Tensor<1>>,
}

/// Gradients of `objective`, a number made from the loss or the other outputs, for one shard, given the merged partials
/// of all.
///
/// # Panics
/// As [`partial`], or if the objective does not depend on the output.
pub fn backward_with(
    merged: &Partial,
    hidden: Tensor<2>,
    shard: &Shard,
    targets: impl Into<Targets>,
    options: &LossOptions,
    objective: impl FnOnce(&LossOutput) -> Tensor<1>,
) -> ShardGradients {
    let targets = targets.into();
    let call = shard.call(hidden.clone(), targets, options);
    let (asked, [n, d]) = (call.asked(), hidden.dims());
    let spec = call.spec(&asked);
    let needs = Needs {
        hidden: true,
        classifier: true,
        bias: spec.has_bias,
    };
    let spec = Spec {
        plan: Plan::Recompute,
        ..spec
    };
    let spec = spec.for_training(needs, [n, shard.classifier.classes(), d], hidden.dtype());
    // How the objective depends on the row statistics.
    let (rows, top) = merged.rows(&asked, options.config.ignore_index);
    let leaf = rows.clone().autodiff().require_grad();
    let out = call.run(|_, _, _, _| (leaf.clone(), top.clone()));
    let grads = objective(&out).sum().backward();
    let cotangent = leaf
        .grad(&grads)
        .expect("shard::backward_with: the objective depends on no output");
    let state = Tensor::cat(
        [P::Max, P::Log, P::Nll, P::Entropy]
            .map(|p| merged.column(p as usize))
            .to_vec(),
        1,
    );
    let top = top.map(|top| {
        let own = top - shard.first as i64;
        let outside = own
            .clone()
            .greater_equal_elem(shard.classifier.classes() as i64);
        own.mask_fill(outside, -1).clamp_min(-1)
    });
    let tensors = Tensors::new(hidden, &shard.classifier, &asked).without_autodiff();
    let above = [rows, state, cotangent].map(Tensor::without_autodiff);
    let top = top.map(Tensor::without_autodiff);
    let (hidden, weight, bias) = tensors.backward(above, top, &spec);
    ShardGradients {
        hidden,
        weight,
        bias: spec.has_bias.then_some(bias),
    }
}

impl Shard {
    fn call<'a>(&self, hidden: Tensor<2>, targets: Targets, options: &'a LossOptions) -> Call<'a> {
        let own = self.first..self.first + self.classifier.classes();
        Call::sharded(
            hidden,
            self.classifier.clone(),
            self.classes,
            Some(own),
            targets,
            options,
        )
    }

    fn owns(&self, ids: &Tensor<1, Int>, ignore_index: i64) -> Tensor<1, Bool> {
        let end = self.first + self.classifier.classes();
        ids.clone()
            .greater_equal_elem(self.first as i64)
            .bool_and(ids.clone().lower_elem(end as i64))
            .bool_and(ids.clone().not_equal_elem(ignore_index))
    }
}

impl Partial {
    /// Row statistics as the engine returns them, zeros in ignored rows.
    fn rows(&self, asked: &Asked, ignore_index: i64) -> (Tensor<2>, Option<Tensor<2, Int>>) {
        let [rows, count] = self.statistics.dims();
        let mut columns = vec![
            self.column(P::Nll as usize),
            self.column(P::Max as usize) + self.column(P::Log as usize),
            self.column(P::Entropy as usize),
            self.statistics
                .clone()
                .slice([0..rows, P::Sum as usize..count]),
        ];
        columns.extend(self.top.as_ref().map(|(z, _)| z.clone()));
        let all = Tensor::cat(columns, 1);
        let all = match &asked.ids {
            Some(ids) => {
                let ignored: Tensor<2, Bool> =
                    ids.clone().equal_elem(ignore_index).unsqueeze_dim(1);
                all.mask_fill(ignored, 0.0)
            }
            None => all,
        };
        (all, self.top.as_ref().map(|(_, ids)| ids.clone()))
    }
}

/// Panics unless the target of every row that counts is in exactly one shard.
fn check_owners(merged: &Partial, ids: &Tensor<1, Int>, ignore_index: i64) {
    let owners = merged.column(P::Owner as usize).into_data();
    let ids = ids.clone().into_data();
    for (i, (owners, y)) in owners.iter::<f64>().zip(ids.iter::<i64>()).enumerate() {
        assert!(
            y == ignore_index || owners == 1.0,
            "shard::finish: target {y} of row {i} is in {owners} shards"
        );
    }
}
