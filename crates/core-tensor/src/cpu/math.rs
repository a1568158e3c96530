//! Elementary functions that the compiler can vectorise: straight-line code without calls, tables
//! or branches.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// A floating-point type that kernels compute in: `f32` or `f64`.
///
/// The elementary functions are branch-free and accurate to a few units in the last place over the
/// whole range: they saturate where the true value leaves the range of the type and return NaN for
/// NaN. Measured bounds are in this file's tests.
pub trait Real:
    Copy
    + Send
    + Sync
    + PartialOrd
    + core::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + bytemuck::Pod
    + burn::tensor::Element
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// One half.
    const HALF: Self;
    /// Minus infinity.
    const NEG_INFINITY: Self;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same value, as `f64`.
    fn to_f64(self) -> f64;
    /// `self · b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `|self|`.
    fn absolute(self) -> Self;
    /// `e^self`; 0 and infinity where it leaves the range.
    fn exponential(self) -> Self;
    /// `e^self − 1`, accurate near 0.
    fn exponential_minus_one(self) -> Self;
    /// Natural logarithm; −∞ at 0, NaN below.
    fn logarithm(self) -> Self;

    /// The larger of two values; `other` if `self` is NaN.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// Logistic function `σ(x) = 1 / (1 + e^−x)` and its complement `σ(−x) = 1 − σ(x)`, both
    /// with full relative accuracy (`1 − σ(x)` computed as such would be 0 in `f32` from x ≈ 17).
    #[inline(always)]
    fn sigmoid_pair(self) -> (Self, Self) {
        let e = (-self.absolute()).exponential();
        let large = Self::ONE / (Self::ONE + e);
        let small = e * large;
        if self >= Self::ZERO {
            (large, small)
        } else {
            (small, large)
        }
    }

    /// Logistic function `1 / (1 + e^−x)`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        self.sigmoid_pair().0
    }

    /// Hyperbolic tangent, accurate near 0.
    #[inline(always)]
    fn tangent_h(self) -> Self {
        let two = Self::ONE + Self::ONE;
        let e = (-(self.absolute() * two)).exponential_minus_one();
        let t = -e / (two + e);
        if self < Self::ZERO { -t } else { t }
    }

    /// `ln(1 + self)` for `self` in `[0, 1]`, accurate near 0.
    #[inline(always)]
    fn log_one_plus(self) -> Self {
        let u = Self::ONE + self;
        u.logarithm() + (self - (u - Self::ONE)) / u
    }

    /// `ln(1 + e^x)` without overflow.
    #[inline(always)]
    fn softplus(self) -> Self {
        self.larger(Self::ZERO) + (-self.absolute()).exponential().log_one_plus()
    }

    /// `ln(e^self + e^other)` without overflow; −∞ when both are.
    #[inline(always)]
    fn log_add_exp(self, other: Self) -> Self {
        // Equal infinities have no difference.
        let gap = if self == other {
            Self::ZERO
        } else {
            -(self - other).absolute()
        };
        self.larger(other) + gap.exponential().log_one_plus()
    }
}

/// `1 + x + x²/2! + …`, evaluated by Horner's rule, without its leading 1: `e^x − 1`.
macro_rules! exponential_series {
    ($x:expr, $last:literal $(, $c:literal)*) => {{
        let x = $x;
        let mut p = 1.0 / $last;
        $( p = p.fma(x, 1.0 / $c); )*
        p = p.fma(x, 1.0);
        p * x
    }};
}

/// `2 artanh(s) = 2 (s + s³/3 + s⁵/5 + …)`.
macro_rules! artanh_series {
    ($s:expr, $last:literal $(, $c:literal)*) => {{
        let s = $s;
        let s2 = s * s;
        let mut p = 1.0 / $last;
        $( p = p.fma(s2, 1.0 / $c); )*
        p *= s2;
        (s + s).fma(p, s + s)
    }};
}

