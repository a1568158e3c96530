//! The error of the f32 kernels does not grow with the length of the sequence.

use burn::tensor::{DType, Device, Distribution, Tensor};
use seq_rnn_parallel_scan::{Candidate, ScanOptions, Transition, min_gru};

/// Largest error of f32 against f64 on the same numbers: states relative to themselves (they are
/// positive), gradients to the largest.
fn errors(time: usize, gate_bias: f64) -> (f64, f64) {
    let device = Device::flex().autodiff();
    device.seed(5);
    let normal = || Tensor::<3>::random([1, time, 32], Distribution::Normal(0.0, 1.0), &device);
    let (gate, candidate) = (normal() + gate_bias, normal());
    let run = |dtype: DType| -> [Vec<f64>; 3] {
        let [k, v] = [&gate, &candidate].map(|x| x.clone().cast(dtype).detach().require_grad());
        let out = min_gru(
            [k.clone(), v.clone()],
            Candidate::G,
            Transition::Positive,
            ScanOptions::default(),
        );
        let grads = out.states.clone().sum().backward();
        let list = |x: Tensor<3>| x.into_data().iter::<f64>().collect();
        [
            list(out.states.inner()),
            list(k.grad(&grads).unwrap()),
            list(v.grad(&grads).unwrap()),
        ]
    };
    let ([h, dk, dv], [want_h, want_dk, want_dv]) = (run(DType::F32), run(DType::F64));
    let relative = h
        .iter()
        .zip(&want_h)
        .map(|(h, w)| (h - w).abs() / w)
        .fold(0.0, f64::max);
    let to_largest = |got: &[f64], want: &[f64]| {
        let largest = want.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        got.iter()
            .zip(want)
            .map(|(g, w)| (g - w).abs())
            .fold(0.0, f64::max)
            / largest
    };
    (
        relative,
        to_largest(&dk, &want_dk).max(to_largest(&dv, &want_dv)),
    )
}

#[test]
fn f32_is_exact_at_65536_steps() {
    let bounds = [(-6.0, 4e-6, 1e-5), (0.0, 1e-6, 5e-6), (6.0, 1e-6, 5e-6)];
    for (gate_bias, bound, bound_gradient) in bounds {
        let (states, gradients) = errors(65_536, gate_bias);
        println!("gate bias {gate_bias:+}: states {states:.1e}, gradients {gradients:.1e}");
        assert!(
            states > 0.0 && states <= bound,
            "gate bias {gate_bias}: states {states:e}"
        );
        assert!(
            gradients > 0.0 && gradients <= bound_gradient,
            "gate bias {gate_bias}: gradients {gradients:e}"
        );
    }
}
