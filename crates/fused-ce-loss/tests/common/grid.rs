//! Every option, and the comparison with plain tensor operations in f64.

use super::{Labels, NAMES, Problem, Random, Setup, assert_rms, assert_rows};
use burn::tensor::{DType, Device};
use fused_ce_loss::{LossConfig, Plan, Reduction, Smoothing, linear_cross_entropy, reference};

/// Shapes of the tests of Cut Cross-Entropy and Liger, none a multiple of anything, and one of several panels.
pub const SHAPES: [[usize; 3]; 4] = [
    [256, 512, 128],
    [252, 507, 123],
    [188, 123, 31],
    [600, 4500, 48],
];

/// The plans that leave nothing out.
pub const EXACT_PLANS: [Plan; 3] = [Plan::Store, Plan::Recompute, Plan::ForwardGradient];

/// One problem per feature, and all that go together.
pub fn problems(random: &mut Random, shape: [usize; 3]) -> Vec<(&'static str, Problem)> {
    let [n, v, d] = shape;
    let plain = random.problem(shape);
    let with = |config: LossConfig| Problem {
        config,
        ..plain.clone()
    };
    let new = LossConfig::new();
    let bias = Problem {
        bias: Some(random.normal(&[v], 0.5)),
        ..plain.clone()
    };
    let class_weight = Some(random.uniform(&[v], 0.2, 2.0));
    let token_weight = Some(random.uniform(&[n], 0.0, 2.0));
    let probabilities = Labels::Probabilities(random.distributions([n, v]));
    let top = Labels::TopK {
        shape: vec![n, 4],
        // Different classes per row.
        classes: (0..n * 4)
            .map(|i| ((i / 4 * 7 + i % 4 * 11) % v) as i64)
            .collect(),
        probabilities: random.uniform(&[n, 4], 0.0, 0.25),
        tail: true,
    };
    let shifted = match plain.labels.clone() {
        Labels::Classes(_, ids) => Labels::Classes(vec![n / 4, 4], ids),
        _ => unreachable!(),
    };
    let wide = Problem {
        hidden: random.normal(&[n, d], 6.0 / (d as f64).sqrt()),
        ..plain.clone()
    };
    vec![
        ("plain", plain.clone()),
        ("bias", bias.clone()),
        (
            "softcap",
            Problem {
                config: new.with_softcap(20.0),
                ..wide
            },
        ),
        ("temperature", with(new.with_temperature(0.7))),
        ("smoothing", with(new.with_smoothing(Smoothing::Torch(0.1)))),
        (
            "Megatron's smoothing",
            with(new.with_smoothing(Smoothing::Megatron(0.1))),
        ),
        ("z-loss", with(new.with_z_loss(1e-3))),
        (
            "shift",
            Problem {
                labels: shifted,
                config: new.with_shift(2),
                ..plain.clone()
            },
        ),
        (
            "class weights",
            Problem {
                class_weight: class_weight.clone(),
                ..plain.clone()
            },
        ),
        (
            "token weights",
            Problem {
                token_weight: token_weight.clone(),
                ..plain.clone()
            },
        ),
        (
            "probabilities",
            Problem {
                labels: probabilities,
                ..plain.clone()
            },
        ),
        (
            "top-k teacher",
            Problem {
                labels: top,
                config: new.with_temperature(2.0),
                ..plain.clone()
            },
        ),
        (
            "normaliser",
            with(new.with_reduction(Reduction::Normalizer(77.0))),
        ),
        (
            "together",
            Problem {
                class_weight,
                token_weight,
                config: new
                    .with_smoothing(Smoothing::Torch(0.1))
                    .with_z_loss(1e-3)
                    .with_temperature(1.3)
                    .with_entropy(true)
                    .with_top_k(3),
                ..bias
            },
        ),
    ]
}

