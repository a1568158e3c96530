//! Coupling coefficients of several irreps to one: products of Wigner 3j symbols along every path.

use crate::irreps::{Irrep, Irreps};
use crate::wigner::wigner_3j;

/// One way of coupling: a tensor `[2l + 1, dim, …, dim]` in row-major order.
struct Coupling {
    irrep: Irrep,
    values: Vec<f64>,
}

/// All ways to couple `correlation` copies of `irreps` through irreps for which `keep` holds, in MACE's order: at every
/// step by the irrep coupled to, equal ones in the order of the factors.
fn couplings(irreps: &Irreps, correlation: usize, keep: &impl Fn(Irrep) -> bool) -> Vec<Coupling> {
    let dim = irreps.dim();
    // Where each single irrep of the last factor begins.
    let singles: Vec<(usize, Irrep)> = irreps
        .iter()
        .zip(irreps.slices())
        .flat_map(|(block, range)| {
            let irrep = block.irrep;
            (0..block.mul).map(move |u| (range.start + u * irrep.dim(), irrep))
        })
        .collect();
    let mut all: Vec<Coupling> = Vec::new();
    if correlation == 1 {
        for &(start, irrep) in &singles {
            let mut values = vec![0.0; irrep.dim() * dim];
            (0..irrep.dim()).for_each(|m| values[m * dim + start + m] = 1.0);
            all.push(Coupling { irrep, values });
        }
        return all;
    }
    for left in couplings(irreps, correlation - 1, keep) {
        let width = left.values.len() / left.irrep.dim();
        for &(start, right) in &singles {
            for out in left.irrep.product(right).filter(|&irrep| keep(irrep)) {
                let symbol = wigner_3j(out.l(), left.irrep.l(), right.l());
                let norm = (out.dim() as f64).sqrt();
                let mut values = vec![0.0; out.dim() * width * dim];
                for c in symbol.nonzeros() {
                    let row = &left.values[c.j * width..(c.j + 1) * width];
                    for (w, &x) in row.iter().enumerate() {
                        values[(c.i * width + w) * dim + start + c.k] += norm * c.value * x;
                    }
                }
                all.push(Coupling { irrep: out, values });
            }
        }
    }
    all.sort_by_key(|c| c.irrep);
    all
}

/// MACE's generalised Clebsch-Gordan coefficients `U` of `correlation` copies of `irreps` coupled to `out`, one
/// `[2l + 1, dim, …, dim]` (row-major, `correlation` axes of size `irreps.dim()`) per path. "Component"
/// normalisation: every 3j symbol is multiplied by `√(2l + 1)` of its result.
///
/// Follows `mace.tools.cg.U_matrix_real` (without reduced basis): same paths, same order. Of exactly four copies MACE
/// leaves out, at every step and of the result too, irreps whose parity is not `(−1)^l` and degrees above 11;
/// so does this.
///
/// # Panics
/// If `correlation` is 0.
pub fn coupling_basis(irreps: &Irreps, out: Irrep, correlation: usize) -> Vec<Vec<f64>> {
    assert!(
        correlation > 0,
        "coupling_basis: expected a correlation of at least 1"
    );
    let keep = |irrep: Irrep| correlation != 4 || irrep.is_natural() && irrep.l() < 12;
    let all = couplings(irreps, correlation, &keep).into_iter();
    all.filter(|c| c.irrep == out).map(|c| c.values).collect()
}
