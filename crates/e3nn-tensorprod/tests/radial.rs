//! Radial functions against golden values, high-order differences and autodiff.

mod common;
#[path = "common/golden_radial.rs"]
mod golden_radial;

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::dual::Dual;
use core_tensor::testing::{GradCheck, check_gradients};
use core_tensor::{assert_close, testing::differences};
use e3nn_tensorprod::radial::*;
use golden_radial::Settings;

fn column(values: &[f64], dtype: DType) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len(), 1]);
    Tensor::from_data(data, (&Device::flex(), dtype))
}

fn values(x: Tensor<2>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The function at some places, in f64.
fn at(f: &dyn Fn(Dual<2>) -> Dual<2>, r: &[f64]) -> Vec<f64> {
    values(f(Dual::constant(column(r, DType::F64))).value)
}

type Function = (&'static str, Box<dyn Fn(Dual<2>) -> Dual<2>>);

fn catalogue() -> Vec<Function> {
    let mut all: Vec<Function> = vec![
        ("polynomial 6", Box::new(|r| polynomial_cutoff(r, 5.0, 6))),
        ("polynomial 5", Box::new(|r| polynomial_cutoff(r, 5.0, 5))),
        ("envelope 5 2", Box::new(|r| poly_envelope(r / 5.0, 5, 2))),
        ("envelope 3 0", Box::new(|r| poly_envelope(r / 5.0, 3, 0))),
        ("cosine", Box::new(|r| cosine_cutoff(r, 5.0))),
        (
            "gaussian",
            Box::new(|r| gaussian_smearing(r, 0.0, 5.0, 9, 1.2)),
        ),
        ("chebyshev", Box::new(|r| chebyshev(r, 5.0, 6))),
        (
            "expnorm",
            Box::new(|r| ExpNormal::new(0.0, 5.0, 7).forward(r)),
        ),
        (
            "agnesi",
            Box::new(|r| {
                let r0 = r.clone() * 0.0 + 1.3;
                AgnesiTransform::default().forward(r, r0)
            }),
        ),
        ("unit step", Box::new(|r| soft_unit_step(r - 2.0))),
        (
            "zbl",
            Box::new(|r| {
                let z = |z: f64| r.value.ones_like() * z;
                Zbl::new(1.0, 2.2)
                    .unwrap()
                    .forward(r.clone() + 0.4, z(6.0), z(14.0))
            }),
        ),
        (
            "spline",
            Box::new(|r| {
                let table = SplineTable::new(
                    |r| (r.clone() * 1.3).sin() + r,
                    0.0,
                    5.0,
                    30,
                    &Device::flex(),
                    DType::F64,
                );
                table.unwrap().forward(r)
            }),
        ),
    ];
    for prefactor in [BesselPrefactor::Orthonormal, BesselPrefactor::Nequip] {
        all.push((
            "bessel",
            Box::new(move |r| {
                let config = BesselConfig::new(5.0).with_prefactor(prefactor);
                config.init(&Device::flex(), DType::F64).forward(r)
            }),
        ));
    }
    for basis in [
        SoftBasis::Gaussian,
        SoftBasis::Cosine,
        SoftBasis::SmoothFinite,
        SoftBasis::Fourier,
        SoftBasis::Bessel,
    ] {
        for cutoff in [true, false] {
            all.push((
                "soft",
                Box::new(move |r| soft_one_hot_linspace(r, 0.0, 5.0, 8, basis, cutoff)),
            ));
        }
    }
    all
}

/// The CPU, with bounds for f64 and f32.
fn on_the_cpu(bounds: [f64; 2]) -> [Settings; 2] {
    let settings = |(dtype, bound)| Settings {
        device: Device::flex(),
        dtype,
        bound,
    };
    [(DType::F64, bounds[0]), (DType::F32, bounds[1])].map(settings)
}

#[test]
fn golden_values() {
    for settings in on_the_cpu([1e-12, 4e-6]) {
        golden_radial::values_equal_e3nn(&settings);
        golden_radial::envelope_equals_e3nn_jax(&settings);
    }
}

/// NequIP's is `sinc(i x) i`, by its own formula.
#[test]
fn the_bessel_basis_of_nequip() {
    let nequip = BesselConfig::nequip(5.0, 8).init(&Device::flex(), DType::F64);
    let r: Vec<f64> = (0..27).map(|i| 0.22 * f64::from(i)).collect();
    let got = values(nequip.forward(column(&r, DType::F64)));
    for (i, got) in got.into_iter().enumerate() {
        let (x, f) = (r[i / 8] / 5.0, (i % 8 + 1) as f64);
        let t = core::f64::consts::PI * f * x;
        let want = if t == 0.0 { f } else { t.sin() / t * f };
        assert!((got - want).abs() < 1e-13, "{x}, {f}");
    }
}

#[test]
fn golden_values_and_slopes_of_other_packages() {
    for settings in on_the_cpu([1e-12, 1e-5]) {
        golden_radial::values_and_slopes_equal_others(&settings);
    }
}

#[test]
fn tangents_and_gradients_against_finite_differences() {
    let r = [0.03, 0.4, 1.05, 1.7, 2.61, 3.3, 4.4, 4.97, 5.2, 6.0];
    for (name, f) in catalogue() {
        // Tangent by central differences.
        let x = column(&r, DType::F64);
        let y = f(Dual::new(x.clone(), x.ones_like()));
        let h = 1e-5;
        let moved = |h: f64| at(&f, &r.map(|r| r + h));
        let (up, down) = (moved(h), moved(-h));
        let want: Vec<f64> = up
            .iter()
            .zip(&down)
            .map(|(u, d)| (u - d) / (2.0 * h))
            .collect();
        let got = values(y.tangent.unwrap());
        // Only C¹ functions are smooth enough for the bound at the cutoff; no place is nearer than 1e-5.
        let d = differences(&got, &want, 1e-6, 1e-6);
        assert_eq!(d.worst, None, "{name}: {d}");
        // Gradients of value and tangent.
        let check = GradCheck {
            rtol: 1e-5,
            atol: 1e-5,
            ..Default::default()
        };
        check_gradients(&Device::flex(), &[r.to_vec()], check, |x| {
            let r = x[0].clone().reshape([10, 1]);
            let y = f(Dual::new(r.clone(), r.ones_like() * 0.7));
            (y.value * 0.3 + y.tangent.unwrap()).sum().reshape([1])
        });
    }
}

/// An atom alone has no distances.
#[test]
fn no_distances_have_no_values() {
    let none = || {
        let none = Tensor::<2>::empty([0, 1], (&Device::flex(), DType::F64));
        Dual::new(none.clone(), none)
    };
    for (name, f) in catalogue() {
        let columns = f(Dual::constant(column(&[1.0], DType::F64))).dims()[1];
        let out = f(none());
        assert_eq!(out.dims(), [0, columns], "{name}");
        assert_eq!(out.tangent.map(|t| t.dims()), Some([0, columns]), "{name}");
    }
    let config = BesselConfig::new(5.0).with_number(0);
    let r = column(&[1.0, 2.0], DType::F64);
    let out = config.init(&Device::flex(), DType::F64).forward(r.clone());
    assert_eq!(out.dims(), [2, 0]);
    assert_eq!(chebyshev(r, 5.0, 0).dims(), [2, 0]);
}

#[test]
fn values_at_zero_are_finite_with_their_derivatives() {
    for (name, f) in catalogue() {
        let dtype = DType::F64;
        let x = column(&[0.0], dtype);
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(x.into_data(), (&device, dtype)).require_grad();
        let y = f(Dual::new(x.clone(), x.ones_like()));
        let tangent = y.tangent.unwrap();
        let all = values(y.value.clone())
            .into_iter()
            .chain(values(tangent.clone()));
        assert!(all.into_iter().all(f64::is_finite), "{name}");
        let grads = (y.value + tangent).sum().backward();
        assert!(
            values(x.grad(&grads).unwrap())
                .into_iter()
                .all(f64::is_finite),
            "{name}"
        );
    }
}

/// Derivatives of order `0..=n` at the cutoff from one side vanish: the function falls as `ε^{n+1}`.
#[test]
fn functions_vanish_to_the_promised_order() {
    let order = |f: &dyn Fn(Dual<2>) -> Dual<2>, cutoff: f64, near: f64| -> f64 {
        let y = at(f, &[cutoff - 10.0 * near, cutoff - near]);
        assert!(y.iter().all(|y| *y != 0.0));
        (y[0] / y[1]).abs().log10()
    };
    let close = |got: f64, want: f64| assert!((got - want).abs() < 0.02, "{got}, {want}");
    for p in [2, 5, 6, 48] {
        close(order(&|r| polynomial_cutoff(r, 1.0, p), 1.0, 1e-5), 3.0);
    }
    for n1 in 0..5 {
        close(
            order(&|r| poly_envelope(r, 4, n1), 1.0, 1e-5),
            n1 as f64 + 1.0,
        );
    }
    close(order(&|r| cosine_cutoff(r, 5.0), 5.0, 1e-5), 2.0);
    let zbl = |r: Dual<2>| {
        let z = |z: f64| r.value.ones_like() * z;
        Zbl::new(1.0, 2.2)
            .unwrap()
            .forward(r.clone(), z(6.0), z(8.0))
    };
    // A difference of large numbers: not as near.
    close(order(&zbl, 2.2, 1e-3), 3.0);
    // Beyond, exactly 0.
    for (name, f) in catalogue() {
        let compact = [
            "polynomial 6",
            "polynomial 5",
            "envelope 5 2",
            "cosine",
            "expnorm",
            "zbl",
        ];
        if compact.contains(&name) {
            assert!(
                at(&f, &[5.0, 5.5, 100.0]).iter().all(|&y| y == 0.0),
                "{name}"
            );
        }
    }
    // In f32 right up to the cutoff, to the last digits.
    let x: Vec<f64> = (1..100)
        .map(|i| f64::from(1.0_f32 - 1e-4 * i as f32))
        .collect();
    let got = values(polynomial_cutoff(column(&x, DType::F32), 1.0, 6));
    let want = values(polynomial_cutoff(column(&x, DType::F64), 1.0, 6));
    let d = differences(&got, &want, 2e-6, 0.0);
    assert_eq!(d.worst, None, "{d}");
}

#[test]
fn zbl_has_the_energies_and_forces_of_lammps() {
    for (dtype, bounds) in [(DType::F64, [1e-14, 1e-12]), (DType::F32, [1e-5, 1e-5])] {
        golden_radial::zbl_equals_lammps(&Device::flex(), dtype, bounds);
    }
    for [inner, outer] in [[2.0, 1.0], [f64::NAN, 1.0], [0.0, 0.0]] {
        assert!(Zbl::new(inner, outer).is_err());
    }
}

#[test]
fn splines_converge_and_are_smooth() {
    let bessel = BesselConfig::nequip(5.0, 8).init(&Device::flex(), DType::F64);
    let f = |r: Dual<2>| {
        let cutoff = polynomial_cutoff(r.clone(), 5.0, 6).expand([r.dims()[0], 8]);
        bessel.forward(r) * cutoff
    };
    let r: Vec<f64> = (0..500).map(|i| 5.0 * f64::from(i) / 499.0).collect();
    let x = column(&r, DType::F64);
    let error = |knots: usize| {
        let table = SplineTable::new(f, 0.0, 5.0, knots, &Device::flex(), DType::F64).unwrap();
        let run = |g: &dyn Fn(Dual<2>) -> Dual<2>| g(Dual::new(x.clone(), x.ones_like()));
        let (got, want) = (run(&|r| table.forward(r)), run(&f));
        let gap = |a: Tensor<2>, b: Tensor<2>| (a - b).abs().max().into_scalar::<f64>();
        (
            gap(got.value, want.value),
            gap(got.tangent.unwrap(), want.tangent.unwrap()),
        )
    };
    let ((coarse, coarse_slope), (fine, fine_slope)) = (error(65), error(129));
    println!("65 knots: {coarse:e}, {coarse_slope:e}; 129 knots: {fine:e}, {fine_slope:e}");
    assert!(
        coarse / fine > 13.0 && coarse_slope / fine_slope > 6.5,
        "orders 4 and 3"
    );
    // At the knots the first two derivatives go through: differences over a knot, from both sides.
    let table = SplineTable::new(f, 0.0, 5.0, 11, &Device::flex(), DType::F64).unwrap();
    let slope = |r: f64| {
        let x = column(&[r], DType::F64);
        values(
            table
                .forward(Dual::new(x.clone(), x.ones_like()))
                .tangent
                .unwrap(),
        )
    };
    let e = 1e-6;
    let (a, b, c, d) = (
        slope(2.5 - 2.0 * e),
        slope(2.5 - e),
        slope(2.5 + e),
        slope(2.5 + 2.0 * e),
    );
    for j in 0..8 {
        assert!((b[j] - c[j]).abs() < 1e-4, "first derivative");
        let (left, right) = ((b[j] - a[j]) / e, (d[j] - c[j]) / e);
        assert!(
            (left - right).abs() < 1e-2 + 1e-3 * left.abs(),
            "second: {left} {right}"
        );
    }
    // Exact for cubics.
    let cubic = |r: Dual<2>| r.clone().powi(3) - r.square() * 2.0 + 1.0;
    let table = SplineTable::new(cubic, -1.0, 4.0, 4, &Device::flex(), DType::F64).unwrap();
    let x = column(&[-1.0, -0.3, 0.9, 2.2, 4.0], DType::F64);
    assert_close!(
        table.forward(x.clone()),
        cubic(Dual::constant(x)).value,
        1e-13,
        1e-12
    );
    let refused = |r: Result<SplineTable, SplineError>| r.is_err();
    assert!(refused(SplineTable::new(
        cubic,
        0.0,
        1.0,
        1,
        &Device::flex(),
        DType::F64
    )));
    assert!(refused(SplineTable::new(
        |r| r.recip(),
        0.0,
        1.0,
        9,
        &Device::flex(),
        DType::F64
    )));
}

#[test]
fn frequencies_are_trained_where_asked() {
    let device = Device::flex().autodiff();
    let run = |config: BesselConfig| {
        let bessel = config.init(&device, DType::F64);
        let r = Tensor::<2>::from_data([[1.0], [2.0]], (&device, DType::F64));
        let grads = bessel.forward(r).sum().backward();
        bessel.frequencies.val().grad(&grads).is_some()
    };
    assert!(run(BesselConfig::nequip(5.0, 4)));
}
