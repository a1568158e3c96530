//! The layer: [`TensorProductConfig`], [`TensorProduct`].

use super::{
    Instruction, Normalization, ProductError, ProductPlan, RowClasses, WeightRows, tensor_product,
    weighted_part,
};
use crate::irreps::Irreps;
use crate::wigner::W3jConvention;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use core_tensor::dual::{Dual, Value, sum};
use std::sync::Arc;

/// Configuration of a [`TensorProduct`]: any list of [`Instruction`]s, as e3nn's `o3.TensorProduct`. The functions
/// [`fully_connected`](Self::fully_connected), [`elementwise`](Self::elementwise), [`full`](Self::full) and
/// [`depthwise`](Self::depthwise) make the usual ones.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use e3nn_tensorprod::product::TensorProductConfig;
///
/// let device = Device::flex();
/// let product = TensorProductConfig::fully_connected(
///     &"8x0e+4x1o".parse()?,
///     &"1x0e+1x1o".parse()?,
///     &"8x0e+4x1o+4x2e".parse()?,
/// )
/// .init(&device)?;
/// let x = Tensor::<2>::random([10, 20], Distribution::Default, &device);
/// let y = Tensor::<2>::random([10, 4], Distribution::Default, &device);
/// assert_eq!(product.forward(x, y).dims(), [10, 40]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Config, Debug)]
pub struct TensorProductConfig {
    /// Irreps of the first input.
    pub irreps_in1: Irreps,
    /// Irreps of the second input.
    pub irreps_in2: Irreps,
    /// Irreps of the output.
    pub irreps_out: Irreps,
    /// The paths. Weights lie in their order.
    pub instructions: Vec<Instruction>,
    /// How paths are scaled.
    #[config(default = "Normalization::default()")]
    pub normalization: Normalization,
    /// The version of e3nn whose signs are meant.
    #[config(default = "W3jConvention::E3nn05")]
    pub convention: W3jConvention,
    /// Whether the layer owns weights, shared by all rows; otherwise they are given with every call.
    #[config(default = true)]
    pub internal_weights: bool,
}

impl TensorProductConfig {
    /// Checks and compiles the product.
    ///
    /// # Errors
    /// As [`ProductPlan::new`].
    pub fn plan(&self) -> Result<Arc<ProductPlan>, ProductError> {
        ProductPlan::new(
            &self.irreps_in1,
            &self.irreps_in2,
            &self.irreps_out,
            &self.instructions,
            &self.normalization,
            self.convention,
        )
    }

    /// Makes the layer, with weights drawn from N(0, 1) if it has its own.
    ///
    /// # Errors
    /// As [`ProductPlan::new`].
    pub fn init(&self, device: &Device) -> Result<TensorProduct, ProductError> {
        let plan = self.plan()?;
        let own = self.internal_weights && plan.weight_numel() > 0;
        Ok(TensorProduct {
            weight: own.then(|| normal().init([plan.weight_numel()], device)),
            plan,
        })
    }
}

/// N(0, 1), e3nn's initial weights.
pub(crate) fn normal() -> Initializer {
    Initializer::Normal {
        mean: 0.0,
        std: 1.0,
    }
}

/// A tensor product of two inputs, weighted or not; made by [`TensorProductConfig::init`].
///
/// Inputs and output are [`Value`]s: tensors `[batch, dim]`, or duals of them.
#[derive(Module, Debug)]
pub struct TensorProduct {
    /// Own weights, `[weight_numel]`: those of all weighted paths in the order of the instructions, each row-major in
    /// the shape that its [`ConnectionMode`](super::ConnectionMode) says.
    pub weight: Option<Param<Tensor<1>>>,
    #[module(skip)]
    plan: Arc<ProductPlan>,
}

impl TensorProduct {
    /// The compiled product.
    pub fn plan(&self) -> &Arc<ProductPlan> {
        &self.plan
    }

    /// Number of weights of a row.
    pub fn weight_numel(&self) -> usize {
        self.plan.weight_numel()
    }

    /// The product with the layer's own weights, or without any.
    ///
    /// # Shapes
    /// - `x`: `[batch, irreps_in1.dim()]`; `y`: `[batch, irreps_in2.dim()]`; output `[batch, irreps_out.dim()]`
    ///
    /// # Panics
    /// If shapes or dtypes disagree, or the product has weights but the layer does not own them.
    pub fn forward<V: Value<2>>(&self, x: V, y: V) -> V {
        let (x, y) = (x.into(), y.into());
        let w = self.own_weights().map(Dual::constant);
        V::from_dual(self.plan.apply(x, y, w, &WeightRows::Shared))
    }

    /// The product with given weights, one row for all (`[1, weight_numel]`) or one per row of the batch
    /// (`[batch, weight_numel]`).
    ///
    /// # Panics
    /// If shapes or dtypes disagree.
    pub fn forward_weighted<V: Value<2>>(&self, x: V, y: V, w: V) -> V {
        let (x, y, w): (Dual<2>, Dual<2>, Dual<2>) = (x.into(), y.into(), w.into());
        let rows = rows_of(&w.value);
        V::from_dual(self.plan.apply(x, y, Some(w), &rows))
    }

