//! Products of an input with itself: [`TensorSquare`], [`Norm`].

use super::layer::{TensorProduct, TensorProductConfig};
use super::{
    ConnectionMode, Instruction, IrrepNormalization, ProductError, ProductPlan, WeightRows,
};
use crate::irreps::{Irrep, Irreps};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::Device;
use core_tensor::dual::{Dual, Value};
use std::sync::Arc;

/// Configuration of a [`TensorSquare`].
#[derive(Config, Debug)]
pub struct TensorSquareConfig {
    /// Irreps of the input; blocks are merged.
    pub irreps_in: Irreps,
    /// Irreps of the output, mixed with weights; absent, all of the square without weights.
    pub irreps_out: Option<Irreps>,
    /// How paths are scaled.
    #[config(default = "IrrepNormalization::Component")]
    pub normalization: IrrepNormalization,
    /// Whether the layer owns its weights.
    #[config(default = true)]
    pub internal_weights: bool,
}

impl TensorSquareConfig {
    /// Makes the layer, with weights drawn from N(0, 1) if it has its own.
    ///
    /// # Errors
    /// None that irreps can cause; as [`ProductPlan::new`].
    pub fn init(&self, device: &Device) -> Result<TensorSquare, ProductError> {
        let config = match &self.irreps_out {
            None => TensorProductConfig::square(&self.irreps_in, None, self.normalization),
            Some(out) => TensorProductConfig::fully_connected_square(
                &self.irreps_in,
                out,
                self.normalization,
            ),
        };
        let config = config.with_internal_weights(self.internal_weights);
        Ok(TensorSquare {
            product: config.init(device)?,
        })
    }
}

/// `x ⊗ x`, each irrep of it once; e3nn's `TensorSquare`.
#[derive(Module, Debug)]
pub struct TensorSquare {
    /// The product, with the input on both sides.
    pub product: TensorProduct,
}

impl TensorSquare {
    /// The compiled product.
    pub fn plan(&self) -> &Arc<ProductPlan> {
        self.product.plan()
    }

    /// The square with the layer's own weights, or without any: `[batch, irreps_out.dim()]`.
    ///
    /// # Panics
    /// As [`TensorProduct::forward`].
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        self.product.forward(x.clone(), x)
    }

    /// The square with given weights, one row for all or one per row of the batch.
    ///
    /// # Panics
    /// As [`TensorProduct::forward_weighted`].
    pub fn forward_weighted<V: Value<2>>(&self, x: V, w: V) -> V {
        self.product.forward_weighted(x.clone(), x, w)
    }
}

/// Norms of irreps, or their squares; e3nn's `o3.Norm`.
///
/// The gradient of a norm at the zero vector is 0.
#[derive(Debug, Clone)]
pub struct Norm {
    plan: Arc<ProductPlan>,
    squared: bool,
}

impl Norm {
    /// Norms of the irreps of an input, whose blocks are merged; `squared`, their squares.
    pub fn new(irreps_in: &Irreps, squared: bool) -> Self {
        let irreps = irreps_in.simplify();
        let out = Irreps::new(irreps.iter().map(|block| (block.mul, Irrep::SCALAR)));
        let blocks = irreps.iter().enumerate();
        let instructions = blocks
            .map(|(i, block)| {
                let path = Instruction::new(i, i, i, ConnectionMode::Uuu).unweighted();
                // (2l + 1) C_ii0² = 1.
                path.with_path_weight(block.irrep.dim() as f64)
            })
            .collect();
        let config = TensorProductConfig::new(irreps.clone(), irreps, out, instructions);
        let plan = config.plan().expect("every irrep squared contains 0e");
        Self { plan, squared }
    }

    /// Irreps of the input.
    pub fn irreps_in(&self) -> &Irreps {
        self.plan.irreps_in1()
    }

    /// Irreps of the output: as many 0e as the input has irreps.
    pub fn irreps_out(&self) -> Irreps {
        self.plan.irreps_out().simplify()
    }

    /// `[batch, irreps_in.dim()]` to `[batch, irreps_in.num_irreps()]`.
    ///
    /// # Panics
    /// If the shape disagrees.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let squares = self.plan.apply(x.clone(), x, None, &WeightRows::Shared);
        if self.squared {
            return squares;
        }
        let squares: Dual<2> = squares.into();
        // The root has no slope at 0; rounding cannot bring a square below.
        let none = squares.value.clone().lower_equal_elem(0.0);
        let roots = squares.mask_fill(none.clone(), 1.0).sqrt();
        V::from_dual(roots.mask_fill(none, 0.0))
    }
}
