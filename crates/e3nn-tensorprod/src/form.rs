//! Multilinear forms, whose partial derivatives are closed under differentiation.

/// What a partial derivative takes when another is differentiated: for every slot of `wanted` the operand that lies there, or the
/// cotangent where the differentiated one had its result. `operands` lie in `places`.
pub(crate) fn arguments<S: PartialEq, T: Clone, const N: usize>(
    wanted: [S; N],
    places: &[S; N],
    operands: &[T; N],
    cotangent: &T,
) -> [T; N] {
    wanted.map(|slot| {
        let at = places.iter().position(|place| *place == slot);
        at.map_or(cotangent, |i| &operands[i]).clone()
    })
}
