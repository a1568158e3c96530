//! Gradients against finite differences, without any reference.

use burn::tensor::{Device, Int, Tensor};
use core_tensor::testing::{GradCheck, check_gradients};
use fused_ce_loss::{
    Classifier, Evaluation, Filter, LinearCrossEntropyLossConfig, LossConfig, Plan, Smoothing,
    Tail, Targets, linear_cross_entropy,
};

/// Values that look random and are the same everywhere.
fn values(len: usize, seed: usize) -> Vec<f64> {
    (0..len)
        .map(|i| (((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0) * 1.5)
        .collect()
}

#[test]
fn every_output_has_its_gradient() {
    let [n, v, d] = [5, 11, 3];
    let all = Filter {
        threshold: 1e-300,
        tail: Tail::Drop,
        ..Filter::default()
    };
    for plan in [Plan::Store, Plan::Recompute, Plan::Filtered(all)] {
        let config = LossConfig::new()
            .with_plan(plan)
            .with_temperature(0.9)
            .with_z_loss(0.02)
            .with_entropy(true)
            .with_top_k(2);
        let config = if matches!(plan, Plan::Filtered(_)) {
            config.with_smoothing(Smoothing::Torch(0.1))
        } else {
            config
                .with_smoothing(Smoothing::Megatron(0.1))
                .with_softcap(3.0)
        };
        let options = config.build().unwrap();
        let inputs = [
            values(n * d, 1),
            values(v * d, 2),
            values(v, 3),
            values(n, 4),
        ];
        check_gradients(&Device::flex(), &inputs, GradCheck::default(), |x| {
            let [e, c, b, w] = x else { unreachable!() };
            let device = e.device();
            let ids = Tensor::<1, Int>::from_ints([3, 10, -100, 0, 3], &device);
            let targets = Targets::classes(ids).with_weights(w.clone() + 2.0);
            let c = Classifier::from_rows(c.clone().reshape([v, d])).with_bias(b.clone());
            let out = linear_cross_entropy(e.clone().reshape([n, d]), c, targets, &options);
            let wave = Tensor::<1>::from_data([0.3, -1.0, 0.0, 2.0, 0.7], (&device, e.dtype()));
            let top = out.top_log_probs.unwrap().slice([0..2, 0..2]).sum();
            out.loss
                + (out.lse * wave.clone()).sum()
                + (out.entropy.unwrap() * wave).sum() * 0.5
                + top * 0.25
        });
    }
}

#[test]
fn the_module_learns() {
    use burn::optim::{AdamConfig, GradientsParams};
    let device = Device::flex().autodiff();
    device.seed(1);
    let config = LinearCrossEntropyLossConfig::new(8, 30).with_bias(true);
    let mut head = config.init(&device).unwrap();
    let hidden = Tensor::<2>::from_data(
        burn::tensor::TensorData::new(values(64 * 8, 5), [64, 8]),
        &device,
    );
    let ids: Vec<i64> = (0..64).map(|i| i * 7 % 30).collect();
    let ids = Tensor::<1, Int>::from_data(burn::tensor::TensorData::new(ids, [64]), &device);
    let evaluate = |head: &fused_ce_loss::LinearCrossEntropyLoss| {
        let mut evaluation = Evaluation::new(head.loss);
        evaluation.add(hidden.clone(), head, ids.clone());
        evaluation
    };
    let mut optim = AdamConfig::new().init();
    let before = evaluate(&head);
    for _ in 0..200 {
        let grads = head.forward(hidden.clone(), ids.clone()).loss.backward();
        let grads = GradientsParams::from_grads(grads, &head);
        head = optim.step(0.05, head, grads);
    }
    let after = evaluate(&head);
    assert_eq!(after.rows(), 64);
    assert!(
        after.loss() < 0.6 * before.loss(),
        "{} {}",
        before.loss(),
        after.loss()
    );
    assert!(after.accuracy() > before.accuracy() + 0.3);
    let want = head
        .forward(hidden.clone(), ids.clone())
        .loss
        .into_scalar::<f64>();
    assert!((after.loss() - want).abs() <= 1e-6 * want);
    assert!((after.perplexity() - after.loss().exp()).abs() <= 1e-12);
    assert_eq!(head.logits(hidden).dims(), [64, 30]);
}
