//! Proptest strategies for shapes and values that kernels trip over.

use proptest::prelude::*;

/// Sizes around every boundary that a kernel may have: 0, 1, 2, and one less, equal and one more
/// than a power of two up to `max`.
pub fn awkward_size(max: usize) -> impl Strategy<Value = usize> {
    let mut sizes = vec![0, 1, 2, 3];
    let mut power = 4;
    while power <= max {
        sizes.extend([power - 1, power, power + 1]);
        power *= 2;
    }
    sizes.retain(|&n| n <= max);
    prop_oneof![3 => proptest::sample::select(sizes), 1 => 0..=max]
}

/// `len` finite values of mixed size and sign, zeros among them.
pub fn values(len: usize) -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![
        8 => -2.0..2.0_f64,
        2 => -30.0..30.0_f64,
        1 => Just(0.0),
    ];
    proptest::collection::vec(one, len)
}

/// Lengths of up to `sequences` sequences of up to `max` steps, as cumulative offsets that begin
/// with 0; empty sequences among them.
pub fn cumulative_lengths(sequences: usize, max: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(awkward_size(max), 1..=sequences).prop_map(|lengths| {
        let mut at = 0;
        core::iter::once(0)
            .chain(lengths.into_iter().map(|n| {
                at += n;
                at
            }))
            .collect()
    })
}
