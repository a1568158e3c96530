//! Modules of several kernels commute with O(3) on the device.

use crate::device;
use burn::tensor::{DType, Tensor};
use core_tensor::product::matmul;
use e3nn_tensorprod::nn::{GateConfig, ScalarFunction};
use e3nn_tensorprod::product::InstructionOrder;
use e3nn_tensorprod::rotation::edge_frame;
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::testing::{Argument, Equivariance, Role, assert_equivariant};
use e3nn_tensorprod::wigner::wigner_d_from_matrix;
use e3nn_tensorprod::{Irreps, LinearConfig, SortOrder, TensorProductConfig};

fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

pub(crate) fn settings() -> Equivariance {
    Equivariance {
        elements: 50,
        dtype: DType::F32,
        device: device(),
        tolerance: 3e-6,
        ..Equivariance::default()
    }
}

/// Features times harmonics of vectors, depth-wise; mixed; through a gate; fully connected with the harmonics again.
#[test]
fn a_message() {
    let (input, harmonics) = (irreps("16x0e+16x1o+16x2e"), irreps("0e+1o+2e+3o"));
    let depthwise = TensorProductConfig::depthwise(
        &input,
        &harmonics,
        &irreps("0e+1o+2e"),
        InstructionOrder::Found,
        SortOrder::DegreeFirst,
    );
    let depthwise = depthwise.init(&device()).expect("a product");
    let gate = GateConfig::new(
        irreps("12x0e"),
        vec![ScalarFunction::Silu],
        irreps("16x0e"),
        vec![ScalarFunction::Sigmoid],
        irreps("8x1o+8x2e"),
    );
    let gate = gate.init().expect("a gate");
    let linear = LinearConfig::new(
        depthwise.plan().irreps_out().clone(),
        gate.irreps_in.clone(),
    );
    let linear = linear.init(&device()).expect("a linear map");
    let output = irreps("9x0e+10x1o+9x2e");
    let last = TensorProductConfig::fully_connected(&gate.irreps_out, &harmonics, &output);
    let last = last.init(&device()).expect("a product");
    let f = |x: &[Tensor<2>]| {
        let n = Normalization::Component;
        let y = spherical_harmonics(&[0, 1, 2, 3], x[1].clone(), true, n);
        let x = gate.forward(linear.forward(depthwise.forward(x[0].clone(), y.clone())));
        vec![last.forward(x, y)]
    };
    let arguments = [Argument::features(input), Argument::features(irreps("1o"))];
    assert_equivariant(f, &arguments, &[output.into()], &settings());
}

/// Into the frame of a vector, the components that a rotation about it leaves alone, and back.
#[test]
fn frames() {
    let signal = irreps("0e+1o+2e+3o");
    let f = |x: &[Tensor<2>]| {
        let frames = edge_frame(x[1].clone());
        let all = wigner_d_from_matrix(3, frames);
        let mut at = 0;
        let blocks = all.into_iter().enumerate().map(|(l, d)| {
            let [rows, n, _] = d.dims();
            let block = x[0].clone().narrow(1, at, n).reshape([rows, n, 1]);
            at += n;
            let turned = matmul(d.clone(), block).narrow(1, l, 1);
            let back = matmul(d.narrow(1, l, 1).swap_dims(1, 2), turned);
            back.reshape([rows, n])
        });
        vec![Tensor::cat(blocks.collect(), 1)]
    };
    let arguments = [
        Argument::features(signal.clone()),
        Argument::features(irreps("1o")),
    ];
    let outputs = [Role::from(signal)];
    assert_equivariant(f, &arguments, &outputs, &settings());
}
