//! Rotations against e3nn, their laws, and gradients of batched rotations.

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{Golden, angles, matrix};
use core::f64::consts::{PI, TAU};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::{GradCheck, check_gradients};
use e3nn_tensorprod::rotation::{
    EulerAngles, Matrix3, Orthogonal, Rotation, RotationError, edge_frame, matrix_from_angles,
    matrix_from_quaternion,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn far(a: Matrix3, b: Matrix3) -> f64 {
    let gaps = a
        .iter()
        .flatten()
        .zip(b.iter().flatten())
        .map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f64::max)
}

fn tensor(values: &[f64], shape: impl Into<burn::tensor::Shape>) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// Random rotations, and those at which conversions are degenerate or nearly so.
fn rotations() -> Vec<Rotation> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut all: Vec<Rotation> = (0..200).map(|_| Rotation::random(&mut rng)).collect();
    for beta in [
        0.0,
        1e-200,
        1e-12,
        1e-5,
        PI / 2.0,
        PI - 1e-5,
        PI - 1e-12,
        PI,
    ] {
        for (alpha, gamma) in [(0.0, 0.0), (0.3, -2.0), (-3.0, 3.0), (PI, 0.0)] {
            all.push(Rotation::from_angles(EulerAngles { alpha, beta, gamma }));
        }
    }
    for axis in [
        [1.0, 0.0, 0.0],
        [0.0, -1.0, 0.0],
        [0.0, 0.0, 1.0],
        [1.0, -2.0, 0.5],
        [1e-9, 1.0, -1e-9],
    ] {
        for angle in [
            0.0,
            1e-300,
            1e-10,
            1.0,
            PI - 1e-9,
            PI,
            PI + 1e-9,
            TAU - 1e-10,
        ] {
            all.push(Rotation::from_axis_angle(axis, angle).unwrap());
        }
    }
    all
}

#[test]
fn conversions_of_e3nn() {
    let golden = Golden::open("wigner_D");
    let want = golden.values("R");
    for (a, r) in golden.values("angles").chunks(3).zip(want.chunks(9)) {
        assert!(far(Rotation::from_angles(angles(a)).matrix(), matrix(r)) < 1e-15);
    }
    let (q, axis, angle) = (
        golden.values("quaternion"),
        golden.values("axis"),
        golden.values("axis_angle"),
    );
    let back = golden.values("angles_back");
    for (i, a) in golden.values("angles_for_conv").chunks(3).enumerate() {
        let rotation = Rotation::from_angles(angles(a));
        let close = |got: &[f64], want: &[f64], tolerance: f64| {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < tolerance, "{got} {want}");
            }
        };
        close(&rotation.quaternion(), &q[4 * i..4 * i + 4], 1e-15);
        let (got_axis, got_angle) = rotation.axis_angle();
        close(&got_axis, &axis[3 * i..3 * i + 3], 1e-14);
        close(&[got_angle], &angle[i..=i], 1e-14);
        // e3nn takes beta from an arc cosine, which loses digits near the poles.
        let EulerAngles { alpha, beta, gamma } = rotation.angles();
        close(&[alpha, beta, gamma], &back[3 * i..3 * i + 3], 1e-12);
    }
    let improper = golden.values("R_improper");
    for (i, m) in improper.chunks(9).enumerate() {
        let element = Orthogonal::from_matrix(matrix(m)).unwrap();
        assert_eq!(element.inversion, i % 2 == 1);
        assert!(far(element.matrix(), matrix(m)) < 1e-15);
    }
}

