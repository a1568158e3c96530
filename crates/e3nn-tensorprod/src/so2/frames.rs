//! Frames of edges with their Wigner matrices: [`EdgeFrames`].

use super::FrameLayout;
use super::op::{Slot, wigner_offset};
use crate::rotation::{edge_frame, smallest};
use crate::sh::Normalization;
use crate::wigner::wigner_d_from_matrix;
use burn::tensor::{Bool, Tensor};
use core_tensor::dual::{Dual, Value};
use core_tensor::ext::zeros;

/// The frames of edges, in which every edge points along the polar axis `y`, with the Wigner matrices of all degrees up to
/// `lmax`. Made once from the vectors of the edges and used by every layer; `V` is a tensor or a [`Dual`].
///
/// What a frame does around its edge is free and jumps somewhere for every choice ([`edge_frame`] says where here); what
/// commutes with rotations about the edge ([`So2Linear`](super::So2Linear), [`FrameLayout::modulate`], products with
/// harmonics of the edge) and is rotated back does not depend on it, and is as smooth in the vectors as the harmonics.
/// Gradients of vectors pass through the frames and have no pole. They depend on directions only: vectors may have any
/// length but zero (in `f32` down to 10⁻³⁸). An edge of length zero has the identity for a frame, and no gradient.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use e3nn_tensorprod::irreps;
/// use e3nn_tensorprod::so2::{EdgeFrames, FrameLayout};
///
/// let vectors = Tensor::<2>::from_floats([[0.0, 0.0, 2.0], [1.0, 1.0, 0.0]], &Device::flex());
/// let layout = FrameLayout::new(&irreps!("2x0e+2x1o"), None);
/// let frames = EdgeFrames::new(vectors, 1);
/// let x = Tensor::<2>::ones([2, 8], &Device::flex());
/// let local = frames.rotate(x.clone(), &layout);
/// let back = frames.rotate_back(local, &layout);
/// assert!((back - x).abs().max().into_scalar::<f32>() < 1e-6);
/// ```
#[derive(Debug, Clone)]
pub struct EdgeFrames<V = Tensor<2>> {
    /// Matrices of all degrees one after the other, `[edges, Σ (2l+1)²]`.
    d: V,
    lmax: usize,
    /// Edges of length zero, `[edges, 1]`, if there are any.
    zero: Option<Tensor<2, Bool>>,
}

impl<V: Value<2>> EdgeFrames<V> {
    /// The frames of `vectors` `[edges, 3]`, for degrees up to `lmax`. Whether a vector is zero is read back once, for which a
    /// GPU is waited for.
    ///
    /// # Panics
    /// If the shape is not `[edges, 3]`.
    pub fn new(vectors: V, lmax: usize) -> Self {
        let v: Dual<2> = vectors.into();
        let [edges, three] = v.dims();
        assert_eq!(
            three, 3,
            "EdgeFrames: expected vectors [edges, 3], got [{edges}, {three}]"
        );
        if edges == 0 {
            let d = zeros([0, wigner_offset(lmax + 1)], &v.device(), v.dtype());
            return Self {
                d: V::from_dual(Dual::constant(d)),
                lmax,
                zero: None,
            };
        }
        // Largest components of 1, by a number that is constant: directions do not depend on it, and squares neither
        // underflow nor overflow.
        let size = v.value.clone().detach().abs().max_dim(1);
        let zero = size.clone().lower_elem(smallest(v.dtype()));
        let any = zero.clone().any().into_scalar::<bool>();
        let scale = size.mask_fill(zero.clone(), 1.0).recip();
        let mut v = v * scale;
        if any {
            v = v.mask_fill(zero.clone().expand([edges, 3]), 0.0);
        }
        let matrices = wigner_d_from_matrix(lmax, edge_frame(v));
        let flat = matrices.into_iter().enumerate();
        let flat = flat.map(|(l, d)| d.reshape([edges, (2 * l + 1).pow(2)]));
        Self {
            d: V::from_dual(Dual::cat(flat.collect(), 1)),
            lmax,
            zero: any.then_some(zero),
        }
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.dual().dims()[0]
    }

    /// The largest degree that there are matrices of.
    pub fn lmax(&self) -> usize {
        self.lmax
    }

    fn dual(&self) -> Dual<2> {
        self.d.clone().into()
    }

    /// Edges of length zero, `[edges, 1]`; absent if there are none.
    pub(super) fn zero(&self) -> Option<&Tensor<2, Bool>> {
        self.zero.as_ref()
    }

