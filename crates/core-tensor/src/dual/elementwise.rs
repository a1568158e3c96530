//! Elementwise functions: a table of values and slopes.

use super::Dual;
use burn::tensor::{Tensor, activation};

/// Methods of [`Dual`] from rows `name(arguments): |x| value, |x, y| slope`, where `y` is the value.
macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*): $value:expr, $slope:expr;
    )*) => {
        impl<const D: usize> Dual<D> {$(
            $(#[$doc])*
            pub fn $name(self $(, $argument: $type)*) -> Self {
                self.elementwise($value, $slope)
            }
        )*}
    };
}

table! {
    /// `eˣ`.
    exp(): Tensor::exp, |_, y| y;
    /// Natural logarithm.
    ln(): Tensor::log, |x, _| x.recip();
    /// Square root; the slope at 0 is infinite.
    sqrt(): Tensor::sqrt, |_, y| y.recip() * 0.5;
    /// `1 / x`.
    recip(): Tensor::recip, |_, y| -(y.clone() * y);
    /// `x²`.
    square(): |x| x.clone() * x, |x, _| x * 2.0;
    /// Sine.
    sin(): Tensor::sin, |x, _| x.cos();
    /// Cosine.
    cos(): Tensor::cos, |x, _| -x.sin();
    /// Hyperbolic tangent.
    tanh(): Tensor::tanh, |_, y| -(y.clone() * y) + 1.0;
    /// Logistic function `σ(x) = 1 / (1 + e⁻ˣ)`.
    sigmoid(): activation::sigmoid, |_, y| y.clone() * (-y + 1.0);
    /// `x σ(x)`, also called swish.
    silu(): activation::silu, |x, y| {
        let s = activation::sigmoid(x);
        s.clone() + y * (-s + 1.0)
    };
    /// `ln(1 + eˣ)`, without overflow and without the threshold of Burn's softplus, which is wrong by
    /// 2·10⁻⁹ in `f64`.
    softplus(): |x| -activation::log_sigmoid(-x), |x, _| activation::sigmoid(x);
    /// `max(x, 0)`; the slope at 0 is 0.
    relu(): activation::relu, |x, _| x.clone().zeros_like().mask_fill(x.greater_elem(0.0), 1.0);
    /// `|x|`; the slope at 0 is 0.
    abs(): Tensor::abs, |x, _| x.sign();
    /// `xⁿ` by repeated products, so that negative `x` is right on every backend.
    powi(n: i32): |x| power(x, n), |x, _| power_slope(x, n);
    /// `xᵖ` for `x > 0`.
    powf(p: f64): |x| x.powf_scalar(p), |x, _| x.powf_scalar(p - 1.0) * p;
    /// `max(x, low)`; the slope is 0 below.
    clamp_min(low: f64): |x| x.clamp_min(low), |x, _| {
        x.ones_like().mask_fill(x.lower_elem(low), 0.0)
    };
    /// `min(max(x, low), high)`; the slope is 1 in `[low, high]` and 0 outside.
    clamp(low: f64, high: f64): |x| x.clamp(low, high), |x, _| {
        let outside = x.clone().lower_elem(low).bool_or(x.clone().greater_elem(high));
        x.ones_like().mask_fill(outside, 0.0)
    };
}

/// `xⁿ` by repeated squaring.
fn power<const D: usize>(x: Tensor<D>, n: i32) -> Tensor<D> {
    let (mut square, mut left) = (x.clone(), n.unsigned_abs());
    let mut product = None;
    while left > 0 {
        if left % 2 == 1 {
            product = Some(match product {
                None => square.clone(),
                Some(product) => product * square.clone(),
            });
        }
        left /= 2;
        if left > 0 {
            square = square.clone() * square;
        }
    }
    match product {
        None => x.ones_like(),
        Some(product) if n < 0 => product.recip(),
        Some(product) => product,
    }
}

fn power_slope<const D: usize>(x: Tensor<D>, n: i32) -> Tensor<D> {
    if n == 0 {
        x.zeros_like()
    } else {
        power(x, n - 1) * f64::from(n)
    }
}
