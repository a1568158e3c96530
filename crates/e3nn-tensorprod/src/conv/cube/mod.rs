//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! Paths become straight-line code: their coefficients are constants of the kernels, which are compiled for a convolution at
//! its first call. [`groups`] shares paths out to kernels that fit into registers. Units are channels, so that a row of
//! features in [`Layout::IrMul`](crate::Layout::IrMul) is read side by side; places in rows are strides, and serve either
//! layout.
//!
//! - [`forward`]: a unit per node and channel walks over the edges that arrive; nodes with very many are [`split`];
//! - [`gradients`]: a unit per channel and run of edges; what edges collect for the features of their sources is added up by
//!   [`sources`], over the edges that leave a node in their order;
//! - gradients of harmonics are sums over channels: of the same units, over planes where a device has them ([`planes`]), or of
//!   a kernel of their own, a row of units per edge ([`harmonics`]).
//!
//! Weights that are not stored are computed for a panel of edges at a time ([`weights`]): by Burn's product, or from the
//! table ([`spline`]). Panels bound the memory of a pass to a share of that of the device, whatever the graph. With
//! stored or splined weights no bit depends on how edges are cut into panels; Burn's product may round by its size.
//!
//! No atomics; every sum has one owner and a fixed order: the same bits in every run.

mod backward;
mod forward;
mod gradients;
mod groups;
mod harmonics;
mod planes;
mod problem;
mod sources;
mod spline;
mod split;
mod terms;
mod weights;

pub(super) use groups::Kernels;
#[cfg(feature = "testing")]
pub use problem::limit_panels;

use super::ConvBackend;
use super::spec::Call;
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::CubeBackend;
use problem::Problem;

impl ConvBackend for CubeBackend {
    fn conv_forward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        call: Call,
    ) -> FloatTensor<Self> {
        Problem::new([x, y, w], matrix, [x_dot, y_dot, w_dot], &call).forward()
    }

    fn conv_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        w: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        x_dot: FloatTensor<Self>,
        y_dot: FloatTensor<Self>,
        w_dot: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        wanted: [bool; 4],
        call: Call,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        Problem::new([x, y, w], matrix, [x_dot, y_dot, w_dot], &call).backward(gradient, wanted)
    }
}
