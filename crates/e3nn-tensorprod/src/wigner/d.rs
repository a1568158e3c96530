//! Wigner D matrices of single rotations, in `f64`.

use super::matrix::SquareMatrix;
use super::step::{Step, Term, X, Y, Z, steps};
use crate::irreps::{Irrep, Irreps, Parity};
use crate::rotation::{EulerAngles, Matrix3, Orthogonal, Rotation, RotationError};
use crate::tensor::Layout;
use std::sync::{Arc, LazyLock, RwLock};

/// `D^{l+1}` from `D^l` and `R`.
fn advance(step: &Step, d: &SquareMatrix, r: &Matrix3) -> SquareMatrix {
    let (n, last) = (2 * step.l + 3, 2 * step.l);
    let mut next = SquareMatrix::zeros(n);
    for i in 0..n {
        let row = next.row_mut(i);
        for &Term { a, b, value } in step.row(i) {
            let from = d.row(a);
            let (x, y, z) = (value * r[b][X], value * r[b][Y], value * r[b][Z]);
            row[1..n - 1]
                .iter_mut()
                .zip(from)
                .for_each(|(to, from)| *to += y * from);
            row[0] += x * from[last] + z * from[0];
            row[n - 1] += z * from[last] - x * from[0];
        }
        row.iter_mut()
            .zip(&step.scale)
            .for_each(|(to, scale)| *to *= scale);
    }
    next
}

/// `D^0 … D^lmax` of a matrix that is taken to be a rotation.
fn all_of(lmax: usize, r: &Matrix3) -> Vec<SquareMatrix> {
    let mut all = vec![SquareMatrix::identity(1)];
    if lmax > 0 {
        let mut first = SquareMatrix::zeros(3);
        (0..3).for_each(|i| first.row_mut(i).copy_from_slice(&r[i]));
        all.push(first);
    }
    for step in steps(lmax) {
        let next = advance(&step, &all[step.l], r);
        all.push(next);
    }
    all
}

/// Wigner D matrices `D^0(R) … D^lmax(R)` in e3nn's real basis, by a recursion in the entries of the rotation matrix
/// that has no pole.
///
/// They represent SO(3): `D(R S) = D(R) D(S)`, `D(R⁻¹) = D(R)ᵀ`, `D^1(R) = R`, and spherical harmonics follow them:
/// `Y^l(R v) = D^l(R) Y^l(v)`.
pub fn wigner_d_all(lmax: usize, rotation: Rotation) -> Vec<SquareMatrix> {
    all_of(lmax, &rotation.matrix())
}

/// Wigner D matrix `D^l(R)`; see [`wigner_d_all`].
pub fn wigner_d(l: usize, rotation: Rotation) -> SquareMatrix {
    let mut all = wigner_d_all(l, rotation);
    all.swap_remove(l)
}

/// `J^l = D^l` of the half turn about `(1, 1, 0)/√2`, which exchanges `x` and `y` and inverts `z`. Symmetric, and its own
/// inverse. Made once.
pub fn wigner_j(l: usize) -> Arc<SquareMatrix> {
    static ALL: LazyLock<RwLock<Vec<Arc<SquareMatrix>>>> = LazyLock::new(RwLock::default);
    if let Some(j) = ALL.read().unwrap_or_else(|e| e.into_inner()).get(l) {
        return j.clone();
    }
    let half_turn = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]];
    let all: Vec<_> = all_of(l, &half_turn).into_iter().map(Arc::new).collect();
    let mut known = ALL.write().unwrap_or_else(|e| e.into_inner());
    if known.len() < all.len() {
        *known = all;
    }
    known[l].clone()
}

/// Wigner D matrix of Euler angles, `D^l(α, β, γ) = Z(α) J Z(β) J Z(γ)` with `Z(t)[m, m] = cos mt` and
/// `Z(t)[m, −m] = −sin mt`: a rotation about `y` mixes components `m` and `−m` only, and `J` ([`wigner_j`]) turns
/// `y` into `x`.
pub fn wigner_d_from_angles(l: usize, angles: EulerAngles) -> SquareMatrix {
    let j = wigner_j(l);
    let mut inner = j.as_ref().clone();
    rotate_rows(&mut inner, l, angles.beta);
    let mut d = j.matmul(&inner);
    rotate_rows(&mut d, l, angles.alpha);
    // D Z(γ) = (Z(γ)ᵀ Dᵀ)ᵀ, and Z(γ)ᵀ = Z(−γ).
    let mut d = d.transpose();
    rotate_rows(&mut d, l, -angles.gamma);
    d.transpose()
}

