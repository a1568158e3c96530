//! The harmonics as a layer with irreps.

use super::spec::{Normalization, Spec};
use super::with_spec;
use crate::irreps::{Irrep, Irreps, Parity};
use burn::config::Config;
use burn::module::Module;
use core_tensor::dual::Value;

/// Why a [`SphericalHarmonics`] cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HarmonicsError {
    /// Harmonics of degree `l` of a vector with parity `p` have parity `p^l`.
    #[error(
        "block {block}: spherical harmonics of degree {} of {vector} are {want}, not {got}",
        .got.l()
    )]
    WrongParity {
        /// Place of the block.
        block: usize,
        /// What was asked for.
        got: Irrep,
        /// What there is.
        want: Irrep,
        /// The irrep of the vector, `1o` or `1e`.
        vector: Irrep,
    },
}

/// Configuration of [`SphericalHarmonics`].
///
/// # Example
/// ```
/// use e3nn_tensorprod::Irreps;
/// use e3nn_tensorprod::sh::SphericalHarmonicsConfig;
///
/// let layer = |irreps: &str| SphericalHarmonicsConfig::new(irreps.parse().unwrap()).init();
/// assert_eq!(layer("0e + 1o + 2e").unwrap().dim(), 9);
/// let error = layer("0e + 1e").unwrap_err();
/// assert_eq!(error.to_string(), "block 1: spherical harmonics of degree 1 of 1o are 1o, not 1e");
/// # let _: Irreps = "0e".parse().unwrap();
/// ```
#[derive(Config, Debug)]
pub struct SphericalHarmonicsConfig {
    /// Irreps of the output: degrees in any order, a multiplicity repeats its block.
    pub irreps: Irreps,
    /// Whether vectors are divided by their length first.
    #[config(default = true)]
    pub normalize: bool,
    /// Scale. The default, component, is that of NequIP, MACE, e3nn-jax and cuEquivariance; e3nn's own is integral.
    #[config(default = "Normalization::Component")]
    pub normalization: Normalization,
    /// Whether the input is a pseudovector, `1e`, rather than a vector, `1o`.
    #[config(default = false)]
    pub pseudovector: bool,
}

impl SphericalHarmonicsConfig {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// If a parity is not `p^l`.
    pub fn init(&self) -> Result<SphericalHarmonics, HarmonicsError> {
        let parity = if self.pseudovector {
            Parity::Even
        } else {
            Parity::Odd
        };
        for (block, b) in self.irreps.iter().enumerate() {
            let l = b.irrep.l();
            let natural = match parity {
                Parity::Even => Parity::Even,
                Parity::Odd => Parity::of_harmonics(l),
            };
            let want = Irrep::new(l, natural);
            if b.irrep != want {
                return Err(HarmonicsError::WrongParity {
                    block,
                    got: b.irrep,
                    want,
                    vector: Irrep::new(1, parity),
                });
            }
        }
        Ok(SphericalHarmonics {
            spec: Spec {
                degrees: self.irreps.ls().collect(),
                normalize: self.normalize,
                normalization: self.normalization,
            },
            irreps: self.irreps.clone(),
        })
    }
}

/// Spherical harmonics of vectors, as a layer; see [`spherical_harmonics`](super::spherical_harmonics).
#[derive(Module, Debug)]
pub struct SphericalHarmonics {
    #[module(skip)]
    spec: Spec,
    #[module(skip)]
    irreps: Irreps,
}

impl SphericalHarmonics {
    /// Irreps of the output.
    pub fn irreps(&self) -> &Irreps {
        &self.irreps
    }

    /// Number of output components.
    pub fn dim(&self) -> usize {
        self.spec.dim()
    }

    /// From vectors `[N, 3]` to `[N, dim]`, in the dtype of the vectors.
    ///
    /// # Panics
    /// If the input is not `[N, 3]`.
    pub fn forward<V: Value<2>>(&self, vectors: V) -> V {
        V::from_dual(with_spec(&self.spec, vectors.into()))
    }
}
