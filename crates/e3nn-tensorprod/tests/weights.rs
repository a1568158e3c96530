//! Weights in the orders of other packages.

mod common;
#[path = "common/golden_weights.rs"]
mod golden_weights;

use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use core_tensor::graph::Graph;
use e3nn_tensorprod::conv::InstructionOrder;
use e3nn_tensorprod::product::ConnectionMode;
use e3nn_tensorprod::weights::{self, Package, WeightsError};
use e3nn_tensorprod::*;
use golden_weights::config;

#[test]
fn products_of_cuequivariance() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_weights::channelwise_products_of_cuequivariance(&Device::flex(), dtype, bound);
        golden_weights::products_and_linear_maps_of_cuequivariance(&Device::flex(), dtype, bound);
    }
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
