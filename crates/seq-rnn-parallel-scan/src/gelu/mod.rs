//! The exact GELU in one pass.

#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::Tensor;
#[cfg(feature = "flex")]
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension};

/// What a backend with a kernel of its own provides; [`gelu`] comes here.
#[cfg(feature = "flex")]
#[backend_extension(Autodiff, Flex)]
pub(crate) trait GeluBackend: Backend {
    /// `x Φ(x)`.
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of `x` from that of the output.
    fn exact_gelu_backward(x: FloatTensor<Self>, cotangent: FloatTensor<Self>)
    -> FloatTensor<Self>;
}

/// Gaussian error linear unit in its exact form, `x Φ(x)` with the distribution function Φ of the standard
/// normal distribution; its gradient needs `x` only.
///
/// On the CPU one pass over memory each way, in vector instructions, and accurate also where Φ is small
/// (`½ x (1 + erf(x / √2))`, the usual way, has no correct digit in `f32` below x ≈ −5.4). −∞ gives 0,
/// NaN gives NaN. On every other device this is Burn's own [`gelu`](burn::tensor::activation::gelu),
/// which fuses with its neighbours there.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use seq_rnn_parallel_scan::gelu;
///
/// let y = gelu(Tensor::<1>::from_floats([-1.0, 0.0, 1.0], &Device::flex()));
/// let y = y.into_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0] + 0.158_655_25).abs() < 1e-7 && y[1] == 0.0 && (y[2] - 0.841_344_8).abs() < 1e-7);
/// ```
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    {
        if core_tensor::ext::flex::takes(&x.device(), x.dtype()) {
            return Tensor::from_dispatch(Dispatch::exact_gelu(x.into_dispatch()));
        }
    }
    burn::tensor::activation::gelu(x)
}
