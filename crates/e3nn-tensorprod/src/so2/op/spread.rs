//! Weights of paths spread over the matrices of a [`Mix`](super::Mix): [`Spread`].

/// `out[row · stride + column] += value · w[row · columns + column]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    /// First weight of the path.
    pub(crate) weight: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// First value of the matrix's block, and how far apart its rows are.
    pub(crate) out: usize,
    pub(crate) stride: usize,
    pub(crate) value: f64,
}

/// The linear map from weights of paths to matrices, which are sums of multiples of them.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) numel: usize,
    pub(crate) outputs: usize,
    pub(crate) entries: Vec<Entry>,
    /// The map on GPUs.
    #[cfg(feature = "cube")]
    pub(super) uploads: super::cube::Uploads,
}

impl Spread {
    /// Of so many weights, without entries.
    pub(crate) fn new(numel: usize) -> Self {
        Self {
            numel,
            outputs: 0,
            entries: Vec::new(),
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        }
    }

    /// Multiplications and additions.
    pub(crate) fn flops(&self) -> usize {
        let entries = self.entries.iter();
        2 * entries.map(|e| e.rows * e.columns).sum::<usize>()
    }
}
