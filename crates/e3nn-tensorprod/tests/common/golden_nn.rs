//! The generator's layers on a device.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use crate::common::Golden;
use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::Irreps;
use e3nn_tensorprod::nn::*;

pub fn irreps(text: &str) -> Irreps {
    text.parse().unwrap()
}

/// Values, gradients, tangents and gradients of tangents of a function of one variable, against a case of a
/// golden file with the keys `x, out, cot, g0, v0, h0, hcot`.
pub fn check_case(
    golden: &Golden,
    case: &str,
    device: &Device,
    dtype: DType,
    f: &dyn Fn(Dual<2>) -> Dual<2>,
) {
    let device = device.clone().autodiff();
    let (first, second) = bounds(dtype);
    let shape = golden.shape(&format!("{case}x"));
    let columns = shape[shape.len() - 1];
    let get = |key: &str| {
        let name = format!("{case}{key}");
        let rows = golden.values(&name).len() / golden.shape(&name).last().unwrap();
        let data = TensorData::new(
            golden.values(&name),
            [rows, *golden.shape(&name).last().unwrap()],
        );
        Tensor::<2>::from_data(data, (&device, dtype))
    };
    let inputs = |key: &str| {
        let rows = golden.values(&format!("{case}{key}")).len() / columns;
        let data = TensorData::new(golden.values(&format!("{case}{key}")), [rows, columns]);
        Tensor::<2>::from_data(data, (&device, dtype))
    };
    let x = inputs("x").require_grad();
    let out = f(Dual::constant(x.clone())).value;
    let want = get("out").reshape(out.dims());
    assert_close!(out.clone(), want, first, first, "{case}out");
    let cot = get("cot").reshape(out.dims());
    let grads = (out * cot.clone()).sum().backward();
    let want = inputs("g0").inner();
    assert_close!(x.grad(&grads).unwrap(), want, first, first, "{case}g0");

    let x = inputs("x").require_grad();
    let tangent = f(Dual::new(x.clone(), inputs("v0")))
        .tangent
        .expect("a tangent");
    let want = get("hcot").reshape(tangent.dims());
    assert_close!(tangent.clone(), want, second, second, "{case}hcot");
    let grads = (tangent * cot).sum().backward();
    let want = inputs("h0").inner();
    assert_close!(x.grad(&grads).unwrap(), want, second, second, "{case}h0");
}

/// Bounds of values and first derivatives, and of second ones.
pub fn bounds(dtype: DType) -> (f64, f64) {
    if dtype == DType::F64 {
        (1e-12, 1e-10)
    } else {
        (1e-5, 3e-5)
    }
}

pub fn gate() -> Gate {
    use ScalarFunction::{Sigmoid, Silu, Tanh};
    GateConfig::new(
        irreps("4x0e+2x0o"),
        vec![Silu, Tanh],
        irreps("3x0e+2x0o"),
        vec![Sigmoid, Tanh],
        irreps("3x1o+1x2e+1x1e"),
    )
    .init()
    .unwrap()
}

/// All layers but the batch norms.
pub fn layers_equal_e3nn(device: &Device, dtype: DType) {
    let golden = Golden::open("nn");
    let gate = gate();
    check_case(&golden, "gate.", device, dtype, &|x| gate.forward(x));

    let functions = vec![Some(ScalarFunction::Silu), Some(ScalarFunction::Abs), None];
    let activation = ActivationConfig::new(irreps("4x0e+3x0o+2x1o"), functions)
        .init()
        .unwrap();
    assert_eq!(activation.irreps_out.to_string(), "4x0e+3x0e+2x1o");
    check_case(&golden, "activation.", device, dtype, &|x| {
        activation.forward(x)
    });

    let tracked = device.clone().autodiff();
    let mut net = FullyConnectedNetConfig::new(vec![6, 16, 16, 5], ScalarFunction::Silu)
        .with_variance_in(0.5)
        .with_variance_out(2.0)
        .init(&tracked)
        .unwrap();
    for (n, weight) in net.weights.iter_mut().enumerate() {
        *weight = Param::from_tensor(golden.tensor(&format!("fcn.w{n}"), &tracked, dtype));
    }
    check_case(&golden, "fcn.", device, dtype, &|x| net.forward(x));
    let x: Tensor<2> = golden.tensor("fcn.x", &tracked, dtype);
    let by_parts = net.hidden(x.clone()).matmul(net.weights[2].val());
    assert_close!(by_parts, net.forward(x), 1e-6, 1e-6);

    let mut norm = NormActivationConfig::new(irreps("3x0e+2x1o"), ScalarFunction::Sigmoid)
        .with_bias(true)
        .init(device)
        .unwrap();
    norm.biases = Some(Param::from_tensor(golden.tensor(
        "normact.b",
        device,
        dtype,
    )));
    let got = norm.forward(golden.tensor::<2>("normact.x", device, dtype));
    let (first, _) = bounds(dtype);
    let want = golden.tensor::<2>("normact.out", device, dtype);
    assert_close!(got, want, first, first);
}

