//! The tensor product in plain tensor operations: the definition, for tests and for whoever reads.

use crate::product::{ConnectionMode, Path, ProductPlan, WeightRows};
use burn::tensor::{Int, Tensor, TensorData};
use core_tensor::ext::zeros;
use core_tensor::product::matmul;

/// As [`tensor_product`](super::tensor_product), path by path with all of `Z_uvk = Σ_ij C_ijk x_ui y_vj` in memory.
///
/// # Panics
/// If shapes disagree.
pub fn tensor_product(
    plan: &ProductPlan,
    x: Tensor<2>,
    y: Tensor<2>,
    w: Option<Tensor<2>>,
    rows: &WeightRows,
) -> Tensor<2> {
    let batch = x.dims()[0];
    let (device, dtype) = (x.device(), x.dtype());
    if batch == 0 {
        return zeros([0, plan.irreps_out().dim()], &device, dtype);
    }
    // One row of weights per row of the batch.
    let w = w.map(|w| match rows {
        WeightRows::Shared => w.expand([batch, plan.weight_numel()]),
        WeightRows::PerRow => w,
        WeightRows::ByClass(classes) => {
            let class = TensorData::from(classes.class());
            w.select(0, Tensor::<1, Int>::from_data(class, &device))
        }
    });
    let blocks = plan.irreps_out().iter().enumerate();
    let blocks: Vec<Tensor<2>> = blocks
        .filter(|(_, block)| block.dim() > 0)
        .map(|(i, block)| {
            let zero = Tensor::zeros([batch, block.dim()], (&device, dtype));
            let paths = plan.paths().iter();
            paths
                .filter(|path| path.instruction.out == i && path.pairs() > 0)
                .fold(zero, |sum, path| sum + one(path, &x, &y, w.as_ref()))
        })
        .collect();
    if blocks.is_empty() {
        return zeros([batch, plan.irreps_out().dim()], &device, dtype);
    }
    Tensor::cat(blocks, 1)
}

/// What a path adds to its block of the output, `[batch, m₃ · d₃]`.
fn one(path: &Path, x: &Tensor<2>, y: &Tensor<2>, w: Option<&Tensor<2>>) -> Tensor<2> {
    let batch = x.dims()[0];
    let (device, dtype) = (x.device(), x.dtype());
    let [m1, m2, m3] = path.mul;
    let [d1, d2, d3] = path.dims();
    let x = x.clone().narrow(1, path.offset[0], m1 * d1);
    let y = y.clone().narrow(1, path.offset[1], m2 * d2);
    let products = x.reshape([batch, m1, 1, d1, 1]) * y.reshape([batch, 1, m2, 1, d2]);
    let symbols = TensorData::new(path.symbols(), [d1 * d2, d3]);
    let symbols = Tensor::<2>::from_data(symbols, (&device, dtype));
    let z = matmul(products.reshape([batch * m1 * m2, d1 * d2]), symbols);
    // Rows of Z for the pairs (u, v) of the path, in the order of its weights.
    let pairs: Vec<usize> = match path.instruction.mode {
        ConnectionMode::Uvw | ConnectionMode::Uvu | ConnectionMode::Uvv | ConnectionMode::Uvuv => {
            (0..m1 * m2).collect()
        }
        ConnectionMode::Uuw | ConnectionMode::Uuu => (0..m1).map(|u| u * m2 + u).collect(),
        ConnectionMode::UvuTriangle | ConnectionMode::UvwTriangle => (0..m1)
            .flat_map(|u| (u + 1..m2).map(move |v| u * m2 + v))
            .collect(),
    };
    let count = pairs.len();
    let at: Vec<i64> = pairs.iter().map(|&p| p as i64).collect();
    let at = Tensor::<1, Int>::from_data(TensorData::new(at, [count]), &device);
    let z = z.reshape([batch, m1 * m2, d3]).select(1, at);
    let fan = path.fan();
    let weights = path.instruction.has_weight.then(|| {
        let w = w.expect("a weighted product has weights").clone();
        let w = w.narrow(1, path.weights.start, path.weights.len());
        w.reshape([batch, count, fan])
    });
    let weighted = |z: Tensor<3>| match weights.clone() {
        Some(w) => z * w,
        None => z,
    };
    let out: Tensor<3> = match path.instruction.mode {
        ConnectionMode::Uvw | ConnectionMode::Uuw | ConnectionMode::UvwTriangle => match weights {
            Some(w) => matmul(w.swap_dims(1, 2), z),
            None => z.sum_dim(1),
        },
        ConnectionMode::Uvu => {
            let z = weighted(z).reshape([batch, m1, m2, d3]);
            z.sum_dim(2).reshape([batch, m1, d3])
        }
        ConnectionMode::Uvv => {
            let z = weighted(z).reshape([batch, m1, m2, d3]);
            z.sum_dim(1).reshape([batch, m2, d3])
        }
        ConnectionMode::Uuu | ConnectionMode::Uvuv | ConnectionMode::UvuTriangle => weighted(z),
    };
    out.reshape([batch, m3 * d3])
}
