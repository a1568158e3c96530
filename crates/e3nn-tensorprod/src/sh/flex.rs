//! The CPU backend: tensors as slices for the kernel.

use super::HarmonicsBackend;
use super::kernel::{Call, Output as Wanted, Plan, Scalar, run};
use super::spec::Spec;
use burn::tensor::DType;
use core_tensor::cpu::{Real, Storage};
use core_tensor::ext::flex::{Flex, FlexTensor, Output, tensor};
use core_tensor::ext::{FloatTensor, TensorMetadata};

impl HarmonicsBackend for Flex {
    fn harmonics(v: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self> {
        pass(Wanted::Values, v, None, None, &spec)
    }

    fn harmonics_tangent(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        pass(Wanted::Tangents, v, Some(tangent), None, &spec)
    }

    fn harmonics_gradient(
        v: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        pass(Wanted::Gradients, v, None, Some(cotangent), &spec)
    }

    fn harmonics_curvature(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self> {
        pass(Wanted::Curvatures, v, Some(tangent), Some(cotangent), &spec)
    }
}

fn pass(
    wanted: Wanted,
    v: FlexTensor,
    tangent: Option<FlexTensor>,
    cotangent: Option<FlexTensor>,
    spec: &Spec,
) -> FlexTensor {
    let dtype = v.dtype();
    let wide = dtype == DType::F32 && spec.is_wide();
    let ready = |x: FlexTensor| {
        let x = x.to_contiguous();
        if wide { cast::<f32, f64>(&x) } else { x }
    };
    let (v, tangent, cotangent) = (ready(v), tangent.map(ready), cotangent.map(ready));
    match v.dtype() {
        DType::F32 => typed::<f32>(wanted, &v, tangent.as_ref(), cotangent.as_ref(), spec),
        DType::F64 => {
            let out = typed::<f64>(wanted, &v, tangent.as_ref(), cotangent.as_ref(), spec);
            if wide { cast::<f64, f32>(&out) } else { out }
        }
        other => panic!("spherical harmonics: no CPU kernel for dtype {other:?}"),
    }
}

fn cast<T: Real + Storage, U: Real + Storage>(x: &FlexTensor) -> FlexTensor {
    let values = x.as_slice::<T>().expect("contiguous, of this dtype");
    let values: Vec<U> = values
        .iter()
        .map(|x| <U as Real>::from_f64(Real::to_f64(*x)))
        .collect();
    tensor(values, x.shape())
}

#[allow(unsafe_code)]
fn typed<T: Scalar + Storage>(
    wanted: Wanted,
    v: &FlexTensor,
    tangent: Option<&FlexTensor>,
    cotangent: Option<&FlexTensor>,
    spec: &Spec,
) -> FlexTensor {
    let points = v.shape()[0];
    let columns = match wanted {
        Wanted::Gradients | Wanted::Curvatures => 3,
        _ => spec.dim(),
    };
    let plan = Plan::<T>::new(spec);
    let mut output = Output::<T>::new(points * columns);
    let given = "contiguous, of the dtype of the vectors";
    run(Call {
        plan: &plan,
        output: wanted,
        vectors: v.as_slice::<T>().expect(given),
        tangents: tangent.map_or(&[], |x| x.as_slice::<T>().expect(given)),
        cotangents: cotangent.map_or(&[], |x| x.as_slice::<T>().expect(given)),
        first: output.spare(),
        second: &mut [],
    });
    // SAFETY: the kernel writes every element.
    tensor(unsafe { output.finish() }, [points, columns])
}
