//! CPU engine.
//!
//! The products are those of the `gemm` crate, each on one thread over a tile that stays in the caches; what this
//! crate adds runs on the tile while it is there.

mod buffer;
mod forward;
mod gradient;
mod inputs;
mod lanes;
mod logits;
mod matrix;
mod online;
mod slope;
mod top;

use super::EngineBackend;
use super::spec::Spec;
use crate::plan::Plan;
use core_tensor::cpu::Storage;
use core_tensor::ext::flex::{Compute, Flex, FlexTensor, scratch, tensor};
use core_tensor::ext::{FloatTensor, IntTensor};
use core_tensor::with_float;
use gradient::Above;
use inputs::{Inputs, Tensors, matrix};
use matrix::MatrixMut;

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
        state: FloatTensor<Self>,
        kept: FloatTensor<Self>,
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
        let (state, cotangent) = (state.to_contiguous(), cotangent.to_contiguous());
        let [of_hidden, of_classifier, of_bias] = shapes;
        with_float!(dtype, E => {
            let inputs = Inputs::<E>::new(&tensors, &spec);
            let above = Above {
                state: state.storage(),
                cotangent: cotangent.storage(),
                logits: (spec.plan == Plan::Store).then(|| matrix(&kept)),
            };
            let out = inputs.gradient(&above);
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

fn forward<E: Storage>(inputs: &Inputs<'_, E>) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
    let spec = inputs.spec;
    let (out, kept) = if spec.plan == Plan::Store {
        let (rows, classes) = (inputs.live.len(), inputs.classes);
        let mut logits = core_tensor::ext::flex::Output::<Compute<E>>::new(rows * classes);
        let spare = logits.spare();
        // SAFETY: the forward pass writes every logit before it reads it.
        #[allow(unsafe_code)]
        let data = unsafe {
            core::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<Compute<E>>(), spare.len())
        };
        let out = inputs.forward(Some(&MatrixMut::rows(data, rows, classes)));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        let data = unsafe { logits.finish() };
        (out, tensor(data, [rows, classes]))
    } else {
        (
            inputs.forward(None),
            tensor(scratch::<Compute<E>>(1), [1, 1]),
        )
    };
    let top = if spec.top > 0 {
        tensor_of(out.top, [inputs.tokens, spec.top])
    } else {
        tensor_of(vec![0], [1, 1])
    };
    (
        tensor(out.rows, [inputs.tokens, spec.columns()]),
        tensor(out.state, [inputs.tokens, forward::state::COLUMNS]),
        kept,
        top,
    )
}

fn tensor_of(data: Vec<i64>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(burn::tensor::TensorData::new(data, shape))
}
