//! Wigner 3j symbols in the real basis: [`wigner_3j`].

use super::convention::W3jConvention;
use super::exact::Racah;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

/// One value of [`Wigner3j`] that is not zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct W3jEntry {
    /// Component of the first irrep, `0..2l₁+1`, that is `m₁ + l₁`.
    pub i: usize,
    /// Component of the second irrep.
    pub j: usize,
    /// Component of the third irrep.
    pub k: usize,
    /// The value.
    pub value: f64,
}

/// The invariant tensor `C_ijk` of three irreps of SO(3), made by [`wigner_3j`].
#[derive(Debug, Clone, PartialEq)]
pub struct Wigner3j {
    ls: [usize; 3],
    nonzeros: Vec<W3jEntry>,
}

impl Wigner3j {
    /// The degrees `(l₁, l₂, l₃)`.
    pub fn ls(&self) -> [usize; 3] {
        self.ls
    }

    /// Numbers of components, `[2l₁+1, 2l₂+1, 2l₃+1]`.
    pub fn dims(&self) -> [usize; 3] {
        self.ls.map(|l| 2 * l + 1)
    }

    /// The values that are not zero, by ascending `(i, j, k)`.
    pub fn nonzeros(&self) -> &[W3jEntry] {
        &self.nonzeros
    }

    /// All values, row-major in [`dims`](Self::dims).
    pub fn dense(&self) -> Vec<f64> {
        let [n1, n2, n3] = self.dims();
        let mut all = vec![0.0; n1 * n2 * n3];
        for entry in &self.nonzeros {
            all[(entry.i * n2 + entry.j) * n3 + entry.k] = entry.value;
        }
        all
    }

    /// Computes the tensor; [`wigner_3j`] keeps what it computes.
    fn compute(ls: [usize; 3]) -> Self {
        let racah = Racah::new(ls);
        let [l1, l2, l3] = ls.map(|l| l as isize);
        let mut nonzeros = Vec::new();
        for a in -l1..=l1 {
            for b in -l2..=l2 {
                // A real component of order ±|m| mixes the complex ones m and −m, and orders add up.
                let (low, high) = ((a.abs() - b.abs()).abs(), a.abs() + b.abs());
                let mut orders = vec![-high, -low, low, high];
                orders.dedup();
                for c in orders.into_iter().filter(|c| c.abs() <= l3) {
                    if let Some(value) = real_value(&racah, ls, [a, b, c]) {
                        nonzeros.push(W3jEntry {
                            i: (a + l1) as usize,
                            j: (b + l2) as usize,
                            k: (c + l3) as usize,
                            value,
                        });
                    }
                }
            }
        }
        Self { ls, nonzeros }
    }
}

/// The entry of the change of basis `Q^l` between complex order `m` and real component `a`, `|m| = |a|`, without
/// its factor 1/√2 for `a ≠ 0`: a power of i, as the exponent.
///
/// `Q[−k,+k] = 1`, `Q[−k,−k] = −i`, `Q[+k,+k] = (−1)^k`, `Q[+k,−k] = i(−1)^k`, all times `(−i)^l`.
fn basis_phase(l: usize, m: isize, a: isize) -> isize {
    let entry = match (m.signum(), a.signum()) {
        (-1, 1) => 0,
        (-1, -1) => 3,
        (1, 1) => 2 * m,
        (1, -1) => 1 + 2 * m,
        _ => 0,
    };
    (entry + 3 * l as isize).rem_euclid(4)
}

