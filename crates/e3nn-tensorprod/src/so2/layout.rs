//! Where components of features lie in the frame of an edge: [`FrameLayout`].

use super::op::{Form, Slot, trilinear};
use crate::irreps::Irreps;
use crate::tensor::Layout;
use burn::tensor::{Int, Tensor, TensorData};
use core::ops::Range;
use core_tensor::dual::{Dual, Value};
use std::sync::Arc;

/// Where components of features lie in the frame of an edge, order after order:
///
/// ```text
/// m = 0 | m = +1 | m = −1 | m = +2 | m = −2 | … | m = ±mmax
/// ```
///
/// and for each order all blocks that have it (`l ≥ |m|`), one after the other, each `mul` wide. What a rotation about the
/// edge mixes, `+m` and `−m`, lies side by side, and all that an SO(2) linear map multiplies with one matrix is one range
/// of columns. It is the order of eSCN, EquiformerV2 and UMA, there for blocks of one multiplicity and `0, 1, …, lmax`.
///
/// With `mmax` below the largest degree the components with `|m| > mmax` are left out: see
/// [`EdgeFrames::rotate`](super::EdgeFrames::rotate) for what is lost. Cheap to clone; clones share what kernels look up on a
/// GPU, which is brought there once.
///
/// ```
/// use e3nn_tensorprod::irreps;
/// use e3nn_tensorprod::so2::FrameLayout;
///
/// let all = FrameLayout::new(&irreps!("4x0e+4x1e+4x2e"), None);
/// assert_eq!([all.dim(), all.width(0), all.width(1), all.width(2)], [36, 12, 8, 4]);
/// assert_eq!(all.columns(-1), 20..28);
/// assert_eq!(all.block(2, -1), Some(24..28));
/// assert_eq!(FrameLayout::new(&irreps!("4x0e+4x1e+4x2e"), Some(1)).dim(), 28);
/// ```
#[derive(Debug, Clone)]
pub struct FrameLayout(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    irreps: Irreps,
    layout: Layout,
    /// Blocks in the order in which they lie within an order `m`.
    sequence: Vec<usize>,
    /// Columns of one sign of each order.
    widths: Vec<usize>,
    /// First column of each order, and the number of all.
    starts: Vec<usize>,
    /// Of each block and order, where it begins among the columns of one sign.
    channels: Vec<Vec<usize>>,
    /// Where what lies, on GPUs.
    #[cfg(feature = "cube")]
    uploads: super::op::FrameUploads,
}

impl PartialEq for FrameLayout {
    fn eq(&self, other: &Self) -> bool {
        // The rest follows from these.
        let [a, b] = [&self.0, &other.0];
        a.widths.len() == b.widths.len()
            && a.irreps == b.irreps
            && a.layout == b.layout
            && a.sequence == b.sequence
    }
}

impl FrameLayout {
    /// Of features with these irreps, with the orders up to `mmax`; absent, all.
    pub fn new(irreps: &Irreps, mmax: Option<usize>) -> Self {
        let sequence = (0..irreps.len()).collect();
        Self::in_sequence(irreps, mmax, sequence, Layout::MulIr)
    }

