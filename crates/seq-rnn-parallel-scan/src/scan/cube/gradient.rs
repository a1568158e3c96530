//! The launches of the backward pass.

use super::super::Cotangent;
use super::super::spec::{Algorithm, Cell};
use super::past::PastLaunch;
use super::problem::Problem;
use super::segments::Segments;
use super::{reduce, serial, sweep};
use core_tensor::ext::cube::{
    CubeTensor, contiguous_rows, dtype_to_storage_type, into_contiguous, zeros,
};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// Saved states and cotangents on the device.
pub(super) struct Past {
    pub(super) saved: CubeTensor,
    upstream: Option<CubeTensor>,
    last: Option<CubeTensor>,
}

impl Past {
    pub(super) fn launch<E: Float, F: Float, S: Float>(&self) -> PastLaunch<E, F, S> {
        let arg = CubeTensor::into_tensor_arg;
        PastLaunch::new(
            arg(self.saved.clone()),
            self.upstream.clone().map(arg).into(),
            self.last.clone().map(arg).into(),
        )
    }
}

impl Problem<'_> {
    /// Gradients of the planes and of the initial states.
    pub(super) fn backward(
        &self,
        saved: CubeTensor,
        cotangent: CubeTensor,
        kind: Cotangent,
    ) -> (CubeTensor, CubeTensor) {
        let (stored, computed) = self.dtypes();
        let planes = self.spec.cell.planes();
        let gradients = if self.spec.packed_planes {
            self.output([self.batch, self.time, planes * self.width], stored)
        } else {
            self.output([planes, self.batch, self.time, self.width], stored)
        };
        let shape = [self.spec.sequences.count(), self.width];
        if self.is_empty() {
            let initial = match kind {
                Cotangent::Last => cotangent,
                Cotangent::States => zeros(self.client(), self.device(), shape, computed),
            };
            return (gradients, initial);
        }
        let initial = self.output(shape, computed);
        let saved = if self.spec.checkpoint.is_some() {
            self.replay(saved)
        } else {
            into_contiguous(saved)
        };
        let (upstream, last) = match kind {
            Cotangent::States => (Some(rows_or_repeats(cotangent)), None),
            Cotangent::Last => (None, Some(into_contiguous(cotangent))),
        };
        let past = Past {
            saved,
            upstream,
            last,
        };
        match self.algorithm() {
            Algorithm::Sweep => self.backward_sweep(&past, &gradients, &initial),
            Algorithm::Chained => self.backward_chained(&past, &gradients, &initial),
            Algorithm::Chunked => {
                let segments = self.chunks();
                let ends = self.flows(&segments, &past);
                self.backward_serial(&segments, Some(ends), &past, &gradients, &initial);
            }
            _ => self.backward_serial(&self.whole(), None, &past, &gradients, &initial),
        }
        (gradients, initial)
    }

    fn backward_serial(
        &self,
        segments: &Segments,
        ends: Option<CubeTensor>,
        past: &Past,
        gradients: &CubeTensor,
        initial: &CubeTensor,
    ) {
        let (count, dim) = self.units_of(segments);
        serial::backward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[gradients, &past.saved]),
            self.inputs(segments),
            past.launch(),
            ends.map(CubeTensor::into_tensor_arg).into(),
            gradients.clone().into_tensor_arg(),
            initial.clone().into_tensor_arg(),
            self.types_of(past),
        );
    }

    fn backward_sweep(&self, past: &Past, gradients: &CubeTensor, initial: &CubeTensor) {
        let segments = self.whole();
        let (count, dim) = self.cubes_of(&segments);
        sweep::backward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[gradients, &past.saved]),
            self.inputs(&segments),
            past.launch(),
            gradients.clone().into_tensor_arg(),
            initial.clone().into_tensor_arg(),
            self.types_of(past),
        );
    }

    /// What flows out of every segment to the one before it.
    fn flows(&self, segments: &Segments, past: &Past) -> CubeTensor {
        let maps = self.empty_maps(segments);
        let (count, dim) = self.units_of(segments);
        reduce::backward::launch(
            self.client(),
            count,
            dim,
            self.address_type(&[&past.saved]),
            self.inputs(segments),
            past.launch(),
            maps.a.clone().into_tensor_arg(),
            maps.b.clone().into_tensor_arg(),
            maps.cut.clone().map(CubeTensor::into_tensor_arg).into(),
            self.types_of(past),
        );
        let from = past.last.clone().unwrap_or_else(|| {
            let shape = [self.spec.sequences.count(), self.width];
            zeros(self.client(), self.device(), shape, self.dtypes().1)
        });
        maps.scan(segments, Cell::Linear, true, from)
    }

    fn types_of(&self, past: &Past) -> [ElemType; 3] {
        let (stored, computed) = self.dtypes();
        [stored, computed, past.saved.dtype].map(dtype_to_storage_type)
    }
}

/// A cotangent as it is where its channels are adjacent or (as the gradient of a sum) one value is all,
/// otherwise a contiguous copy.
fn rows_or_repeats(x: CubeTensor) -> CubeTensor {
    if x.meta.strides()[2] == 0 && !x.meta.is_tiled() {
        x
    } else {
        contiguous_rows(x)
    }
}