#[test]
fn round_trips() {
    for r in rotations() {
        let m = r.matrix();
        assert!(
            far(Rotation::from_matrix(m).unwrap().matrix(), m) < 2e-15,
            "{r:?}"
        );
        assert!(
            far(
                Rotation::from_quaternion(r.quaternion()).unwrap().matrix(),
                m
            ) < 2e-15
        );
        assert!(
            far(Rotation::from_angles(r.angles()).matrix(), m) < 2e-15,
            "{r:?} {:?}",
            r.angles()
        );
        let (axis, angle) = r.axis_angle();
        assert!((0.0..=PI).contains(&angle));
        let length: f64 = axis.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 2e-15);
        assert!(
            far(Rotation::from_axis_angle(axis, angle).unwrap().matrix(), m) < 2e-15,
            "{r:?}"
        );
        let EulerAngles { alpha, beta, gamma } = r.angles();
        assert!(alpha > -PI && alpha <= PI && gamma > -PI && gamma <= PI);
        assert!((0.0..=PI).contains(&beta));
    }
}

#[test]
fn small_angles_are_exact() {
    for angle in [1e-300, 1e-20, 1e-8, 1e-3] {
        let (axis, got) = Rotation::from_axis_angle([3.0, 0.0, -4.0], angle)
            .unwrap()
            .axis_angle();
        assert!((got / angle - 1.0).abs() < 1e-14, "{angle}");
        assert!((axis[0] - 0.6).abs() < 1e-15 && (axis[2] + 0.8).abs() < 1e-15);
        let r = Rotation::from_angles(EulerAngles {
            alpha: 0.3,
            beta: angle,
            gamma: 0.4,
        });
        assert!((r.angles().beta / angle - 1.0).abs() < 1e-14, "{angle}");
    }
}

#[test]
fn group_laws() {
    let all = rotations();
    for (a, b) in all.iter().zip(all.iter().skip(1)) {
        let product = [0, 1, 2].map(|i| {
            [0, 1, 2].map(|j| {
                (0..3)
                    .map(|k| a.matrix()[i][k] * b.matrix()[k][j])
                    .sum::<f64>()
            })
        });
        assert!(far((*a * *b).matrix(), product) < 2e-15);
        assert!(far((*a * a.inverse()).matrix(), Rotation::IDENTITY.matrix()) < 1e-15);
        let v = a.apply([1.0, -2.0, 3.0]);
        let back = a.inverse().apply(v);
        assert!((back[2] - 3.0).abs() < 1e-14);
    }
    let (g, h) = (
        Orthogonal {
            rotation: all[0],
            inversion: true,
        },
        Orthogonal {
            rotation: all[1],
            inversion: true,
        },
    );
    assert_eq!(g * h, (all[0] * all[1]).into());
    assert!(far((g * g.inverse()).matrix(), Orthogonal::IDENTITY.matrix()) < 1e-15);
    assert_eq!(Orthogonal::INVERSION.matrix()[1], [0.0, -1.0, 0.0]);
}

/// First and second moments of the entries under the Haar measure: 0, and 1/3 on the diagonal.
#[test]
fn random_rotations_are_uniform() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let n = 100_000;
    let (mut first, mut second, mut angle, mut inversions) = ([0.0; 9], [0.0; 9], 0.0, 0);
    for _ in 0..n {
        let g = Orthogonal::random(&mut rng);
        for (i, x) in g.rotation.matrix().iter().flatten().enumerate() {
            first[i] += x;
            second[i] += x * x;
        }
        angle += g.rotation.axis_angle().1;
        inversions += usize::from(g.inversion);
    }
    // Standard errors are 0.0018 for the first moments and 0.001 for the second.
    assert!(
        first.iter().all(|sum| (sum / n as f64).abs() < 0.008),
        "{first:?}"
    );
    assert!(
        second
            .iter()
            .all(|sum| (sum / n as f64 - 1.0 / 3.0).abs() < 0.005),
        "{second:?}"
    );
    // The density of the angle is (1 − cos ω)/π, so its mean π/2 + 2/π.
    assert!((angle / n as f64 - PI / 2.0 - 2.0 / PI).abs() < 0.01);
    assert!((inversions as f64 / n as f64 - 0.5).abs() < 0.01);
    let same = |seed| Rotation::random(&mut ChaCha8Rng::seed_from_u64(seed));
    assert_eq!(same(3), same(3));
}

