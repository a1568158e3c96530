//! Products of matrices and the norm of vectors.

use super::Dual;
use crate::ext::zeros;
use crate::product;
use burn::tensor::Tensor;

impl<const D: usize> Dual<D> {
    /// Product of matrices over the last two axes, by [`matmul`](product::matmul): no factor is rounded. Leading axes broadcast.
    ///
    /// # Panics
    /// If inner sizes differ.
    pub fn matmul(self, other: impl Into<Self>) -> Self {
        self.bilinear(other.into(), product::matmul)
    }

    /// `x W + b` over the last axis, with parameters, which have no tangent: `(x W + b, ẋ W)`. No factor is rounded.
    ///
    /// # Shapes
    /// - `weight`: `[inputs, outputs]`, as in Burn's `Linear`
    /// - `bias`: `[outputs]`
    ///
    /// # Panics
    /// If the last axis has not `inputs` entries.
    pub fn affine(self, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        let mut dims = self.dims();
        let rows: usize = dims[..D - 1].iter().product();
        let [inputs, outputs] = weight.dims();
        assert_eq!(
            dims[D - 1],
            inputs,
            "Dual::affine: the last axis has another size than the weight has inputs"
        );
        dims[D - 1] = outputs;
        let nothing = rows == 0 && dims[0] != 0;
        let product = self.linear(|x| {
            if nothing {
                // A 0 in the shape to reshape to means "as long as this axis is now".
                return zeros(dims, &x.device(), x.dtype());
            }
            let x: Tensor<2> = x.reshape([rows, inputs]);
            product::matmul(x, weight.clone()).reshape(dims)
        });
        match bias {
            None => product,
            Some(bias) => product + bias.unsqueeze::<D>(),
        }
    }

    /// Euclidean norm along an axis, which stays with size 1: `(|x|, x·ẋ / |x|)`.
    ///
    /// At the zero vector, where the norm has no slope, value, slope and curvature are 0 (not NaN). Vectors whose
    /// square underflows (shorter than 10⁻²² in `f32`, 10⁻¹⁶¹ in `f64`) count as zero.
    pub fn norm_dim(self, dim: usize) -> Self {
        let squared = (self.value.clone() * self.value.clone()).sum_dim(dim);
        let zero = squared.clone().equal_elem(0.0);
        let norm = squared.mask_fill(zero.clone(), 1.0).sqrt();
        let tangent = self.tangent.map(|tangent| {
            let product = (self.value * tangent).sum_dim(dim);
            (product * norm.clone().recip()).mask_fill(zero.clone(), 0.0)
        });
        Self {
            value: norm.mask_fill(zero, 0.0),
            tangent,
        }
    }
}
