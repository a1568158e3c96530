//! Forces in the loss of a message-passing model, in f64 on the CPU.

mod common;
#[path = "common/golden_forces.rs"]
mod golden_forces;

use burn::tensor::{DType, Device};

#[test]
fn energy_forces_and_gradient_of_their_loss() {
    let bounds = golden_forces::Bounds {
        values: 1e-12,
        forces: 1e-11,
        gradients: 1e-10,
        absolute: 1e-12,
    };
    golden_forces::check(&Device::flex(), DType::F64, bounds);
}