#[test]
fn what_is_no_rotation() {
    assert!(matches!(
        Rotation::from_quaternion([0.0; 4]),
        Err(RotationError::NoDirection { .. })
    ));
    assert!(Rotation::from_quaternion([f64::NAN, 0.0, 0.0, 1.0]).is_err());
    assert!(Rotation::from_quaternion([1e-200, 0.0, 1e-200, 0.0]).is_ok());
    assert!(Rotation::from_axis_angle([0.0; 3], 1.0).is_err());
    assert_eq!(
        Rotation::from_axis_angle([1.0; 3], f64::INFINITY),
        Err(RotationError::Angle(f64::INFINITY))
    );
    let mut m = Rotation::IDENTITY.matrix();
    m[0][1] = 1e-3;
    assert!(
        matches!(Rotation::from_matrix(m), Err(RotationError::NotOrthogonal(gap)) if gap > 9e-4)
    );
    m[0][1] = f64::NAN;
    assert!(matches!(
        Rotation::from_matrix(m),
        Err(RotationError::NotOrthogonal(_))
    ));
    assert_eq!(
        Rotation::from_matrix(Orthogonal::INVERSION.matrix()),
        Err(RotationError::Improper)
    );
}

#[test]
fn batched_matrices() {
    let all = rotations();
    let want: Vec<f64> = all.iter().flat_map(|r| r.matrix().concat()).collect();
    let want = TensorData::new(want, [all.len(), 3, 3]);
    // Any norm will do.
    for norm in [-2.5, 1e-200, 1e200] {
        let q: Vec<f64> = all
            .iter()
            .flat_map(|r| r.quaternion().map(|c| norm * c))
            .collect();
        let got = matrix_from_quaternion(tensor(&q, [all.len(), 4]));
        assert_close!(got, want.clone(), 0.0, 2e-15);
    }
    let a: Vec<f64> = all
        .iter()
        .map(|r| r.angles())
        .flat_map(|a| [a.alpha, a.beta, a.gamma])
        .collect();
    assert_close!(
        matrix_from_angles(tensor(&a, [all.len(), 3])),
        want,
        0.0,
        3e-15
    );
}

/// Directions in general, along and next to the axes, on both sides of the equator.
const DIRECTIONS: [[f64; 3]; 12] = [
    [0.3, 1.2, -0.7],
    [-0.5, -0.9, 2.0],
    [0.0, 1.0, 0.0],
    [0.0, -1.0, 0.0],
    [0.0, 10.0, 0.0],
    [1e-9, -1.0, 2e-9],
    [1e-9, 3.0, 0.0],
    [1.0, 0.1, 0.0],
    [-2.0, -0.1, 0.0],
    [0.0, 0.2, 5.0],
    [0.0, -0.1, -1.0],
    [-0.1, -0.2, 0.1],
];

#[test]
fn edge_frames() {
    let mut vectors = DIRECTIONS.concat();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    vectors.extend((0..300).map(|_| rng.random_range(-2.0..2.0)));
    let n = vectors.len() / 3;
    let frames = edge_frame(tensor(&vectors, [n, 3]));
    assert_eq!(frames.dims(), [n, 3, 3]);
    let frames: Vec<f64> = frames.into_data().iter::<f64>().collect();
    for (v, frame) in vectors.chunks(3).zip(frames.chunks(9)) {
        // A rotation (the conversion checks it) that takes v to y.
        let rotation = Rotation::from_matrix(matrix(frame)).expect("a rotation");
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let image = rotation.apply([v[0], v[1], v[2]]);
        assert!(
            image[0].abs() / length < 1e-15 && image[2].abs() / length < 1e-15,
            "{v:?}"
        );
        assert!((image[1] / length - 1.0).abs() < 1e-15);
        assert!(far(rotation.matrix(), matrix(frame)) < 1e-15);
    }
    // Lengths whose squares under- or overflow.
    let ordinary = edge_frame(tensor(&DIRECTIONS.concat(), [12, 3]));
    for length in [2.0_f64.powi(-900), 2.0_f64.powi(900)] {
        let scaled: Vec<f64> = DIRECTIONS.concat().iter().map(|x| x * length).collect();
        let frames = edge_frame(tensor(&scaled, [12, 3]));
        assert_close!(frames, ordinary.clone(), 0.0, 1e-15);
    }
    let no_edges = Tensor::<2>::empty([0, 3], (&Device::flex(), DType::F64));
    assert_eq!(edge_frame(no_edges).dims(), [0, 3, 3]);
    let none = edge_frame(tensor(&[0.0; 3], [1, 3]));
    assert_close!(
        none,
        TensorData::new(Rotation::IDENTITY.matrix().concat(), [1, 3, 3]),
        0.0,
        0.0
    );
}

