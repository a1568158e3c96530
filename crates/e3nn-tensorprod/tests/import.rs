//! Weights of e3nn, MACE and NequIP.

mod common;
#[path = "common/golden_import.rs"]
mod golden_import;

use burn::tensor::{DType, Device};
use common::Golden;
use core_tensor::state_dict::{StateDict, StateDictError};
use e3nn_tensorprod::LinearConfig;
use e3nn_tensorprod::import::StateDictModule;
use e3nn_tensorprod::irreps;

/// On the CPU, with bounds for f64 and f32.
fn in_both_dtypes(check: impl Fn(&Device, DType, f64)) {
    check(&Device::flex(), DType::F64, 1e-12);
    check(&Device::flex(), DType::F32, 1e-5);
}

#[test]
fn modules_of_e3nn() {
    in_both_dtypes(golden_import::modules_of_e3nn);
}

#[test]
fn a_block_of_mace() {
    in_both_dtypes(golden_import::a_block_of_mace);
}

#[test]
fn a_block_of_nequip() {
    in_both_dtypes(golden_import::a_block_of_nequip);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (bytes, device) = (
        Golden::open("e3nn_modules").bytes(DType::F64),
        Device::flex(),
    );
    let state = StateDict::open(&bytes, &device).unwrap();
    let linear = |to: &str| {
        let config = LinearConfig::new(irreps!("4x0e+2x1o+1x2e"), to.parse().unwrap());
        config.init(&device).unwrap()
    };
    let error = linear("4x0e").load_state_dict(&state.at("linear."));
    assert!(matches!(error, Err(StateDictError::Tensor { name, .. }) if name == "linear.weight"),);
    let error = linear("4x0e").load_state_dict(&state.at("nowhere."));
    assert!(matches!(error, Err(StateDictError::Missing { name, .. }) if name == "nowhere.weight"),);
}
