//! GPU kernels: one CubeCL source for CUDA, ROCm, Metal, Vulkan and WebGPU. Matrices that all edges share are products of
//! tiles ([`mix`]), everything else is one kernel over tables ([`walk`]) that say for [`rotate`], [`paths`] and [`spread`] what a
//! value is the sum of; but features that lie copy after copy go into frames through shared memory ([`staged`]), and so does what
//! the gradient of the Wigner matrices sums ([`outer`]). Every sum has one owner and a fixed order, without atomics: the same bits in every run.

mod mix;
mod outer;
mod paths;
mod rotate;
mod spread;
mod staged;
mod walk;

use super::{Form, FrameBackend, Slot, Spec};
use core_tensor::ext::FloatTensor;
use core_tensor::ext::cube::{CubeBackend, into_contiguous};

/// Tables of a form on devices, by what is computed.
pub(crate) type Uploads = crate::cube::Uploads<Slot, walk::Layout>;

/// Tables of a layout of features on devices.
#[derive(Debug, Default)]
pub(crate) struct FrameUploads {
    walked: Uploads,
    staged: crate::cube::Uploads<(), staged::Layout>,
    outer: crate::cube::Uploads<(), outer::Layout>,
}

/// Tables of matrices on devices, by what is computed and the columns of a tile.
pub(crate) type MixUploads = crate::cube::Uploads<(Slot, usize), mix::Layout>;

/// A place as tables hold it.
fn small(place: usize) -> u32 {
    u32::try_from(place).expect("frame_form: tables of over 2^32 numbers")
}

impl FrameBackend for CubeBackend {
    fn frame_form(a: FloatTensor<Self>, b: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        let operands = [a, b].map(into_contiguous);
        let slot = spec.slot;
        let beside = &operands[0];
        let tables = match &spec.form {
            Form::Mix(mix) => return mix::run(mix, &spec, &operands),
            Form::Rotate { layout, .. } if staged::takes(layout, slot) => {
                let uploads = &layout.uploads().staged;
                let tables = uploads.get((), beside, || staged::tables(layout));
                return staged::run(&spec, &tables, operands);
            }
            Form::Rotate { layout, .. } if slot == Slot::Factor => {
                let uploads = &layout.uploads().outer;
                let tables = uploads.get((), beside, || outer::tables(layout));
                return outer::run(&spec, &tables, operands);
            }
            Form::Rotate { layout, .. } => {
                let make = || rotate::table(layout, slot).finish();
                layout.uploads().walked.get(slot, beside, make)
            }
            Form::Paths(form) => {
                let make = || paths::table(form, slot).finish();
                form.uploads.get(slot, beside, make)
            }
            Form::Spread(spread) => {
                let make = || spread::table(spread, slot).finish();
                spread.uploads.get(slot, beside, make)
            }
        };
        walk::run(&spec, &tables, operands)
    }
}
