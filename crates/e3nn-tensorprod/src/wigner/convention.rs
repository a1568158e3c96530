//! Signs of 3j symbols in versions of e3nn: [`W3jConvention`].

use serde::{Deserialize, Serialize};

/// The version of e3nn whose signs of the 3j symbols are meant. A network with weights of one version gives other
/// numbers with the signs of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum W3jConvention {
    /// e3nn 0.4.4 and before, which shipped a table up to degree 11.
    E3nn04,
    /// e3nn 0.5 and later, e3nn-jax and cuEquivariance.
    #[default]
    E3nn05,
}

/// Ascending triples of degrees for which e3nn 0.4.4 and e3nn 0.6.0 differ in sign, and with them their
/// permutations; found by comparing every symbol in the table of 0.4.4.
const FLIPS: [[usize; 3]; 44] = [
    [1, 2, 2],
    [1, 3, 3],
    [1, 4, 4],
    [1, 5, 5],
    [1, 6, 6],
    [1, 7, 7],
    [1, 8, 8],
    [1, 9, 9],
    [1, 10, 10],
    [1, 11, 11],
    [3, 4, 6],
    [3, 5, 7],
    [3, 6, 8],
    [3, 7, 9],
    [3, 8, 10],
    [3, 9, 11],
    [4, 4, 5],
    [4, 5, 6],
    [4, 6, 7],
    [4, 7, 8],
    [4, 8, 9],
    [4, 9, 10],
    [4, 10, 11],
    [5, 5, 5],
    [5, 6, 6],
    [5, 6, 10],
    [5, 7, 7],
    [5, 7, 11],
    [5, 8, 8],
    [5, 9, 9],
    [5, 10, 10],
    [5, 11, 11],
    [6, 6, 9],
    [6, 7, 10],
    [6, 8, 11],
    [7, 7, 9],
    [7, 8, 10],
    [7, 9, 11],
    [8, 8, 9],
    [8, 9, 10],
    [8, 10, 11],
    [9, 9, 9],
    [9, 10, 10],
    [9, 11, 11],
];

impl W3jConvention {
    /// The sign, 1 or −1, by which symbols of this version differ from [`wigner_3j`](super::wigner_3j).
    /// For degrees above 11, which e3nn 0.4 does not have, it is 1.
    pub fn sign(self, l1: usize, l2: usize, l3: usize) -> f64 {
        let mut ls = [l1, l2, l3];
        ls.sort_unstable();
        match self {
            Self::E3nn04 if FLIPS.binary_search(&ls).is_ok() => -1.0,
            _ => 1.0,
        }
    }
}