macro_rules! real {
    ($t:ty, $bits:ty, $int:ty, mantissa $m:literal, bias $bias:literal, magic $magic:literal,
     ln2 $hi:literal $lo:literal, range $min:literal $max:literal,
     exp [$($e:literal),*], ln [$($l:literal),*]) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;
            const NEG_INFINITY: Self = <$t>::NEG_INFINITY;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
            #[inline(always)]
            fn absolute(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn exponential(self) -> Self {
                let (p, s1, s2) = reduce!(self, $t, $bits, $int, $m, $bias, $magic, $hi, $lo, $min, $max, [$($e),*]);
                s1.fma(p, s1) * s2
            }

            #[inline(always)]
            fn exponential_minus_one(self) -> Self {
                let (p, s1, s2) = reduce!(self, $t, $bits, $int, $m, $bias, $magic, $hi, $lo, $min, $max, [$($e),*]);
                // 2ⁿ(1 + p) − 1 = 2ⁿ p + (2ⁿ − 1); near 0, n is 0 and p is returned as it is.
                let scale = s1 * s2;
                scale.fma(p, scale - 1.0)
            }

            #[inline(always)]
            fn logarithm(self) -> Self {
                // Subnormals are brought into the normal range first.
                let tiny = self < <$t>::MIN_POSITIVE;
                let up = (1 as $bits) << ($m + 1);
                let x = if tiny { self * up as $t } else { self };
                let shift: $int = if tiny { $m + 1 } else { 0 };
                // x = 2ⁿ f with f in [√½, √2): subtracting the bits of √½ rounds n down there.
                let bits = x.to_bits();
                let root = core::f64::consts::FRAC_1_SQRT_2 as $t;
                let offset = bits.wrapping_sub(root.to_bits());
                let n = (offset as $int) >> $m;
                let f = <$t>::from_bits(bits.wrapping_sub((n << $m) as $bits));
                let n = (n - shift) as $t;
                let y = n.fma($lo, artanh_series!((f - 1.0) / (f + 1.0), $($l),*));
                let y = n.fma($hi, y);
                let y = if self == 0.0 { <$t>::NEG_INFINITY } else { y };
                let y = if self == <$t>::INFINITY { self } else { y };
                if self >= 0.0 { y } else { <$t>::NAN }
            }
        }
    };
}

/// `e^x = 2ⁿ e^r` with `|r| ≤ ln 2 / 2`: returns `e^r − 1` and two factors whose product is 2ⁿ (one
/// factor would leave the range of exponents before the result does).
macro_rules! reduce {
    ($x:expr, $t:ty, $bits:ty, $int:ty, $m:literal, $bias:literal, $magic:literal, $hi:literal,
     $lo:literal, $min:literal, $max:literal, [$($e:literal),*]) => {{
        let x = $x;
        // Written so that NaN passes.
        let x: $t = if x < $min { $min } else { x };
        let x: $t = if x > $max { $max } else { x };
        // Adding 1.5 · 2^m leaves the rounded integer in the low bits.
        let shifted = x.fma(core::f64::consts::LOG2_E as $t, $magic);
        let n = shifted - $magic;
        let r = n.fma(-$lo, n.fma(-$hi, x));
        let n = (shifted.to_bits() as $int).wrapping_sub(($magic as $t).to_bits() as $int);
        let half = n >> 1;
        let s1 = <$t>::from_bits(((half.wrapping_add($bias)) as $bits) << $m);
        let s2 = <$t>::from_bits(((n.wrapping_sub(half).wrapping_add($bias)) as $bits) << $m);
        (exponential_series!(r, $($e),*), s1, s2)
    }};
}

real!(
    f32, u32, i32, mantissa 23, bias 127, magic 12_582_912.0,
    ln2 0.693_145_75 1.428_606_8e-6, range -104.0 89.0,
    exp [5040.0, 720.0, 120.0, 24.0, 6.0, 2.0],
    ln [13.0, 11.0, 9.0, 7.0, 5.0, 3.0]
);
real!(
    f64, u64, i64, mantissa 52, bias 1023, magic 6_755_399_441_055_744.0,
    ln2 0.693_147_180_369_123_8 1.908_214_929_270_587_7e-10, range -746.0 710.0,
    exp [87_178_291_200.0, 6_227_020_800.0, 479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0,
         40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0],
    ln [25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0]
);

#[cfg(test)]
mod tests {
    use super::Real;

    /// Largest relative error of `got` against `want` over a dense grid, ignoring results so small
    /// that the type cannot hold them to full precision.
    fn worst<T: Real>(
        range: (f64, f64),
        smallest: f64,
        got: impl Fn(T) -> T,
        want: impl Fn(f64) -> f64,
    ) -> f64 {
        (0..200_001)
            .map(|i| {
                let x = T::from_f64(range.0 + (range.1 - range.0) * f64::from(i) / 200_000.0);
                let (got, want) = (got(x).to_f64(), want(x.to_f64()));
                assert!(got.is_finite(), "{x:?} gives {got}");
                (got - want).abs() / want.abs().max(smallest)
            })
            .fold(0.0, f64::max)
    }

