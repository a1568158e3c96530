//! cuEquivariance's products, with its weights, on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::graph::Graph;
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig, InstructionOrder};
use e3nn_tensorprod::product::WeightRows;
use e3nn_tensorprod::weights::{self, Package};
use e3nn_tensorprod::*;

/// A vector of `cuequivariance.safetensors` as one row.
fn row(golden: &Golden, name: &str, device: &Device, dtype: DType) -> Tensor<2> {
    let values = golden.values(name);
    let data = TensorData::new(values.clone(), [1, values.len()]);
    Tensor::from_data(data, (device, dtype))
}

/// Features in the other layout.
fn relaid(values: Tensor<2>, irreps: &Irreps, from: Layout, to: Layout) -> Tensor<2> {
    let tensor = IrrepsTensor::new(values, irreps.clone(), from);
    tensor.to_layout(to).into_values()
}

pub fn config() -> ConvolutionConfig {
    ConvolutionConfig::new(
        irreps!("4x0o+4x0e+4x1o+4x2e"),
        irreps!("0e+1o+2e"),
        irreps!("0e+0o+1o+1e+2e+2o"),
    )
}

/// The convolution over one edge, in the order of cuEquivariance and in ours.
pub fn channelwise_products_of_cuequivariance(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("cuequivariance");
    let loop_edge = Graph::new(1, &[0], &[0], &[]).unwrap();
    let [x, y, w, out] = ["x", "y", "w", "out"]
        .map(|key| row(&golden, &format!("channelwise.{key}"), device, dtype));
    let run = |conv: &Convolution, x: Tensor<2>| {
        let w = weights::channelwise(conv, Package::CuEquivariance).apply_last(w.clone());
        conv.forward(x, y.clone(), w, &loop_edge)
    };
    // Blocks that cuEquivariance keeps apart: components of copies of each path.
    let unmerged = irreps!(
        "4x0e+4x0e+4x0e+4x0o+4x1o+4x1o+4x1o+4x1o+4x1e+4x1e+4x1e+4x2e+4x2e+4x2e+4x2e+4x2o+4x2o+4x2o"
    );

    let theirs = config()
        .with_order(InstructionOrder::ByOutput)
        .with_sort(SortOrder::ParityFirst);
    let theirs = theirs.init().unwrap();
    assert!(weights::channelwise(&theirs, Package::CuEquivariance).is_identity());
    let features = relaid(x, theirs.irreps_in(), Layout::IrMul, Layout::MulIr);
    let got = relaid(
        run(&theirs, features.clone()),
        &unmerged,
        Layout::MulIr,
        Layout::IrMul,
    );
    assert_close!(got, out.clone(), bound, bound);

    let ours = config().init().unwrap();
    assert!(!weights::channelwise(&ours, Package::CuEquivariance).is_identity());
    let got = run(&ours, features);
    // Sorted otherwise: compare block by block, copies in the order of the paths.
    let want = relaid(out, &unmerged, Layout::IrMul, Layout::MulIr);
    let want = IrrepsTensor::new(want, unmerged, Layout::MulIr).regroup(SortOrder::DegreeFirst);
    assert_eq!(want.irreps(), ours.irreps_out());
    assert_close!(got, want.into_values(), bound, bound);
}

/// A fully connected product and a linear map.
pub fn products_and_linear_maps_of_cuequivariance(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("cuequivariance");
    let get = |key: &str| row(&golden, key, device, dtype);
    let [in1, in2, out] = [
        irreps!("3x0e+2x1o+1x2e"),
        irreps!("2x0e+1x1o"),
        irreps!("2x0e+2x1o+3x1e"),
    ];
    let product = TensorProductConfig::fully_connected(&in1, &in2, &out)
        .with_internal_weights(false)
        .init(device)
        .unwrap();
    let order = weights::product(product.plan(), Package::CuEquivariance).unwrap();
    assert!(order.is_identity());
    let [x, y] = [("x", &in1), ("y", &in2)].map(|(key, irreps)| {
        relaid(
            get(&format!("fully_connected.{key}")),
            irreps,
            Layout::IrMul,
            Layout::MulIr,
        )
    });
    let got = product.forward_weighted(x, y, order.apply_last(get("fully_connected.w")));
    let got = relaid(got, &out, Layout::MulIr, Layout::IrMul);
    assert_close!(got, get("fully_connected.out"), bound, bound);

    let [input, output] = [irreps!("4x0e+3x1o+2x0e"), irreps!("2x1o+8x0e")];
    let linear = LinearConfig::new(input.clone(), output.clone())
        .with_internal_weights(false)
        .init(device)
        .unwrap();
    let x = relaid(get("linear.x"), &input, Layout::IrMul, Layout::MulIr);
    let got = linear.forward_weighted(x, get("linear.w"), None, &WeightRows::Shared);
    let got = relaid(got, &output, Layout::MulIr, Layout::IrMul);
    assert_close!(got, get("linear.out"), bound, bound);
}
