//! Forces in the loss of a message-passing model, in f64 on the CPU.

mod common;
#[path = "common/golden_forces.rs"]
mod golden_forces;

use burn::tensor::{DType, Device};

#[test]
fn energy_forces_and_gradient_of_their_loss() {
    golden_forces::check(&Device::flex(), DType::F64, [1e-10, 1e-12]);
}