    /// The Wigner matrices of degree `l`, `[edges, 2l+1, 2l+1]`, that take features into the frames.
    ///
    /// # Panics
    /// If `l` is above [`lmax`](Self::lmax).
    pub fn wigner(&self, l: usize) -> V::Rank<3> {
        let n = 2 * l + 1;
        let d = self.degree(l).reshape([self.edges(), n, n]);
        V::Rank::<3>::from_dual(d)
    }

    fn degree(&self, l: usize) -> Dual<2> {
        assert!(
            l <= self.lmax,
            "EdgeFrames: matrices go to degree {}, {l} is asked for",
            self.lmax
        );
        self.dual().narrow(1, wigner_offset(l), (2 * l + 1).pow(2))
    }

    /// Spherical harmonics of the directions of the edges, `[edges, Σ (2l+1)]`: the middle rows of the Wigner matrices. As
    /// [`spherical_harmonics`](crate::sh::spherical_harmonics) with `normalize`, zero vectors included.
    ///
    /// # Panics
    /// If a degree is above [`lmax`](Self::lmax).
    pub fn harmonics(&self, degrees: &[usize], normalization: Normalization) -> V {
        let edges = self.edges();
        let parts = degrees.iter().map(|&l| {
            let n = 2 * l + 1;
            let scale = (n as f64).sqrt() * normalization.scale(l);
            let row = self.degree(l).narrow(1, l * n, n) * scale;
            match &self.zero {
                Some(zero) if l > 0 => row.mask_fill(zero.clone().expand([edges, n]), 0.0),
                _ => row,
            }
        });
        let parts: Vec<_> = parts.collect();
        V::from_dual(if parts.is_empty() {
            self.dual()
                .linear(|d| zeros([edges, 0], &d.device(), d.dtype()))
        } else {
            Dual::cat(parts, 1)
        })
    }

    fn check(&self, layout: &FrameLayout) {
        let irreps = layout.irreps();
        let lmax = irreps.ls().max().unwrap_or(0);
        assert!(
            lmax <= self.lmax,
            "EdgeFrames: matrices go to degree {}, features {irreps} need {lmax}",
            self.lmax
        );
    }

    /// Features `[edges, irreps.dim()]` in the frames of their edges, `[edges, layout.dim()]`: `y = D x`.
    ///
    /// With an `mmax` below the largest degree, components with `|m| > mmax` are left out. Neither their content nor the
    /// products that end in them are in what is computed from it: what is left is equivariant all the same (to rotations
    /// about every edge), but no longer the product with the harmonics. Angular detail across the edge finer than
    /// `mmax` periods of a turn is lost; along the edge all degrees stay.
    ///
    /// # Panics
    /// If a shape disagrees, or a degree is above [`lmax`](Self::lmax).
    pub fn rotate(&self, x: V, layout: &FrameLayout) -> V {
        self.check(layout);
        V::from_dual(layout.multiply(x.into(), self.dual(), self.lmax, Slot::Output))
    }

    /// Back from the frames, `[edges, layout.dim()]` to `[edges, irreps.dim()]`: `x = Dᵀ y`. The inverse of
    /// [`rotate`](Self::rotate) if no order is left out; otherwise those that are count as 0.
    ///
    /// # Panics
    /// As [`rotate`](Self::rotate).
    pub fn rotate_back(&self, y: V, layout: &FrameLayout) -> V {
        self.check(layout);
        V::from_dual(layout.multiply(y.into(), self.dual(), self.lmax, Slot::Input))
    }

    /// [`rotate_back`](Self::rotate_back) with blocks of `l > mmax` times `√((2l+1)/(2 mmax+1))`, by which their
    /// components have the variance of those of which no order is left out: EquiformerV2's `rotate_inv_rescale`.
    ///
    /// # Panics
    /// As [`rotate`](Self::rotate).
    pub fn rotate_back_rescaled(&self, y: V, layout: &FrameLayout) -> V {
        let y: Dual<2> = y.into();
        let mut factors = vec![1.0; layout.dim()];
        let kept = 2 * layout.mmax() + 1;
        for (i, block) in layout.irreps().iter().enumerate() {
            let n = block.irrep.dim();
            if n <= kept {
                continue;
            }
            let reach = layout.mmax() as isize;
            for column in (-reach..=reach).flat_map(|m| layout.block(i, m).into_iter().flatten()) {
                factors[column] = (n as f64 / kept as f64).sqrt();
            }
        }
        let factors = crate::rotation::constant(factors, [1, layout.dim()], &y.value);
        self.rotate_back(V::from_dual(y * factors), layout)
    }
}
