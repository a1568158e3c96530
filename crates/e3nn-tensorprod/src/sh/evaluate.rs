//! Evaluation on slices, without tensors.

use super::kernel::{Call, Output, Plan, Scalar, run};
use super::spec::{Normalization, Spec};
use core::mem::MaybeUninit;

/// Harmonics of some points with their gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation<T> {
    /// `Y(v)`, row-major `[points, dim]`.
    pub values: Vec<T>,
    /// `∂Y/∂v`, row-major `[points, 3, dim]`.
    pub gradients: Vec<T>,
}

/// Spherical harmonics of fixed degrees, made ready once and evaluated on slices of `f32` or `f64`.
#[derive(Debug, Clone)]
pub struct Evaluator<T> {
    plan: Plan<T>,
}

impl<T: Scalar> Evaluator<T> {
    /// For degrees in the order of the output; `normalize` divides vectors by their length first.
    pub fn new(degrees: &[usize], normalize: bool, normalization: Normalization) -> Self {
        let spec = Spec {
            degrees: degrees.into(),
            normalize,
            normalization,
        };
        Self {
            plan: Plan::new(&spec),
        }
    }

    /// Number of components per point.
    pub fn dim(&self) -> usize {
        self.plan.dim()
    }

    /// `Y(v)`, row-major `[points, dim]`.
    pub fn values(&self, vectors: &[[T; 3]]) -> Vec<T> {
        let mut values = Vec::with_capacity(vectors.len() * self.dim());
        self.fill(
            Output::Values,
            vectors,
            values.spare_capacity_mut(),
            &mut [],
        );
        written(values, vectors.len() * self.dim())
    }

    /// `Y(v)` and its gradient.
    pub fn values_and_gradients(&self, vectors: &[[T; 3]]) -> Evaluation<T> {
        let len = vectors.len() * self.dim();
        let (mut values, mut gradients) = (Vec::with_capacity(len), Vec::with_capacity(3 * len));
        self.fill(
            Output::ValuesAndGradients,
            vectors,
            values.spare_capacity_mut(),
            gradients.spare_capacity_mut(),
        );
        Evaluation {
            values: written(values, len),
            gradients: written(gradients, 3 * len),
        }
    }

    fn fill(
        &self,
        output: Output,
        vectors: &[[T; 3]],
        first: &mut [MaybeUninit<T>],
        second: &mut [MaybeUninit<T>],
    ) {
        let len = vectors.len() * self.dim();
        let second_len = if output == Output::ValuesAndGradients {
            3 * len
        } else {
            0
        };
        run(Call {
            plan: &self.plan,
            output,
            vectors: vectors.as_flattened(),
            tangents: &[],
            cotangents: &[],
            first: &mut first[..len],
            second: &mut second[..second_len],
        });
    }
}

/// A vector whose first `len` values the kernel has written.
#[allow(unsafe_code)]
fn written<T>(mut values: Vec<T>, len: usize) -> Vec<T> {
    assert!(values.capacity() >= len);
    // SAFETY: the kernel writes every element of its outputs, which were the first `len`.
    unsafe { values.set_len(len) };
    values
}

/// Values and gradients of spherical harmonics, for use outside Burn; see
/// [`spherical_harmonics`](super::spherical_harmonics) for the definitions, and [`Evaluator`] to prepare once.
///
/// # Example
/// ```
/// use e3nn_tensorprod::sh::{self, Normalization};
///
/// let points = [[0.0, 1.0, 0.0], [3.0, 0.0, 4.0]];
/// let y = sh::evaluate::<f64>(&[0, 1], &points, false, Normalization::Component);
/// let root = 3.0_f64.sqrt();
/// // Degree 0, then degree 1 in the order x, y, z.
/// let close = |got: &[f64], want: [f64; 4]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-14);
/// assert!(close(&y.values[..4], [1.0, 0.0, root, 0.0]));
/// // ∂/∂x of all four at the second point.
/// assert!(close(&y.gradients[12..16], [0.0, root, 0.0, 0.0]));
/// ```
pub fn evaluate<T: Scalar>(
    degrees: &[usize],
    vectors: &[[T; 3]],
    normalize: bool,
    normalization: Normalization,
) -> Evaluation<T> {
    Evaluator::new(degrees, normalize, normalization).values_and_gradients(vectors)
}
