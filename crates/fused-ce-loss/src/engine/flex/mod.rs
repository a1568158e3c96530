//! CPU engine.
//!
//! Products run on one thread each, over a tile that stays in the caches: our own with AVX-512, otherwise those of the
//! `gemm` crate. What else is to be done with a tile is done while it is there.

mod accumulate;
mod buffer;
mod forward;
mod gradient;
mod inputs;
mod lanes;
mod logits;
mod matrix;
mod online;
mod owned;
#[cfg(target_arch = "x86_64")]
mod packed;
mod product;
mod random;
mod record;
mod running;
mod slope;
mod sparse;
mod tile;
mod top;

use super::EngineBackend;
use super::spec::{Needs, Spec, state};
use crate::plan::Plan;
use burn::tensor::TensorData;
use core_tensor::ext::flex::{Compute, Flex, FlexTensor, Output, tensor};
use core_tensor::ext::{FloatTensor, IntTensor};
use core_tensor::with_float;
use forward::Kept;
use gradient::{Above, Gradient};
use inputs::{Inputs, Tensors, matrix};
use matrix::MatrixMut;
use product::Product;
use record::Record;

impl EngineBackend for Flex {
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
        let dtype = hidden.dtype();
        let tensors = Tensors {
            hidden,
            classifier,
            bias,
            targets,
            picks,
            top: None,
            weights,
            dense,
        }
        .prepare();
        with_float!(dtype, E => forward(&Inputs::<E>::new(&tensors, &spec)))
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
        links: IntTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let dtype = hidden.dtype();
        let shapes = [&hidden, &classifier, &bias].map(|t| t.layout().shape().clone());
        let tensors = Tensors {
            hidden,
            classifier,
            bias,
            targets,
            picks,
            top: Some(top),
            weights,
            dense,
        }
        .prepare();
        let [rows, state, cotangent] = [rows, state, cotangent].map(|t| t.to_contiguous());
        let [of_hidden, of_classifier, of_bias] = shapes;
        with_float!(dtype, E => {
            let inputs = Inputs::<E>::new(&tensors, &spec);
            let above = Above {
                rows: rows.storage(),
                state: state.storage(),
                cotangent: cotangent.storage(),
                logits: (spec.plan == Plan::Store).then(|| matrix(&kept)),
            };
            let out = backward(&inputs, &above, &kept, &links);
            spec.monitor.let_go();
            let or_dummy = |data: Vec<E>, wanted: bool, shape| {
                if wanted { tensor(data, shape) } else { tensor(vec![<E as bytemuck::Zeroable>::zeroed(); 1], [1]) }
            };
            (
                or_dummy(out.hidden, spec.needs.hidden, of_hidden),
                or_dummy(out.classifier, spec.needs.classifier, of_classifier),
                or_dummy(out.bias, spec.needs.bias, of_bias),
            )
        })
    }
}

/// The forward pass, with what its plan keeps.
fn forward<E: Product>(
    inputs: &Inputs<'_, E>,
) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
    let spec = inputs.spec;
    let (live, classes, width) = (inputs.live.len(), inputs.classes, inputs.width);
    let mut links = vec![0_u32];
    let (out, kept) = match spec.plan {
        Plan::Store | Plan::ForwardGradient if !spec.needs.nothing() => {
            let store = spec.plan == Plan::Store;
            let columns = if store { classes } else { width };
            let mut all = Output::<Compute<E>>::new(live * columns);
            let spare = all.spare();
            spec.monitor.keep(size_of_val(spare));
            // SAFETY: the forward pass writes all of it before it reads.
            #[allow(unsafe_code)]
            let data = unsafe {
                core::slice::from_raw_parts_mut(
                    spare.as_mut_ptr().cast::<Compute<E>>(),
                    spare.len(),
                )
            };
            let all_rows = MatrixMut::rows(data, live, columns);
            let keep = if store {
                Kept::Logits(all_rows)
            } else {
                Kept::Sums(all_rows)
            };
            let out = inputs.forward(keep);
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let data = unsafe { all.finish() };
            (out, tensor(data, [live, columns]))
        }
        Plan::Filtered(_) if !spec.needs.nothing() => {
            let mut record = Record::new();
            let out = inputs.forward(Kept::Record(&mut record));
            spec.monitor
                .keep(record.classes.len() * 4 + size_of_val(&record.logits[..]));
            links = record.offsets;
            links.extend(record.classes);
            let entries = record.logits.len();
            (out, tensor(record.logits, [entries]))
        }
        _ => (
            inputs.forward(Kept::Nothing),
            tensor(Vec::<Compute<E>>::new(), [0]),
        ),
    };
    let integers = |data: TensorData| FlexTensor::from_data(data);
    let places = links.len();
    (
        tensor(out.rows, [inputs.tokens, spec.columns()]),
        tensor(out.state, [inputs.tokens, state::COLUMNS]),
        kept,
        integers(TensorData::new(links, [places])),
        integers(TensorData::new(out.top, [inputs.tokens, spec.top])),
    )
}

/// The backward pass of the plan.
fn backward<E: Product>(
    inputs: &Inputs<'_, E>,
    above: &Above<'_, Compute<E>>,
    kept: &FlexTensor,
    links: &FlexTensor,
) -> Gradient<E> {
    let needs = inputs.spec.needs;
    let (fast, dense) = match inputs.spec.plan {
        Plan::ForwardGradient => {
            let dense = Needs {
                hidden: false,
                ..needs
            };
            (inputs.gradient_from_sums(above, matrix(kept)), dense)
        }
        Plan::Filtered(filter) => {
            // Those that come from all entries, or those that do not.
            let part = |full: bool| Needs {
                hidden: needs.hidden && filter.full_hidden == full,
                classifier: needs.classifier && filter.full_classifier == full,
                bias: needs.bias && filter.full_classifier == full,
            };
            let (offsets, classes) = links.storage::<u32>().split_at(inputs.live.len() + 1);
            let entries = sparse::Kept {
                offsets,
                classes,
                logits: kept.storage(),
            };
            (
                inputs.sparse_gradient(above, entries, part(false)),
                part(true),
            )
        }
        Plan::Auto | Plan::Store | Plan::Recompute => (Gradient::default(), needs),
    };
    if dense.nothing() {
        return fast;
    }
    fast.or(inputs.gradient(above, dense))
}
