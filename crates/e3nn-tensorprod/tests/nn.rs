//! Equivariant layers against e3nn, MACE, and their own promises.

mod common;
#[path = "common/golden_batch_norm.rs"]
mod golden_batch_norm;
#[path = "common/golden_nn.rs"]
mod golden_nn;
#[path = "common/golden_s2.rs"]
mod golden_s2;

use burn::module::Param;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::Irrep;
use e3nn_tensorprod::nn::*;
use golden_nn::{gate, irreps, odd_gate};

#[test]
fn layers_equal_e3nn() {
    for dtype in [DType::F64, DType::F32] {
        golden_nn::layers_equal_e3nn(&Device::flex(), dtype);
    }
}

#[test]
fn irreps_of_gates_are_those_of_e3nn() {
    let layer = gate();
    assert_eq!(layer.irreps_in.to_string(), "4x0o+7x0e+3x1o+1x1e+1x2e");
    assert_eq!(layer.irreps_out.to_string(), "4x0e+2x0o+3x1o+1x2o+1x1o");

    let odd = odd_gate();
    assert_eq!(odd.irreps_in.to_string(), "48x0o+16x1o+16x1e");
    assert_eq!(odd.irreps_out.to_string(), "16x0o+16x1o+16x1e");

    // Gates that functions make equal scale one run.
    use ScalarFunction::{Abs, Tanh};
    let gates = vec![Tanh, Abs];
    let (none, six) = (irreps(""), irreps("1x3e+6x3o+1x2o"));
    let merged = GateConfig::new(none.clone(), vec![], irreps("4x0e+4x0o"), gates, six);
    let merged = merged.init().unwrap();
    assert_eq!(merged.irreps_out.to_string(), "1x3e+6x3o+1x2o");

    let empty = GateConfig::new(none.clone(), vec![], none.clone(), vec![], none);
    let x = Tensor::<2>::zeros([2, 0], &Device::flex());
    assert_eq!(empty.init().unwrap().forward(x).dims(), [2, 0]);
}

#[test]
fn norm_activation_is_finite_at_zero() {
    let device = Device::flex().autodiff();
    for normalize in [true, false] {
        let layer = NormActivationConfig::new(irreps("2x1o"), ScalarFunction::Tanh)
            .with_normalize(normalize)
            .init(&device)
            .unwrap();
        let x = Tensor::<2>::zeros([1, 6], &device).require_grad();
        let y = layer.forward(x.clone());
        assert_close!(y.clone(), Tensor::<2>::zeros([1, 6], &device), 0.0, 0.0);
        let grads = y.sum().backward();
        let gradient = x.grad(&grads).unwrap().into_data();
        assert!(gradient.iter::<f64>().all(f64::is_finite), "{gradient}");
    }
}

#[test]
fn batch_norm_equals_e3nn() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_batch_norm::equals_e3nn(&Device::flex(), dtype, bound);
    }
}

#[test]
fn batch_norm_of_nothing_changes_nothing() {
    let device = Device::flex().autodiff();
    let layer = BatchNormConfig::new(irreps("3x0e+2x1o")).init(&device);
    let layer = layer.unwrap();
    let x = Tensor::<3>::empty([0, 2, 9], &device);
    assert_eq!(layer.forward_samples(x).dims(), [0, 2, 9]);
    let x = Tensor::<2>::empty([0, 9], &device);
    assert_eq!(layer.forward(x).dims(), [0, 9]);
    let (mean, var) = (&layer.running_mean, &layer.running_var);
    assert_close!(
        mean.value_sync(),
        Tensor::<1>::zeros([3], &device),
        0.0,
        0.0
    );
    assert_close!(var.value_sync(), Tensor::<1>::ones([5], &device), 0.0, 0.0);
}

/// Drawn weights have the dtype asked for, whatever the default.
#[test]
fn a_fresh_contraction_runs_in_its_dtype() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for dtype in [DType::F32, DType::F64] {
            let list = irreps("2x0e+2x1o");
            let config = SymmetricContractionConfig::new(list.clone(), list, 2, 1);
            let layer = config.init(&device, dtype).unwrap();
            let x = Tensor::<2>::ones([1, 8], (&device, dtype));
            let y = layer.forward(x, Tensor::zeros([1], &device));
            assert_eq!(y.dtype(), dtype);
            assert_eq!(y.dims(), [1, 8]);
        }
    }
}

