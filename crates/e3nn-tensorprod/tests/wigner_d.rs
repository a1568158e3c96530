//! Wigner D matrices against e3nn, their laws, and gradients.

mod common;
#[path = "common/golden_wigner.rs"]
mod golden_wigner;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{Golden, angles, matrix};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::{GradCheck, check_gradients, for_each_mode, poison_outputs};
use e3nn_tensorprod::rotation::{Matrix3, Orthogonal, Rotation, edge_frame};
use e3nn_tensorprod::wigner::{
    Representation, SquareMatrix, is_triangle, wigner_3j, wigner_d, wigner_d_all,
    wigner_d_from_angles, wigner_d_from_matrix, wigner_d_from_quaternion, wigner_d_reference,
    wigner_j,
};
use e3nn_tensorprod::{Irreps, IrrepsTensor, Layout};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn data(m: &SquareMatrix) -> TensorData {
    TensorData::new(m.values().to_vec(), [m.n(), m.n()])
}

fn random(count: usize, seed: u64) -> Vec<Rotation> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| Rotation::random(&mut rng)).collect()
}

fn stacked(matrices: &[Matrix3], dtype: DType) -> Tensor<3> {
    let values: Vec<f64> = matrices.iter().flat_map(|m| m.concat()).collect();
    let data = TensorData::new(values, [matrices.len(), 3, 3]);
    Tensor::from_data(data, (&Device::flex(), dtype))
}

#[test]
fn batches_of_e3nn() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_wigner::matrices_are_those_of_e3nn(&Device::flex(), dtype, bound);
        golden_wigner::irreps_transform_as_in_e3nn(&Device::flex(), dtype, bound);
    }
}

#[test]
fn matrices_of_e3nn() {
    let golden = Golden::open("wigner_D");
    let all = golden.values("angles");
    let rotations: Vec<Matrix3> = golden.values("R").chunks(9).map(matrix).collect();
    for l in 0..=11 {
        let want = golden.values(&format!("D{l}"));
        let n = 2 * l + 1;
        for ((a, want), r) in all.chunks(3).zip(want.chunks(n * n)).zip(&rotations) {
            let want = TensorData::new(want.to_vec(), [n, n]);
            let from_angles = wigner_d_from_angles(l, angles(a));
            assert_close!(
                data(&from_angles),
                want.clone(),
                0.0,
                1e-12,
                "from angles, l = {l}"
            );
            let rotation = Rotation::from_matrix(*r).unwrap();
            assert_close!(
                data(&wigner_d(l, rotation)),
                want,
                0.0,
                1e-12,
                "from matrix, l = {l}"
            );
        }
    }
}

#[test]
fn irreps_of_e3nn() {
    let golden = Golden::open("wigner_D");
    let irreps: Irreps = golden.meta()["irreps"].as_str().unwrap().parse().unwrap();
    let n = irreps.dim();
    let want = golden.values("D_irreps_from_matrix");
    for (m, want) in golden
        .values("R_improper")
        .chunks(9)
        .zip(want.chunks(n * n))
    {
        let want = TensorData::new(want.to_vec(), [n, n]);
        let element = Orthogonal::from_matrix(matrix(m)).unwrap();
        let d = irreps.d_from_matrix(matrix(m)).unwrap();
        assert_close!(data(&d), want, 0.0, 1e-12);
        if !element.inversion {
            let rotation = element.rotation;
            assert_close!(
                data(&irreps.d_from_angles(rotation.angles())),
                data(&d),
                0.0,
                1e-13
            );
            let from_quaternion = irreps.d_from_quaternion(rotation.quaternion()).unwrap();
            assert_close!(data(&from_quaternion), data(&d), 0.0, 1e-13);
        }
        // Without the matrix, in both layouts.
        let representation = Representation::new(3, element);
        let x: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
        let want = TensorData::new(d.apply(&x), [n]);
        let mut rows = x.clone();
        representation.apply(&irreps, Layout::MulIr, &mut rows);
        assert_close!(TensorData::new(rows, [n]), want.clone(), 0.0, 1e-14);
        let order = permutation(&irreps);
        let mut rows: Vec<f64> = order.iter().map(|&i| x[i]).collect();
        representation.apply(&irreps, Layout::IrMul, &mut rows);
        let mut back = vec![0.0; n];
        order
            .iter()
            .zip(rows)
            .for_each(|(&i, value)| back[i] = value);
        assert_close!(TensorData::new(back, [n]), want, 0.0, 1e-14);
    }
}