pub fn contraction(golden: &Golden, case: &str, device: &Device, dtype: DType) {
    let device = device.clone().autodiff();
    let (input, output, correlation) = if case == "a" {
        ("4x0e+4x1o", "4x0e+4x1o", 3)
    } else {
        ("4x0e+4x1o+4x2e", "4x0e", 2)
    };
    let (input, output) = (irreps(input), irreps(output));
    let mut layer = SymmetricContractionConfig::new(input.clone(), output.clone(), correlation, 2)
        .init(&device, dtype)
        .unwrap();
    let coupled = Irreps::new(input.iter().map(|b| (1, b.irrep)));
    for (n, contraction) in layer.contractions.iter_mut().enumerate() {
        for order in 1..=correlation {
            // The basis itself, [2l + 1, dim, …, dim, paths]; MACE drops the first axis of scalars.
            let name = format!("buffer.contractions.{n}.U_matrix_{order}");
            let want = golden.values(&name);
            let paths = coupling_basis(&coupled, output[n].irrep, order);
            for (k, path) in paths.iter().enumerate() {
                let want = want.iter().skip(k).step_by(paths.len());
                let worst = path
                    .iter()
                    .zip(want)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f64::max);
                assert!(worst < 1e-7, "{name}, path {k}: {worst:e}");
            }
            let name = if order == correlation {
                format!("param.contractions.{n}.weights_max")
            } else {
                format!("param.contractions.{n}.weights.{}", correlation - 1 - order)
            };
            let weight: Tensor<3> = golden.tensor(&name, &device, dtype);
            contraction.weights[order - 1] = Some(Param::from_tensor(weight));
        }
    }
    // MACE's features are [node, channel, lm]; ours are blocks.
    let slices = coupled.slices();
    let pack = |x: Tensor<3>| {
        let parts = slices.iter().map(|s| {
            let [nodes, channels, _] = x.dims();
            let part = x.clone().narrow(2, s.start, s.len());
            part.reshape([nodes, channels * s.len()])
        });
        Tensor::cat(parts.collect(), 1)
    };
    let get = |key: &str| golden.tensor::<3>(key, &device, dtype);
    let elements = Tensor::from_data(TensorData::from([0_i64, 1, 1]), &device);
    let (first, second) = bounds(dtype);
    let f = |x| layer.forward::<Dual<2>>(x, elements.clone());

    let x = get("x").require_grad();
    let out = f(Dual::constant(pack(x.clone()))).value;
    let want: Tensor<2> = golden.tensor("out", &device, dtype);
    assert_close!(out.clone(), want, first, first);
    let cot: Tensor<2> = golden.tensor("cot", &device, dtype);
    let grads = (out * cot.clone()).sum().backward();
    assert_close!(x.grad(&grads).unwrap(), get("g0").inner(), first, first);

    let x = get("x").require_grad();
    let tangent = f(Dual::new(pack(x.clone()), pack(get("v0"))))
        .tangent
        .unwrap();
    let want: Tensor<2> = golden.tensor("hcot", &device, dtype);
    assert_close!(tangent.clone(), want, second, second);
    let grads = (tangent * cot).sum().backward();
    assert_close!(x.grad(&grads).unwrap(), get("h0").inner(), second, second);
}
