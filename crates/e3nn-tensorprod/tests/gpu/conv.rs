//! The fused convolution in f32 against its reference in f64 on the CPU.

use crate::convolution::{ALL, Case, NONE, Random, paths};
use crate::{device, golden_forces};
use burn::tensor::DType;
use e3nn_tensorprod::Layout;

/// Bound on the errors of sums, against the largest.
const BOUND: f64 = 2e-6;

#[test]
fn matches_the_reference() {
    let mut random = Random::new(1);
    for (mul, layout) in [(3_usize, Layout::MulIr), (40, Layout::IrMul)] {
        let x = format!("{mul}x0e+{mul}x1o+{}x2e", mul.div_ceil(2));
        let paths = paths(&x, "0e+1o+2e", "0e+1o+1e+2e", layout);
        let graph = random.graph(9, 40);
        for tangents in [NONE, ALL] {
            let start = std::time::Instant::now();
            let case = Case::new(2, paths.clone(), graph.clone(), tangents);
            case.check(&device(), DType::F32, BOUND, ALL);
            eprintln!("{mul} {tangents:?} {:?}", start.elapsed());
        }
    }
}

#[test]
fn energy_forces_and_gradient_of_their_loss() {
    golden_forces::check(&device(), DType::F32, [1e-5, 1e-5]);
}