#[test]
fn constants_equal_e3nn_and_the_integral() {
    let meta = Golden::open("nn").meta();
    let names = [
        (ScalarFunction::Silu, "silu"),
        (ScalarFunction::Tanh, "tanh"),
        (ScalarFunction::Sigmoid, "sigmoid"),
        (ScalarFunction::Abs, "abs"),
        (ScalarFunction::Relu, "relu"),
        (ScalarFunction::Softplus, "softplus"),
        (ScalarFunction::Gelu, "gelu"),
        (ScalarFunction::Mish, "mish"),
        (ScalarFunction::LeakyRelu, "leaky_relu"),
        (ScalarFunction::Elu, "elu"),
        (ScalarFunction::ShiftedSoftplus, "ssp"),
    ];
    for (function, name) in names {
        let want = meta["normalize2mom_cst"][name].as_f64().unwrap();
        assert_eq!(function.constant(SecondMoment::E3nn), want, "{name}");
    }
    // E[f(z)²] by the trapezoidal rule on either side of the kink at 0, exact to rounding for what decays so fast.
    let device = Device::flex();
    let (steps, width) = (40_000, 12.0);
    let step = width / steps as f64;
    for function in ScalarFunction::ALL {
        let moment: f64 = [-1.0, 1.0]
            .iter()
            .map(|side| {
                let z: Vec<f64> = (0..=steps).map(|i| side * i as f64 * step).collect();
                let x = Tensor::<1>::from_data(
                    TensorData::new(z.clone(), [z.len()]),
                    (&device, DType::F64),
                );
                let f = function.apply(Dual::constant(x), SecondMoment::Raw).value;
                let f: Vec<f64> = f.into_data().iter::<f64>().collect();
                let value = |i: usize| f[i] * f[i] * (-0.5 * z[i] * z[i]).exp();
                // Simpson's rule.
                let odd: f64 = (1..steps).step_by(2).map(value).sum();
                let even: f64 = (2..steps).step_by(2).map(value).sum();
                (value(0) + 4.0 * odd + 2.0 * even + value(steps)) * step / 3.0
            })
            .sum();
        let moment = moment / (2.0 * std::f64::consts::PI).sqrt();
        let constant = function.constant(SecondMoment::Exact);
        assert!(
            (constant * constant * moment - 1.0).abs() < 1e-12,
            "{function:?}: {}",
            moment.powf(-0.5)
        );
    }
}

#[test]
fn parity_of_functions_is_what_they_say() {
    let device = Device::flex();
    let z: Vec<f64> = (0..256).map(|i| i as f64 * 10.0 / 255.0).collect();
    for function in ScalarFunction::ALL {
        let at = |sign: f64| -> Vec<f64> {
            let z: Vec<f64> = z.iter().map(|z| sign * z).collect();
            let x = Tensor::<1>::from_data(TensorData::new(z, [256]), (&device, DType::F64));
            let f = function.apply(Dual::constant(x), SecondMoment::Raw).value;
            f.into_data().iter::<f64>().collect()
        };
        let (plus, minus) = (at(1.0), at(-1.0));
        let all = |sign: f64| {
            plus.iter()
                .zip(&minus)
                .all(|(p, m)| (p - sign * m).abs() < 1e-5)
        };
        let found = match (all(1.0), all(-1.0)) {
            (true, _) => Some(e3nn_tensorprod::Parity::Even),
            (_, true) => Some(e3nn_tensorprod::Parity::Odd),
            _ => None,
        };
        assert_eq!(function.parity(), found, "{function:?}");
    }
}

#[test]
fn slopes_are_derivatives() {
    let device = Device::flex();
    let x: Vec<f64> = vec![-6.0, -1.3, -0.2, -1e-3, 1e-3, 0.4, 1.7, 9.0];
    let n = x.len();
    let tensor = |values: Vec<f64>| {
        Tensor::<1>::from_data(TensorData::new(values, [n]), (&device, DType::F64))
    };
    for function in ScalarFunction::ALL {
        let value = |shift: f64| -> Vec<f64> {
            let moved = tensor(x.iter().map(|x| x + shift).collect());
            let f = function.apply(Dual::constant(moved), SecondMoment::Exact);
            f.value.into_data().iter::<f64>().collect()
        };
        let h = 1e-5;
        let want: Vec<f64> = value(h)
            .iter()
            .zip(value(-h))
            .map(|(p, m)| (p - m) / (2.0 * h))
            .collect();
        let pair = Dual::new(tensor(x.clone()), tensor(vec![1.0; n]));
        let got = function.apply(pair, SecondMoment::Exact).tangent.unwrap();
        assert_close!(got, tensor(want), 1e-8, 1e-9, "{function:?}");
    }
}

