//! One irreducible representation of O(3).

use core::fmt;

/// How a representation behaves under inversion of space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    /// Changes sign: p = −1, letter `o`.
    Odd,
    /// Keeps its sign: p = 1, letter `e`.
    Even,
}

impl Parity {
    /// The parity `(−1)^l` of the spherical harmonics of degree `l`, letter `y` in e3nn's notation.
    pub const fn of_harmonics(l: usize) -> Self {
        if l.is_multiple_of(2) {
            Self::Even
        } else {
            Self::Odd
        }
    }

    /// +1 or −1.
    pub const fn sign(self) -> i32 {
        match self {
            Self::Odd => -1,
            Self::Even => 1,
        }
    }

    /// Parity of a product.
    pub const fn times(self, other: Self) -> Self {
        match (self, other) {
            (Self::Odd, Self::Odd) | (Self::Even, Self::Even) => Self::Even,
            _ => Self::Odd,
        }
    }
}

/// An irreducible representation of O(3): degree `l` with `2l + 1` components, and parity.
///
/// Ordered as in e3nn for PyTorch: by degree, then odd before even (`0o < 0e < 1o < 1e < …`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Irrep {
    l: usize,
    parity: Parity,
}

impl Irrep {
    /// Degree `l` with the given parity.
    pub const fn new(l: usize, parity: Parity) -> Self {
        Self { l, parity }
    }

    /// The invariant scalar, `0e`.
    pub const SCALAR: Self = Self::new(0, Parity::Even);

    /// Degree.
    pub const fn l(self) -> usize {
        self.l
    }

    /// Parity.
    pub const fn parity(self) -> Parity {
        self.parity
    }

    /// Number of components, `2l + 1`.
    pub const fn dim(self) -> usize {
        2 * self.l + 1
    }

    /// Whether this is `0e`; `0o` changes sign under inversion and is none.
    pub const fn is_scalar(self) -> bool {
        self.l == 0 && matches!(self.parity, Parity::Even)
    }

    /// Whether the parity is `(−1)^l`, that of the spherical harmonics.
    pub const fn is_natural(self) -> bool {
        self.l.is_multiple_of(2) == matches!(self.parity, Parity::Even)
    }

    /// All irreps up to degree `lmax`, natural parity first: `0e, 0o, 1o, 1e, 2e, 2o, …`.
    pub fn all(lmax: usize) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..=lmax).flat_map(|l| {
            let natural = Parity::of_harmonics(l);
            [natural, natural.times(Parity::Odd)].map(|parity| Self::new(l, parity))
        })
    }

    /// The irreps that a product of two contains, each once, by ascending degree: `|l₁ − l₂| ≤ l ≤ l₁ + l₂`
    /// with the product of the parities.
    pub fn product(self, other: Self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        let parity = self.parity.times(other.parity);
        (self.l.abs_diff(other.l)..=self.l + other.l).map(move |l| Self::new(l, parity))
    }
}

impl fmt::Display for Irrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.parity {
            Parity::Odd => 'o',
            Parity::Even => 'e',
        };
        write!(f, "{}{letter}", self.l)
    }
}
