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
use core_tensor::product::matmul;
use e3nn_tensorprod::Irreps;
use e3nn_tensorprod::nn::*;
use e3nn_tensorprod::product::Norm;

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
    let get = |key: &str| golden.tensor::<2>(&format!("{case}{key}"), &device, dtype);
    let x = get("x").require_grad();
    let out = f(Dual::constant(x.clone())).value;
    assert_close!(out.clone(), get("out"), first, first, "{case}out");
    let cot = get("cot");
    let grads = (out * cot.clone()).sum().backward();
    let want = get("g0").inner();
    assert_close!(x.grad(&grads).unwrap(), want, first, first, "{case}g0");

    let x = get("x").require_grad();
    let tangent = f(Dual::new(x.clone(), get("v0")))
        .tangent
        .expect("a tangent");
    assert_close!(tangent.clone(), get("hcot"), second, second, "{case}hcot");
    let grads = (tangent * cot).sum().backward();
    let want = get("h0").inner();
    assert_close!(x.grad(&grads).unwrap(), want, second, second, "{case}h0");
}

/// Bounds of values and first derivatives, and of second ones.
pub fn bounds(dtype: DType) -> (f64, f64) {
    if dtype == DType::F64 {
        (1e-12, 1e-10)
    } else {
        (1e-5, 1e-5)
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

/// The case `gate2` of the generator: all scalars odd.
pub fn odd_gate() -> Gate {
    use ScalarFunction::Tanh;
    GateConfig::new(
        irreps("16x0o"),
        vec![Tanh],
        irreps("32x0o"),
        vec![Tanh],
        irreps("16x1e+16x1o"),
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
    let by_parts = matmul(net.hidden(x.clone()), net.weights[2].val());
    assert_close!(by_parts, net.forward(x), 1e-6, 1e-6);

    let mut activation = NormActivationConfig::new(irreps("3x0e+2x1o"), ScalarFunction::Sigmoid)
        .with_bias(true)
        .init(device)
        .unwrap();
    activation.biases = Some(Param::from_tensor(golden.tensor(
        "normact.b",
        device,
        dtype,
    )));
    let got = activation.forward(golden.tensor::<2>("normact.x", device, dtype));
    let (first, _) = bounds(dtype);
    let want = golden.tensor::<2>("normact.out", device, dtype);
    assert_close!(got, want, first, first, "normact.out");

    let got = odd_gate().forward(golden.tensor::<2>("gate2.x", device, dtype));
    let want = golden.tensor::<2>("gate2.out", device, dtype);
    assert_close!(got, want, first, first, "gate2.out");

    let norm = Norm::new(&irreps("3x0e+2x1o+1x2e"), false);
    let x = golden.tensor::<2>("norm.x", &tracked, dtype).require_grad();
    let out = norm.forward(x.clone());
    let want = golden.tensor::<2>("norm.out", device, dtype);
    assert_close!(out.clone(), want, first, first, "norm.out");
    // A zero vector is among them: its gradient is 0.
    let gradient = x.grad(&out.sum().backward()).unwrap();
    let gradient: Vec<f64> = gradient.into_data().iter::<f64>().collect();
    assert!(gradient.iter().all(|g| g.is_finite()));
    assert_eq!(gradient[3..6], [0.0; 3]);
}

/// MACE's symmetric contraction, case `a` or `b`.
pub fn contraction_equals_mace(case: &str, device: &Device, dtype: DType) {
    let golden = Golden::open(&format!("mace_symmetric_contraction_{case}"));
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
    let one_hot = golden.values("element_onehot");
    let elements = one_hot.chunks(2).map(|row| i64::from(row[1] == 1.0));
    let elements: Vec<i64> = elements.collect();
    let elements = Tensor::from_data(TensorData::new(elements, [3]), &device);
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