#[test]
fn s2_grid_equals_e3nn() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_s2::equals_e3nn(&Device::flex(), dtype, bound);
    }
    assert!(matches!(S2Grid::new(7, 9, 2), Err(NnError::Grid { .. })));
}

#[test]
fn symmetric_contraction_equals_mace() {
    for case in ["a", "b"] {
        for dtype in [DType::F64, DType::F32] {
            golden_nn::contraction_equals_mace(case, &Device::flex(), dtype);
        }
    }
}

/// Of four copies MACE couples through natural parities only. Values of mace-torch 0.3.16, every weight `W[k] = (k + 1) / paths`.
#[test]
fn symmetric_contraction_of_four_equals_mace() {
    let device = Device::flex();
    let tensor = |values: Vec<f64>, shape| {
        Tensor::<3>::from_data(TensorData::new(values, shape), (&device, DType::F64))
    };
    let config = |out| SymmetricContractionConfig::new(irreps("1x0e+1x1o"), irreps(out), 4, 1);
    let mut layer = config("1x0e+1x2e").init(&device, DType::F64).unwrap();
    let mut paths = Vec::new();
    for weight in layer.contractions.iter_mut().flat_map(|c| &mut c.weights) {
        let n = weight.as_ref().map_or(0, |weight| weight.dims()[1]);
        if let Some(weight) = weight {
            let values = (1..=n).map(|k| k as f64 / n as f64).collect();
            *weight = Param::from_tensor(tensor(values, [1, n, 1]));
        }
        paths.push(n);
    }
    assert_eq!(paths, [1, 2, 4, 9, 0, 1, 3, 9]);
    let x = tensor(vec![0.3, -0.7, 1.1, 0.4], [1, 1, 4]).reshape([1, 4]);
    let elements = Tensor::<1, Int>::zeros([1], &device);
    let want = vec![
        4.263060935522267,
        -1.4276819150917923,
        -3.9261252665024307,
        2.605289986164057,
        2.2435001522871034,
        -0.8413125571076632,
    ];
    let want = tensor(want, [1, 1, 6]).reshape([1, 6]);
    assert_close!(layer.forward(x, elements), want, 1e-12, 1e-12);
    // Four copies do not reach an irrep of the other parity.
    let layer = config("1x1e").init(&device, DType::F64).unwrap();
    assert!(layer.contractions[0].weights[3].is_none());
}

#[test]
fn layer_norms_have_the_sizes_they_promise() {
    let device = Device::flex();
    let x = golden_rows(&device);
    let list = irreps("3x0e+2x0o+2x1o+1x2e");
    for kind in [
        LayerNormKind::EachBlock,
        LayerNormKind::ScalarsAndRest,
        LayerNormKind::All,
    ] {
        for normalize in [Normalize::Component, Normalize::Norm] {
            let layer = LayerNormConfig::new(list.clone())
                .with_kind(kind)
                .with_normalize(normalize)
                .with_epsilon(1e-30)
                .with_affine(false)
                .init(&device)
                .unwrap();
            let y: Vec<f64> = layer.forward(x.clone()).into_data().iter::<f64>().collect();
            for row in y.chunks(list.dim()) {
                let sizes: Vec<f64> = list
                    .iter()
                    .zip(list.slices())
                    .map(|(block, range)| {
                        let square: f64 = row[range].iter().map(|v| v * v).sum();
                        let per = if normalize == Normalize::Component {
                            block.irrep.dim()
                        } else {
                            1
                        };
                        square / (block.mul * per) as f64
                    })
                    .collect();
                let mean: f64 = row[..3].iter().sum();
                assert!(mean.abs() < 1e-12);
                let groups: &[&[usize]] = match kind {
                    LayerNormKind::EachBlock => &[&[0], &[1], &[2], &[3]],
                    LayerNormKind::ScalarsAndRest => &[&[0], &[1], &[2, 3]],
                    LayerNormKind::All => &[&[0, 1, 2, 3]],
                };
                for group in groups {
                    let size: f64 =
                        group.iter().map(|&b| sizes[b]).sum::<f64>() / group.len() as f64;
                    assert!((size - 1.0).abs() < 1e-12, "{kind:?} {normalize:?}: {size}");
                }
            }
        }
    }
}

