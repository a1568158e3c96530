//! Every layer of `nn` commutes with O(3).

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::cast_module;
use e3nn_tensorprod::Irreps;
use e3nn_tensorprod::nn::*;
use e3nn_tensorprod::testing::{Argument, Equivariance, assert_equivariant, equivariance_error};

fn irreps(text: &str) -> Irreps {
    text.parse().unwrap()
}

/// 1,000 elements; the layer gets its parameters in the dtype.
fn check<M: Module + Clone>(
    layer: &M,
    input: &Irreps,
    output: &Irreps,
    f: impl Fn(&M, Tensor<2>) -> Tensor<2>,
) {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        let layer = cast_module(layer.clone(), dtype);
        let options = Equivariance {
            elements: 1000,
            dtype,
            tolerance,
            ..Equivariance::default()
        };
        let inputs = [Argument::features(input.clone())];
        let run = |x: &[Tensor<2>]| vec![f(&layer, x[0].clone())];
        assert_equivariant(run, &inputs, &[output.clone().into()], &options);
    }
}

#[test]
fn activation_and_gate() {
    use ScalarFunction::{Abs, Sigmoid, Silu, Tanh};
    let layer = ActivationConfig::new(
        irreps("4x0e+3x0o+2x0o+2x6o"),
        vec![Some(Silu), Some(Abs), Some(Tanh), None],
    );
    let layer = layer.init().unwrap();
    check(&layer, &layer.irreps_in, &layer.irreps_out, |l, x| {
        l.forward(x)
    });

    let gate = GateConfig::new(
        irreps("4x0e+2x0o"),
        vec![Silu, Tanh],
        irreps("3x0e+4x0o"),
        vec![Sigmoid, Tanh],
        irreps("3x1o+1x2e+1x1e+2x6e"),
    );
    let gate = gate.init().unwrap();
    check(&gate, &gate.irreps_in, &gate.irreps_out, |l, x| {
        l.forward(x)
    });
}

#[test]
fn norms() {
    let device = Device::flex();
    let list = irreps("3x0e+2x0o+0x1e+2x1o+1x2e+1x6o");
    for normalize in [true, false] {
        let layer = NormActivationConfig::new(list.clone(), ScalarFunction::Silu)
            .with_normalize(normalize)
            .init(&device)
            .unwrap();
        check(&layer, &list, &list, |l, x| l.forward(x));
    }
    for kind in [
        LayerNormKind::EachBlock,
        LayerNormKind::ScalarsAndRest,
        LayerNormKind::All,
    ] {
        let layer = LayerNormConfig::new(list.clone())
            .with_kind(kind)
            .init(&device)
            .unwrap();
        check(&layer, &list, &list, |l, x| l.forward(x));
    }
    let layer = BatchNormConfig::new(list.clone()).init(&device).unwrap();
    check(&layer, &list, &list, |l, x| l.forward(x));
    let layer = BatchNormConfig::new(list.clone())
        .with_instance(true)
        .init(&device)
        .unwrap();
    check(&layer, &list, &list, |l, x| {
        let [rows, dim] = x.dims();
        l.forward_samples(x.reshape([rows / 2, 2, dim]))
            .reshape([rows, dim])
    });
    // The statistics of a batch, too.
    let training = Device::flex().autodiff();
    let layer = BatchNormConfig::new(list.clone()).init(&training).unwrap();
    check(&layer, &list, &list, |l, x| {
        l.forward(Tensor::from_inner(x)).inner()
    });
}

#[test]
fn symmetric_contraction() {
    let device = Device::flex();
    let (input, output) = (irreps("2x0e+2x1o+2x2e"), irreps("2x0e+2x1o+2x2e+2x3o"));
    let config = SymmetricContractionConfig::new(input.clone(), output.clone(), 3, 3);
    // Its constants have the dtype that it was made for.
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        let layer = cast_module(config.init(&device, dtype).unwrap(), dtype);
        let elements = Tensor::<1, Int>::from_data(TensorData::from([0_i64, 2, 1, 2]), &device);
        let options = Equivariance {
            elements: 1000,
            dtype,
            tolerance,
            ..Equivariance::default()
        };
        let run = |x: &[Tensor<2>]| vec![layer.forward(x[0].clone(), elements.clone())];
        let inputs = [Argument::features(input.clone())];
        assert_equivariant(run, &inputs, &[output.clone().into()], &options);
    }
}

/// The error of the grid falls as the grid grows, until only rounding is left.
#[test]
fn activation_on_the_sphere() {
    let device = Device::flex();
    let signal = irreps("0e+1o+2e+3o");
    let error = |beta: usize| {
        let layer = S2ActivationConfig::new(signal.clone(), ScalarFunction::Tanh, [beta, beta - 1])
            .init(&device, DType::F64)
            .unwrap();
        let inputs = [Argument::features(layer.irreps_in.clone())];
        let run = |x: &[Tensor<2>]| vec![layer.forward(x[0].clone())];
        let outputs = [layer.irreps_out.clone().into()];
        equivariance_error(run, &inputs, &outputs, &Equivariance::default()).max_rel()
    };
    let errors = [8, 16, 32, 64].map(error);
    let shown = errors.map(|error| format!("{error:.1e}")).join(", ");
    println!("S2Activation, tanh, lmax 3, grids of 8, 16, 32, 64 latitudes: {shown}");
    assert!(errors[0] < 0.3 && errors[1] < 0.1 * errors[0] && errors[2] < 0.1 * errors[1]);
    assert!(errors[3] < 1e-6, "{errors:?}");
}
