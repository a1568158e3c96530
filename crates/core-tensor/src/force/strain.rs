//! Deformation of a structure.

use crate::dual::Dual;
use burn::tensor::{Int, Tensor};

/// Vectors between atoms, deformed with their structure: `d + ½ (ε + εᵀ) d`.
///
/// Deforming all vectors between atoms (with those between periodic images) is deforming positions and cell
/// together, so the derivative by ε is that of the energy by the strain of the crystal; a rotation, the
/// antisymmetric part, changes no energy and is left out.
///
/// # Shapes
/// - `vectors`: `[edges, 3]`
/// - `strain`: `[structures, 3, 3]`
/// - `structures`: `[edges]`, the structure of every edge; not looked at where there is one structure
///
/// # Panics
/// If shapes disagree.
pub fn deform(vectors: Dual<2>, strain: Dual<3>, structures: Tensor<1, Int>) -> Dual<2> {
    let [count, rows, columns] = strain.dims();
    assert_eq!(
        [rows, columns],
        [3, 3],
        "deform: strain is not [structures, 3, 3]"
    );
    let [edges, axes] = vectors.dims();
    assert_eq!(axes, 3, "deform: vectors are not [edges, 3]");
    let strain = (strain.clone() + strain.transpose()) * 0.5;
    if count == 1 {
        let strain: Dual<2> = strain.reshape([3, 3]);
        return vectors.clone() + vectors.matmul(strain);
    }
    assert_eq!(
        structures.dims(),
        [edges],
        "deform: structures are not one per edge"
    );
    let strain = strain.select(0, structures);
    let change = (vectors.clone().unsqueeze_dim::<3>(2) * strain).sum_dim(1);
    vectors + change.squeeze_dim::<2>(1)
}
