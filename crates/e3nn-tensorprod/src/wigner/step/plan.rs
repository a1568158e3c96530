//! The terms of a step of the recursion.

use crate::wigner::three_j::wigner_3j;
use std::sync::{Arc, LazyLock, RwLock};

/// Axes of a vector.
pub(crate) const X: usize = 0;
pub(crate) const Y: usize = 1;
pub(crate) const Z: usize = 2;

/// One product in the sum over a row: component `a` of degree `l`, component `b` of the vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) value: f64,
}

/// The step from degree `l` to `l + 1`.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) l: usize,
    /// Terms of row `i` of the symbols lie at `offsets[i]..offsets[i+1]`.
    offsets: Vec<usize>,
    terms: Vec<Term>,
    /// Factor of every row (or column) of `D^{l+1}`.
    pub(crate) scale: Vec<f64>,
    /// The terms of the form `⟨D^{l+1}, step(D^l, R)⟩`, gathered by each of its arguments.
    forms: [Form; 3],
    /// The forms on GPUs.
    #[cfg(feature = "cube")]
    pub(super) uploads: crate::cube::Uploads<Slot>,
}

/// The arguments of the trilinear form `Φ(D, R, G) = ⟨G, step(D, R)⟩`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `D^l`.
    Degree,
    /// The rotation matrix.
    Rotation,
    /// `D^{l+1}`.
    Next,
}

impl Slot {
    /// All slots, in the order in which operands are given.
    pub(crate) const ALL: [Self; 3] = [Self::Degree, Self::Rotation, Self::Next];

    /// The two other slots, in order.
    pub(crate) fn others(self) -> [Self; 2] {
        match self {
            Self::Degree => [Self::Rotation, Self::Next],
            Self::Rotation => [Self::Degree, Self::Next],
            Self::Next => [Self::Degree, Self::Rotation],
        }
    }
}

/// A partial derivative of the form: every value of one argument as a sum of products of values of the two others.
#[derive(Debug)]
pub(crate) struct Form {
    /// The products of value `i` lie at `offsets[i]..offsets[i+1]`.
    pub(crate) offsets: Vec<usize>,
    /// Places in the two other arguments, each flat and row-major.
    pub(crate) places: Vec<[usize; 2]>,
    pub(crate) coefficients: Vec<f64>,
}

impl Form {
    /// Gathers products `(places in D, R, G, coefficient)` by one slot, which has `len` values.
    fn new(products: &[([usize; 3], f64)], slot: Slot, len: usize) -> Self {
        let own = slot as usize;
        let others = slot.others().map(|other| other as usize);
        let mut form = Self {
            offsets: vec![0],
            places: Vec::new(),
            coefficients: Vec::new(),
        };
        let mut sorted: Vec<_> = products.iter().collect();
        sorted.sort_by_key(|(places, _)| places[own]);
        let mut sorted = sorted.into_iter().peekable();
        for i in 0..len {
            while let Some((places, coefficient)) = sorted.next_if(|(places, _)| places[own] == i) {
                form.places.push(others.map(|other| places[other]));
                form.coefficients.push(*coefficient);
            }
            form.offsets.push(form.places.len());
        }
        form
    }
}

impl Step {
    fn new(l: usize) -> Self {
        let symbols = wigner_3j(l + 1, l, 1);
        let (rows, last) = (2 * l + 3, 2 * l);
        let (mut offsets, mut terms) = (vec![0], Vec::new());
        for i in 0..rows {
            let row = symbols.nonzeros().iter().filter(|e| e.i == i);
            terms.extend(row.map(|e| Term {
                a: e.j,
                b: e.k,
                value: e.value,
            }));
            offsets.push(terms.len());
        }
        let dense = symbols.dense();
        let at = |i: usize, a: usize, b: usize| dense[(i * (last + 1) + a) * 3 + b];
        let scale = (0..rows).map(|j| {
            let image = if j == 0 {
                at(0, last, X) + at(0, 0, Z)
            } else if j == rows - 1 {
                at(j, last, Z) - at(j, 0, X)
            } else {
                at(j, j - 1, Y)
            };
            1.0 / image
        });
        let mut step = Self {
            l,
            offsets,
            scale: scale.collect(),
            terms,
            forms: Slot::ALL.map(|slot| Form::new(&[], slot, 0)),
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        };
        let products = step.products();
        step.forms = Slot::ALL.map(|slot| Form::new(&products, slot, step.len(slot)));
        step
    }

    /// Rows of the matrix of a slot.
    pub(crate) fn size(&self, slot: Slot) -> usize {
        match slot {
            Slot::Degree => 2 * self.l + 1,
            Slot::Rotation => 3,
            Slot::Next => 2 * self.l + 3,
        }
    }

    /// Values of the matrix of a slot.
    pub(crate) fn len(&self, slot: Slot) -> usize {
        self.size(slot).pow(2)
    }

    /// The partial derivative of the form by a slot.
    pub(crate) fn form(&self, slot: Slot) -> &Form {
        &self.forms[slot as usize]
    }

    /// Every product of the form: places in `D`, `R`, `G`, and the coefficient.
    fn products(&self) -> Vec<([usize; 3], f64)> {
        let (n, next) = (self.size(Slot::Degree), self.size(Slot::Next));
        let mut products = Vec::new();
        for j in 0..next {
            // Rows of D^l, rows of R, signs.
            let sources = match j {
                0 => vec![(n - 1, X, 1.0), (0, Z, 1.0)],
                j if j == next - 1 => vec![(n - 1, Z, 1.0), (0, X, -1.0)],
                j => vec![(j - 1, Y, 1.0)],
            };
            for i in 0..next {
                for &Term { a, b, value } in self.row(i) {
                    for &(row, axis, sign) in &sources {
                        let places = [row * n + a, axis * 3 + b, j * next + i];
                        products.push((places, sign * value * self.scale[j]));
                    }
                }
            }
        }
        products
    }

    pub(crate) fn row(&self, i: usize) -> &[Term] {
        &self.terms[self.offsets[i]..self.offsets[i + 1]]
    }
}

static STEPS: LazyLock<RwLock<Vec<Arc<Step>>>> = LazyLock::new(RwLock::default);

/// The steps from degrees 1, 2, … to `lmax`, made once.
pub(crate) fn steps(lmax: usize) -> Vec<Arc<Step>> {
    let count = lmax.saturating_sub(1);
    let known = STEPS.read().unwrap_or_else(|e| e.into_inner());
    if known.len() >= count {
        return known[..count].to_vec();
    }
    drop(known);
    let mut known = STEPS.write().unwrap_or_else(|e| e.into_inner());
    for l in known.len() + 1..=count {
        known.push(Arc::new(Step::new(l)));
    }
    known[..count].to_vec()
}
