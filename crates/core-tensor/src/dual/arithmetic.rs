//! `+ − × ÷` of duals with duals, tensors and numbers, by the usual operators.
//!
//! Operands broadcast as Burn's tensors do. A quotient by a number is a product with its reciprocal: the
//! gradient of Burn 0.22.1's own quotient by a number is rounded to `f32`, whatever the tensor.

use super::{Dual, broadcast_tangent, sum};
use burn::tensor::Tensor;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// `(x + y, ẋ + ẏ)`.
impl<const D: usize> Add for Dual<D> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let value = self.value + other.value;
        let dims = value.dims();
        let wide = |tangent: Option<_>| broadcast_tangent(tangent, dims);
        Self {
            tangent: sum(wide(self.tangent), wide(other.tangent)),
            value,
        }
    }
}

/// `(x − y, ẋ − ẏ)`.
impl<const D: usize> Sub for Dual<D> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let value = self.value - other.value;
        let dims = value.dims();
        let wide = |tangent: Option<_>| broadcast_tangent(tangent, dims);
        let tangent = match (wide(self.tangent), wide(other.tangent)) {
            (Some(x), Some(y)) => Some(x - y),
            (x, None) => x,
            (None, y) => y.map(Tensor::neg),
        };
        Self { value, tangent }
    }
}

/// `(x y, ẋ y + x ẏ)`.
impl<const D: usize> Mul for Dual<D> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.bilinear(other, |x, y| x * y)
    }
}

/// `(x / y, (ẋ − (x / y) ẏ) / y)`.
impl<const D: usize> Div for Dual<D> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let value = self.value / other.value.clone();
        let change = other.tangent.map(|dy| -(value.clone() * dy));
        let over = |tangent: Tensor<D>| tangent / other.value.clone();
        let tangent = match (self.tangent, change) {
            // One of the two may broadcast: `change` has the full shape.
            (Some(dx), Some(change)) => Some(over(dx + change)),
            (dx, change) => dx.or(change).map(over),
        };
        Self { value, tangent }
    }
}

impl<const D: usize> Neg for Dual<D> {
    type Output = Self;

    fn neg(self) -> Self {
        self.linear(Tensor::neg)
    }
}

impl<const D: usize> Add<f64> for Dual<D> {
    type Output = Self;

    fn add(self, number: f64) -> Self {
        Self {
            value: self.value + number,
            tangent: self.tangent,
        }
    }
}

impl<const D: usize> Sub<f64> for Dual<D> {
    type Output = Self;

    fn sub(self, number: f64) -> Self {
        self + -number
    }
}

impl<const D: usize> Mul<f64> for Dual<D> {
    type Output = Self;

    fn mul(self, number: f64) -> Self {
        self.linear(|x| x * number)
    }
}

impl<const D: usize> Div<f64> for Dual<D> {
    type Output = Self;

    fn div(self, number: f64) -> Self {
        self.linear(|x| x * number.recip())
    }
}

impl<const D: usize> Add<Dual<D>> for f64 {
    type Output = Dual<D>;

    fn add(self, x: Dual<D>) -> Dual<D> {
        x + self
    }
}

impl<const D: usize> Sub<Dual<D>> for f64 {
    type Output = Dual<D>;

    fn sub(self, x: Dual<D>) -> Dual<D> {
        -x + self
    }
}

impl<const D: usize> Mul<Dual<D>> for f64 {
    type Output = Dual<D>;

    fn mul(self, x: Dual<D>) -> Dual<D> {
        x * self
    }
}

impl<const D: usize> Div<Dual<D>> for f64 {
    type Output = Dual<D>;

    fn div(self, x: Dual<D>) -> Dual<D> {
        x.recip().linear(|y| y * self)
    }
}

/// Operators between a dual and a tensor, which counts as a constant.
macro_rules! with_tensors {
    ($($trait:ident::$method:ident),*) => {$(
        impl<const D: usize> $trait<Tensor<D>> for Dual<D> {
            type Output = Dual<D>;

            fn $method(self, other: Tensor<D>) -> Dual<D> {
                $trait::$method(self, Dual::constant(other))
            }
        }

        impl<const D: usize> $trait<Dual<D>> for Tensor<D> {
            type Output = Dual<D>;

            fn $method(self, other: Dual<D>) -> Dual<D> {
                $trait::$method(Dual::constant(self), other)
            }
        }
    )*};
}
with_tensors!(Add::add, Sub::sub, Mul::mul, Div::div);
