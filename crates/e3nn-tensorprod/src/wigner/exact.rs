//! 3j symbols in exact arithmetic.
//!
//! With `A = j₁+j₂−j₃`, `B = j₁−j₂+j₃`, `C = −j₁+j₂+j₃` and `J = j₁+j₂+j₃`, Racah's formula is
//!
//! ```text
//! (j₁ j₂ j₃; m₁ m₂ m₃) = (−1)^(j₁−j₂−m₃) S √(∏ᵢ (jᵢ+mᵢ)! (jᵢ−mᵢ)! / ((J+1)! A! B! C!))
//! S = Σ_t (−1)^t (A choose t) (B choose j₁−m₁−t) (C choose j₂+m₂−t)
//! ```
//! where `S` is a whole number: the square of a symbol is one fraction, and its root is rounded once.

use num_bigint::{BigInt, BigUint, Sign};
use num_traits::{One, ToPrimitive, Zero};

/// What all symbols of three degrees share.
#[derive(Debug)]
pub(super) struct Racah {
    j: [usize; 3],
    /// Factorials of 0 to twice the largest degree.
    factorials: Vec<BigUint>,
    /// `(J+1)! A! B! C!`.
    denominator: BigUint,
    /// Rows `A`, `B` and `C` of Pascal's triangle.
    choose: [Vec<BigInt>; 3],
}

/// Row `n` of Pascal's triangle.
fn binomials(n: usize) -> Vec<BigInt> {
    let mut row = vec![BigInt::one()];
    for k in 0..n {
        let next = &row[k] * BigInt::from(n - k) / BigInt::from(k + 1);
        row.push(next);
    }
    row
}

/// `√(n/d)`, rounded once.
fn sqrt_ratio(n: BigUint, d: &BigUint) -> f64 {
    if n.is_zero() {
        return 0.0;
    }
    // A quotient of 130 to 132 bits, times an even power of two: its root has 65 or 66 bits, more than the 54
    // that decide the rounding, and nothing under- or overflows on the way.
    let bits = |x: &BigUint| i64::try_from(x.bits()).expect("a number of bits");
    let shift = (131 + bits(d) - bits(&n)) & !1;
    let quotient = if shift >= 0 {
        (n << shift.unsigned_abs()) / d
    } else {
        n / (d << shift.unsigned_abs())
    };
    let root = quotient.sqrt().to_u128().expect("66 bits") as f64;
    root * 2_f64.powi(i32::try_from(-shift / 2).expect("an exponent"))
}

impl Racah {
    /// # Panics
    /// If the degrees do not satisfy the triangle inequality.
    pub(super) fn new(j: [usize; 3]) -> Self {
        let [j1, j2, j3] = j;
        assert!(
            super::is_triangle(j1, j2, j3),
            "{j:?} violate the triangle inequality"
        );
        let [a, b, c] = [j1 + j2 - j3, j1 + j3 - j2, j2 + j3 - j1];
        let last = j1 + j2 + j3 + 1;
        let mut factorials = vec![BigUint::one()];
        for n in 1..=last {
            let next = &factorials[n - 1] * BigUint::from(n);
            factorials.push(next);
        }
        let denominator = &factorials[last] * &factorials[a] * &factorials[b] * &factorials[c];
        factorials.truncate(2 * j1.max(j2).max(j3) + 1);
        Self {
            j,
            factorials,
            denominator,
            choose: [a, b, c].map(binomials),
        }
    }

    /// The sum `S` of the module's formula.
    fn sum(&self, m1: isize, m2: isize) -> BigInt {
        let [a, b, c] = &self.choose;
        let (p, q) = (self.j[0] as isize - m1, self.j[1] as isize + m2);
        let last = |row: &[BigInt]| row.len() as isize - 1;
        let from = 0.max(p - last(b)).max(q - last(c));
        let to = last(a).min(p).min(q);
        let mut sum = BigInt::zero();
        for t in from..=to {
            let term = &a[t as usize] * &b[(p - t) as usize] * &c[(q - t) as usize];
            if t % 2 == 0 {
                sum += term;
            } else {
                sum -= term;
            }
        }
        sum
    }

    /// The Clebsch–Gordan coefficient `⟨j₁ m₁ j₂ m₂ | j₃ m₁+m₂⟩` (Condon–Shortley) over `√(2j₃+1)`, times `√scale`.
    /// It is `(−1)^(j₁−j₂+m₃)` times the 3j symbol with lower row `m₁, m₂, −m₃`.
    pub(super) fn coefficient(&self, m1: isize, m2: isize, scale: (u32, u32)) -> f64 {
        let sum = self.sum(m1, m2);
        let (sign, size) = sum.into_parts();
        let mut n = &size * &size * scale.0;
        for (j, m) in self.j.into_iter().zip([m1, m2, m1 + m2]) {
            n *= &self.factorials[j.checked_add_signed(m).expect("|m| <= j")];
            n *= &self.factorials[j.checked_add_signed(-m).expect("|m| <= j")];
        }
        // The phase (−1)^(j₁−j₂−m₃) of the symbol at −m₃ and that of the coefficient cancel.
        let value = sqrt_ratio(n, &(&self.denominator * scale.1));
        if sign == Sign::Minus { -value } else { value }
    }
}
