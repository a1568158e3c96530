//! What is evaluated: degrees, scale, solid or on the unit sphere.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Scale of the harmonics. e3nn's function has [`Integral`](Self::Integral) as its default, e3nn-jax and
/// cuEquivariance [`Component`](Self::Component), which is also what NequIP and MACE use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Normalization {
    /// `‖Y^l‖² = 2l + 1` on the unit sphere: components have mean square 1.
    #[default]
    Component,
    /// `‖Y^l‖ = 1` on the unit sphere.
    Norm,
    /// Orthonormal under the integral over the unit sphere: `‖Y^l‖² = (2l + 1) / 4π`.
    Integral,
}

impl Normalization {
    /// The factor from component normalisation, for degree `l`.
    pub fn scale(self, l: usize) -> f64 {
        match self {
            Self::Component => 1.0,
            Self::Norm => ((2 * l + 1) as f64).sqrt().recip(),
            Self::Integral => (4.0 * core::f64::consts::PI).sqrt().recip(),
        }
    }
}

/// Above this degree f32 is computed in f64: near the poles, factors of the recursion would leave the range of f32.
const NARROW: usize = 24;

/// Everything about an evaluation that is not a number of the input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Degrees in the order of the output; they may repeat and come in any order.
    pub degrees: Arc<[usize]>,
    /// Whether vectors are divided by their length first.
    pub normalize: bool,
    /// Scale.
    pub normalization: Normalization,
}

impl Spec {
    /// Number of output components, `Σ (2l + 1)`.
    pub fn dim(&self) -> usize {
        self.degrees.iter().map(|l| 2 * l + 1).sum()
    }

    /// The largest degree; 0 if there is none.
    pub fn lmax(&self) -> usize {
        self.degrees.iter().copied().max().unwrap_or(0)
    }

    /// Whether f32 is computed in f64.
    pub(super) fn is_wide(&self) -> bool {
        self.lmax() > NARROW
    }
}
