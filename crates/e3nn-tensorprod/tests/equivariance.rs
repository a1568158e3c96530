//! The equivariance check finds what is wrong and passes what is right.

use burn::tensor::{DType, Tensor};
use e3nn_tensorprod::rotation::edge_frame;
use e3nn_tensorprod::testing::{
    Argument, Equivariance, Role, assert_equivariant, equivariance_error,
};
use e3nn_tensorprod::wigner::{wigner_3j, wigner_d_from_matrix};
use e3nn_tensorprod::{IrrepsTensor, Layout, irreps};

/// `Σ_ij C_ijk x_i y_j`, by the definition.
fn coupled(l1: usize, l2: usize, l3: usize, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
    let [rows, _] = x.dims();
    let mut columns = vec![Tensor::zeros([rows, 1], (&x.device(), x.dtype())); 2 * l3 + 1];
    for e in wigner_3j(l1, l2, l3).nonzeros() {
        let (a, b) = (x.clone().narrow(1, e.i, 1), y.clone().narrow(1, e.j, 1));
        columns[e.k] = columns[e.k].clone() + a * b * e.value;
    }
    Tensor::cat(columns, 1)
}

fn thousand() -> Equivariance {
    Equivariance {
        elements: 1000,
        rows: 2,
        tolerance: 1e-13,
        ..Equivariance::default()
    }
}

#[test]
fn symbols_couple_irreps() {
    let inputs = [
        Argument::features(irreps!("2o")),
        Argument::features(irreps!("3e")),
    ];
    let outputs = [
        irreps!("1o").into(),
        irreps!("4o").into(),
        irreps!("5o").into(),
    ];
    let f = |x: &[Tensor<2>]| [1, 4, 5].map(|l| coupled(2, 3, l, &x[0], &x[1])).to_vec();
    let report = assert_equivariant(f, &inputs, &outputs, &thousand());
    assert_eq!((report.blocks.len(), report.elements), (3, 1000));
    assert!(
        report.max_rel() < 1e-13 && report.max_rel() > 0.0,
        "{report}"
    );
}

#[test]
fn layouts_and_sorting() {
    let from = irreps!("2x2e+0x1o+3x1e+2x0o+1x1e");
    let inputs = [Argument::new(Role::Features(from.clone(), Layout::IrMul))];
    let outputs = [Role::Features(irreps!("2x0o+4x1e+2x2e"), Layout::MulIr)];
    let f = |x: &[Tensor<2>]| {
        let x = IrrepsTensor::new(x[0].clone(), from.clone(), Layout::IrMul);
        let x = x.regroup(Default::default()).to_layout(Layout::MulIr);
        vec![x.into_values()]
    };
    assert_equivariant(f, &inputs, &outputs, &thousand());
}

/// A frame turned back is no frame: rotating to the edge, acting on `y` components only, and rotating back is
/// equivariant, whatever the frame does around `y`.
#[test]
fn what_is_done_in_edge_frames() {
    let inputs = [
        Argument::positions(),
        Argument::positions(),
        Argument::features(irreps!("2e")),
    ];
    let f = |x: &[Tensor<2>]| {
        let frames = edge_frame(x[1].clone() - x[0].clone());
        let d = wigner_d_from_matrix(2, frames);
        let irreps = irreps!("2e");
        let local = IrrepsTensor::new(x[2].clone(), irreps.clone(), Layout::MulIr).rotate(&d);
        // A diagonal matrix that is even in m commutes with rotations about y.
        let factors = Tensor::<2>::from_floats([[3.0, -1.0, 0.5, -1.0, 3.0]], &x[0].device());
        let local = local.into_values() * factors.cast(x[0].dtype());
        let local = IrrepsTensor::new(local, irreps, Layout::MulIr);
        vec![local.rotate_back(&d).into_values()]
    };
    assert_equivariant(f, &inputs, &[irreps!("2e").into()], &thousand());
}

#[test]
fn single_precision_and_positions_out() {
    let options = Equivariance {
        dtype: DType::F32,
        tolerance: 1e-5,
        ..Equivariance::default()
    };
    let inputs = [
        Argument::positions(),
        Argument::features(irreps!("1o")).rows(4),
    ];
    let f = |x: &[Tensor<2>]| vec![x[0].clone() + x[1].clone()];
    let report = assert_equivariant(f, &inputs, &[Role::Positions], &options);
    assert!(report.max_rel() > 1e-9, "{report}");
}