/// `C_abc` for real components `a`, `b`, `c` (each from `−l` to `l`), if it is not zero.
fn real_value(racah: &Racah, ls: [usize; 3], [a, b, c]: [isize; 3]) -> Option<f64> {
    // The orders (m₁, m₂) of complex components that mix into a and b and add up to ±c. Where there are two,
    // the second is the first with all signs changed, and its coefficient (−1)^(l₁+l₂+l₃) times that of the first.
    let m1 = a.abs();
    let m2 = [b.abs(), -b.abs()]
        .into_iter()
        .find(|m2| (m1 + m2).abs() == c.abs())?;
    let phase = |sign: isize| {
        let third = basis_phase(ls[2], sign * (m1 + m2), c);
        (basis_phase(ls[0], sign * m1, a) + basis_phase(ls[1], sign * m2, b) - third).rem_euclid(4)
    };
    let odd = 2 * (ls.iter().sum::<usize>() % 2) as isize;
    let first = phase(1);
    let mixed = [a, b, c].iter().filter(|&&m| m != 0).count();
    let scale = match mixed {
        0 if odd == 0 => (1, 1),
        0 => return None,
        _ if (phase(-1) + odd).rem_euclid(4) != first => return None,
        // Two equal terms, each with a factor 1/√2 for every mixed component.
        2 => (1, 1),
        3 => (1, 2),
        _ => unreachable!("orders add up"),
    };
    let value = racah.coefficient(m1, m2, scale);
    let value = match first {
        0 => value,
        2 => -value,
        _ => unreachable!("the phase of Q makes every value real"),
    };
    (value != 0.0).then_some(value)
}

/// Whether `|l₁ − l₂| ≤ l₃ ≤ l₁ + l₂`.
pub fn is_triangle(l1: usize, l2: usize, l3: usize) -> bool {
    (l1.abs_diff(l2)..=l1 + l2).contains(&l3)
}

type Cache = RwLock<HashMap<[usize; 3], Arc<Wigner3j>>>;
static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// The Wigner 3j symbols of degrees `l₁, l₂, l₃` in the real basis of e3nn, with Frobenius norm 1: the tensor
/// `C_ijk` for which `C_ijk = C_abc D^{l₁}_ai D^{l₂}_bj D^{l₃}_ck` for every rotation.
///
/// Equal to the real Clebsch–Gordan coefficients over `√(2l₃+1)`. An even permutation of the degrees permutes
/// the components, an odd one also gives the factor `(−1)^{l₁+l₂+l₃}`. Signs are those of e3nn since 0.5
/// ([`W3jConvention`] has the earlier ones).
///
/// Computed in exact arithmetic and rounded once, for any degree, and kept for the life of the process.
///
/// ```
/// use e3nn_tensorprod::wigner::wigner_3j;
///
/// let cross = wigner_3j(1, 1, 1); // (x × y)_z / √6
/// assert_eq!(cross.dims(), [3, 3, 3]);
/// assert_eq!(cross.nonzeros().len(), 6);
/// assert!((cross.dense()[5] - 1.0 / 6.0_f64.sqrt()).abs() < 1e-16);
/// ```
///
/// # Panics
/// If the degrees violate the triangle inequality ([`is_triangle`]).
pub fn wigner_3j(l1: usize, l2: usize, l3: usize) -> Arc<Wigner3j> {
    let ls = [l1, l2, l3];
    assert!(
        is_triangle(l1, l2, l3),
        "wigner_3j: degrees {ls:?} violate |l1 - l2| <= l3 <= l1 + l2"
    );
    // A poisoned lock still holds whole entries only.
    let known = |cache: &HashMap<_, Arc<_>>| cache.get(&ls).cloned();
    if let Some(symbols) = known(&CACHE.read().unwrap_or_else(|e| e.into_inner())) {
        return symbols;
    }
    // Outside the lock: two threads may compute the same values, none waits for others.
    let symbols = Arc::new(Wigner3j::compute(ls));
    let mut cache = CACHE.write().unwrap_or_else(|e| e.into_inner());
    cache.entry(ls).or_insert(symbols).clone()
}

/// [`wigner_3j`] with the signs of a version of e3nn.
///
/// # Panics
/// As [`wigner_3j`].
pub fn wigner_3j_in(convention: W3jConvention, l1: usize, l2: usize, l3: usize) -> Arc<Wigner3j> {
    let symbols = wigner_3j(l1, l2, l3);
    let sign = convention.sign(l1, l2, l3);
    if sign > 0.0 {
        return symbols;
    }
    let mut flipped = (*symbols).clone();
    for entry in &mut flipped.nonzeros {
        entry.value *= sign;
    }
    Arc::new(flipped)
}
