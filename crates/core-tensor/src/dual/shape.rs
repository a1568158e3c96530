//! Linear operations: reductions, shapes, places.

use super::Dual;
use burn::tensor::{BroadcastArgs, Int, ReshapeArgs, SliceArg, Tensor};

/// Methods of [`Dual`] that apply the method of [`Tensor`] of the same name to value and tangent.
macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $name:ident$(<$rank:ident>)?($($argument:ident: $type:ty),*) -> $output:ty;
    )*) => {
        impl<const D: usize> Dual<D> {$(
            $(#[$doc])*
            pub fn $name$(<const $rank: usize>)?(self $(, $argument: $type)*) -> $output {
                self.linear(|x| x.$name($($argument.clone()),*))
            }
        )*}
    };
}

table! {
    /// Sum of all elements.
    sum() -> Dual<1>;
    /// Sum along an axis, which stays with size 1.
    sum_dim(dim: usize) -> Self;
    /// Sum along several axes, which stay with size 1.
    sum_dims(dims: &[usize]) -> Self;
    /// Mean of all elements.
    mean() -> Dual<1>;
    /// Mean along an axis, which stays with size 1.
    mean_dim(dim: usize) -> Self;
    /// Mean along several axes, which stay with size 1.
    mean_dims(dims: &[usize]) -> Self;
    /// Another shape of as many elements.
    reshape<E>(shape: impl ReshapeArgs<E> + Clone) -> Dual<E>;
    /// The axes from `first` to `last` as one.
    flatten<E>(first: usize, last: usize) -> Dual<E>;
    /// The last two axes exchanged.
    transpose() -> Self;
    /// Two axes exchanged.
    swap_dims(a: usize, b: usize) -> Self;
    /// Axis `axes[i]` becomes axis `i`.
    permute(axes: [usize; D]) -> Self;
    /// A part, as `s![..]` writes it.
    slice(slices: impl SliceArg + Clone) -> Self;
    /// `length` places from `start` on along an axis.
    narrow(dim: usize, start: usize, length: usize) -> Self;
    /// Axes of size 1 in front.
    unsqueeze<E>() -> Dual<E>;
    /// A new axis of size 1.
    unsqueeze_dim<E>(dim: usize) -> Dual<E>;
    /// Without an axis of size 1.
    squeeze_dim<E>(dim: usize) -> Dual<E>;
    /// `times` copies along an axis.
    repeat_dim(dim: usize, times: usize) -> Self;
    /// Axes of size 1 repeated, without a copy.
    expand<E>(shape: impl BroadcastArgs<D, E> + Clone) -> Dual<E>;
    /// The entries of an axis at these places, in this order; places may repeat.
    select(dim: usize, places: Tensor<1, Int>) -> Self;
    /// The entry of an axis that `places` names for every element.
    gather(dim: usize, places: Tensor<D, Int>) -> Self;
}
