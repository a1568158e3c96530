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
    /// The nearest value of this type; exact up to 24 bits.
    fn from_i32(x: i32) -> Self;
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
    /// Error function, accurate near 0.
    fn error_function(self) -> Self;
    /// `e^(self²) erfc(self)` for `self` in `[0, 1000]`: what is left of the complementary error
    /// function when the factor is taken out that leaves the range.
    fn scaled_erfc(self) -> Self;

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

    /// Distribution function `Φ(x) = ½ erfc(−x / √2)` and density `φ(x) = e^(−x²/2) / √(2π)` of the
    /// standard normal distribution, both with full relative accuracy also where they are small
    /// (`½ (1 + erf(x / √2))` has no correct digit in `f32` below x ≈ −5.4).
    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        const SQRT_FRAC_1_2PI: f64 = 0.398_942_280_401_432_7;
        // Beyond, both are 0 or 1 in every type. Written so that NaN passes.
        let limit = Self::from_f64(40.0);
        let x = self.absolute();
        let x = if x > limit { limit } else { x };
        // What rounding takes from x² would show in its exponential.
        let square = x * x;
        let rest = x.fma(x, -square);
        let e = (-(square * Self::HALF)).exponential();
        let e = e.fma(-(rest * Self::HALF), e);
        let t = x * Self::from_f64(core::f64::consts::FRAC_1_SQRT_2);
        let tail = Self::HALF * e * t.scaled_erfc();
        let below = if self > Self::ZERO {
            Self::ONE - tail
        } else {
            tail
        };
        (below, e * Self::from_f64(SQRT_FRAC_1_2PI))
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

/// A polynomial by Horner's rule, highest coefficient first.
macro_rules! polynomial {
    ($x:expr, $last:literal $(, $c:literal)*) => {{
        let x = $x;
        let p = $last;
        $( let p = x.fma(p, $c); )*
        p
    }};
}