/// For every place in `IrMul`, the place in `MulIr`.
fn permutation(irreps: &Irreps) -> Vec<usize> {
    let mut order = Vec::new();
    for (block, range) in irreps.iter().zip(irreps.slices()) {
        for m in 0..block.irrep.dim() {
            order.extend((0..block.mul).map(|u| range.start + u * block.irrep.dim() + m));
        }
    }
    order
}

#[test]
fn degree_one_is_the_rotation() {
    for r in random(20, 0) {
        let want = TensorData::new(r.matrix().concat(), [3, 3]);
        assert_close!(data(&wigner_d(1, r)), want.clone(), 0.0, 0.0);
        assert_close!(data(&wigner_d_from_angles(1, r.angles())), want, 0.0, 2e-15);
        assert_eq!(wigner_d(0, r), SquareMatrix::identity(1));
    }
}

/// Orthogonality, homomorphism and the other form, to degree 30.
#[test]
fn representation_to_degree_30() {
    let rotations = random(8, 1);
    let special = [
        Rotation::IDENTITY,
        Rotation::from_axis_angle([1.0, 1.0, 0.0], core::f64::consts::PI).unwrap(),
        Rotation::from_axis_angle([1.0, 0.0, 0.0], core::f64::consts::PI).unwrap(),
    ];
    for (r, s) in rotations.iter().zip(special.iter().chain(&rotations)) {
        let (dr, ds, drs) = (
            wigner_d_all(30, *r),
            wigner_d_all(30, *s),
            wigner_d_all(30, *r * *s),
        );
        let inverse = wigner_d_all(30, r.inverse());
        for l in 0..=30 {
            // The entries are polynomials of degree l in numbers that are rounded already.
            let tolerance = 1e-14 + 2e-14 * l as f64;
            let one = data(&SquareMatrix::identity(2 * l + 1));
            assert_close!(
                data(&dr[l].matmul(&dr[l].transpose())),
                one,
                0.0,
                tolerance,
                "l = {l}"
            );
            assert_close!(
                data(&dr[l].matmul(&ds[l])),
                data(&drs[l]),
                0.0,
                tolerance,
                "l = {l}"
            );
            assert_close!(
                data(&inverse[l]),
                data(&dr[l].transpose()),
                0.0,
                tolerance,
                "l = {l}"
            );
            let from_angles = wigner_d_from_angles(l, r.angles());
            assert_close!(data(&from_angles), data(&dr[l]), 0.0, tolerance, "l = {l}");
        }
    }
}

#[test]
fn j_is_symmetric_and_its_own_inverse() {
    for l in [0, 1, 2, 5, 11, 30] {
        let j = wigner_j(l);
        assert_close!(data(&j.transpose()), data(&j), 0.0, 1e-12, "l = {l}");
        assert_close!(
            data(&j.matmul(&j)),
            data(&SquareMatrix::identity(2 * l + 1)),
            0.0,
            1e-12,
            "l = {l}"
        );
    }
}

