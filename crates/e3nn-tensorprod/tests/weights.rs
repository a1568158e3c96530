//! Weights in the orders of other packages.

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::graph::Graph;
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig, InstructionOrder};
use e3nn_tensorprod::product::{ConnectionMode, WeightRows};
use e3nn_tensorprod::weights::{self, Package, WeightsError};
use e3nn_tensorprod::*;

/// A vector of `cuequivariance.safetensors` as one row.
fn row(golden: &Golden, name: &str) -> Tensor<2> {
    let values = golden.values(name);
    let data = TensorData::new(values.clone(), [1, values.len()]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// Features in the other layout.
fn relaid(values: Tensor<2>, irreps: &Irreps, from: Layout, to: Layout) -> Tensor<2> {
    let tensor = IrrepsTensor::new(values, irreps.clone(), from);
    tensor.to_layout(to).into_values()
}

fn config() -> ConvolutionConfig {
    ConvolutionConfig::new(
        irreps!("4x0o+4x0e+4x1o+4x2e"),
        irreps!("0e+1o+2e"),
        irreps!("0e+0o+1o+1e+2e+2o"),
    )
}

#[test]
fn channelwise_products_of_cuequivariance() {
    let golden = Golden::open("cuequivariance");
    let loop_edge = Graph::new(1, &[0], &[0], &[]).unwrap();
    let [x, y, w, out] =
        ["x", "y", "w", "out"].map(|key| row(&golden, &format!("channelwise.{key}")));
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
    assert_close!(got, out.clone(), 1e-12, 1e-12);

    let ours = config().init().unwrap();
    assert!(!weights::channelwise(&ours, Package::CuEquivariance).is_identity());
    let got = run(&ours, features);
    // Sorted otherwise: compare block by block, copies in the order of the paths.
    let want = relaid(out, &unmerged, Layout::IrMul, Layout::MulIr);
    let want = IrrepsTensor::new(want, unmerged, Layout::MulIr).regroup(SortOrder::DegreeFirst);
    assert_eq!(want.irreps(), ours.irreps_out());
    assert_close!(got, want.into_values(), 1e-12, 1e-12);
}

#[test]
fn the_orders_of_nequip_and_mace() {
    let found = config().init().unwrap();
    let by_output = config()
        .with_order(InstructionOrder::ByOutput)
        .init()
        .unwrap();
    assert!(weights::channelwise(&found, Package::NequIp).is_identity());
    for package in [Package::Mace, Package::OpenEquivariance] {
        assert!(weights::channelwise(&by_output, package).is_identity());
    }
    // From MACE's order and back, and the same output either way.
    let to_found = weights::channelwise(&found, Package::Mace);
    let back = weights::channelwise(&by_output, Package::NequIp);
    assert_eq!(to_found.inverse(), back);
    let numbers: Vec<usize> = (0..found.weight_numel()).collect();
    assert_eq!(back.apply(&to_found.apply(&numbers)), numbers);

    let device = Device::flex();
    device.seed(3);
    let random = |columns| {
        let normal = burn::tensor::Distribution::Normal(0.0, 1.0);
        Tensor::<2>::random([1, columns], normal, (&device, DType::F64))
    };
    let (x, y) = (
        random(found.irreps_in().dim()),
        random(found.irreps_sh().dim()),
    );
    let mace = random(found.weight_numel());
    let graph = Graph::new(1, &[0], &[0], &[]).unwrap();
    let one = by_output.forward(x.clone(), y.clone(), mace.clone(), &graph);
    let two = found.forward(x, y, to_found.apply_last(mace), &graph);
    assert_close!(one, two, 1e-14, 1e-14);
}

#[test]
fn products_and_linear_maps_of_cuequivariance() {
    let golden = Golden::open("cuequivariance");
    let get = |key: &str| row(&golden, key);
    let [in1, in2, out] = [
        irreps!("3x0e+2x1o+1x2e"),
        irreps!("2x0e+1x1o"),
        irreps!("2x0e+2x1o+3x1e"),
    ];
    let product = TensorProductConfig::fully_connected(&in1, &in2, &out)
        .with_internal_weights(false)
        .init(&Device::flex())
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
    assert_close!(got, get("fully_connected.out"), 1e-12, 1e-12);

    let [input, output] = [irreps!("4x0e+3x1o+2x0e"), irreps!("2x1o+8x0e")];
    let linear = LinearConfig::new(input.clone(), output.clone())
        .with_internal_weights(false)
        .init(&Device::flex())
        .unwrap();
    let x = relaid(get("linear.x"), &input, Layout::IrMul, Layout::MulIr);
    let got = linear.forward_weighted(x, get("linear.w"), None, &WeightRows::Shared);
    let got = relaid(got, &output, Layout::MulIr, Layout::IrMul);
    assert_close!(got, get("linear.out"), 1e-12, 1e-12);
}

#[test]
fn open_equivariance_groups_copies_by_32() {
    let [in1, in2, out] = [irreps!("34x0e"), irreps!("2x0e"), irreps!("3x0e")];
    let config = TensorProductConfig::fully_connected(&in1, &in2, &out);
    let plan = config.plan().unwrap();
    let order = weights::product(&plan, Package::OpenEquivariance).unwrap();
    let e3nn: Vec<usize> = (0..34 * 2 * 3).collect();
    let theirs = order.inverse().apply(&e3nn);
    // First group: v = 0, u = 0, 1, …; then v = 1.
    assert_eq!(theirs[..6], [0, 1, 2, 6, 7, 8]);
    assert_eq!(theirs[32 * 3..32 * 3 + 3], [3, 4, 5]);
    // Second group: u = 32 and 33.
    assert_eq!(theirs[64 * 3..64 * 3 + 3], [192, 193, 194]);
    assert_eq!(theirs[64 * 3 + 6..64 * 3 + 9], [195, 196, 197]);
    assert_eq!(order.apply(&theirs), e3nn);

    let triangle = TensorProductConfig::square(&irreps!("3x1o"), None, Default::default())
        .plan()
        .unwrap();
    let error = weights::product(&triangle, Package::OpenEquivariance).unwrap_err();
    let WeightsError::Mode {
        mode, instruction, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((mode, instruction), (ConnectionMode::UvuTriangle, 0));
}