    fn softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    #[test]
    fn f32_functions_are_accurate_to_three_ulp() {
        let (bound, tiny) = (3.0 * f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE));
        let check = |name: &str, error: f64| assert!(error <= bound, "{name}: {error:e}");
        check(
            "exp",
            worst::<f32>((-87.0, 88.7), tiny, Real::exponential, f64::exp),
        );
        check(
            "expm1",
            worst::<f32>((-20.0, 3.0), tiny, Real::exponential_minus_one, f64::exp_m1),
        );
        check(
            "expm1",
            worst::<f32>(
                (-1e-3, 1e-3),
                tiny,
                Real::exponential_minus_one,
                f64::exp_m1,
            ),
        );
        check(
            "sigmoid",
            worst::<f32>((-86.0, 100.0), tiny, Real::sigmoid, |x| {
                1.0 / (1.0 + (-x).exp())
            }),
        );
        check(
            "tanh",
            worst::<f32>((-12.0, 12.0), tiny, Real::tangent_h, f64::tanh),
        );
        check(
            "tanh",
            worst::<f32>((-1e-2, 1e-2), tiny, Real::tangent_h, f64::tanh),
        );
        check(
            "ln",
            worst::<f32>((1e-6, 3.0), 1e-30, Real::logarithm, f64::ln),
        );
        check(
            "ln",
            worst::<f32>((1e3, 1e30), tiny, Real::logarithm, f64::ln),
        );
        check(
            "softplus",
            worst::<f32>((-80.0, 80.0), tiny, Real::softplus, softplus),
        );
    }

    #[test]
    fn f64_functions_are_accurate_to_three_ulp() {
        let (bound, tiny) = (3.0 * f64::EPSILON, f64::MIN_POSITIVE);
        let check = |name: &str, error: f64| assert!(error <= bound, "{name}: {error:e}");
        check(
            "exp",
            worst::<f64>((-700.0, 709.0), tiny, Real::exponential, f64::exp),
        );
        check(
            "expm1",
            worst::<f64>(
                (-1e-3, 1e-3),
                tiny,
                Real::exponential_minus_one,
                f64::exp_m1,
            ),
        );
        check(
            "tanh",
            worst::<f64>((-20.0, 20.0), tiny, Real::tangent_h, f64::tanh),
        );
        check(
            "ln",
            worst::<f64>((1e-6, 3.0), 1e-30, Real::logarithm, f64::ln),
        );
        check(
            "softplus",
            worst::<f64>((-80.0, 80.0), tiny, Real::softplus, softplus),
        );
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(1000.0_f32.exponential(), f32::INFINITY);
        assert_eq!(f32::INFINITY.exponential(), f32::INFINITY);
        assert_eq!((-1000.0_f32).exponential(), 0.0);
        assert_eq!(f32::NEG_INFINITY.exponential(), 0.0);
        assert!(f32::NAN.exponential().is_nan());
        assert!(f32::NAN.tangent_h().is_nan());
        assert!(f32::NAN.sigmoid().is_nan());
        assert_eq!(f32::INFINITY.sigmoid_pair(), (1.0, 0.0));
        assert_eq!(f32::NEG_INFINITY.tangent_h(), -1.0);
        assert_eq!(0.0_f64.logarithm(), f64::NEG_INFINITY);
        assert!((-1.0_f64).logarithm().is_nan());
        assert_eq!(1.0_f32.logarithm(), 0.0);
        let subnormal = 1e-310_f64;
        assert!((subnormal.logarithm() - subnormal.ln()).abs() < 1e-12);
    }

    #[test]
    fn log_add_exp_with_infinities() {
        let none = f64::NEG_INFINITY;
        assert_eq!(none.log_add_exp(none), none);
        assert_eq!(none.log_add_exp(3.0), 3.0);
        assert_eq!(3.0_f64.log_add_exp(none), 3.0);
        assert!((1.0_f64.log_add_exp(2.0) - (1f64.exp() + 2f64.exp()).ln()).abs() < 1e-15);
        assert!(f64::NAN.log_add_exp(none).is_nan());
        assert!(none.log_add_exp(f64::NAN).is_nan());
    }
}
