//! How far atoms see.

use crate::atoms::AtomsError;
use std::collections::BTreeMap;

/// Shortest cutoff, Å: the search squares lengths in f32.
const SHORTEST: f64 = 1e-12;

/// One cutoff, or one per ordered pair of elements (centre, neighbour), in Å.
///
/// An edge exists where `r < cutoff`, strictly, as in vesin, matscipy and ASE.
///
/// # Example
/// ```
/// use core_tensor::atoms::Cutoffs;
///
/// // Hydrogen sees hydrogen up to 3 Å and carbon up to 1.25 Å; every other centre sees up to 4 Å.
/// let cutoffs = Cutoffs::uniform(4.0)?.with_pair(1, 1, 3.0)?.with_pair(1, 6, 1.25)?;
/// assert_eq!(cutoffs.of(1, 6), 1.25);
/// assert_eq!(cutoffs.of(6, 1), 4.0);
/// # Ok::<(), core_tensor::atoms::AtomsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cutoffs {
    default: f64,
    pairs: BTreeMap<(u8, u8), f64>,
}

impl Cutoffs {
    /// The same cutoff for all pairs.
    ///
    /// # Errors
    /// If it is not a number from 10⁻¹² to 10¹² Å.
    pub fn uniform(cutoff: f64) -> Result<Self, AtomsError> {
        check(cutoff)?;
        Ok(Self {
            default: cutoff,
            pairs: BTreeMap::new(),
        })
    }

    /// Another cutoff for centres of one atomic number and neighbours of another, in this order only; 0 for
    /// no edges. Where the reverse pair differs, an edge may lack its reverse.
    ///
    /// # Errors
    /// If it is not 0 or a number from 10⁻¹² to 10¹² Å.
    pub fn with_pair(mut self, center: u8, neighbor: u8, cutoff: f64) -> Result<Self, AtomsError> {
        if cutoff != 0.0 {
            check(cutoff)?;
        }
        self.pairs.insert((center, neighbor), cutoff);
        Ok(self)
    }

    /// The cutoff of a centre and a neighbour of these atomic numbers.
    pub fn of(&self, center: u8, neighbor: u8) -> f64 {
        let pair = self.pairs.get(&(center, neighbor));
        pair.copied().unwrap_or(self.default)
    }

    /// Every cutoff longer by `skin`; pairs without edges stay without.
    pub(super) fn extended(&self, skin: f64) -> Self {
        let longer = |r: f64| if r > 0.0 { r + skin } else { r };
        Self {
            default: longer(self.default),
            pairs: self.pairs.iter().map(|(&k, &r)| (k, longer(r))).collect(),
        }
    }

    /// Squared cutoffs among the elements that occur.
    pub(super) fn table(&self, species: &[u8]) -> Table {
        let mut types = [0_u8; 256];
        let mut present = Vec::new();
        if !self.pairs.is_empty() {
            let mut seen = [false; 256];
            species.iter().for_each(|&z| seen[usize::from(z)] = true);
            present = (0..=255).filter(|&z| seen[usize::from(z)]).collect();
        }
        for (t, &z) in present.iter().enumerate() {
            types[usize::from(z)] = t as u8;
        }
        let cutoffs: Vec<f64> = present
            .iter()
            .flat_map(|&i| present.iter().map(move |&j| self.of(i, j)))
            .collect();
        let uniform = cutoffs.iter().all(|&r| r == cutoffs[0]);
        let largest = cutoffs.iter().copied().reduce(f64::max);
        Table {
            largest: largest.unwrap_or(self.default),
            width: present.len(),
            squares: match uniform {
                true => Vec::new(),
                false => cutoffs.iter().map(|r| r * r).collect(),
            },
            types: species.iter().map(|&z| types[usize::from(z)]).collect(),
        }
    }
}

fn check(cutoff: f64) -> Result<(), AtomsError> {
    if (SHORTEST..crate::atoms::cell::FARTHEST).contains(&cutoff) {
        Ok(())
    } else {
        Err(AtomsError::Cutoff(cutoff))
    }
}

/// Squared cutoffs by type; types are elements that occur, counted from 0.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) largest: f64,
    width: usize,
    /// Empty where all are equal.
    squares: Vec<f64>,
    types: Vec<u8>,
}

impl Table {
    pub(super) fn is_uniform(&self) -> bool {
        self.squares.is_empty()
    }

    /// Squared cutoff of two atoms.
    pub(super) fn square(&self, center: usize, neighbor: usize) -> f64 {
        if self.is_uniform() {
            return self.largest * self.largest;
        }
        let (i, j) = (self.types[center], self.types[neighbor]);
        self.squares[usize::from(i) * self.width + usize::from(j)]
    }
}
