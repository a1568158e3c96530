//! Products of matrices that keep the precision of their factors.
//!
//! On NVIDIA GPUs Burn 0.22.1's [`Tensor::matmul`] multiplies `f32` on the matrix units in TF32: both factors are rounded
//! to ten bits of fraction, and results are off by 10⁻³. For weights and activations of a language model that is a fair
//! trade; it breaks equivariance, energies and forces. [`matmul`] is the same product with factors as they are, PyTorch's
//! default (`torch.set_float32_matmul_precision("highest")`).

mod backward;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;

use crate::ext::{Backend, Dispatch, FloatTensor, backend_extension, has_kernel};
use burn::tensor::{DType, Device, Shape, Tensor};

/// What a backend provides; [`matmul`] checks its arguments and comes here where Burn's own product would round.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait MatmulBackend: Backend {
    /// `a b` over the last two axes with unrounded factors; leading axes broadcast.
    #[fusion(meta = |a, b| promised::product(a, b))]
    fn matmul_highest(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Shapes that are promised to Fusion.
#[cfg(feature = "cube")]
mod promised {
    use crate::ext::TensorSpec;

    pub(super) fn product(a: &TensorSpec, b: &TensorSpec) -> TensorSpec {
        TensorSpec::new(super::output_shape(&a.shape, &b.shape), a.dtype)
    }
}

/// Product of matrices over the last two axes, `c_ij = Σ_k a_ik b_kj`; no factor is rounded. Leading axes broadcast.
///
/// Where Burn's [`Tensor::matmul`] rounds `f32` (`ext::cube::rounds_products`), this multiplies
/// outside of the matrix units, and so do its gradients, `∂a = g bᵀ` and `∂b = aᵀ g`; there a long inner axis is cut into parts
/// that are added up at the end. Elsewhere, and for other dtypes, it is Burn's product. Where the inner axis has no entries
/// the product is 0.
///
/// # Shapes
/// - `a`: `[..., rows, inner]`
/// - `b`: `[..., inner, columns]`
/// - result: `[..., rows, columns]`
///
/// # Panics
/// If there are fewer than two axes, inner sizes or dtypes differ, or leading axes do not broadcast.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use core_tensor::product::matmul;
///
/// let a = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
/// let b = Tensor::<2>::from_floats([[1.0], [10.0]], &Device::flex());
/// assert_eq!(matmul(a, b).into_data().try_to_vec::<f32>().unwrap(), [21.0, 43.0]);
/// ```
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    check(a.dims(), b.dims(), a.dtype(), b.dtype());
    let device = a.device();
    // Without values Burn 0.22.1 leaves a product on a GPU as memory was, and may read beyond the factors on the CPU.
    let empty = a.dims().contains(&0) || b.dims().contains(&0);
    let wanted = empty || a.dtype() == DType::F32 && rounds(&device);
    if wanted && has_kernel(&device, a.dtype()) {
        return highest(a, b);
    }
    a.matmul(b)
}

/// Whether Burn's product of `f32` rounds its factors.
fn rounds(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    return crate::ext::cube::rounds_products(device);
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// As [`matmul`], by the operation that takes the place of Burn's product, whether or not that would round: to test and to
/// time it.
///
/// # Panics
/// As [`matmul`], and on a device without kernels.
pub fn highest<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    check(a.dims(), b.dims(), a.dtype(), b.dtype());
    let (from, mut to) = (a.dims(), a.dims());
    let columns = b.dims()[D - 1];
    to[D - 1] = columns;
    let shared = b.dims()[..D - 2].iter().all(|&size| size == 1);
    // An axis of size 0 may not be reshaped into another place.
    if D > 2 && shared && !from.contains(&0) && columns > 0 {
        // Where all batches share `b`, they are rows of one matrix, and its gradient is one product.
        let (rows, inner) = (from[..D - 1].iter().product(), from[D - 1]);
        let a: Tensor<2> = a.reshape([rows, inner]);
        let b: Tensor<2> = b.reshape([inner, columns]);
        return launched(a, b).reshape(to);
    }
    launched(a, b)
}

fn launched<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::matmul_highest(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

fn check<const D: usize>(a: [usize; D], b: [usize; D], of_a: DType, of_b: DType) {
    assert!(D >= 2, "matmul: expected at least 2 axes, got {D}");
    let batches = a[..D - 2].iter().zip(&b[..D - 2]);
    let broadcast = batches.fold(true, |fits, (&a, &b)| fits && (a == b || a == 1 || b == 1));
    assert!(
        broadcast && a[D - 1] == b[D - 2],
        "matmul: expected [..., rows, inner] and [..., inner, columns], got {a:?} and {b:?}"
    );
    assert_eq!(of_a, of_b, "matmul: dtypes differ");
}

#[allow(dead_code, reason = "without a backend there is no product")]
fn output_shape(a: &Shape, b: &Shape) -> Shape {
    let rank = a.num_dims();
    let batches = (0..rank - 2).map(|axis| if a[axis] == 1 { b[axis] } else { a[axis] });
    let sizes: Vec<usize> = batches.chain([a[rank - 2], b[rank - 1]]).collect();
    sizes.into()
}
