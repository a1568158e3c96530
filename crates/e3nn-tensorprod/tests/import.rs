//! Weights of e3nn, MACE and NequIP.

mod common;
#[path = "common/golden_import.rs"]
mod golden_import;

use burn::tensor::{DType, Device};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::state_dict::{StateDict, StateDictError, StateDictWriter};
use e3nn_tensorprod::LinearConfig;
use e3nn_tensorprod::import::StateDictModule;
use e3nn_tensorprod::irreps;
use e3nn_tensorprod::nn::SymmetricContractionConfig;

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

/// MACE has a path without effect where an order does not reach an output.
#[test]
fn all_names_of_mace_are_written() {
    let config = SymmetricContractionConfig::new(irreps!("2x0e+2x1o"), irreps!("2x2e"), 3, 5);
    let layer = config.init(&Device::flex(), DType::F32).unwrap();
    let mut file = StateDictWriter::new();
    layer.save_state_dict("", &mut file);
    let bytes = file.to_bytes().unwrap();
    let state = StateDict::open(&bytes, &Device::flex()).unwrap();
    let names = ["weights.0", "weights.1", "weights_max"].map(|n| format!("contractions.0.{n}"));
    assert_eq!(state.names(), names);
    let zeros = state.shaped("contractions.0.weights.1", [5, 1, 2]).unwrap();
    assert_close!(zeros.clone(), zeros.zeros_like(), 0.0, 0.0);
    layer.load_state_dict(&state).unwrap();
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
