//! How arguments and results of a function transform.

use crate::irreps::Irreps;
use crate::rotation::Orthogonal;
use crate::tensor::Layout;
use crate::wigner::Representation;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How rows of a tensor change under an element of O(3) and a translation.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// Rows `[·, irreps.dim()]` that transform by their irreps. What does not transform at all is `n x 0e`.
    Features(Irreps, Layout),
    /// Points `[·, 3]`: vectors that a translation shifts.
    Positions,
}

impl Role {
    /// Number of columns.
    pub(super) fn dim(&self) -> usize {
        self.irreps().dim()
    }

    /// The irreps of a row.
    pub(super) fn irreps(&self) -> Irreps {
        match self {
            Self::Features(irreps, _) => irreps.clone(),
            Self::Positions => crate::irreps!("1o"),
        }
    }

    /// The rows after the transformation.
    pub(super) fn transform(&self, motion: &Motion, rows: &[f64]) -> Vec<f64> {
        let mut rows = rows.to_vec();
        match self {
            Self::Features(irreps, layout) => {
                motion.representation.apply(irreps, *layout, &mut rows);
            }
            Self::Positions => {
                let irreps = self.irreps();
                motion
                    .representation
                    .apply(&irreps, Layout::MulIr, &mut rows);
                for point in rows.as_chunks_mut::<3>().0 {
                    point
                        .iter_mut()
                        .zip(motion.shift)
                        .for_each(|(x, shift)| *x += shift);
                }
            }
        }
        rows
    }
}

impl From<Irreps> for Role {
    /// Features in [`Layout::MulIr`].
    fn from(irreps: Irreps) -> Self {
        Self::Features(irreps, Layout::MulIr)
    }
}

/// An element of O(3) followed by a translation.
#[derive(Debug)]
pub(super) struct Motion {
    pub(super) element: Orthogonal,
    pub(super) representation: Representation,
    pub(super) shift: [f64; 3],
}

/// An argument of a function under test: its role and its values.
#[derive(Debug, Clone)]
pub struct Argument {
    pub(super) role: Role,
    rows: Option<usize>,
    values: Option<Vec<f64>>,
}

impl Argument {
    /// Features that transform by `irreps`, in [`Layout::MulIr`], normally distributed.
    pub fn features(irreps: Irreps) -> Self {
        Self::new(irreps.into())
    }

    /// Points, normally distributed.
    pub fn positions() -> Self {
        Self::new(Role::Positions)
    }

    /// An argument of a role, normally distributed.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            rows: None,
            values: None,
        }
    }

    /// Another number of rows than [`Equivariance::rows`](super::Equivariance::rows).
    #[must_use]
    pub fn rows(self, rows: usize) -> Self {
        Self {
            rows: Some(rows),
            ..self
        }
    }

    /// Fixed values in place of random ones, row after row.
    ///
    /// # Panics
    /// If they are no whole rows.
    #[must_use]
    pub fn values(self, values: Vec<f64>) -> Self {
        let dim = self.role.dim();
        assert!(
            dim > 0 && values.len().is_multiple_of(dim),
            "Argument: {} values are no rows of {dim}",
            values.len()
        );
        Self {
            rows: Some(values.len() / dim),
            values: Some(values),
            ..self
        }
    }

    /// The values of one trial.
    pub(super) fn draw(&self, rows: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match &self.values {
            Some(values) => values.clone(),
            None => {
                let count = self.rows.unwrap_or(rows) * self.role.dim();
                (0..count).map(|_| normal(rng)).collect()
            }
        }
    }

    /// Rows as a tensor.
    pub(super) fn tensor(
        &self,
        values: Vec<f64>,
        rows: usize,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        let shape = [self.rows.unwrap_or(rows), self.role.dim()];
        Tensor::from_data(TensorData::new(values, shape), (device, dtype))
    }
}

/// A normally distributed number, by Box and Muller.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // 1 − u is in (0, 1].
    let radius = (-2.0 * (1.0 - rng.random_range(0.0..1.0_f64)).ln()).sqrt();
    radius * rng.random_range(0.0..core::f64::consts::TAU).cos()
}