/// Compares losses of rows and gradients of an uneven sum of them, with the other outputs mixed in, on `device`, with plain
/// operations in f64 on the CPU.
pub fn compare(
    what: &str,
    problem: &Problem,
    device: &Device,
    plan: Plan,
    setup: Setup,
    bounds: [f64; 2],
) {
    let mut rounded = problem.clone();
    for values in [&mut rounded.hidden, &mut rounded.weight]
        .into_iter()
        .chain(&mut rounded.bias)
    {
        *values = values.rounded(setup.dtype);
    }
    let uneven = |loss: burn::tensor::Tensor<1>| {
        let [n] = loss.dims();
        let weights: Vec<f64> = (0..n)
            .map(|i| ((i * 37) % 19) as f64 / 10.0 - 0.7)
            .collect();
        let data = burn::tensor::TensorData::new(weights, [n]);
        (loss.clone() * burn::tensor::Tensor::from_data(data, (&loss.device(), loss.dtype()))).sum()
    };
    let goal = |out: &fused_ce_loss::LossOutput| {
        let mut sum = uneven(out.loss.clone());
        // Ignored rows hold zeros in either implementation.
        if plan != Plan::ForwardGradient {
            sum = sum + uneven(out.lse.clone()) * 0.1;
        }
        if let Some(entropy) = &out.entropy {
            sum = sum + uneven(entropy.clone()) * 0.3;
        }
        if let Some(top) = &out.top_log_probs {
            let [rows, _] = top.dims();
            let ignored: burn::tensor::Tensor<2, burn::tensor::Bool> =
                out.counted.clone().bool_not().unsqueeze_dim(1);
            let top = top.clone().mask_fill(ignored.expand(top.shape()), 0.0);
            sum = sum + uneven(top.sum_dim(1).reshape([rows])) * 0.2;
        }
        // f16 holds no gradient of a mean without a scaled loss.
        if setup.dtype == DType::F16 {
            sum * 4096.0
        } else {
            sum
        }
    };
    for reduction in [problem.config.reduction, Reduction::None] {
        let mut ours = rounded.clone();
        ours.config = ours.config.with_plan(plan).with_reduction(reduction);
        if ours.config.build().is_err() {
            assert!(plan == Plan::ForwardGradient, "{what}: refused");
            return;
        }
        let want = ours.run(
            &Device::flex(),
            Setup {
                frozen: setup.frozen,
                ..Setup::F64
            },
            reference::linear_cross_entropy,
            &goal,
        );
        let got = ours.run(device, setup, linear_cross_entropy, &goal);
        let what = format!("{what}, {plan:?}, {setup:?}, {reduction:?}");
        // Products above 20 are rounded by more before anything is done with them.
        let scale = (rounded.largest_product() / 20.0).max(1.0);
        let [of_loss, of_gradient] = bounds.map(|b| b * scale);
        assert_rows(&got.loss, &want.loss, of_loss, &format!("{what}: loss"));
        assert_rows(&got.lse, &want.lse, of_loss, &format!("{what}: lse"));
        assert_rows(
            &got.entropy,
            &want.entropy,
            3.0 * of_loss,
            &format!("{what}: entropy"),
        );
        assert_eq!(got.counted, want.counted, "{what}");
        if setup.dtype == DType::F32 {
            assert_eq!(got.top_classes, want.top_classes, "{what}");
            assert_eq!(got.correct, want.correct, "{what}");
            let finite =
                |x: &[f64]| -> Vec<f64> { x.iter().copied().filter(|x| x.is_finite()).collect() };
            let (got, want) = (finite(&got.top_log_probs), finite(&want.top_log_probs));
            assert_rows(&got, &want, of_loss, &format!("{what}: top"));
        }
        for ((name, got), want) in NAMES.iter().zip(&got.gradients).zip(&want.gradients) {
            assert_rms(
                got,
                want,
                of_gradient,
                &format!("{what}: gradient of {name}"),
            );
        }
    }
}
