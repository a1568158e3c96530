//! GPU engine: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! The classes are walked in panels whose size follows from the memory budget. The products of a panel are Burn's
//! ([`core_tensor::ext::cube::product`]); what else is to be done with a panel is one pass of a kernel over it:
//!
//! - forward, [`mod@scan`]: largest logit, sums of exponentials, weighted sums, merged with those of the panels before;
//!   [`top`] where largest logits are wanted; [`rows`] then makes row statistics of it;
//! - backward, [`slope`]: logits to their gradient, in place, which both products read; [`sums`] for the bias and for
//!   what is summed over panels; [`apart`] for the targets, where the factors are of half precision.
//!
//! No atomics, no waiting for another cube; every sum has one owner and a fixed order, so the bits are the same in every
//! run. Rows that are left out take part as zeros. All values but those of the products' factors are f32.

mod apart;
mod backward;
mod call;
mod forward;
mod panel;
mod pool;
mod rows;
mod scan;
mod slope;
mod sums;
mod targets;
mod top;

use super::EngineBackend;
use super::promised;
use super::spec::Spec;
use backward::Above;
use call::{Call, Given};
use core_tensor::ext::cube::CubeBackend;
use core_tensor::ext::{FloatTensor, IntTensor};

impl EngineBackend for CubeBackend {
    fn engine_forward(
        hidden: FloatTensor<Self>,
        classifier: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        picks: IntTensor<Self>,
        weights: FloatTensor<Self>,
        dense: FloatTensor<Self>,
        spec: Spec,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        IntTensor<Self>,
        IntTensor<Self>,
    ) {
        let given = Given {
            hidden,
            classifier,
            bias,
            targets,
            weights,
            dense,
        };
        Call::new(given, &spec).forward(picks)
    }

    fn engine_backward(
        hidden: FloatTensor<Self>,
        classifier: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        targets: IntTensor<Self>,
        picks: IntTensor<Self>,
        top: IntTensor<Self>,
        weights: FloatTensor<Self>,
        dense: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        state: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        _: IntTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let shape_of_bias = bias.meta.shape().clone();
        let given = Given {
            hidden,
            classifier,
            bias,
            targets,
            weights,
            dense,
        };
        let above = Above::new(rows, state, cotangent, kept);
        let out = Call::new(given, &spec).backward([picks, top], &above, shape_of_bias);
        spec.monitor.let_go();
        out
    }
}
