//! Proptest strategies.

use crate::irreps::{Irrep, Irreps, Parity};
use proptest::prelude::*;

/// Irreps of at most `blocks` blocks with multiplicities up to `mul` and degrees up to `lmax`, of both parities,
/// neither sorted nor merged; empty irreps and multiplicities of 0 among them.
pub fn random_irreps(blocks: usize, mul: usize, lmax: usize) -> impl Strategy<Value = Irreps> {
    let block = (0..=mul, 0..=lmax, any::<bool>());
    proptest::collection::vec(block, 0..=blocks).prop_map(|blocks| {
        Irreps::new(blocks.into_iter().map(|(mul, l, even)| {
            let parity = if even { Parity::Even } else { Parity::Odd };
            (mul, Irrep::new(l, parity))
        }))
    })
}
