//! The generators' radial functions on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::radial::*;

/// Where and how near.
#[derive(Clone)]
pub struct Settings {
    pub device: Device,
    pub dtype: DType,
    /// Relative, and in units of the largest number of each array if that is above 1.
    pub bound: f64,
}

impl Settings {
    fn column(&self, values: Vec<f64>) -> Tensor<2> {
        let rows = values.len();
        Tensor::from_data(
            TensorData::new(values, [rows, 1]),
            (&self.device, self.dtype),
        )
    }

    fn close(&self, got: Tensor<2>, golden: &Golden, name: &str, bound: f64) {
        let want = golden.values(name);
        let scale = want.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
        let want = TensorData::new(want, got.dims());
        assert_close!(got, want, bound, bound * scale, "{name}, {:?}", self.dtype);
    }
}

/// e3nn's bases and cutoffs.
pub fn values_equal_e3nn(settings: &Settings) {
    let golden = Golden::open("radial");
    let r = golden.values("r");
    let column = |r: &[f64]| settings.column(r.to_vec());
    let close = |got, name: &str| settings.close(got, &golden, name, settings.bound);
    for (basis, name) in [
        (SoftBasis::Gaussian, "gaussian"),
        (SoftBasis::Cosine, "cosine"),
        (SoftBasis::SmoothFinite, "smooth_finite"),
        (SoftBasis::Fourier, "fourier"),
        (SoftBasis::Bessel, "bessel"),
    ] {
        // e3nn's Bessel basis is NaN at 0.
        let first = usize::from(basis == SoftBasis::Bessel);
        for (cutoff, suffix) in [(true, "cut"), (false, "nocut")] {
            let got = soft_one_hot_linspace(column(&r[first..]), 0.0, 5.0, 8, basis, cutoff);
            close(got, &format!("{name}_{suffix}"));
        }
    }
    close(soft_unit_step(column(&r) - 2.0), "soft_unit_step");
    for p in [2, 5, 6, 48] {
        // The golden values are of the expanded form, which at p = 48 cancels to 1e-12 itself.
        let least = if p == 48 { 1e-11 } else { 0.0 };
        let got = polynomial_cutoff(column(&r), 5.0, p);
        let name = format!("poly_cutoff_p{p}");
        settings.close(got, &golden, &name, settings.bound.max(least));
    }
    let mace = BesselConfig::mace(5.0, 8).init(&settings.device, settings.dtype);
    close(mace.forward(column(&r)), "math_bessel");
}

/// e3nn-jax's envelope.
pub fn envelope_equals_e3nn_jax(settings: &Settings) {
    let golden = Golden::open("e3nn_jax");
    let x: Vec<f64> = (0..25).map(|i| 1.2 * f64::from(i) / 24.0).collect();
    // e3nn-jax solves for its coefficients in f32 there.
    let got = poly_envelope(settings.column(x), 5, 2);
    settings.close(got, &golden, "poly_env_5_2", settings.bound.max(1e-6));
}

/// Values and slopes of functions of PyTorch Geometric and MACE, and of SciPy's Chebyshev polynomials.
pub fn values_and_slopes_equal_others(settings: &Settings) {
    let golden = Golden::open("radial_others");
    let column = |name: &str| settings.column(golden.values(name));
    let r0 = Dual::constant(column("agnesi_r0"));
    let other = AgnesiTransform {
        q: 2.0,
        p: 5.0,
        a: 0.7,
    };
    let agnesi = |transform: AgnesiTransform| {
        let r0 = r0.clone();
        move |r| transform.forward(r, r0.clone())
    };
    let check = |name: &str, f: &dyn Fn(Dual<2>) -> Dual<2>| {
        let r = column("r");
        let got = f(Dual::new(r.clone(), r.ones_like()));
        let slope = got.tangent.expect("a tangent");
        settings.close(got.value, &golden, name, settings.bound);
        settings.close(slope, &golden, &format!("d_{name}"), settings.bound);
    };
    check("gaussian_0_5_9", &|r| {
        gaussian_smearing(r, 0.0, 5.0, 9, 1.0)
    });
    check("gaussian_1_4_20", &|r| {
        gaussian_smearing(r, 1.0, 4.0, 20, 1.0)
    });
    check("expnormal_5_50", &|r| {
        ExpNormal::new(0.0, 5.0, 50).forward(r)
    });
    check("expnormal_3_8", &|r| ExpNormal::new(0.0, 3.0, 8).forward(r));
    check("chebyshev_5_10", &|r| chebyshev(r, 5.0, 10));
    check("agnesi", &agnesi(AgnesiTransform::default()));
    check("agnesi_2_5_07", &agnesi(other));
}

/// Energies and forces that LAMMPS computed (`golden/make_zbl.py`): rows of distance, charges, energy, force. Both bounds are
/// relative to the energy without the switch: what is left near the cutoff is a sum of terms far larger.
pub fn zbl_equals_lammps(device: &Device, dtype: DType, [energies, forces]: [f64; 2]) {
    let golden = Golden::open("zbl");
    for (case, [inner, outer]) in [
        ("switched", [3.0, 5.0]),
        ("narrow", [4.9, 5.0]),
        ("cut", [5.0, 5.0]),
    ] {
        let rows = golden.values(case);
        let pick = |i: usize| -> Vec<f64> { rows.iter().skip(i).step_by(5).copied().collect() };
        let column = |i: usize| {
            let values = pick(i);
            let shape = [values.len(), 1];
            Tensor::<2>::from_data(TensorData::new(values, shape), (device, dtype))
        };
        let zbl = Zbl::new(inner, outer).unwrap();
        let moved = Dual::new(column(0), column(0).ones_like());
        let got = zbl.forward(moved, column(1), column(2));
        let scale: Vec<f64> = (0..rows.len() / 5)
            .map(|row| rows[5 * row + 1] * rows[5 * row + 2] * 14.4 / rows[5 * row])
            .collect();
        let relative = |got: Tensor<2>, i: usize, bound: f64, what: &str| {
            let got = got.into_data();
            let gaps = got.iter::<f64>().zip(pick(i)).zip(&scale);
            let gaps: Vec<f64> = gaps
                .map(|((got, want), scale)| (got - want) / scale)
                .collect();
            let zeros = TensorData::new(vec![0.0; gaps.len()], [gaps.len()]);
            let gaps = TensorData::new(gaps, [scale.len()]);
            assert_close!(gaps, zeros, 0.0, bound, "{case}, {dtype:?}: {what}");
        };
        relative(-got.tangent.expect("a derivative"), 4, forces, "force");
        relative(got.value, 3, energies, "energy");
    }
}
