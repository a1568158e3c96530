//! Modules of e3nn, and of MACE and NequIP, which are made of them, from and to their `state_dict`.
//!
//! In Python: `safetensors.torch.save_file(model.state_dict(), "model.safetensors")`. Names follow the attributes of the
//! Python modules; [`StateDict::at`] goes down to one.
//!
//! | here | there | tensors |
//! |---|---|---|
//! | [`TensorProduct`] | `o3.TensorProduct` and what derives from it | `weight` |
//! | [`Linear`] | `o3.Linear` | `weight`, `bias` |
//! | [`Linear`] with classes | `o3.FullyConnectedTensorProduct` with a one-hot second input: the self-connections of NequIP (`sc`) and MACE (`skip_tp`) | `weight` |
//! | [`FullyConnectedNet`] | `nn.FullyConnectedNet` | `layer0.weight`, … |
//! | [`BatchNorm`] | `nn.BatchNorm` | `weight`, `bias`, `running_mean`, `running_var` |
//! | [`NormActivation`] | `nn.NormActivation` | `biases` |
//! | [`SymmetricContraction`] | MACE's | `contractions.0.weights_max`, `contractions.0.weights.0`, … |
//!
//! Layers without weights of their own (harmonics, gates, convolutions, dropout) have nothing to read. The last weight of a
//! radial network has a column per weight of the convolution, in the order of the package: MACE's paths are
//! [`InstructionOrder::ByOutput`](crate::product::InstructionOrder); [`weights`](crate::weights) translates
//! where a layer has another.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use core_tensor::state_dict::{StateDict, StateDictWriter};
//! use e3nn_tensorprod::import::StateDictModule;
//! use e3nn_tensorprod::{LinearConfig, irreps};
//!
//! let device = Device::flex();
//! let linear = || LinearConfig::new(irreps!("4x0e+2x1o"), irreps!("3x0e+2x1o")).init(&device).unwrap();
//! let mut file = StateDictWriter::new();
//! linear().save_state_dict("interactions.0.linear_up.", &mut file);
//!
//! let bytes = file.to_bytes()?;
//! let state = StateDict::open(&bytes, &device)?;
//! let loaded = linear().load_state_dict(&state.at("interactions.0.linear_up."))?;
//! let error = linear().load_state_dict(&state.at("interactions.1.linear_up.")).unwrap_err();
//! assert!(error.to_string().contains("interactions.1.linear_up.weight"));
//! # Ok::<(), core_tensor::state_dict::StateDictError>(())
//! ```

use crate::nn::{BatchNorm, FullyConnectedNet, NormActivation, SymmetricContraction};
use crate::{Linear, TensorProduct};
use burn::module::{Param, RunningState};
use burn::tensor::Tensor;
use core_tensor::state_dict::{StateDict, StateDictError, StateDictWriter};

/// A module whose parameters have names in a `state_dict`.
pub trait StateDictModule: Sized {
    /// The module with the parameters of `state`, in the dtype that they have there
    /// ([`cast_module`](core_tensor::cast_module) changes it). Other tensors are left alone.
    ///
    /// # Errors
    /// If a parameter that the module has is missing or has another shape.
    fn load_state_dict(self, state: &StateDict<'_>) -> Result<Self, StateDictError>;

    /// Adds its parameters to `file`, under names that begin with `prefix`.
    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter);
}

/// The parameter in the shape that it has in the module.
fn load<const D: usize>(
    param: &mut Param<Tensor<D>>,
    state: &StateDict<'_>,
    name: &str,
) -> Result<(), StateDictError> {
    let shape = param.dims();
    if !shape.contains(&0) {
        *param = Param::from_tensor(state.shaped(name, shape)?);
    }
    Ok(())
}

fn load_optional<const D: usize>(
    param: &mut Option<Param<Tensor<D>>>,
    state: &StateDict<'_>,
    name: &str,
) -> Result<(), StateDictError> {
    param
        .as_mut()
        .map_or(Ok(()), |param| load(param, state, name))
}

fn save<const D: usize>(
    param: Option<&Param<Tensor<D>>>,
    name: String,
    file: &mut StateDictWriter,
) {
    if let Some(param) = param {
        file.insert(name, param.val());
    }
}