macro_rules! real {
    ($t:ty, $bits:ty, $int:ty, mantissa $m:literal, bias $bias:literal, magic $magic:literal,
     ln2 $hi:literal $lo:literal, range $min:literal $max:literal,
     exp [$($e:literal),*], ln [$($l:literal),*],
     erf [$($f:literal),*], erfc around $centre:literal [$($x:literal),*]) => {
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
            fn from_i32(x: i32) -> Self {
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

            #[inline(always)]
            fn error_function(self) -> Self {
                let x = self.abs();
                // Beyond, the complement is 0. Written so that NaN passes.
                let x: $t = if x > 30.0 { 30.0 } else { x };
                let slope = core::f64::consts::FRAC_2_SQRT_PI as $t;
                let near = x * polynomial!(x * x, $($f),*).fma(x * x, slope);
                let far = 1.0 - (-(x * x)).exponential() * x.scaled_erfc();
                let y = if x < 0.5 { near } else { far };
                y.copysign(self)
            }

            #[inline(always)]
            fn scaled_erfc(self) -> Self {
                // (1 + 2x) e^(x²) erfc(x) is smooth in (x − c) / (x + c), which takes [0, ∞) to
                // [−1, 1).
                let y = (self - $centre) / (self + $centre);
                polynomial!(y, $($x),*) / self.fma(2.0, 1.0)
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
    ln [13.0, 11.0, 9.0, 7.0, 5.0, 3.0],
    // Chebyshev fits with errors of 1.3e-11 up to 0.5 and 2.8e-8 up to 29.
    erf [-7.694_534e-4, 0.005_200_413_7, -0.026_863_143, 0.112_837_74, -0.376_126_39],
    erfc around 3.0 [-1.769_602_3e-4, -5.933_04e-4, 0.002_019_974_9, 0.002_415_337,
         -0.023_850_868, 0.068_340_03, -0.119_253_78, 0.129_641_32, -0.047_564_007,
         -0.135_620_97, 1.253_008_1]
);
real!(
    f64, u64, i64, mantissa 52, bias 1023, magic 6_755_399_441_055_744.0,
    ln2 0.693_147_180_369_123_8 1.908_214_929_270_587_7e-10, range -746.0 710.0,
    exp [87_178_291_200.0, 6_227_020_800.0, 479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0,
         40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0],
    ln [25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0],
    // Errors of 6.0e-25 and 1.7e-17.
    erf [-1.095_865_453_884_735_1e-9, 1.472_152_117_638_98e-8, -1.636_264_690_374_604e-7,
         1.646_203_836_397_058_3e-6, -1.492_564_916_290_355_9e-5, 1.205_533_296_923_066_5e-4,
         -8.548_327_023_363_943e-4, 0.005_223_977_625_441_806, -0.026_866_170_645_131_242,
         0.112_837_916_709_551_26, -0.376_126_389_031_837_54],
    erfc around 4.0 [-1.702_265_041_535_506_7e-9, -1.329_532_114_782_096_1e-8,
         -7.635_461_502_729_152e-9, 1.144_784_253_731_485_5e-7, 6.200_101_474_293_659e-8,
         -8.343_784_974_842_589e-7, 3.023_394_995_669_490_4e-7, 5.717_572_359_925_63e-6,
         -1.122_546_876_167_768_1e-5, -2.440_314_388_135_614_6e-5, 1.506_225_148_661_012_5e-4,
         -1.992_554_816_728_885_5e-4, -7.577_734_070_400_822e-4, 0.005_031_969_745_345_665,
         -0.016_197_734_049_517_19, 0.037_167_515_564_267_39, -0.066_330_365_812_334_04,
         0.093_732_834_996_651, -0.101_039_066_036_317_75, 0.068_097_054_254_742_25,
         0.015_379_652_102_620_166, -0.139_621_116_840_562_94, 1.232_995_118_625_552_6]
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
        check(
            "erf",
            worst::<f32>((-5.0, 5.0), tiny, Real::error_function, libm::erf),
        );
        check(
            "erf",
            worst::<f32>((-1e-2, 1e-2), tiny, Real::error_function, libm::erf),
        );
        check("Φ", worst::<f32>((-12.9, 9.0), tiny, |x| x.normal().0, phi));
        check(
            "φ",
            worst::<f32>((-13.0, 13.0), tiny, |x| x.normal().1, density),
        );
    }

    /// `Φ` in `f64`; what rounding takes from `x / √2` costs ten digits less than `f32` has.
    fn phi(x: f64) -> f64 {
        0.5 * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2)
    }

    fn density(x: f64) -> f64 {
        (-0.5 * x * x).exp() / (2.0 * core::f64::consts::PI).sqrt()
    }

    /// x, Φ(x) and φ(x) to 20 digits, by mpmath 1.3.
    #[allow(clippy::excessive_precision, reason = "more digits than f64 has")]
    const NORMAL: [(f64, f64, f64); 13] = [
        (
            -37.5,
            4.605_353_009_581_954_843_8e-308,
            1.728_233_732_284_105_220_8e-306,
        ),
        (
            -30.0,
            4.906_713_927_148_187_059_5e-198,
            1.473_646_134_878_547_519e-196,
        ),
        (
            -20.0,
            2.753_624_118_606_233_695_1e-89,
            5.520_948_362_159_763_189_6e-88,
        ),
        (
            -10.0,
            7.619_853_024_160_526_066e-24,
            7.694_598_626_706_419_346_3e-23,
        ),
        (
            -5.0,
            2.866_515_718_791_939_116_7e-7,
            1.486_719_514_734_297_707_9e-6,
        ),
        (
            -2.5,
            0.006_209_665_325_776_135_167,
            0.017_528_300_493_568_537_362,
        ),
        (
            -1.0,
            0.158_655_253_931_457_051_41,
            0.241_970_724_519_143_349_8,
        ),
        (
            -0.5,
            0.308_537_538_725_986_896_36,
            0.352_065_326_764_299_477_77,
        ),
        (
            -0.125,
            0.450_261_775_169_887_107_02,
            0.395_837_686_944_749_484_13,
        ),
        (
            0.125,
            0.549_738_224_830_112_892_98,
            0.395_837_686_944_749_484_13,
        ),
        (
            0.75,
            0.773_372_647_623_131_800_67,
            0.301_137_432_154_804_404_93,
        ),
        (
            3.0,
            0.998_650_101_968_369_905_47,
            0.004_431_848_411_938_007_175_6,
        ),
        (
            8.25,
            0.999_999_999_999_999_920_8,
            6.627_137_455_968_753_551_6e-16,
        ),
    ];

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
        check(
            "erf",
            worst::<f64>((-7.0, 7.0), tiny, Real::error_function, libm::erf),
        );
        check(
            "erf",
            worst::<f64>((-1e-3, 1e-3), tiny, Real::error_function, libm::erf),
        );
        for (x, below, density) in NORMAL {
            let (got_below, got_density) = x.normal();
            check("Φ", (got_below / below - 1.0).abs());
            check("φ", (got_density / density - 1.0).abs());
        }
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
        assert_eq!(
            (
                f32::INFINITY.error_function(),
                f64::NEG_INFINITY.error_function()
            ),
            (1.0, -1.0)
        );
        assert!(f32::NAN.error_function().is_nan() && f64::NAN.error_function().is_nan());
        assert!(
            (-0.0_f32).error_function().is_sign_negative() && (-0.0_f32).error_function() == 0.0
        );
        assert!(
            (1e-310_f64.error_function() / 1e-310 - core::f64::consts::FRAC_2_SQRT_PI).abs()
                < 1e-12
        );
        assert_eq!(f32::INFINITY.normal(), (1.0, 0.0));
        assert_eq!(f64::NEG_INFINITY.normal(), (0.0, 0.0));
        assert!(f32::NAN.normal().0.is_nan() && f64::NAN.normal().1.is_nan());
        assert_eq!(0.0_f32.normal().0, 0.5);
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
