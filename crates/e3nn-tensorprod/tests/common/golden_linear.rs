//! The generator's linear maps, and their numbers on a device.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::{PathNormalization, WeightRows};
use e3nn_tensorprod::{Biases, Irreps, LinearConfig};

pub fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

pub fn config(case: &str) -> LinearConfig {
    let config = LinearConfig::new(irreps("4x0e+3x1o+2x0e+1x0o"), irreps("2x1o+8x0e+2x0o"))
        .with_internal_weights(false);
    match case {
        "default" => config,
        "path" => config.with_path_normalization(PathNormalization::Path),
        "bias" => config.with_biases(Biases::Scalars),
        "instr" => config.with_instructions(Some(vec![(0, 1), (1, 0)])),
        "f_in_out" => LinearConfig::new(irreps("2x0e+1x1o"), irreps("1x0e+2x1o"))
            .with_f_in(3)
            .with_f_out(4)
            .with_internal_weights(false),
        _ => panic!("{case}"),
    }
}

/// Values, gradients, and gradients of gradients (see `products.rs`).
pub fn same_numbers(case: &str, device: &Device, dtype: DType, [first, second]: [f64; 2]) {
    let golden = Golden::open("linear");
    let device = device.clone().autodiff();
    let layer = config(case).init(&device).unwrap();
    let name = |what: &str| format!("{case}.{what}");
    let load = |what: &str, rows: usize| -> Tensor<2> {
        let values = golden.values(&name(what));
        let columns = values.len() / rows;
        let data = burn::tensor::TensorData::new(values, [rows, columns]);
        Tensor::from_data(data, (&device, dtype))
    };
    let batch = golden.shape(&name("x"))[0];
    let x = load("x", batch).require_grad();
    let w = load("w", 1).require_grad();
    let has_bias = layer.bias_numel() > 0;
    let b = has_bias.then(|| load("b", 1).require_grad());
    let close = |got: Tensor<2>, want: Tensor<2>, bound: f64, what: &str| {
        assert_close!(got, want, bound, bound, "{case}, {dtype:?}: {what}");
    };
    let inputs: Vec<(Tensor<2>, usize)> = [(x.clone(), batch), (w.clone(), 1)]
        .into_iter()
        .chain(b.clone().map(|b| (b, 1)))
        .collect();

    let out = layer.forward_weighted(x, w, b, &WeightRows::Shared);
    close(out.clone(), load("out", batch), first, "out");
    let grads = (out * load("cot", batch)).sum().backward();
    for (i, (input, rows)) in inputs.iter().enumerate() {
        let name = format!("g{i}");
        let gradient = Tensor::from_inner(input.grad(&grads).expect("a gradient"));
        close(gradient, load(&name, *rows), first, &name);
    }

    let dual = |i: usize| Dual::new(inputs[i].0.clone(), load(&format!("v{i}"), inputs[i].1));
    let bias = has_bias.then(|| dual(2));
    let out = layer.forward_weighted(dual(0), dual(1), bias, &WeightRows::Shared);
    let tangent = out.tangent.expect("a tangent");
    close(tangent.clone(), load("hcot", batch), second, "hcot");
    let grads = (tangent * load("cot", batch)).sum().backward();
    for (i, (input, rows)) in inputs.iter().enumerate() {
        let name = format!("h{i}");
        // The tangent does not depend on the bias.
        let gradient = input.grad(&grads).map(Tensor::from_inner);
        assert_eq!(gradient.is_none(), i == 2, "{case}: {name}");
        let gradient = gradient.unwrap_or_else(|| input.zeros_like());
        close(gradient, load(&name, *rows), second, &name);
    }
}
