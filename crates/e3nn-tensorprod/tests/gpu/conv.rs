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

#[test]
fn debug() {
    for (i, t) in [[true, false, false], [false, true, false], [false, false, true], [true, true, false], [true, false, true], ALL].into_iter().enumerate() {
        let paths = paths("3x1o", "1o", "1e", Layout::MulIr);
        let graph = core_tensor::graph::Graph::new(2, &[0], &[1], &[]).unwrap();
        let case = Case::new(2, paths.clone(), graph.clone(), t);
        let got = case.run(&device(), e3nn_tensorprod::convolve, DType::F32, NONE);
        let want = case.run(&burn::tensor::Device::flex(), e3nn_tensorprod::conv::reference::convolve, DType::F64, NONE);
        for (g, w) in got.iter().zip(want) {
            let g: Vec<f64> = g.iter::<f64>().collect();
            let w: Vec<f64> = w.iter::<f64>().collect();
            eprintln!("{i} {t:?}\n {g:.4?}\n {w:.4?}");
        }
    }
}
