//! Modules as a whole: another precision, weights from a seed.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use std::sync::{Mutex, PoisonError};

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|values| {
            if !values.device().is_autodiff() {
                return values.cast(self.0);
            }
            // A leaf again, not the result of an operation on one.
            let tracked = values.is_require_grad();
            Tensor::from_inner(values.inner().cast(self.0)).set_require_grad(tracked)
        })
    }
}

/// `module` with its float parameters in `dtype`: what is initialised in a device's default precision, to be
/// used in another. Constants that a module holds besides parameters stay as they are.
pub fn cast_module<M: Module>(module: M, dtype: DType) -> M {
    module.map(&mut Cast(dtype))
}

/// Weights are drawn from generators that belong to the process.
static DRAWING: Mutex<()> = Mutex::new(());

struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// The module that `init` makes on a device seeded with `seed`: the same weights for the same seed, as long as no
/// other thread draws random numbers from the device meanwhile (other calls of this function may).
pub fn seeded<M: Module>(device: &Device, seed: u64, init: impl FnOnce() -> M) -> M {
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    let module = init();
    // Burn draws a parameter when its value is first asked for.
    module.visit(&mut Draw);
    module
}
