//! Random numbers that are a function of their place: the draws of a filter and of stochastic rounding.

use core_tensor::cpu::Real;

/// The part of the hash that is common to a row.
pub(super) fn key(seed: u32, row: usize) -> u32 {
    mix(mix(seed).wrapping_add((row as u32).wrapping_mul(0x9e37_79b9)))
}

/// A bijection of 32-bit words that changes half the bits for any change of one: two rounds of xor, shift and
/// multiply with the constants of "lowbias32".
#[inline(always)]
pub(super) fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A random word for a class.
#[inline(always)]
pub(super) fn hash(key: u32, class: u32) -> u32 {
    mix(key ^ class.wrapping_mul(0x85eb_ca6b))
}

/// One of 2²³ equally spaced values in `(0, 1)`.
#[inline(always)]
pub(super) fn uniform<T: Real>(word: u32) -> T {
    // Exact in f32: 23 bits and a half.
    let bits = T::from_i32((word >> 9) as i32);
    (bits + T::HALF) * T::from_f64(1.0 / f64::from(1 << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of a row are uniform, and those of neighbouring rows and classes unrelated.
    #[test]
    fn shares_are_uniform_and_independent() {
        let share = |row, class| uniform::<f64>(hash(key(3, row), class));
        let n = 1 << 16;
        let mean = |f: &dyn Fn(u32) -> f64| (0..n).map(f).sum::<f64>() / f64::from(n);
        // Standard errors: 1/√12n, 1/√(180 n / 4), 1/12√n.
        let bound = 4.0 / f64::from(n).sqrt();
        assert!((mean(&|v| share(0, v)) - 0.5).abs() < bound * 0.29);
        assert!((mean(&|v| share(0, v).powi(2)) - 1.0 / 3.0).abs() < bound * 0.3);
        assert!((mean(&|v| share(v as usize, 7)) - 0.5).abs() < bound * 0.29);
        let centred = |row, class| share(row, class) - 0.5;
        assert!(mean(&|v| centred(0, v) * centred(1, v)).abs() < bound / 12.0);
        assert!(mean(&|v| centred(0, v) * centred(0, v + 1)).abs() < bound / 12.0);
        assert!((0..n).all(|v| (0.0..1.0).contains(&share(5, v)) && share(5, v) > 0.0));
    }

    #[test]
    fn single_precision_draws_the_same_numbers() {
        for word in [0, 1, 511, 512, u32::MAX, 0x8000_0000, 0x1234_5678] {
            assert_eq!(f64::from(uniform::<f32>(word)), uniform::<f64>(word));
        }
    }
}
