//! Comparison of tensors with stated bounds.

use burn::tensor::TensorData;
use core::fmt;

/// How far `got` is from `want`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Differences {
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference relative to the larger of the two values.
    pub max_rel: f64,
    /// Root mean square of the difference over that of `want` (0 where both are all zero).
    pub rms_ratio: f64,
    /// Flat index of the element that exceeds `atol + rtol · |want|` by most, if any does.
    pub worst: Option<usize>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_abs,
            max_rel,
            rms_ratio,
            ..
        } = self;
        write!(
            f,
            "max-abs {max_abs:.3e}, max-rel {max_rel:.3e}, RMS ratio {rms_ratio:.3e}"
        )
    }
}

/// Compares two lists of values; NaN anywhere counts as infinitely far, equal infinities as equal.
///
/// # Panics
/// If the lengths differ.
pub fn differences(got: &[f64], want: &[f64], rtol: f64, atol: f64) -> Differences {
    assert_eq!(got.len(), want.len(), "numbers of elements differ");
    let mut d = Differences {
        max_abs: 0.0,
        max_rel: 0.0,
        rms_ratio: 0.0,
        worst: None,
    };
    let (mut excess, mut square, mut square_want) = (0.0, 0.0, 0.0);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let gap = if g == w { 0.0 } else { (g - w).abs() };
        let gap = if gap.is_nan() { f64::INFINITY } else { gap };
        d.max_abs = d.max_abs.max(gap);
        if gap > 0.0 {
            d.max_rel = d
                .max_rel
                .max(gap / g.abs().max(w.abs()).max(f64::MIN_POSITIVE));
        }
        square += gap * gap;
        square_want += w * w;
        // An infinite or undefined bound excuses nothing.
        let over = if gap.is_infinite() || w.is_infinite() {
            gap
        } else {
            gap - (atol + rtol * w.abs())
        };
        if over > excess {
            (excess, d.worst) = (over, Some(i));
        }
    }
    d.rms_ratio = if square == 0.0 {
        0.0
    } else {
        (square / square_want).sqrt()
    };
    d
}

/// The function behind [`assert_close!`](crate::assert_close).
#[doc(hidden)]
#[track_caller]
pub fn assert_close_values(got: TensorData, want: TensorData, rtol: f64, atol: f64, what: &str) {
    assert_eq!(
        got.shape(),
        want.shape(),
        "{what}: shapes differ (got, want)"
    );
    let values = |data: TensorData| -> Vec<f64> { data.iter::<f64>().collect() };
    let (got, want) = (values(got), values(want));
    let d = differences(&got, &want, rtol, atol);
    if let Some(i) = d.worst {
        panic!(
            "{what}: element {i} is {:e}, want {:e} (rtol {rtol:e}, atol {atol:e}); {d}",
            got[i], want[i]
        );
    }
}

/// Asserts that two tensors have the same shape and that every element satisfies
/// `|got − want| ≤ atol + rtol · |want|`. NaN fails, also against NaN; equal infinities pass.
///
/// `assert_close!(got, want, rtol, atol)`, optionally followed by a message with its arguments.
/// Both sides are tensors of any rank or [`TensorData`], of any float dtype.
///
/// # Panics
/// If the assertion does not hold: with the worst element, max-abs, max-rel and RMS ratio.
#[macro_export]
macro_rules! assert_close {
    ($got:expr, $want:expr, $rtol:expr, $atol:expr $(,)?) => {
        $crate::assert_close!($got, $want, $rtol, $atol, "{}", stringify!($got))
    };
    ($got:expr, $want:expr, $rtol:expr, $atol:expr, $($what:tt)+) => {{
        use $crate::testing::IntoTestData as _;
        $crate::testing::assert_close_values(
            $got.into_test_data(),
            $want.into_test_data(),
            $rtol,
            $atol,
            &format!($($what)+),
        )
    }};
}

/// What [`assert_close!`](crate::assert_close) accepts.
pub trait IntoTestData {
    /// The values on the host.
    fn into_test_data(self) -> TensorData;
}

impl IntoTestData for TensorData {
    fn into_test_data(self) -> TensorData {
        self
    }
}

impl<const D: usize> IntoTestData for burn::tensor::Tensor<D> {
    fn into_test_data(self) -> TensorData {
        self.into_data()
    }
}

#[cfg(test)]
mod tests {
    use super::{differences, *};

    #[test]
    fn nan_never_passes() {
        assert_eq!(
            differences(&[f64::NAN], &[f64::NAN], 1.0, 1.0).worst,
            Some(0)
        );
        assert_eq!(
            differences(&[0.0], &[f64::INFINITY], 1.0, 1.0).worst,
            Some(0)
        );
        assert_eq!(
            differences(&[f64::INFINITY], &[f64::INFINITY], 0.0, 0.0).worst,
            None
        );
    }

    #[test]
    fn a_factor_of_1_003_is_seen() {
        let want = [1e-7, 2e-7, -3e-7];
        let got = want.map(|x| 1.003 * x);
        let d = differences(&got, &want, 1e-3, 1e-12);
        assert_eq!(d.worst, Some(2));
        assert!((d.rms_ratio - 3e-3).abs() < 1e-6);
    }

    #[test]
    #[should_panic(expected = "shapes differ")]
    fn shapes_are_compared() {
        assert_close!(TensorData::from([[1.0]]), TensorData::from([1.0]), 1.0, 1.0);
    }
}