    /// The same of features that lie in another layout in the global frame, by default e3nn's. With [`Layout::IrMul`]
    /// (for blocks of one multiplicity that of EquiformerV2's `[edges, (lmax + 1)², channels]`) the kernels read and
    /// write without transposing.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Self {
        let inner = &self.0;
        let mmax = Some(self.mmax());
        Self::in_sequence(&inner.irreps, mmax, inner.sequence.clone(), layout)
    }

    /// With blocks within an order in another sequence than that of the irreps.
    pub(crate) fn in_sequence(
        irreps: &Irreps,
        mmax: Option<usize>,
        sequence: Vec<usize>,
        layout: Layout,
    ) -> Self {
        let lmax = irreps.ls().max().unwrap_or(0);
        let mmax = mmax.map_or(lmax, |mmax| mmax.min(lmax));
        let (mut widths, mut starts) = (Vec::new(), vec![0]);
        let mut channels = vec![Vec::new(); irreps.len()];
        for m in 0..=mmax {
            let mut width = 0;
            for &i in sequence.iter().filter(|&&i| irreps[i].irrep.l() >= m) {
                channels[i].push(width);
                width += irreps[i].mul;
            }
            widths.push(width);
            let signs = if m == 0 { 1 } else { 2 };
            starts.push(starts[m] + signs * width);
        }
        Self(Arc::new(Inner {
            irreps: irreps.clone(),
            layout,
            sequence,
            widths,
            starts,
            channels,
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        }))
    }

    /// Irreps of the features.
    pub fn irreps(&self) -> &Irreps {
        &self.0.irreps
    }

    /// Layout of the features in the global frame.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The largest order that there is.
    pub fn mmax(&self) -> usize {
        self.0.widths.len() - 1
    }

    /// Number of columns.
    pub fn dim(&self) -> usize {
        self.0.starts[self.mmax() + 1]
    }

    /// Number of columns of order `m`, of each sign: the multiplicities of all blocks with `l ≥ m`; 0 beyond `mmax`.
    pub fn width(&self, m: usize) -> usize {
        self.0.widths.get(m).copied().unwrap_or(0)
    }

    /// The columns of order `m`, of that sign.
    ///
    /// # Panics
    /// If there is no such order.
    pub fn columns(&self, m: isize) -> Range<usize> {
        let order = m.unsigned_abs();
        assert!(
            order <= self.mmax(),
            "FrameLayout: no order {m}, the largest is {}",
            self.mmax()
        );
        let width = self.width(order);
        let start = self.0.starts[order] + if m < 0 { width } else { 0 };
        start..start + width
    }

    /// The columns of order `m` of a block, one per copy; absent if the block has no such order or it is left out.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn block(&self, block: usize, m: isize) -> Option<Range<usize>> {
        let channel = *self.0.channels[block].get(m.unsigned_abs())?;
        let start = self.columns(m).start + channel;
        Some(start..start + self.0.irreps[block].mul)
    }

    /// Blocks in the order in which they lie within an order.
    pub(crate) fn sequence(&self) -> &[usize] {
        &self.0.sequence
    }

    /// Where what lies, on GPUs.
    #[cfg(feature = "cube")]
    pub(super) fn uploads(&self) -> &super::op::FrameUploads {
        &self.0.uploads
    }

    /// Number of factors that [`modulate`](Self::modulate) takes: the columns of all orders `m ≥ 0`.
    pub fn modulation_dim(&self) -> usize {
        self.0.widths.iter().sum()
    }

    /// Features in frames times factors of every edge, the same for `+m` and `−m`, so that rotations about the edge commute
    /// with it: how EquiformerV2 and UMA let the distance act.
    ///
    /// # Shapes
    /// - `x`: `[edges, dim()]`; `factors`: `[edges, modulation_dim()]`, those of `m = 0` first, then of 1, …
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn modulate<V: Value<2>>(&self, x: V, factors: V) -> V {
        let (x, factors): (Dual<2>, Dual<2>) = (x.into(), factors.into());
        let [edges, _] = x.dims();
        assert_eq!(
            [x.dims(), factors.dims()],
            [[edges, self.dim()], [edges, self.modulation_dim()]],
            "FrameLayout::modulate: shapes of features and factors"
        );
        let mut places = Vec::with_capacity(self.dim());
        let mut first = 0;
        for (m, &width) in self.0.widths.iter().enumerate() {
            for _ in 0..if m == 0 { 1 } else { 2 } {
                places.extend((first..first + width).map(|i| i as i64));
            }
            first += width;
        }
        let count = places.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &x.device());
        V::from_dual(x * factors.select(1, places))
    }

    /// `D x`, or `Dᵀ x` for [`Slot::Input`]; `d` are the matrices of degrees up to `lmax` one after the other.
    pub(super) fn multiply(&self, x: Dual<2>, d: Dual<2>, lmax: usize, slot: Slot) -> Dual<2> {
        let form = Form::Rotate {
            layout: self.clone(),
            lmax,
        };
        match slot {
            Slot::Output => x.bilinear(d, |x, d| trilinear(&form, slot, [x, d])),
            _ => d.bilinear(x, |d, x| trilinear(&form, slot, [d, x])),
        }
    }
}