    /// The product with weights by class of the row: `w` is `[classes, weight_numel]`.
    ///
    /// # Panics
    /// If shapes or dtypes disagree.
    pub fn forward_by_class<V: Value<2>>(&self, x: V, y: V, w: V, classes: &Arc<RowClasses>) -> V {
        let rows = WeightRows::ByClass(classes.clone());
        let plan = &self.plan;
        V::from_dual(plan.apply(x.into(), y.into(), Some(w.into()), &rows))
    }

    /// For fixed `y`, the matrix `b` of the map of the first input: `out = x · b`, `[batch, dim_in1, dim_out]`; with
    /// the layer's own weights, or without any.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn right(&self, y: Tensor<2>) -> Tensor<3> {
        let w = self.own_weights();
        self.matrix(y, w, &WeightRows::Shared)
    }

    /// As [`right`](Self::right), with given weights: one row for all or one per row of the batch.
    ///
    /// # Panics
    /// If shapes or dtypes disagree.
    pub fn right_weighted(&self, y: Tensor<2>, w: Tensor<2>) -> Tensor<3> {
        let dim = self.plan.irreps_in1().dim();
        let rows = rows_of(&w);
        let w = match rows {
            WeightRows::PerRow => w.repeat_interleaved(dim),
            _ => w,
        };
        self.matrix(y, Some(w), &rows)
    }

    /// The layer's own weights of an instruction, in their shape; absent for a path without weights.
    ///
    /// # Panics
    /// If the weights have not `D` axes, there is no such instruction, or the layer owns no weights.
    pub fn weight_view<const D: usize>(&self, instruction: usize) -> Option<Tensor<D>> {
        let (range, shape) = self.plan.weight_slice(instruction)?;
        let weight = self.weight.as_ref().expect("the layer owns weights").val();
        let shape: [usize; D] = shape.try_into().unwrap_or_else(|shape| {
            panic!("weight_view: weights have shape {shape:?}, expected {D} axes")
        });
        Some(weight.narrow(0, range.start, range.len()).reshape(shape))
    }

    pub(crate) fn own_weights(&self) -> Option<Tensor<2>> {
        let numel = self.plan.weight_numel();
        let weight = self.weight.as_ref().map(|weight| weight.val());
        assert!(
            numel == 0 || weight.is_some(),
            "tensor product: the layer owns no weights, {numel} per row are needed"
        );
        weight.map(|weight| weight.reshape([1, numel]))
    }

    fn matrix(&self, y: Tensor<2>, w: Option<Tensor<2>>, rows: &WeightRows) -> Tensor<3> {
        let [batch, _] = y.dims();
        let (dim, dim_out) = (self.plan.irreps_in1().dim(), self.plan.irreps_out().dim());
        // The image of every unit vector.
        let x = Tensor::<2>::eye(dim, &y.device()).cast(y.dtype());
        let x = x.repeat_dim(0, batch);
        let y = y.repeat_interleaved(dim);
        let out = tensor_product(&self.plan, x, y, w, rows);
        out.reshape([batch, dim, dim_out])
    }
}

/// Every row `n` times, one after the other.
trait RepeatInterleaved {
    fn repeat_interleaved(self, n: usize) -> Self;
}

impl RepeatInterleaved for Tensor<2> {
    fn repeat_interleaved(self, n: usize) -> Self {
        let [rows, columns] = self.dims();
        let all = self.reshape([rows, 1, columns]).repeat_dim(1, n);
        all.reshape([rows * n, columns])
    }
}

/// One row of weights is for all rows.
fn rows_of(w: &Tensor<2>) -> WeightRows {
    if w.dims()[0] == 1 {
        WeightRows::Shared
    } else {
        WeightRows::PerRow
    }
}

impl ProductPlan {
    /// The tensor product of values: tensors, or duals, whose tangent is the sum of the products with one argument
    /// replaced by its tangent.
    ///
    /// # Shapes and panics
    /// As [`tensor_product`].
    pub fn apply<V: Value<2>>(self: &Arc<Self>, x: V, y: V, w: Option<V>, rows: &WeightRows) -> V {
        let (x, y): (Dual<2>, Dual<2>) = (x.into(), y.into());
        let w: Option<Dual<2>> = w.map(Into::into);
        let product = |x: &Tensor<2>, y: &Tensor<2>, w: Option<&Tensor<2>>| {
            tensor_product(self, x.clone(), y.clone(), w.cloned(), rows)
        };
        let weight = w.as_ref().map(|w| &w.value);
        let by_x = x.tangent.as_ref().map(|dx| product(dx, &y.value, weight));
        let by_y = y.tangent.as_ref().map(|dy| product(&x.value, dy, weight));
        let dw = w.as_ref().and_then(|w| w.tangent.as_ref());
        let by_w = dw.map(|dw| {
            let [x, y, dw] = [&x.value, &y.value, dw].map(Tensor::clone);
            weighted_part(self, x, y, dw, rows)
        });
        V::from_dual(Dual {
            value: product(&x.value, &y.value, weight),
            tangent: sum(sum(by_x, by_y), by_w),
        })
    }
}