/// `C_ijk = C_abc D_ai D_bj D_ck`: as e3nn tests it, for more degrees.
#[test]
fn symbols_are_invariant() {
    for r in random(10, 2) {
        let d = wigner_d_all(6, r);
        for l1 in 0..=6 {
            for l2 in 0..=6 {
                for l3 in (0..=6).filter(|&l3| is_triangle(l1, l2, l3)) {
                    let symbols = wigner_3j(l1, l2, l3);
                    let [n1, n2, n3] = symbols.dims();
                    let mut moved = symbols.dense();
                    // One axis after the other: out[.., i, ..] = Σ_a in[.., a, ..] D_ai.
                    for (axis, l) in [l1, l2, l3].into_iter().enumerate() {
                        let (outer, inner) = ([1, n1, n1 * n2][axis], [n2 * n3, n3, 1][axis]);
                        let n = 2 * l + 1;
                        let mut next = vec![0.0; moved.len()];
                        for o in 0..outer {
                            for a in 0..n {
                                for i in 0..n {
                                    for k in 0..inner {
                                        next[(o * n + i) * inner + k] +=
                                            moved[(o * n + a) * inner + k] * d[l][(a, i)];
                                    }
                                }
                            }
                        }
                        moved = next;
                    }
                    let all = moved.len();
                    let want = TensorData::new(symbols.dense(), [all]);
                    assert_close!(
                        TensorData::new(moved, [all]),
                        want,
                        0.0,
                        1e-14,
                        "{l1} {l2} {l3}"
                    );
                }
            }
        }
    }
}

#[test]
fn quaternions_and_matrices_agree() {
    let rotations = random(9, 3);
    let q: Vec<f64> = rotations
        .iter()
        .flat_map(|r| r.quaternion().map(|c| 0.4 * c))
        .collect();
    let q = Tensor::<2>::from_data(TensorData::new(q, [9, 4]), (&Device::flex(), DType::F64));
    let matrices: Vec<_> = rotations.iter().map(|r| r.matrix()).collect();
    let from_matrix = wigner_d_from_matrix(7, stacked(&matrices, DType::F64));
    for (l, (a, b)) in wigner_d_from_quaternion(7, q)
        .into_iter()
        .zip(from_matrix)
        .enumerate()
    {
        assert_close!(a, b, 0.0, 1e-14, "l = {l}");
    }
}

/// In `f32` the error is a few units in the last place.
#[test]
fn single_precision() {
    let matrices: Vec<_> = random(50, 4).iter().map(|r| r.matrix()).collect();
    let single = wigner_d_from_matrix(12, stacked(&matrices, DType::F32));
    let double = wigner_d_from_matrix(12, stacked(&matrices, DType::F64));
    for (l, (a, b)) in single.into_iter().zip(double).enumerate() {
        assert_close!(a.cast(DType::F64), b, 0.0, 2e-7 * (l + 1) as f64, "l = {l}");
    }
}

fn weighted_sum(all: &[Tensor<3>]) -> Tensor<1> {
    let sums = all.iter().enumerate().map(|(l, d)| {
        let dims = d.dims();
        let weights = (0..dims.iter().product()).map(|i| (1.7 * i as f64 + l as f64).sin());
        let weights = TensorData::new(weights.collect::<Vec<f64>>(), dims);
        (d.clone() * Tensor::from_data(weights, (&d.device(), DType::F64))).sum()
    });
    sums.reduce(|a, b| a + b).expect("at least one degree")
}

#[test]
fn gradients_of_matrices_and_quaternions() {
    // The identity, poles of the Euler angles, half turns, a general one.
    let half = core::f64::consts::PI;
    let rotations = [
        Rotation::IDENTITY,
        Rotation::from_axis_angle([1.0, 0.0, 0.0], half).unwrap(),
        Rotation::from_axis_angle([0.0, 1.0, 0.0], half).unwrap(),
        Rotation::from_axis_angle([0.3, 1.0, -2.0], 1.1).unwrap(),
    ];
    let settings = GradCheck::default();
    let q: Vec<f64> = rotations.iter().flat_map(|r| r.quaternion()).collect();
    check_gradients(&Device::flex(), &[q], settings, |x| {
        weighted_sum(&wigner_d_from_quaternion(6, x[0].clone().reshape([4, 4])))
    });
    // The polynomials hold for any matrix.
    let m: Vec<f64> = rotations.iter().flat_map(|r| r.matrix().concat()).collect();
    check_gradients(&Device::flex(), &[m], settings, |x| {
        weighted_sum(&wigner_d_from_matrix(6, x[0].clone().reshape([4, 3, 3])))
    });
}