#[test]
fn gradients() {
    let n = DIRECTIONS.len() - 1;
    let weights: Vec<f64> = (0..9 * n).map(|i| (i as f64 * 0.7).sin()).collect();
    let loss = move |m: Tensor<3>| {
        let [n, _, _] = m.dims();
        let w = TensorData::new(weights[..9 * n].to_vec(), [n, 3, 3]);
        let w = Tensor::from_data(w, (&m.device(), DType::F64));
        (m * w).sum()
    };
    let settings = GradCheck::default();
    let vectors = DIRECTIONS[..n].concat();
    check_gradients(&Device::flex(), &[vectors], settings, |x| {
        loss(edge_frame(x[0].clone().reshape([n, 3])))
    });
    let few = &rotations()[195..206];
    let q: Vec<f64> = few
        .iter()
        .flat_map(|r| r.quaternion().map(|c| 1.3 * c))
        .collect();
    check_gradients(&Device::flex(), &[q], settings, |x| {
        loss(matrix_from_quaternion(x[0].clone().reshape([11, 4])))
    });
    let a: Vec<f64> = (0..33).map(|i| (i as f64).sin() * 3.0).collect();
    check_gradients(&Device::flex(), &[a], settings, |x| {
        loss(matrix_from_angles(x[0].clone().reshape([11, 3])))
    });
}

/// Tangents are derivatives along a line; a zero vector has none, and no NaN either.
#[test]
fn duals() {
    let v = DIRECTIONS.concat();
    let n = DIRECTIONS.len();
    let d: Vec<f64> = (0..3 * n).map(|i| (i as f64 * 1.3).cos()).collect();
    let at = |h: f64| {
        let moved: Vec<f64> = v.iter().zip(&d).map(|(v, d)| v + h * d).collect();
        tensor(&moved, [n, 3])
    };
    let dual = edge_frame(Dual::new(at(0.0), tensor(&d, [n, 3])));
    let h = 1e-6;
    let difference = (edge_frame(at(h)) - edge_frame(at(-h))) / (2.0 * h);
    assert_close!(dual.tangent.unwrap(), difference, 1e-8, 1e-8);
    assert_close!(dual.value, edge_frame(at(0.0)), 0.0, 0.0);

    let dual = edge_frame(Dual::new(
        tensor(&[0.0; 3], [1, 3]),
        tensor(&[1.0; 3], [1, 3]),
    ));
    assert_close!(
        dual.tangent.unwrap(),
        TensorData::zeros::<f64, _>([1, 3, 3]),
        0.0,
        0.0
    );
    let device = Device::flex().autodiff();
    let zero = Tensor::<2>::zeros([1, 3], (&device, DType::F64)).require_grad();
    let gradient = zero.grad(&edge_frame(zero.clone()).sum().backward());
    assert_close!(
        gradient.unwrap(),
        TensorData::zeros::<f64, _>([1, 3]),
        0.0,
        0.0
    );
}

#[test]
#[should_panic(expected = "edge_frame: expected [edges, 3], got [2, 4]")]
fn wrong_shape() {
    edge_frame(tensor(&[1.0; 8], [2, 4]));
}
