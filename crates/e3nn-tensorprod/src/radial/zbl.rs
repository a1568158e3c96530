//! The screened nuclear repulsion of Ziegler, Biersack and Littmark.

use super::column;
use burn::tensor::Tensor;
use core_tensor::dual::{Dual, Value};

/// Why a [`Zbl`] cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ZblError {
    /// Distances that do not fit each other.
    #[error(
        "ZBL: inner cutoff {inner} and outer cutoff {outer}, expected 0 <= inner <= outer, 0 < outer, finite"
    )]
    Cutoffs {
        /// Where switching begins.
        inner: f64,
        /// Where the energy ends.
        outer: f64,
    },
}

/// The ZBL pair repulsion as in LAMMPS (`pair_style zbl`, units metal): energy in eV of distances in Å,
///
/// `E(r) = k Z_i Z_j / r · φ(r / a) + S(r)`, `φ(x) = Σ_k c_k exp(−d_k x)`, `a = 0.46850 / (Z_i^0.23 + Z_j^0.23)`, with
/// `k = e²/4πε₀ = 14.399645 eV Å`. `S` is constant up to the inner cutoff and from there a polynomial of fourth degree,
/// such that energy and its first two derivatives are 0 at the outer cutoff; 0 beyond. With equal cutoffs nothing is switched: `S` shifts
/// the energy to 0 there, and the force ends abruptly.
///
/// `ZBLBasis` of MACE is another function: exponents 0.3, other coefficients, and a polynomial cutoff at the sum of covalent
/// radii.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zbl {
    inner: f64,
    outer: f64,
}

/// `e² / 4πε₀`, eV Å, LAMMPS's value.
const COULOMB: f64 = 14.399_645;
/// Coefficients and exponents of φ.
const SCREENING: [(f64, f64); 4] = [
    (0.02817, 0.20162),
    (0.28022, 0.40290),
    (0.50986, 0.94229),
    (0.18175, 3.19980),
];

impl Zbl {
    /// With switching from `inner` to `outer`.
    ///
    /// # Errors
    /// If not `0 ≤ inner ≤ outer` and `0 < outer`.
    pub fn new(inner: f64, outer: f64) -> Result<Self, ZblError> {
        if inner >= 0.0 && inner <= outer && outer > 0.0 && outer.is_finite() {
            Ok(Self { inner, outer })
        } else {
            Err(ZblError::Cutoffs { inner, outer })
        }
    }

    /// Energy of every pair, `[N, 1]`, of distances `r` between nuclei of charges `z_i` and `z_j` (atomic numbers), all
    /// `[N, 1]`. Infinite at 0, as it is.
    ///
    /// # Panics
    /// If a shape is not `[N, 1]`.
    pub fn forward<V: Value<2>>(&self, r: V, z_i: Tensor<2>, z_j: Tensor<2>) -> V {
        let r: Dual<2> = r.into();
        column("Zbl", &r);
        let exponent = 0.23;
        let inverse_a =
            (z_i.clone().powf_scalar(exponent) + z_j.clone().powf_scalar(exponent)) / 0.46850;
        let charge = z_i * z_j * COULOMB;
        let energy = |r: Dual<2>| {
            let x = r.clone() * inverse_a.clone();
            let terms = SCREENING.map(|(c, d)| (x.clone() * -d).exp() * c);
            let screened = terms.into_iter().reduce(|a, b| a + b).expect("four");
            screened / r * charge.clone()
        };
        // E, E' and E'' at the outer cutoff, from sums over φ^(n).
        let x = inverse_a.clone() * self.outer;
        let phi = |n: i32| {
            let terms = SCREENING.map(|(c, d)| (x.clone() * -d).exp() * (c * (-d).powi(n)));
            let sum = terms.into_iter().reduce(|a, b| a + b).expect("four");
            sum * inverse_a.clone().powi_scalar(n)
        };
        let (rc, width) = (self.outer, self.outer - self.inner);
        let (p0, p1, p2) = (phi(0), phi(1), phi(2));
        let e0 = charge.clone() * p0.clone() / rc;
        let e1 = charge.clone() * (p1.clone() / rc - p0.clone() / (rc * rc));
        let e2 = charge.clone() * (p2 / rc - p1 * (2.0 / (rc * rc)) + p0 * (2.0 / (rc * rc * rc)));
        let c = e1.clone() * (0.5 * width) - e0 - e2.clone() * (width * width / 12.0);
        let shifted = energy(r.clone()) + c;
        let switched = if width > 0.0 {
            let a = (e1.clone() * -3.0 + e2.clone() * width) / (width * width);
            let b = (e1 * 2.0 - e2 * width) / (width * width * width);
            let t = (r.clone() - self.inner).clamp_min(0.0);
            let t3 = t.clone().powi(3);
            t3.clone() * (a / 3.0) + t3 * t * (b / 4.0) + shifted
        } else {
            shifted
        };
        let beyond = r.value.detach().greater_equal_elem(rc);
        V::from_dual(switched.mask_fill(beyond, 0.0))
    }
}
