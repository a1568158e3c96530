//! The generator's rotations and Wigner D matrices, from tensors on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use e3nn_tensorprod::rotation::{matrix_from_angles, matrix_from_quaternion};
use e3nn_tensorprod::wigner::{wigner_d_from_matrix, wigner_d_from_quaternion};
use e3nn_tensorprod::{Irreps, IrrepsTensor, Layout, Parity};

/// Matrices of Euler angles and of quaternions, and of all degrees up to 11.
pub fn matrices_are_those_of_e3nn(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("wigner_D");
    let get = |name: &str| golden.tensor::<2>(name, device, dtype);
    let close = |got: Tensor<3>, want: Tensor<3>, what: &str| {
        assert_close!(got, want, 0.0, bound, "{what}, {dtype:?}");
    };
    let r = || golden.tensor::<3>("R", device, dtype);
    close(matrix_from_angles(get("angles")), r(), "R of angles");
    let from_angles = || matrix_from_angles(get("angles_for_conv"));
    let from_quaternion = matrix_from_quaternion(get("quaternion"));
    close(from_quaternion, from_angles(), "R of quaternions");

    for (l, d) in wigner_d_from_matrix(11, r()).into_iter().enumerate() {
        let want = golden.tensor(&format!("D{l}"), device, dtype);
        close(d, want, &format!("l = {l}"));
    }
    let d = wigner_d_from_quaternion(3, get("quaternion"));
    let want = wigner_d_from_matrix(3, from_angles());
    for (l, (d, want)) in d.into_iter().zip(want).enumerate() {
        close(d, want, &format!("of quaternions, l = {l}"));
    }
}

/// Whole irreps under elements of O(3): the rows of the identity, rotated. An improper element is the rotation by its
/// negative, and odd irreps change their sign.
pub fn irreps_transform_as_in_e3nn(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("wigner_D");
    let irreps: Irreps = golden.meta()["irreps"].as_str().unwrap().parse().unwrap();
    let n = irreps.dim();
    let elements = golden.values("R_improper");
    let matrices = elements.chunks(9);
    let want = golden.values("D_irreps_from_matrix");
    for (i, (matrix, want)) in matrices.zip(want.chunks(n * n)).enumerate() {
        let inversion = if i % 2 == 1 { -1.0 } else { 1.0 };
        let repeated: Vec<f64> = (0..n)
            .flat_map(|_| matrix.iter().map(|x| x * inversion))
            .collect();
        let rotations = TensorData::new(repeated, [n, 3, 3]);
        let d = wigner_d_from_matrix(3, Tensor::<3>::from_data(rotations, (device, dtype)));
        let rows = Tensor::<2>::eye(n, device).cast(dtype);
        let rotated = IrrepsTensor::new(rows, irreps.clone(), Layout::MulIr).rotate(&d);
        let got: Vec<f64> = rotated.into_values().into_data().iter::<f64>().collect();
        let odd = irreps.iter().flat_map(|block| {
            let odd = block.irrep.parity() == Parity::Odd;
            (0..block.dim()).map(move |_| odd)
        });
        let signs: Vec<f64> = odd.map(|odd| if odd { inversion } else { 1.0 }).collect();
        // Row `j` is the image of the unit vector `j`: a column of the matrix.
        let got: Vec<f64> = (0..n * n)
            .map(|at| got[at % n * n + at / n] * signs[at / n])
            .collect();
        let [got, want] = [got, want.to_vec()].map(|values| TensorData::new(values, [n, n]));
        assert_close!(got, want, 0.0, bound, "element {i}, {dtype:?}");
    }
}
