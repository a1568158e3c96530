//! Values with tangents: a layer is written once and runs on tensors or on (value, tangent) pairs.
//!
//! Burn's autodiff is first order, and training a potential needs the gradient of forces. The exact way
//! is forward over reverse: a forward pass in which every quantity carries its derivative along a fixed
//! direction of the inputs ([`Dual`]), and one ordinary backward pass through it. Every op needs its own
//! first derivative only: the tangent of a multilinear op is the op itself with one argument replaced, that
//! of an elementwise function its slope times the tangent.
//!
//! A tangent that is absent is zero: what does not depend on the direction (parameters, species) costs
//! nothing.

mod algebra;
mod arithmetic;
mod elementwise;
mod join;
mod shape;

use burn::tensor::{DType, Device, Shape, Tensor};

/// A value and its derivative along a fixed direction of the inputs.
#[derive(Debug, Clone)]
pub struct Dual<const D: usize> {
    /// The value.
    pub value: Tensor<D>,
    /// The tangent, shaped as the value; absent where it is zero.
    pub tangent: Option<Tensor<D>>,
}

impl<const D: usize> Dual<D> {
    /// A value that does not depend on the direction.
    pub fn constant(value: Tensor<D>) -> Self {
        Self {
            value,
            tangent: None,
        }
    }

    /// A value with its tangent.
    ///
    /// # Panics
    /// If their shapes differ.
    pub fn new(value: Tensor<D>, tangent: Tensor<D>) -> Self {
        assert_eq!(
            value.dims(),
            tangent.dims(),
            "Dual: shapes of value and tangent differ"
        );
        Self {
            value,
            tangent: Some(tangent),
        }
    }

    /// Number of entries along every axis.
    pub fn dims(&self) -> [usize; D] {
        self.value.dims()
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.value.dtype()
    }

    /// Where the value lives.
    pub fn device(&self) -> Device {
        self.value.device()
    }

    /// The tangent, zeros where it is absent.
    pub fn tangent_or_zeros(&self) -> Tensor<D> {
        let zeros = || self.value.zeros_like();
        self.tangent.clone().unwrap_or_else(zeros)
    }

    /// The same change of form on value and tangent: device, dtype, tracking by autodiff.
    pub fn map(self, f: impl Fn(Tensor<D>) -> Tensor<D>) -> Self {
        self.linear(f)
    }

    /// Cut off from what autodiff has recorded, tangent and all. (Without its tangent, a value is
    /// `Dual::constant(x.value)`.)
    pub fn detach(self) -> Self {
        self.map(Tensor::detach)
    }

    /// `f(x)` for a linear `f` (no constant term): `(f(x), f(ẋ))`.
    pub fn linear<const E: usize>(self, f: impl Fn(Tensor<D>) -> Tensor<E>) -> Dual<E> {
        Dual {
            value: f(self.value),
            tangent: self.tangent.map(f),
        }
    }

    /// `f(x, y)` for a bilinear `f`: `(f(x, y), f(ẋ, y) + f(x, ẏ))`.
    pub fn bilinear<const E: usize, const F: usize>(
        self,
        other: Dual<E>,
        f: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Dual<F> {
        let left = self.tangent.map(|dx| f(dx, other.value.clone()));
        let right = other.tangent.map(|dy| f(self.value.clone(), dy));
        Dual {
            value: f(self.value, other.value),
            tangent: sum(left, right),
        }
    }

    /// An elementwise function with its slope: `(f(x), f'(x) ẋ)`. `slope` gets `x` and `f(x)`, and is called
    /// only where there is a tangent.
    pub fn elementwise(
        self,
        f: impl FnOnce(Tensor<D>) -> Tensor<D>,
        slope: impl FnOnce(Tensor<D>, Tensor<D>) -> Tensor<D>,
    ) -> Self {
        match self.tangent {
            None => Self::constant(f(self.value)),
            Some(tangent) => {
                let value = f(self.value.clone());
                let tangent = tangent * slope(self.value, value.clone());
                Self {
                    value,
                    tangent: Some(tangent),
                }
            }
        }
    }
}

impl<const D: usize> From<Tensor<D>> for Dual<D> {
    fn from(value: Tensor<D>) -> Self {
        Self::constant(value)
    }
}

/// What layers take and return: a [`Tensor`] or a [`Dual`].
///
/// A layer is generic at its surface and written on [`Dual`] inside:
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use core_tensor::dual::{Dual, Value};
///
/// /// `x²`, on tensors and on duals.
/// fn square<V: Value<2>>(x: V) -> V {
///     let x: Dual<2> = x.into();
///     V::from_dual(x.clone().bilinear(x, |a, b| a * b))
/// }
///
/// let x = Tensor::<2>::from_floats([[3.0]], &Device::flex());
/// let y = square(Dual::new(x.clone(), x.ones_like()));
/// assert_eq!(y.tangent.unwrap().into_scalar::<f32>(), 6.0);
/// assert_eq!(square(x).into_scalar::<f32>(), 9.0);
/// ```
pub trait Value<const D: usize>: Clone + Into<Dual<D>> {
    /// The same kind of value with another number of axes.
    type Rank<const E: usize>: Value<E>;

    /// Back from the form in which layers compute.
    ///
    /// # Panics
    /// For a plain tensor, if there is a tangent: it would be lost.
    fn from_dual(dual: Dual<D>) -> Self;
}

impl<const D: usize> Value<D> for Tensor<D> {
    type Rank<const E: usize> = Tensor<E>;

    fn from_dual(dual: Dual<D>) -> Self {
        assert!(
            dual.tangent.is_none(),
            "Value: a tangent would be lost; pass every input as a Dual"
        );
        dual.value
    }
}

impl<const D: usize> Value<D> for Dual<D> {
    type Rank<const E: usize> = Dual<E>;

    fn from_dual(dual: Dual<D>) -> Self {
        dual
    }
}

/// The sum of two tangents.
pub fn sum<const D: usize>(a: Option<Tensor<D>>, b: Option<Tensor<D>>) -> Option<Tensor<D>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, None) => a,
        (None, b) => b,
    }
}

/// A tangent in the shape of a value to which its own value was broadcast.
fn broadcast_tangent<const D: usize>(
    tangent: Option<Tensor<D>>,
    dims: [usize; D],
) -> Option<Tensor<D>> {
    tangent.map(|tangent| {
        if tangent.dims() == dims {
            tangent
        } else {
            // A list of sizes must not hold a 0, a shape may.
            tangent.expand(Shape::from(dims))
        }
    })
}
