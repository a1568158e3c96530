//! What callers hand in: views, nothing, other integers, tracked constants, options that do not go with the targets.

use burn::tensor::{DType, Device, Distribution, Int, IntDType, Tensor};
use core_tensor::assert_close;
use fused_ce_loss::{
    Classifier, Evaluation, Filter, LossConfig, LossOptions, Plan, Reduction, Smoothing, Targets,
    linear_cross_entropy,
};

/// `flip` makes views that run backwards through memory.
#[test]
fn flipped_inputs_are_read() {
    let device = Device::flex().autodiff();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, &device);
    let (hidden, weight) = (random([6, 4]), random([9, 4]));
    let q = random([6, 9]);
    let filtered = Plan::Filtered(Filter::default());
    for plan in [
        Plan::Store,
        Plan::Recompute,
        Plan::ForwardGradient,
        filtered,
    ] {
        let options = LossConfig::new().with_plan(plan).build().unwrap();
        for columns in [false, true] {
            let run = |flip: bool| {
                // The sum is written anew.
                let view = |x: Tensor<2>| if flip { x } else { x + 0.0 };
                let given = weight.clone().detach().require_grad();
                let classifier = if columns {
                    Classifier::from_columns(view(given.clone().transpose().flip([0, 1])))
                } else {
                    Classifier::from_rows(view(given.clone().flip([0])))
                };
                let hidden = view(hidden.clone().flip([0]));
                let targets = Targets::probabilities(view(q.clone().flip([0])));
                let out = linear_cross_entropy(hidden, classifier, targets, &options);
                let gradients = out.loss.backward();
                (out.loss, given.grad(&gradients).unwrap())
            };
            let ((loss, gradient), (want_loss, want)) = (run(true), run(false));
            assert_close!(loss, want_loss, 0.0, 0.0);
            assert_close!(gradient, want, 0.0, 0.0);
        }
    }
}

#[test]
fn sequences_without_steps() {
    let device = Device::flex().autodiff();
    let hidden = Tensor::<3>::zeros([3, 0, 4], &device).require_grad();
    let weight = Tensor::<2>::ones([7, 4], &device).require_grad();
    let targets = Tensor::<2, Int>::zeros([3, 0], &device);
    let options = LossConfig::new().with_shift(1).build().unwrap();
    let out = linear_cross_entropy(hidden.clone(), weight.clone(), targets, &options);
    let gradients = out.loss.backward();
    assert_eq!(out.loss.into_scalar::<f32>(), 0.0);
    assert_eq!(hidden.grad(&gradients).unwrap().dims(), [3, 0, 4]);
    assert_eq!(
        weight
            .grad(&gradients)
            .unwrap()
            .abs()
            .max()
            .into_scalar::<f32>(),
        0.0
    );
}

#[test]
fn unsigned_classes() {
    let device = Device::flex();
    let hidden = Tensor::<2>::random([2, 4], Distribution::Default, &device);
    let weight = Tensor::<2>::random([7, 4], Distribution::Default, &device);
    let options = LossConfig::new().build().unwrap();
    let loss = |dtype: IntDType| {
        let classes = Tensor::<2, Int>::from_ints([[0, 6], [3, 1]], &device).cast(dtype);
        let q = Tensor::from_floats([[0.5, 0.25], [0.1, 0.2]], &device);
        let targets = Targets::top_k(classes, q, true);
        linear_cross_entropy(hidden.clone(), weight.clone(), targets, &options).loss
    };
    assert_close!(loss(IntDType::U64), loss(IntDType::I64), 0.0, 0.0);
}

/// What has no whole gradient has none.
#[test]
fn constants_get_no_gradient() {
    let device = Device::flex().autodiff();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, &device);
    let hidden = random([3, 4]).require_grad();
    let (q, w) = (random([3, 7]).require_grad(), random([1, 7]).require_grad());
    let options = LossConfig::new()
        .with_smoothing(Smoothing::Torch(0.1))
        .build();
    let options = options.unwrap().with_class_weights(w.clone().flatten(0, 1));
    let targets = Targets::probabilities(q.clone());
    let out = linear_cross_entropy(hidden.clone(), random([7, 4]), targets, &options);
    let gradients = out.loss.backward();
    assert!(hidden.grad(&gradients).is_some());
    assert!(q.grad(&gradients).is_none() && w.grad(&gradients).is_none());
}

fn teacher(options: &LossOptions) {
    let device = Device::flex();
    let q = Tensor::from_floats([[0.5, 0.25]], &device);
    let targets = Targets::top_k(Tensor::from_ints([[0, 1]], &device), q, true);
    let hidden = Tensor::<2>::zeros([1, 4], &device);
    linear_cross_entropy(
        hidden,
        Tensor::<2>::zeros([3, 4], &device),
        targets,
        options,
    );
}

#[test]
#[should_panic(expected = "neither smoothing nor class weights")]
fn a_teacher_is_not_smoothed() {
    let smoothing = Smoothing::Megatron(0.1);
    teacher(&LossConfig::new().with_smoothing(smoothing).build().unwrap());
}

#[test]
#[should_panic(expected = "neither smoothing nor class weights")]
fn a_teacher_has_no_class_weights() {
    let options = LossConfig::new().with_smoothing(Smoothing::Torch(0.0));
    let weights = Tensor::ones([3], &Device::flex());
    teacher(&options.build().unwrap().with_class_weights(weights));
}

#[test]
#[should_panic(expected = "expected classes as targets, which alone have an axis of time")]
fn a_teacher_is_not_shifted() {
    teacher(&LossConfig::new().with_shift(1).build().unwrap());
}

/// Equal logits: every row has a perplexity of 7, whatever its weight.
#[test]
fn an_evaluation_divides_by_the_weights() {
    let device = Device::flex();
    let mut evaluation = Evaluation::new(LossConfig::new());
    for weights in [Some([2.0, 0.5, 9.0]), None] {
        let targets = Targets::classes(Tensor::<1, Int>::from_ints([0, 1, -100], &device));
        let targets = match weights {
            Some(weights) => targets.with_weights(Tensor::from_floats(weights, &device)),
            None => targets,
        };
        let hidden = Tensor::<2>::zeros([3, 4], &device);
        evaluation.add(hidden, Tensor::<2>::ones([7, 4], &device), targets);
    }
    assert_eq!(evaluation.rows(), 4);
    assert!((evaluation.perplexity() - 7.0).abs() < 1e-5);
}

#[test]
fn a_normalizer_keeps_the_digits_of_gradients() {
    let device = Device::flex().autodiff();
    let options = (&device, DType::F64);
    let hidden = Tensor::<2>::random([3, 4], Distribution::Default, options).require_grad();
    let weight = Tensor::<2>::random([7, 4], Distribution::Default, options);
    let gradient = |reduction| {
        let options = LossConfig::new().with_reduction(reduction).build().unwrap();
        let targets = Tensor::<1, Int>::from_ints([0, 6, 3], &device);
        let out = linear_cross_entropy(hidden.clone(), weight.clone(), targets, &options);
        hidden.grad(&out.loss.backward()).unwrap()
    };
    let (got, want) = (
        gradient(Reduction::Normalizer(7.3)),
        gradient(Reduction::Sum),
    );
    assert_close!(got, want * (1.0 / 7.3), 1e-14, 0.0);
}
