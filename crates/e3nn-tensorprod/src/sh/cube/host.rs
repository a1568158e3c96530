//! The CPU kernel for tensors on a device that has no f64.

use super::Problem;
use crate::sh::kernel::{Call, Output, Plan, run as evaluate};
use burn::tensor::DType;
use core_tensor::ext::cube::CubeTensor;

/// Values of a contiguous tensor of f32.
fn read(x: &CubeTensor) -> Vec<f64> {
    let bytes = x.client.read_one_unchecked(x.handle.clone());
    let (values, _) = bytes.as_chunks::<4>();
    let values = values.iter().map(|&b| f64::from(f32::from_ne_bytes(b)));
    values.collect()
}

/// The result, computed in f64 on the CPU from contiguous tensors of f32.
pub(super) fn run(problem: &Problem) -> CubeTensor {
    let output = match (&problem.tangents, &problem.cotangents) {
        (None, None) => Output::Values,
        (Some(_), None) => Output::Tangents,
        (None, Some(_)) => Output::Gradients,
        (Some(_), Some(_)) => Output::Curvatures,
    };
    let given = |x: &Option<CubeTensor>| x.as_ref().map_or_else(Vec::new, read);
    let shape = problem.shape();
    let mut values = Vec::with_capacity(shape[0] * shape[1]);
    evaluate(Call {
        plan: &Plan::<f64>::new(&problem.spec),
        output,
        vectors: &read(&problem.vectors),
        tangents: &given(&problem.tangents),
        cotangents: &given(&problem.cotangents),
        first: &mut values.spare_capacity_mut()[..shape[0] * shape[1]],
        second: &mut [],
    });
    // SAFETY: the kernel has written every value.
    #[allow(unsafe_code)]
    unsafe {
        values.set_len(shape[0] * shape[1]);
    }
    let narrow: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
    let (client, device) = (&problem.vectors.client, &problem.vectors.device);
    let buffer = client.create_from_slice(bytemuck::cast_slice(&narrow));
    CubeTensor::new_contiguous(
        client.clone(),
        device.clone(),
        shape.into(),
        buffer,
        DType::F32,
    )
}
