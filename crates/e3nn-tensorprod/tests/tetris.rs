//! The tetris task is learned whole, and nothing but handedness tells the chiral pair apart.

use burn::tensor::{Device, Tensor, TensorData};
use core_tensor::{assert_close, seeded};
use e3nn_tensorprod::Irreps;
use e3nn_tensorprod::rotation::Orthogonal;
use e3nn_tensorprod::testing::{Argument, Equivariance, Role, assert_equivariant};
use e3nn_tensorprod::tetris::{
    NAMES, Points, Recipe, TetrisNetConfig, evaluate, mirrored, picture,
};

#[test]
fn every_shape_is_recognised_in_any_orientation() {
    let device = Device::flex();
    let trained = Recipe::default().train(&device, |_| ());
    let last = trained.curve.last().unwrap();
    assert_eq!(last.accuracy, 1.0, "{last:?}");
    assert!(last.loss < 0.1, "{last:?}");
    // Orientations that training has not seen, and mirror images, which it has never seen.
    assert_eq!(evaluate(&trained.model, 20, 1, &device), [1.0, 1.0]);
    // Bit for bit again.
    let again = Recipe::default().train(&device, |_| ());
    assert_eq!(again.curve, trained.curve);
}

#[test]
fn scores_are_invariant_and_mirror_images_exchange() {
    let device = Device::flex();
    let net = seeded(&device, 5, || TetrisNetConfig::new().init(&device));
    let points = Points::new(|| Orthogonal::IDENTITY);
    let scores = net.score(&points, &device);
    let mirror = net.score(&Points::new(|| Orthogonal::INVERSION), &device);
    // The columns of the two mirror images change places, and so do their rows.
    let order = Tensor::from_data(TensorData::from([1_i64, 0, 2, 3, 4, 5, 6, 7]), &device);
    assert_close!(mirror, scores.clone().select(1, order), 1e-4, 1e-4);
    let scores: Vec<f64> = scores.into_data().iter::<f64>().collect();
    assert!(
        (scores[0] - scores[1]).abs() > 1e-3,
        "the pair is not told apart"
    );

    // Each row is a scalar function of the points of its shape.
    let flat: Vec<f64> = points.positions.iter().flatten().copied().collect();
    let options = Equivariance {
        elements: 20,
        inversions: false,
        dtype: burn::tensor::DType::F32,
        tolerance: 1e-4,
        ..Equivariance::default()
    };
    let irreps: Irreps = "8x0e".parse().unwrap();
    let f = |x: &[Tensor<2>]| vec![net.forward(x[0].clone(), &points.graph)];
    assert_equivariant(
        f,
        &[Argument::positions().values(flat)],
        &[Role::from(irreps)],
        &options,
    );
}

#[test]
fn the_mirror_exchanges_names_of_one_pair() {
    assert_eq!(mirrored(0), 1);
    assert_eq!(mirrored(1), 0);
    assert!((2..NAMES.len()).all(|n| mirrored(n) == n));
}

#[test]
fn the_picture_says_what_was_mistaken() {
    let mut scores = vec![vec![0.0; 8]; 8];
    (0..8).for_each(|n| scores[n][n] = 10.0);
    scores[3][5] = 20.0;
    let svg = picture(&scores, &[]);
    assert_eq!(svg.matches("<polygon").count(), 8 * 4 * 3);
    assert!(svg.contains("taken for L"));
    assert_eq!(svg.matches(" %</text>").count(), 7);
}