impl StateDictModule for TensorProduct {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        load_optional(&mut self.weight, state, "weight")?;
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        save(self.weight.as_ref(), format!("{prefix}weight"), file);
    }
}

impl StateDictModule for Linear {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        if let Some([rows, numel]) = self.weight.as_ref().map(|weight| weight.dims()) {
            // One list, or `[f_in, f_out, …]`.
            let expected = format!("{} numbers", rows * numel);
            let flat = state.tensor("weight", &expected, |shape| {
                (shape.iter().product::<usize>() == rows * numel).then_some([rows * numel])
            })?;
            let weight = if self.by_class() {
                self.class_weights_from_one_hot(flat)
            } else {
                flat.reshape([rows, numel])
            };
            self.weight = Some(Param::from_tensor(weight));
        }
        load_optional(&mut self.bias, state, "bias")?;
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        if let Some(weight) = &self.weight {
            let weight = weight.val();
            let flat = if self.by_class() {
                self.one_hot_from_class_weights(weight)
            } else {
                weight.reshape([-1])
            };
            file.insert(format!("{prefix}weight"), flat);
        }
        save(self.bias.as_ref(), format!("{prefix}bias"), file);
    }
}

impl StateDictModule for FullyConnectedNet {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        for (n, weight) in self.weights.iter_mut().enumerate() {
            load(weight, state, &format!("layer{n}.weight"))?;
        }
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        for (n, weight) in self.weights.iter().enumerate() {
            save(Some(weight), format!("{prefix}layer{n}.weight"), file);
        }
    }
}

impl StateDictModule for BatchNorm {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        load_optional(&mut self.weight, state, "weight")?;
        load_optional(&mut self.bias, state, "bias")?;
        if !self.is_instance() {
            for (running, name) in [
                (&mut self.running_mean, "running_mean"),
                (&mut self.running_var, "running_var"),
            ] {
                let shape = running.value().dims();
                if shape != [0] {
                    *running = RunningState::new(state.shaped(name, shape)?);
                }
            }
        }
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        save(self.weight.as_ref(), format!("{prefix}weight"), file);
        save(self.bias.as_ref(), format!("{prefix}bias"), file);
        if !self.is_instance() {
            file.insert(format!("{prefix}running_mean"), self.running_mean.value());
            file.insert(format!("{prefix}running_var"), self.running_var.value());
        }
    }
}

impl StateDictModule for NormActivation {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        load_optional(&mut self.biases, state, "biases")?;
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        save(self.biases.as_ref(), format!("{prefix}biases"), file);
    }
}

/// Names of the weights of each order of a contraction, lowest first: MACE has those of the highest order apart, the others
/// downwards from it.
fn order_names(contraction: usize, orders: usize) -> impl Iterator<Item = String> {
    (0..orders).map(move |order| {
        if order + 1 == orders {
            format!("contractions.{contraction}.weights_max")
        } else {
            let below = orders - 2 - order;
            format!("contractions.{contraction}.weights.{below}")
        }
    })
}

impl StateDictModule for SymmetricContraction {
    fn load_state_dict(mut self, state: &StateDict<'_>) -> Result<Self, StateDictError> {
        for (n, contraction) in self.contractions.iter_mut().enumerate() {
            let orders = contraction.weights.len();
            for (weight, name) in contraction.weights.iter_mut().zip(order_names(n, orders)) {
                load_optional(weight, state, &name)?;
            }
        }
        Ok(self)
    }

    fn save_state_dict(&self, prefix: &str, file: &mut StateDictWriter) {
        for (n, contraction) in self.contractions.iter().enumerate() {
            let orders = contraction.weights.len();
            let mut given = contraction.weights.iter().flatten();
            let like = given.next().expect("every output is reached").val();
            for (weight, name) in contraction.weights.iter().zip(order_names(n, orders)) {
                // Where an order does not reach the output, MACE has one path without effect, its weights zero.
                let weight = weight.as_ref().map(|weight| weight.val());
                let weight = weight.unwrap_or_else(|| like.clone().narrow(1, 0, 1).zeros_like());
                file.insert(format!("{prefix}{name}"), weight);
            }
        }
    }
}
