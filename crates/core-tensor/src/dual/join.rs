//! Operations that join values: concatenation, masks.

use super::Dual;
use burn::tensor::{Bool, Tensor};

impl<const D: usize> Dual<D> {
    /// Concatenation along an axis.
    ///
    /// # Panics
    /// If there is nothing to join, or other axes differ.
    pub fn cat(parts: Vec<Self>, dim: usize) -> Self {
        join(parts, |parts| Tensor::cat(parts, dim))
    }

    /// Values of one shape along a new axis; `E` is `D + 1`.
    ///
    /// # Panics
    /// If there is nothing to join, or shapes differ.
    pub fn stack<const E: usize>(parts: Vec<Self>, dim: usize) -> Dual<E> {
        join(parts, |parts| Tensor::stack(parts, dim))
    }

    /// A constant number where the mask holds.
    pub fn mask_fill(self, mask: Tensor<D, Bool>, number: f64) -> Self {
        Self {
            value: self.value.mask_fill(mask.clone(), number),
            tangent: self.tangent.map(|tangent| tangent.mask_fill(mask, 0.0)),
        }
    }

    /// `other` where the mask holds. All three have one shape.
    pub fn mask_where(self, mask: Tensor<D, Bool>, other: impl Into<Self>) -> Self {
        let other = other.into();
        let tangent = match (self.tangent, other.tangent) {
            (None, None) => None,
            (Some(x), None) => Some(x.mask_fill(mask.clone(), 0.0)),
            (None, Some(y)) => Some(y.mask_fill(mask.clone().bool_not(), 0.0)),
            (Some(x), Some(y)) => Some(x.mask_where(mask.clone(), y)),
        };
        Self {
            value: self.value.mask_where(mask, other.value),
            tangent,
        }
    }
}

fn join<const D: usize, const E: usize>(
    parts: Vec<Dual<D>>,
    f: impl Fn(Vec<Tensor<D>>) -> Tensor<E>,
) -> Dual<E> {
    let any = parts.iter().any(|part| part.tangent.is_some());
    let tangents = parts.iter().map(Dual::tangent_or_zeros);
    let tangent = any.then(|| f(tangents.collect()));
    Dual {
        value: f(parts.into_iter().map(|part| part.value).collect()),
        tangent,
    }
}