#[test]
fn given_values() {
    let inputs = [Argument::positions().values(vec![0.0, 0.0, 0.0, 1.0, 2.0, 3.0])];
    let f = |x: &[Tensor<2>]| {
        let distance = x[0].clone().narrow(0, 0, 1) - x[0].clone().narrow(0, 1, 1);
        let squared = distance.square().sum_dim(1);
        assert!((squared.clone().into_scalar::<f64>() - 14.0).abs() < 1e-10);
        vec![squared]
    };
    assert_equivariant(
        f,
        &inputs,
        &[irreps!("0e").into()],
        &Equivariance::default(),
    );
}

fn report_of(
    f: impl Fn(&[Tensor<2>]) -> Vec<Tensor<2>>,
    irreps_out: &str,
    options: &Equivariance,
) -> f64 {
    let inputs = [Argument::positions(), Argument::features(irreps!("1o"))];
    let outputs = [irreps_out
        .parse::<e3nn_tensorprod::Irreps>()
        .unwrap()
        .into()];
    equivariance_error(f, &inputs, &outputs, options).max_rel()
}

#[test]
fn errors_are_found() {
    let all = Equivariance::default();
    let proper = Equivariance {
        inversions: false,
        ..all.clone()
    };
    let vector = |x: &[Tensor<2>]| vec![x[1].clone()];
    assert!(report_of(vector, "1o", &all) < 1e-14);
    // A wrong parity shows with inversions only.
    assert!(report_of(vector, "1e", &all) > 0.5);
    assert!(report_of(vector, "1e", &proper) < 1e-14);
    // Three scalars are no vector.
    assert!(report_of(vector, "3x0o", &proper) > 0.5);
    // One component off by a thousandth.
    let bent = |x: &[Tensor<2>]| {
        let x = x[1].clone();
        let y = x.clone().narrow(1, 1, 1) * 1.001;
        vec![Tensor::cat(
            vec![x.clone().narrow(1, 0, 1), y, x.narrow(1, 2, 1)],
            1,
        )]
    };
    let error = report_of(bent, "1o", &all);
    assert!(error > 1e-4 && error < 1e-2, "{error}");
    // Positions are no vectors, unless nothing moves them.
    let absolute = |x: &[Tensor<2>]| vec![x[0].clone()];
    assert!(report_of(absolute, "1o", &all) > 0.5);
    let still = Equivariance {
        translation: 0.0,
        ..all.clone()
    };
    assert!(report_of(absolute, "1o", &still) < 1e-14);
    // NaN is infinitely far.
    let nan = |x: &[Tensor<2>]| vec![x[1].clone() * f64::NAN];
    assert_eq!(report_of(nan, "1o", &all), f64::INFINITY);
}

#[test]
#[should_panic(expected = "not equivariant: block 1 (1x1e) of result 0")]
fn the_block_is_named() {
    let f = |x: &[Tensor<2>]| vec![Tensor::cat(vec![x[0].clone(), x[0].clone()], 1)];
    let inputs = [Argument::features(irreps!("1o"))];
    assert_equivariant(
        f,
        &inputs,
        &[irreps!("1o+1e").into()],
        &Equivariance::default(),
    );
}

#[test]
#[should_panic(expected = "nothing tested: block 0 (1x1o) of result 0 is always zero")]
fn zeros_test_nothing() {
    let f = |x: &[Tensor<2>]| vec![x[0].zeros_like()];
    let inputs = [Argument::features(irreps!("1o"))];
    assert_equivariant(
        f,
        &inputs,
        &[irreps!("1o").into()],
        &Equivariance::default(),
    );
}

#[test]
#[should_panic(expected = "result 0 must have 3 columns")]
fn wrong_width() {
    let f = |x: &[Tensor<2>]| vec![x[0].clone()];
    let inputs = [Argument::features(irreps!("2x1o"))];
    assert_equivariant(
        f,
        &inputs,
        &[irreps!("1o").into()],
        &Equivariance::default(),
    );
}
