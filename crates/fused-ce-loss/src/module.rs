//! The loss as a module that owns its classifier.

use crate::classifier::Classifier;
use crate::loss::linear_cross_entropy;
use crate::options::{LossConfig, LossOptions, OptionsError};
use crate::output::LossOutput;
use crate::targets::Targets;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Settings of [`LinearCrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct LinearCrossEntropyLossConfig {
    /// Width D of the hidden states.
    pub d_model: usize,
    /// Number of classes V.
    pub classes: usize,
    /// Whether the classifier has a bias.
    #[config(default = false)]
    pub bias: bool,
    /// How the weight starts: uniform in `±1/√D` by default, as PyTorch's `Linear`. The bias starts at 0.
    #[config(
        default = "Initializer::KaimingUniform { gain: 1.0 / 3.0_f64.sqrt(), fan_out_only: false }"
    )]
    pub initializer: Initializer,
    /// The loss.
    #[config(default = "LossConfig::new()")]
    pub loss: LossConfig,
}

/// The last linear layer and its cross-entropy, as PyTorch's `nn.LinearCrossEntropyLoss`. For an embedding that serves as
/// the classifier too, call [`linear_cross_entropy`] with its weight instead.
///
/// ```
/// use burn::tensor::{Device, Distribution, Int, Tensor};
/// use fused_ce_loss::LinearCrossEntropyLossConfig;
///
/// let device = Device::flex().autodiff();
/// let head = LinearCrossEntropyLossConfig::new(16, 1000).init(&device)?;
/// let hidden = Tensor::<3>::random([2, 3, 16], Distribution::Default, &device);
/// let targets = Tensor::<2, Int>::from_ints([[1, 2, 3], [4, 5, -100]], &device);
/// let gradients = head.forward(hidden, targets).loss.backward();
/// assert!(head.weight.val().grad(&gradients).is_some());
/// # Ok::<(), fused_ce_loss::OptionsError>(())
/// ```
#[derive(Module, Debug)]
pub struct LinearCrossEntropyLoss {
    /// Weight `[V, D]`.
    pub weight: Param<Tensor<2>>,
    /// Bias `[V]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The loss, checked when the module was made.
    #[module(skip)]
    pub loss: LossConfig,
}

impl LinearCrossEntropyLossConfig {
    /// Makes the module.
    ///
    /// # Errors
    /// If the settings of the loss do.
    pub fn init(&self, device: &Device) -> Result<LinearCrossEntropyLoss, OptionsError> {
        self.loss.build()?;
        let (v, d) = (self.classes, self.d_model);
        Ok(LinearCrossEntropyLoss {
            weight: self.initializer.init_with([v, d], Some(d), Some(v), device),
            bias: self.bias.then(|| Initializer::Zeros.init([v], device)),
            loss: self.loss,
        })
    }
}

impl LinearCrossEntropyLoss {
    /// The loss of hidden states `[.., D]`.
    ///
    /// # Panics
    /// As [`linear_cross_entropy`].
    pub fn forward<const R: usize>(
        &self,
        hidden: Tensor<R>,
        targets: impl Into<Targets>,
    ) -> LossOutput {
        linear_cross_entropy(hidden, self, targets, &self.options())
    }

    /// The checked settings, to add class weights or the number of a step to.
    ///
    /// # Panics
    /// If [`LinearCrossEntropyLoss::loss`] was changed to something that is refused.
    pub fn options(&self) -> LossOptions {
        self.loss.build().expect("LinearCrossEntropyLoss: settings")
    }

    /// All logits `[N, V]`, to sample from.
    pub fn logits<const R: usize>(&self, hidden: Tensor<R>) -> Tensor<2> {
        crate::reference::logits(hidden, self, self.loss.softcap, self.loss.temperature)
    }
}

impl From<&LinearCrossEntropyLoss> for Classifier {
    fn from(head: &LinearCrossEntropyLoss) -> Self {
        let classifier = Self::from_rows(head.weight.val());
        match &head.bias {
            Some(bias) => classifier.with_bias(bias.val()),
            None => classifier,
        }
    }
}
