//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! Four ways to split a scan, all bit-reproducible from run to run (no arithmetic by atomics, every
//! reduction in a fixed order); [`choose`] says when which runs:
//!
//! - [`serial`]: a unit per sequence and channel. Has the same bits whatever the split in time.
//! - [`sweep`]: a cube per sequence and group of channels, over tiles of steps.
//! - chunked: [`reduce`] folds every chunk of a sequence to one map, [`problem::Maps`] scans the
//!   maps with a sweep, and [`serial`] walks all chunks at once from the right states.
//! - [`chained`]: a cube per piece of a sequence and group of channels, each waiting for the one before
//!   it; where the device lets cubes wait. The states of [`serial`] to the bit.
//!
//! The backward pass is the same recurrence on the adjoint, the other way in time, so it has the same
//! four forms. With checkpoints it first computes all states again, each stretch between two borders
//! on its own.

#![allow(
    clippy::collapsible_if,
    clippy::manual_is_multiple_of,
    reason = "a choice at compile time cannot join one at run time, and kernels have no such method"
)]

mod cells;
mod chained;
mod choose;
mod gradient;
mod inputs;
mod past;
mod problem;
mod reduce;
mod segments;
mod serial;
mod sweep;

#[cfg(feature = "testing")]
pub use choose::chain_anywhere;

use super::spec::Spec;
use super::{Cotangent, ScanBackend};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::CubeBackend;
use problem::Problem;

impl ScanBackend for CubeBackend {
    fn scan(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        Problem::new([x, y, z], initial, reset, &spec).forward()
    }

    fn scan_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        saved: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        kind: Cotangent,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        Problem::new([x, y, z], initial, reset, &spec).backward(saved, cotangent, kind)
    }
}
