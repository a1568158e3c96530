//! Values and gradients made by other people's code; see `tests/golden/README.md`.

mod common;

use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use common::{array, golden};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::scan::reference::{activate, log_g};
use seq_rnn_parallel_scan::{Candidate, ScanOptions, Transition, linear_scan, min_gru, min_lstm};

/// The bounds of the golden files: f64, and f32 relative to the largest value.
const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 2e-6)];

fn check<const D: usize>(got: Tensor<D>, want: Tensor<D>, bound: f64, what: &str) {
    let scale: f64 = want.clone().abs().max().into_scalar();
    assert_close!(got, want, bound, bound * scale, "{what}");
}

#[test]
fn linear_scan_values_and_gradients() {
    let file = golden("linear_scan");
    let device = Device::flex().autodiff();
    for (dtype, bound) in PRECISIONS {
        for case in ["plain", "reverse", "reset"] {
            let want = &file["cases"][case];
            let [a, b] = ["a", "b"].map(|k| array::<3>(&file[k], &device, dtype).require_grad());
            let h0 = array::<2>(&file["h0"], &device, dtype).require_grad();
            let mut options = ScanOptions::default()
                .with_initial(h0.clone())
                .with_reverse(case == "reverse");
            if case == "reset" {
                let flags: Vec<bool> = file["reset"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|row| {
                        row.as_array()
                            .unwrap()
                            .iter()
                            .map(|x| x.as_i64() == Some(1))
                    })
                    .collect();
                options = options.with_reset(Tensor::<2, Bool>::from_data(
                    TensorData::new(flags, [2, 13]),
                    &device,
                ));
            }
            let out = linear_scan(a.clone(), b.clone(), options);
            let loss = (out.states.clone() * array(&file["wo"], &device, dtype)).sum()
                + (out.last.clone() * array(&file["wl"], &device, dtype)).sum();
            let grads = loss.backward();
            let inner = device.clone().inner();
            check(
                out.states.inner(),
                array(&want["h"], &inner, dtype),
                bound,
                case,
            );
            check(
                out.last.inner(),
                array(&want["last"], &inner, dtype),
                bound,
                case,
            );
            check(
                a.grad(&grads).unwrap(),
                array(&want["grad_a"], &inner, dtype),
                bound,
                case,
            );
            check(
                b.grad(&grads).unwrap(),
                array(&want["grad_b"], &inner, dtype),
                bound,
                case,
            );
            check(
                h0.grad(&grads).unwrap(),
                array(&want["grad_h0"], &inner, dtype),
                bound,
                case,
            );
        }
    }
}

#[test]
fn the_papers_g() {
    let file = golden("g_activation");
    let device = Device::flex().autodiff();
    let inner = device.clone().inner();
    for (dtype, bound) in PRECISIONS {
        let x = array::<1>(&file["x"], &device, dtype).require_grad();
        let g = activate(Candidate::G, x.clone());
        let grads = g.clone().sum().backward();
        check(g.inner(), array(&file["g"], &inner, dtype), bound, "g");
        check(
            x.grad(&grads).unwrap(),
            array(&file["dg"], &inner, dtype),
            bound,
            "dg",
        );
        check(
            log_g(x).inner(),
            array(&file["log_g"], &inner, dtype),
            bound,
            "log g",
        );
    }
}

/// The kernel's own g: a wide-open gate shows the candidate.
#[test]
fn the_kernels_g() {
    let file = golden("g_activation");
    let device = Device::flex().autodiff();
    let v = array::<1>(&file["x"], &device, DType::F64)
        .reshape([1, 1, 14])
        .require_grad();
    let out = min_gru(
        [v.zeros_like() + 100.0, v.clone()],
        Candidate::G,
        Transition::Positive,
        ScanOptions::default(),
    );
    let grads = out.states.clone().sum().backward();
    let inner = device.inner();
    let want = |name: &str| array::<1>(&file[name], &inner, DType::F64).reshape([1, 1, 14]);
    check(out.states.inner(), want("g"), 1e-12, "g");
    check(v.grad(&grads).unwrap(), want("dg"), 1e-12, "dg");
}