/// `Z(t) M`.
fn rotate_rows(m: &mut SquareMatrix, l: usize, t: f64) {
    for order in 1..=l {
        let (sin, cos) = (order as f64 * t).sin_cos();
        for j in 0..m.n() {
            let (up, down) = (m[(l + order, j)], m[(l - order, j)]);
            m[(l + order, j)] = cos * up - sin * down;
            m[(l - order, j)] = cos * down + sin * up;
        }
    }
}

/// How an element of O(3) acts on every irrep up to a degree.
#[derive(Debug, Clone)]
pub struct Representation {
    proper: Vec<SquareMatrix>,
    inversion: bool,
}

impl Representation {
    /// The matrices of `element` on irreps up to degree `lmax`.
    pub fn new(lmax: usize, element: Orthogonal) -> Self {
        Self {
            proper: wigner_d_all(lmax, element.rotation),
            inversion: element.inversion,
        }
    }

    /// What the inversion adds.
    fn sign(&self, irrep: Irrep) -> f64 {
        if self.inversion && irrep.parity() == Parity::Odd {
            -1.0
        } else {
            1.0
        }
    }

    /// The matrix on an irrep: `p^k D^l(R)`, `k = 1` with an inversion and otherwise 0.
    ///
    /// # Panics
    /// If its degree is above `lmax`.
    pub fn matrix(&self, irrep: Irrep) -> SquareMatrix {
        let mut d = self.proper[irrep.l()].clone();
        let sign = self.sign(irrep);
        (0..d.n()).for_each(|i| d.row_mut(i).iter_mut().for_each(|x| *x *= sign));
        d
    }

    /// Transforms rows `[batch, irreps.dim()]` in place, without a matrix of all components.
    ///
    /// # Panics
    /// If the length is no multiple of `irreps.dim()`, or a degree is above `lmax`.
    pub fn apply(&self, irreps: &Irreps, layout: Layout, rows: &mut [f64]) {
        let dim = irreps.dim();
        if dim == 0 {
            assert!(
                rows.is_empty(),
                "Representation::apply: no irreps, but values"
            );
            return;
        }
        assert!(
            rows.len().is_multiple_of(dim),
            "Representation::apply: {} values are no rows of {dim}",
            rows.len()
        );
        let slices = irreps.slices();
        let mut copy = Vec::new();
        for row in rows.chunks_exact_mut(dim) {
            for (block, range) in irreps.iter().zip(&slices) {
                let (d, sign) = (&self.proper[block.irrep.l()], self.sign(block.irrep));
                let (n, values) = (block.irrep.dim(), &mut row[range.clone()]);
                for u in 0..block.mul {
                    let at = |m: usize| match layout {
                        Layout::MulIr => u * n + m,
                        Layout::IrMul => m * block.mul + u,
                    };
                    copy.clear();
                    copy.extend((0..n).map(|m| values[at(m)]));
                    for m in 0..n {
                        let sum: f64 = d.row(m).iter().zip(&copy).map(|(a, b)| a * b).sum();
                        values[at(m)] = sign * sum;
                    }
                }
            }
        }
    }
}

impl Irreps {
    /// How an element of O(3) acts on these irreps: the block-diagonal matrix `[dim, dim]` for components in
    /// [`Layout::MulIr`]. [`Representation::apply`] transforms values without it.
    pub fn d_from_element(&self, element: Orthogonal) -> SquareMatrix {
        let lmax = self.lmax().unwrap_or(0);
        let representation = Representation::new(lmax, element);
        let mut d = SquareMatrix::zeros(self.dim());
        let mut at = 0;
        for block in self.iter().filter(|block| block.mul > 0) {
            let (n, matrix) = (block.irrep.dim(), representation.matrix(block.irrep));
            for _ in 0..block.mul {
                for i in 0..n {
                    d.row_mut(at + i)[at..at + n].copy_from_slice(matrix.row(i));
                }
                at += n;
            }
        }
        d
    }

    /// [`d_from_element`](Self::d_from_element) of an orthogonal matrix, proper or improper.
    ///
    /// # Errors
    /// If the matrix is not orthogonal.
    pub fn d_from_matrix(&self, matrix: Matrix3) -> Result<SquareMatrix, RotationError> {
        Ok(self.d_from_element(Orthogonal::from_matrix(matrix)?))
    }

    /// [`d_from_element`](Self::d_from_element) of Euler angles.
    pub fn d_from_angles(&self, angles: EulerAngles) -> SquareMatrix {
        self.d_from_element(Rotation::from_angles(angles).into())
    }

    /// [`d_from_element`](Self::d_from_element) of a quaternion `(w, x, y, z)` of any norm but zero.
    ///
    /// # Errors
    /// If its norm is zero or not finite.
    pub fn d_from_quaternion(&self, q: [f64; 4]) -> Result<SquareMatrix, RotationError> {
        Ok(self.d_from_element(Rotation::from_quaternion(q)?.into()))
    }
}
