//! Sparse 3j symbols in the order in which kernels walk them.

use crate::wigner::W3jEntry;

/// The 3j symbols `C` of a path times its coefficient, as two contractions one after the other: with the outer operand
/// to a matrix `M_ac = Σ_b C_abc outer_b`, and of that with the inner operand, `Z_c = Σ_a M_ac inner_a`. Only pairs
/// `(a, c)` for which some `C_abc` is not 0 are kept.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Components of the inner operand, the outer operand and the output.
    pub(crate) dims: [usize; 3],
    /// Component `a` of the inner operand of each pair; pairs are by ascending `(c, a)`.
    pub(crate) inner: Vec<u32>,
    /// Component `c` of the output of each pair.
    pub(crate) out: Vec<u32>,
    /// The pairs of component `c`: `by_out[c]..by_out[c + 1]`.
    pub(crate) by_out: Vec<u32>,
    /// Where the entries of each pair begin.
    pub(crate) starts: Vec<u32>,
    /// Component `b` of the outer operand of each entry.
    pub(crate) outer: Vec<u32>,
    /// Value of each entry.
    pub(crate) values: Vec<f64>,
    /// Pairs by ascending `(a, c)`, and where those of each `a` begin.
    pub(crate) transposed: Vec<u32>,
    pub(crate) by_inner: Vec<u32>,
}

impl Table {
    /// From the symbols of degrees `l`; `inner` is 0 if the first input is the inner operand, 1 if the second is.
    pub(super) fn new(symbols: &[W3jEntry], coefficient: f64, l: [usize; 3], inner: usize) -> Self {
        let size = |s: usize| 2 * l[s] + 1;
        let dims = [size(inner), size(1 - inner), size(2)];
        let mut entries: Vec<[usize; 3]> = Vec::with_capacity(symbols.len());
        let mut value = vec![0.0; dims.iter().product()];
        for e in symbols {
            let [a, b] = if inner == 0 { [e.i, e.j] } else { [e.j, e.i] };
            entries.push([e.k, a, b]);
            value[(e.k * dims[0] + a) * dims[1] + b] = e.value * coefficient;
        }
        entries.sort_unstable();
        let mut table = Self {
            dims,
            inner: Vec::new(),
            out: Vec::new(),
            by_out: vec![0; dims[2] + 1],
            starts: Vec::new(),
            outer: Vec::new(),
            values: Vec::new(),
            transposed: Vec::new(),
            by_inner: vec![0; dims[0] + 1],
        };
        let mut last = None;
        for &[c, a, b] in &entries {
            if last != Some((c, a)) {
                last = Some((c, a));
                table.starts.push(table.values.len() as u32);
                table.inner.push(a as u32);
                table.out.push(c as u32);
                table.by_out[c + 1] += 1;
                table.by_inner[a + 1] += 1;
            }
            table.outer.push(b as u32);
            table.values.push(value[(c * dims[0] + a) * dims[1] + b]);
        }
        table.starts.push(table.values.len() as u32);
        for list in [&mut table.by_out, &mut table.by_inner] {
            for i in 1..list.len() {
                list[i] += list[i - 1];
            }
        }
        table.transposed = (0..table.inner.len() as u32).collect();
        let key = |&p: &u32| (table.inner[p as usize], table.out[p as usize]);
        table.transposed.sort_by_key(key);
        table
    }

    /// Number of pairs of components of the inner operand and the output.
    pub(crate) fn pairs(&self) -> usize {
        self.inner.len()
    }

    /// Number of symbols that are not 0.
    pub(crate) fn entries(&self) -> usize {
        self.values.len()
    }
}
