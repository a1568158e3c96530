//! Functions of a distance: bases, cutoffs, transforms, pair repulsion, tables.
//!
//! All take distances as a column `[N, 1]`, as a [`Tensor`] or, for the gradient of forces, as a
//! [`Dual`]; bases return `[N, number]`, the others `[N, 1]`. They are defined and have
//! finite derivatives at distance 0. Lengths are in the unit of the cutoff (Å in most potentials).

mod basis;
mod bessel;
mod cutoff;
mod soft;
mod spline;
mod transform;
mod zbl;

pub use basis::{ExpNormal, chebyshev, gaussian_smearing};
pub use bessel::{Bessel, BesselConfig, BesselPrefactor};
pub use cutoff::{cosine_cutoff, poly_envelope, polynomial_cutoff};
pub use soft::{SoftBasis, soft_one_hot_linspace, soft_unit_step};
pub use spline::{SplineError, SplineTable};
pub use transform::AgnesiTransform;
pub use zbl::{Zbl, ZblError};

use burn::tensor::{Tensor, TensorData};
use core_tensor::dual::Dual;
use core_tensor::ext::zeros;

/// Checks that distances are a column; their number.
fn column(op: &'static str, x: &Dual<2>) -> usize {
    let [n, columns] = x.dims();
    assert!(
        columns == 1,
        "{op}: distances have shape {:?}, expected [N, 1]",
        [n, columns]
    );
    n
}

/// A row of numbers beside `x`, `[N, values]`.
fn row(x: &Dual<2>, values: &[f64]) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [1, values.len()]);
    let row = Tensor::<2>::from_data(data, (&x.device(), x.dtype()));
    expand(row, [x.dims()[0], values.len()])
}

/// The column repeated `count` times, `[N, count]`.
fn spread(x: Dual<2>, count: usize) -> Dual<2> {
    let [n, _] = x.dims();
    x.linear(|x| expand(x, [n, count]))
}

/// [`Tensor::expand`], which does not expand to nothing: there may be no distances, or no functions.
fn expand(x: Tensor<2>, shape: [usize; 2]) -> Tensor<2> {
    if shape.contains(&0) {
        zeros(shape, &x.device(), x.dtype())
    } else {
        x.expand(shape)
    }
}

/// `count` numbers from `first` to `last`, both included.
fn linspace(first: f64, last: f64, count: usize) -> Vec<f64> {
    let step = (last - first) / (count.max(2) - 1) as f64;
    (0..count).map(|i| first + step * i as f64).collect()
}

/// `sin t / t`, 1 at 0, with derivatives of every order.
fn sinc(t: Dual<2>) -> Dual<2> {
    // Below ½ the series (its rest is under 10⁻¹⁹), above it the quotient; each with a harmless argument
    // where the other holds.
    let small = t.value.clone().detach().abs().lower_elem(0.5);
    let near = t.clone().mask_fill(small.clone().bool_not(), 0.0).square();
    let mut series = near.clone() * 0.0 + 1.0 / 355_687_428_096_000.0;
    for divisor in [
        -1_307_674_368_000.0,
        6_227_020_800.0,
        -39_916_800.0,
        362_880.0,
        -5040.0,
        120.0,
        -6.0,
        1.0,
    ] {
        series = series * near.clone() + 1.0 / divisor;
    }
    let far = t.mask_fill(small.clone(), 1.0);
    (far.clone().sin() / far).mask_where(small, series)
}