/// From vectors to the matrices of their frames, at the poles of the sphere too.
#[test]
fn gradients_of_edge_frames() {
    let vectors = vec![
        0.0, 1.0, 0.0, 0.0, -2.0, 0.0, 1e-8, -1.0, 0.0, 0.4, 0.5, -1.0, 0.4, -0.5, -1.0,
    ];
    let settings = GradCheck {
        atol: 1e-7,
        ..GradCheck::default()
    };
    check_gradients(&Device::flex(), &[vectors], settings, |x| {
        let frames = edge_frame(x[0].clone().reshape([5, 3]));
        weighted_sum(&wigner_d_from_matrix(4, frames))
    });
}

#[test]
fn duals() {
    let rotations = random(5, 6);
    let q: Vec<f64> = rotations.iter().flat_map(|r| r.quaternion()).collect();
    let d: Vec<f64> = (0..20).map(|i| (i as f64 * 0.9).sin()).collect();
    let at = |h: f64| {
        let moved: Vec<f64> = q.iter().zip(&d).map(|(q, d)| q + h * d).collect();
        Tensor::<2>::from_data(
            TensorData::new(moved, [5, 4]),
            (&Device::flex(), DType::F64),
        )
    };
    let direction = Tensor::from_data(
        TensorData::new(d.clone(), [5, 4]),
        (&Device::flex(), DType::F64),
    );
    let dual = wigner_d_from_quaternion(5, Dual::new(at(0.0), direction));
    let h = 1e-6;
    let (up, down) = (
        wigner_d_from_quaternion(5, at(h)),
        wigner_d_from_quaternion(5, at(-h)),
    );
    for (l, dual) in dual.into_iter().enumerate() {
        let difference = (up[l].clone() - down[l].clone()) / (2.0 * h);
        assert_close!(dual.tangent_or_zeros(), difference, 0.0, 1e-8, "l = {l}");
    }
}

/// The kernel against plain tensor operations: values and gradients, sizes around those of tiles and tasks, matrices
/// that are no rotations, strided inputs.
#[test]
fn kernel_is_the_reference() {
    let _poison = poison_outputs();
    for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 4e-6)] {
        for batch in [1, 2, 7, 8, 9, 15, 16, 17, 255, 257, 1000] {
            let values: Vec<f64> = (0..9 * batch).map(|i| (0.37 * i as f64).sin()).collect();
            for_each_mode(&Device::flex(), |mode, device| {
                let data = TensorData::new(values.clone(), [batch, 3, 3]);
                let plain = Tensor::<3>::from_data(data, (device, dtype));
                let tracked = mode != core_tensor::testing::Mode::Plain;
                let leaf = || {
                    if tracked {
                        plain.clone().require_grad()
                    } else {
                        plain.clone()
                    }
                };
                let (a, b) = (leaf(), leaf());
                // A view whose rows are columns in memory.
                let got = wigner_d_from_matrix(4, a.clone().swap_dims(1, 2));
                let want = wigner_d_reference(4, b.clone().swap_dims(1, 2));
                for (l, (got, want)) in got.iter().zip(&want).enumerate() {
                    let (got, want) = (got.clone(), want.clone());
                    assert_close!(
                        got,
                        want,
                        tolerance,
                        tolerance,
                        "{dtype:?} {mode:?} {batch} l = {l}"
                    );
                }
                if tracked {
                    let loss = |all: &[Tensor<3>]| {
                        all[2..]
                            .iter()
                            .map(|d| d.clone().square().sum())
                            .reduce(|a, b| a + b)
                            .unwrap()
                    };
                    let gradient = |leaf: &Tensor<3>, all: &[Tensor<3>]| {
                        leaf.grad(&loss(all).backward()).unwrap()
                    };
                    let (got, want) = (gradient(&a, &got), gradient(&b, &want));
                    assert_close!(
                        got,
                        want,
                        10.0 * tolerance,
                        100.0 * tolerance,
                        "{dtype:?} {mode:?} {batch}"
                    );
                }
            });
        }
    }
}

