//! The golden files in f32, within the bounds of the CPU.

use crate::common::Golden;
use crate::{device, golden_harmonics, golden_linear, golden_nn, golden_products};
use burn::tensor::{DType, Tensor, TensorData};
use core_tensor::assert_close;
use e3nn_tensorprod::wigner::wigner_d_from_matrix;

const BOUNDS: [f64; 2] = [1e-5, 1e-5];

#[test]
fn spherical_harmonics() {
    golden_harmonics::values_are_those_of_e3nn(&device(), DType::F32, 1e-5);
    golden_harmonics::derivatives_are_those_of_e3nn(&device(), DType::F32, BOUNDS);
}

#[test]
fn tensor_products() {
    let cases = golden_products::cases();
    for case in cases.keys().filter(|case| *case != "right") {
        let plan = golden_products::plan(case);
        golden_products::same_numbers(case, &plan, &device(), DType::F32, BOUNDS);
    }
}

#[test]
fn linear() {
    for case in ["default", "path", "bias", "instr", "f_in_out"] {
        golden_linear::same_numbers(case, &device(), DType::F32, BOUNDS);
    }
}

#[test]
fn layers() {
    golden_nn::layers_equal_e3nn(&device(), DType::F32);
}

#[test]
fn symmetric_contraction() {
    for case in ["a", "b"] {
        let golden = Golden::open(&format!("mace_symmetric_contraction_{case}"));
        golden_nn::contraction(&golden, case, &device(), DType::F32);
    }
}

#[test]
fn wigner_d() {
    let golden = Golden::open("wigner_D");
    let matrices: Tensor<3> = golden.tensor("R", &device(), DType::F32);
    for (l, d) in wigner_d_from_matrix(11, matrices).into_iter().enumerate() {
        let n = 2 * l + 1;
        let want = TensorData::new(golden.values(&format!("D{l}")), [8, n, n]);
        assert_close!(d, want, 0.0, 1e-5, "l = {l}");
    }
}
