//! A square matrix of plain numbers: [`SquareMatrix`].

use core::ops::{Index, IndexMut};

/// A square matrix in `f64`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct SquareMatrix {
    n: usize,
    values: Vec<f64>,
}

impl SquareMatrix {
    /// All zero, `n × n`.
    pub fn zeros(n: usize) -> Self {
        Self {
            n,
            values: vec![0.0; n * n],
        }
    }

    /// The identity, `n × n`.
    pub fn identity(n: usize) -> Self {
        let mut identity = Self::zeros(n);
        (0..n).for_each(|i| identity[(i, i)] = 1.0);
        identity
    }

    /// Number of rows and of columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// A row.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.n..(i + 1) * self.n]
    }

    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.n..(i + 1) * self.n]
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut other = Self::zeros(self.n);
        for i in 0..self.n {
            for j in 0..self.n {
                other[(j, i)] = self[(i, j)];
            }
        }
        other
    }

    /// The matrix product `self · other`.
    ///
    /// # Panics
    /// If the sizes differ.
    #[must_use]
    pub fn matmul(&self, other: &Self) -> Self {
        assert_eq!(self.n, other.n, "SquareMatrix::matmul: sizes differ");
        let mut product = Self::zeros(self.n);
        for i in 0..self.n {
            for (k, &a) in self.row(i).iter().enumerate() {
                let row = &mut product.values[i * self.n..(i + 1) * self.n];
                row.iter_mut()
                    .zip(other.row(k))
                    .for_each(|(x, b)| *x += a * b);
            }
        }
        product
    }

    /// The matrix times a vector.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(self.n, x.len(), "SquareMatrix::apply: sizes differ");
        let dot = |i| self.row(i).iter().zip(x).map(|(a, b)| a * b).sum();
        (0..self.n).map(dot).collect()
    }
}

impl Index<(usize, usize)> for SquareMatrix {
    type Output = f64;

    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        assert!(j < self.n, "SquareMatrix: column {j} of {}", self.n);
        &self.values[i * self.n + j]
    }
}

impl IndexMut<(usize, usize)> for SquareMatrix {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        assert!(j < self.n, "SquareMatrix: column {j} of {}", self.n);
        &mut self.values[i * self.n + j]
    }
}