/// Some rows of `3x0e+2x0o+2x1o+1x2e`.
fn golden_rows(device: &Device) -> Tensor<2> {
    let golden = Golden::open("nn");
    let x: Tensor<3> = golden.tensor("bn_mean_batch_component.x", device, DType::F64);
    x.reshape([30, 16])
}

#[test]
fn dropout_drops_whole_irreps_and_keeps_the_mean() {
    let device = Device::flex().autodiff();
    device.seed(7);
    let layer = DropoutConfig::new(irreps("3x0e+2x1o"), 0.25)
        .init()
        .unwrap();
    let x = Tensor::<2>::ones([4000, 9], &device);
    let y: Vec<f64> = layer.forward(x).into_data().iter::<f64>().collect();
    let keep = f64::from(1.0_f32 / 0.75);
    for row in y.chunks(9) {
        assert!(row.iter().all(|&v| v == 0.0 || (v - keep).abs() < 1e-6));
        assert!(row[3] == row[4] && row[4] == row[5] && row[6] == row[8]);
    }
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    // 20,000 draws: five standard deviations are 0.02.
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    let plain = Tensor::<2>::ones([2, 9], &Device::flex());
    assert_close!(layer.forward(plain.clone()), plain, 0.0, 0.0);
}

#[test]
fn misuse_is_named() {
    use ScalarFunction::{Silu, Tanh};
    let activation = |text: &str, functions| {
        ActivationConfig::new(irreps(text), functions)
            .init()
            .unwrap_err()
    };
    assert_eq!(
        activation("4x0e+1o", vec![Some(Silu), Some(Silu)]).to_string(),
        "Activation: block 1 is 1x1o, and a function acts on l = 0 only"
    );
    assert_eq!(
        activation("4x0o", vec![Some(Silu)]).to_string(),
        "Activation: block 0 is 4x0o, and Silu is neither even nor odd"
    );
    assert!(matches!(
        activation("4x0o", vec![]),
        NnError::FunctionCount { .. }
    ));
    let gate = GateConfig::new(
        irreps("0e"),
        vec![Silu],
        irreps("2x0o"),
        vec![Tanh],
        irreps("3x1o"),
    );
    assert!(matches!(
        gate.init().unwrap_err(),
        NnError::Gates {
            gates: 2,
            gated: 3,
            ..
        }
    ));
    let device = Device::flex();
    let contraction = |a: &str, b: &str| {
        let config = SymmetricContractionConfig::new(irreps(a), irreps(b), 2, 1);
        config.init(&device, DType::F64).unwrap_err()
    };
    assert!(matches!(
        contraction("4x0e+3x1o", "4x0e"),
        NnError::Channels { .. }
    ));
    let unreachable = contraction("4x0e", "4x1o");
    assert!(
        matches!(unreachable, NnError::Unreachable { irrep, .. } if irrep == Irrep::new(1, e3nn_tensorprod::Parity::Odd))
    );
    let numbers = |a: &str, correlation, elements| {
        let config = SymmetricContractionConfig::new(irreps(a), irreps(a), correlation, elements);
        config.init(&device, DType::F64).unwrap_err().to_string()
    };
    assert_eq!(
        numbers("0x0e", 2, 1),
        "SymmetricContraction: number of channels is 0, expected at least 1"
    );
    assert_eq!(
        numbers("0e", 2, 0),
        "SymmetricContraction: num_elements is 0, expected at least 1"
    );
    let s2 = S2ActivationConfig::new(irreps("0e"), Tanh, [4, 3]);
    let s2 = s2.with_lmax_out(Some(usize::MAX));
    let error = s2.init(&device, DType::F64).unwrap_err();
    assert!(error.to_string().contains("does not hold degree"));
    let s2 = S2ActivationConfig::new(irreps("0e+1e+2o"), Silu, [12, 11]);
    assert!(matches!(
        s2.init(&device, DType::F64).unwrap_err(),
        NnError::NotASignal { .. }
    ));
}

#[test]
#[should_panic(
    expected = "Gate: expected [batch, 28] for 4x0o+7x0e+3x1o+1x1e+1x2e, got a last axis of 27"
)]
fn another_width_panics() {
    gate().forward(Tensor::<2>::zeros([2, 27], &Device::flex()));
}
