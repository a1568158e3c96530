//! Transforms of distances.

use super::column;
use core_tensor::dual::{Dual, Value};

/// The Agnesi transform of distances, `(1 + a x^q / (1 + x^{q−p}))⁻¹` with `x = r / r₀`: from 1 at 0 to 0 far out, steepest
/// around `r₀`. Defaults are those of MACE.
///
/// Evaluated as `(1 + a x^p / (1 + x^{p−q}))⁻¹`, which is the same and finite at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgnesiTransform {
    /// Exponent far out.
    pub q: f64,
    /// Exponent near 0; larger than `q`.
    pub p: f64,
    /// Factor.
    pub a: f64,
}

impl Default for AgnesiTransform {
    fn default() -> Self {
        Self {
            q: 0.9183,
            p: 4.5791,
            a: 1.0805,
        }
    }
}

impl AgnesiTransform {
    /// From distances `r` and lengths `r0` (in MACE the mean of the covalent radii), both `[N, 1]`, to `[N, 1]`.
    ///
    /// # Panics
    /// If they are not `[N, 1]`.
    pub fn forward<V: Value<2>>(&self, r: V, r0: V) -> V {
        let (r, r0): (Dual<2>, Dual<2>) = (r.into(), r0.into());
        column("AgnesiTransform", &r);
        column("AgnesiTransform", &r0);
        let x = r / r0;
        let low = x.clone().powf(self.p);
        let high = x.powf(self.p - self.q) + 1.0;
        V::from_dual((low / high * self.a + 1.0).recip())
    }
}
