//! A function of one variable per block of scalars.

use super::{NnError, ScalarFunction, SecondMoment, blocks};
use crate::irreps::{Irrep, Irreps, Parity};
use burn::config::Config;
use burn::module::Module;
use core_tensor::dual::Value;

/// Configuration of an [`Activation`].
#[derive(Config, Debug)]
pub struct ActivationConfig {
    /// Irreps of the input.
    pub irreps_in: Irreps,
    /// One function per block, `None` where the block passes unchanged.
    pub functions: Vec<Option<ScalarFunction>>,
    /// How functions are normalised.
    #[config(default = "SecondMoment::E3nn")]
    pub moment: SecondMoment,
}

impl ActivationConfig {
    /// Makes the layer.
    ///
    /// # Errors
    /// If there is not one entry per block, a function acts on `l > 0`, or a function that is neither even nor
    /// odd acts on `0o`.
    pub fn init(&self) -> Result<Activation, NnError> {
        const LAYER: &str = "Activation";
        let irreps = &self.irreps_in;
        if self.functions.len() != irreps.len() {
            return Err(NnError::FunctionCount {
                layer: LAYER,
                functions: self.functions.len(),
                blocks: irreps.len(),
                irreps: irreps.clone(),
            });
        }
        let mut out = Vec::new();
        for (index, (&block, &function)) in irreps.iter().zip(&self.functions).enumerate() {
            let irrep = match function {
                None => block.irrep,
                Some(_) if block.irrep.l() > 0 => {
                    return Err(NnError::NotScalar {
                        layer: LAYER,
                        index,
                        block,
                    });
                }
                Some(_) if block.irrep.is_scalar() => block.irrep,
                Some(function) => match function.parity() {
                    Some(Parity::Even) => Irrep::SCALAR,
                    Some(Parity::Odd) => block.irrep,
                    None => {
                        return Err(NnError::Parity {
                            layer: LAYER,
                            index,
                            block,
                            function,
                        });
                    }
                },
            };
            out.push((block.mul, irrep));
        }
        Ok(Activation {
            irreps_in: irreps.clone(),
            irreps_out: Irreps::new(out),
            functions: self.functions.clone(),
            moment: self.moment,
        })
    }
}

/// `y = c f(x)` on scalars, block by block; blocks without a function pass unchanged.
///
/// An even function turns `0o` into `0e`, an odd one keeps it. As `e3nn.nn.Activation`.
#[derive(Module, Debug)]
pub struct Activation {
    /// Irreps of the input.
    #[module(skip)]
    pub irreps_in: Irreps,
    /// Irreps of the output: those of the input, up to the parity of scalars.
    #[module(skip)]
    pub irreps_out: Irreps,
    #[module(skip)]
    functions: Vec<Option<ScalarFunction>>,
    #[module(skip)]
    moment: SecondMoment,
}

impl Activation {
    /// # Shapes
    /// `[batch, irreps_in.dim]` to the same.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let y = blocks::map(
            "Activation",
            &self.irreps_in,
            x.into(),
            |index, _, _, x| match self.functions[index] {
                Some(function) => function.apply(x, self.moment),
                None => x,
            },
        );
        V::from_dual(y)
    }
}