/// `x Wᵀ` for weights in PyTorch's layout.
fn project(x: &Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    x.clone().matmul(weight.transpose().unsqueeze())
}

#[test]
fn min_lstm_values_and_gradients() {
    let file = golden("minlstm");
    let device = Device::flex().autodiff();
    let inner = device.clone().inner();
    for (dtype, bound) in PRECISIONS {
        for (normalized, name) in [(true, "norm"), (false, "unnorm")] {
            let x = array::<3>(&file["x"], &device, dtype).require_grad();
            let weight = array::<2>(&file["weight"], &device, dtype).require_grad();
            // Rows of the file: hidden, forget, input.
            let rows = |i: usize| project(&x, weight.clone().narrow(0, 6 * i, 6));
            let planes = || [rows(1), rows(2), rows(0)];
            let out = min_lstm(planes(), Candidate::G, normalized, ScanOptions::default());
            let grads = (out.states.clone() * array(&file["w"], &device, dtype))
                .sum()
                .backward();
            let want = |kind: &str| &file[format!("{kind}_{name}")];
            check(
                out.states.inner(),
                array(want("y"), &inner, dtype),
                bound,
                name,
            );
            check(
                x.grad(&grads).unwrap(),
                array(want("grad_x"), &inner, dtype),
                bound,
                name,
            );
            check(
                weight.grad(&grads).unwrap(),
                array(want("grad_w"), &inner, dtype),
                bound,
                name,
            );
            if normalized {
                let h0 = array(&file["h0"], &device, dtype);
                let out = min_lstm(
                    planes(),
                    Candidate::G,
                    true,
                    ScanOptions::default().with_initial(h0),
                );
                check(
                    out.states.inner(),
                    array(&file["y_norm_h0"], &inner, dtype),
                    bound,
                    "h0",
                );
            }
        }
    }
}

/// RG-LRU through `linear_scan`: `a = exp(−8 σ(r) softplus(Λ))`, `b = √(1 − a²) σ(i) x`, with segments as
/// resets (`b` unscaled where a segment begins) and a cached state.
#[test]
fn rg_lru() {
    let file = golden("rglru");
    let device = Device::flex();
    let get = |name: &str| &file["params"][name];
    let x = array::<3>(&file["x"], &device, DType::F32);
    let block_diagonal = |gate: &str| {
        let w = array::<3>(get(&format!("{gate}.w")), &device, DType::F32);
        let b = array::<2>(get(&format!("{gate}.b")), &device, DType::F32);
        let heads = x
            .clone()
            .reshape([18, 2, 4])
            .swap_dims(0, 1)
            .matmul(w)
            .swap_dims(0, 1);
        sigmoid(heads.reshape([2, 9, 8]) + b.reshape([1, 1, 8]))
    };
    let (input, forget) = (block_diagonal("input_gate"), block_diagonal("a_gate"));
    let lambda = softplus(array::<1>(get("a_param"), &device, DType::F32), 1.0).reshape([1, 1, 8]);
    let log_a = forget * lambda * -8.0;
    let positions: Vec<i32> = file["segment_pos"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| {
            row.as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_i64().unwrap() as i32)
        })
        .collect();
    let starts: Vec<bool> = positions.iter().map(|&p| p == 0).collect();
    let reset = Tensor::<2, Bool>::from_data(TensorData::new(starts, [2, 9]), &device);
    let scale = (-(log_a.clone() * 2.0).exp() + 1.0).sqrt();
    let scale = scale.mask_fill(reset.clone().unsqueeze_dim::<3>(2).expand([2, 9, 8]), 1.0);
    let options = ScanOptions::default().with_reset(reset).with_initial(array(
        &file["cache"],
        &device,
        DType::F32,
    ));
    let out = linear_scan(log_a.exp(), x * input * scale, options);
    check(
        out.states,
        array(&file["y"], &device, DType::F32),
        2e-6,
        "states",
    );
    check(
        out.last,
        array(&file["h_last"], &device, DType::F32),
        2e-6,
        "last",
    );
}
