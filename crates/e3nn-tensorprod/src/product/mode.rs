//! How the multiplicities of a path are connected: [`ConnectionMode`].

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Which copies of the two inputs meet in a path, and which weight they get.
///
/// With `Z_uvk = Σ_ij C_ijk x_ui y_vj` (`u`, `v`, `w` count the copies of the two inputs and the output, `m₁`, `m₂`,
/// `m₃` of them), names and weights as in e3nn:
///
/// | mode | output | weights | needs |
/// |---|---|---|---|
/// | `uvw` | `out_w = Σ_uv w_uvw Z_uv` | `[m₁, m₂, m₃]` | weights |
/// | `uvu` | `out_u = Σ_v w_uv Z_uv` | `[m₁, m₂]` | `m₃ = m₁` |
/// | `uvv` | `out_v = Σ_u w_uv Z_uv` | `[m₁, m₂]` | `m₃ = m₂` |
/// | `uuw` | `out_w = Σ_u w_uw Z_uu` | `[m₁, m₃]` | `m₁ = m₂`; without weights `m₃ = 1` |
/// | `uuu` | `out_u = w_u Z_uu` | `[m₁]` | `m₁ = m₂ = m₃` |
/// | `uvuv` | `out_{u m₂ + v} = w_uv Z_uv` | `[m₁, m₂]` | `m₃ = m₁ m₂` |
/// | `uvu<v` | `out_q = w_q Z_uv`, `q` counting the pairs `u < v` | `[m₁ (m₁−1)/2]` | `m₁ = m₂`, `m₃ = m₁ (m₁−1)/2` |
/// | `u<vw` | `out_w = Σ_q w_qw Z_uv` over the pairs `u < v` | `[m₁ (m₁−1)/2, m₃]` | weights, `m₁ = m₂` |
///
/// Pairs `u < v` are in the order `(0,1), (0,2), …, (1,2), …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// Fully connected.
    #[serde(rename = "uvw")]
    Uvw,
    /// Every copy of the first input with all of the second: depth-wise.
    #[serde(rename = "uvu")]
    Uvu,
    /// Every copy of the second input with all of the first.
    #[serde(rename = "uvv")]
    Uvv,
    /// Copies pairwise, then mixed.
    #[serde(rename = "uuw")]
    Uuw,
    /// Copies pairwise.
    #[serde(rename = "uuu")]
    Uuu,
    /// All pairs, each an output.
    #[serde(rename = "uvuv")]
    Uvuv,
    /// All pairs `u < v`, each an output.
    #[serde(rename = "uvu<v")]
    UvuTriangle,
    /// All pairs `u < v`, then mixed.
    #[serde(rename = "u<vw")]
    UvwTriangle,
}

impl ConnectionMode {
    /// All modes.
    pub const ALL: [Self; 8] = [
        Self::Uvw,
        Self::Uvu,
        Self::Uvv,
        Self::Uuw,
        Self::Uuu,
        Self::Uvuv,
        Self::UvuTriangle,
        Self::UvwTriangle,
    ];

    /// e3nn's name, such as `uvu<v`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uvw => "uvw",
            Self::Uvu => "uvu",
            Self::Uvv => "uvv",
            Self::Uuw => "uuw",
            Self::Uuu => "uuu",
            Self::Uvuv => "uvuv",
            Self::UvuTriangle => "uvu<v",
            Self::UvwTriangle => "u<vw",
        }
    }

    /// Shape of the weights of a path with these multiplicities.
    pub fn weight_shape(self, [m1, m2, m3]: [usize; 3]) -> Vec<usize> {
        match self {
            Self::Uvw => vec![m1, m2, m3],
            Self::Uvu | Self::Uvv | Self::Uvuv => vec![m1, m2],
            Self::Uuw => vec![m1, m3],
            Self::Uuu => vec![m1],
            Self::UvuTriangle => vec![pairs(m1)],
            Self::UvwTriangle => vec![pairs(m1), m3],
        }
    }

    /// Number of terms `w Z` that are added up in one copy of the output: what a sum of independent terms is
    /// normalised by.
    pub fn num_elements(self, [m1, m2, _]: [usize; 3]) -> usize {
        match self {
            Self::Uvw => m1 * m2,
            Self::Uvu => m2,
            Self::Uvv | Self::Uuw => m1,
            Self::Uuu | Self::Uvuv | Self::UvuTriangle => 1,
            Self::UvwTriangle => pairs(m1),
        }
    }

    /// What is wrong with these multiplicities, if anything.
    pub(super) fn problem(
        self,
        [m1, m2, m3]: [usize; 3],
        has_weight: bool,
    ) -> Option<&'static str> {
        let (ok, rule) = match self {
            Self::Uvw => (has_weight, "needs weights"),
            Self::Uvu => (
                m3 == m1,
                "needs as many copies in the output as in the first input",
            ),
            Self::Uvv => (
                m3 == m2,
                "needs as many copies in the output as in the second input",
            ),
            Self::Uuw if m1 != m2 => (false, "needs as many copies in both inputs"),
            Self::Uuw => (
                has_weight || m3 == 1,
                "without weights needs one copy in the output",
            ),
            Self::Uuu => (
                m1 == m2 && m2 == m3,
                "needs as many copies in both inputs and the output",
            ),
            Self::Uvuv => (
                m1.checked_mul(m2) == Some(m3),
                "needs one copy in the output per pair of copies of the inputs",
            ),
            Self::UvuTriangle => (
                m1 == m2 && m3 == pairs(m1),
                "needs m copies in both inputs and m (m - 1) / 2 in the output",
            ),
            Self::UvwTriangle => (
                has_weight && m1 == m2,
                "needs weights and as many copies in both inputs",
            ),
        };
        (!ok).then_some(rule)
    }
}

/// Number of pairs `u < v` among `m`; the largest number there is where it exceeds that.
pub(super) const fn pairs(m: usize) -> usize {
    let (even, odd) = if m.is_multiple_of(2) {
        (m, m.saturating_sub(1))
    } else {
        (m - 1, m)
    };
    (even / 2).saturating_mul(odd)
}

impl fmt::Display for ConnectionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ConnectionMode {
    type Err = super::ProductError;

    /// Reads e3nn's name.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.name() == name)
            .ok_or_else(|| super::ProductError::UnknownMode(name.to_owned()))
    }
}