/// Neighbours in the batch and the number of threads leave no trace in the bits.
#[test]
fn bits_are_fixed() {
    let matrices: Vec<_> = random(700, 8).iter().map(|r| r.matrix()).collect();
    let all = wigner_d_from_matrix(5, stacked(&matrices, DType::F32)).remove(5);
    let some = wigner_d_from_matrix(5, stacked(&matrices[300..], DType::F32)).remove(5);
    assert_close!(all.narrow(0, 300, 400), some, 0.0, 0.0);
}

/// Half-precision types are storage: one rounding of what f32 gives.
#[test]
fn half_precision() {
    let matrices: Vec<_> = random(9, 9).iter().map(|r| r.matrix()).collect();
    let half = wigner_d_from_matrix(6, stacked(&matrices, DType::BF16));
    let exact = stacked(&matrices, DType::BF16).cast(DType::F32);
    for (half, single) in half.into_iter().zip(wigner_d_from_matrix(6, exact)) {
        assert_eq!(half.dtype(), DType::BF16);
        assert_close!(half.cast(DType::F32), single, 1.0 / 256.0, 1e-30);
    }
}

/// Rows of irreps tensors, each by its own rotation, in both layouts; against the transformation on the host.
#[test]
fn rotation_of_rows() {
    let irreps: Irreps = "2x2e+0x3o+3x0o+1o+2x1e".parse().unwrap();
    let (rotations, n) = (random(5, 10), irreps.dim());
    let matrices: Vec<_> = rotations.iter().map(|r| r.matrix()).collect();
    let values: Vec<f64> = (0..5 * n).map(|i| (1.3 * i as f64).sin()).collect();
    for layout in [Layout::MulIr, Layout::IrMul] {
        let mut want = values.clone();
        for (row, rotation) in want.chunks_mut(n).zip(&rotations) {
            Representation::new(3, (*rotation).into()).apply(&irreps, layout, row);
        }
        let data = TensorData::new(values.clone(), [5, n]);
        let x = Tensor::<2>::from_data(data.clone(), (&Device::flex(), DType::F64));
        let d = wigner_d_from_matrix(3, stacked(&matrices, DType::F64));
        let rotated = IrrepsTensor::new(x.clone(), irreps.clone(), layout).rotate(&d);
        assert_eq!((rotated.irreps(), rotated.layout()), (&irreps, layout));
        let want = TensorData::new(want, [5, n]);
        assert_close!(rotated.values().clone(), want, 0.0, 1e-13, "{layout:?}");
        assert_close!(
            rotated.rotate_back(&d).into_values(),
            data,
            0.0,
            1e-13,
            "{layout:?}"
        );

        let d: Vec<Dual<3>> = d.into_iter().map(Dual::constant).collect();
        let dual = IrrepsTensor::new(Dual::new(x.clone(), x), irreps.clone(), layout).rotate(&d);
        assert_close!(
            dual.into_values().tangent_or_zeros(),
            rotated.into_values(),
            0.0,
            1e-13
        );
    }
    let none = Tensor::<2>::zeros([5, 0], &Device::flex());
    let none = IrrepsTensor::new(none, Irreps::default(), Layout::MulIr);
    assert_eq!(none.rotate(&[]).into_values().dims(), [5, 0]);
}

#[test]
#[should_panic(expected = "2x1o needs matrices of degree 1, got 1 degrees")]
fn missing_degree() {
    let x = Tensor::<2>::zeros([5, 6], &Device::flex());
    let d = Tensor::<3>::ones([5, 1, 1], &Device::flex());
    let _ = IrrepsTensor::new(x, "2x1o".parse().unwrap(), Layout::MulIr).rotate(&[d]);
}

#[test]
fn empty_batch() {
    let all = wigner_d_from_matrix(3, Tensor::<3>::zeros([0, 3, 3], &Device::flex()));
    let dims: Vec<_> = all.iter().map(|d| d.dims()).collect();
    assert_eq!(dims, [[0, 1, 1], [0, 3, 3], [0, 5, 5], [0, 7, 7]]);
}

#[test]
#[should_panic(expected = "wigner_d_from_matrix: expected [batch, 3, 3], got [2, 3, 4]")]
fn wrong_shape() {
    wigner_d_from_matrix(1, Tensor::<3>::zeros([2, 3, 4], &Device::flex()));
}
