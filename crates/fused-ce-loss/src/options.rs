//! Options of the loss.

use crate::plan::Plan;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How the losses of the rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// They do not: `[N]`, zero for ignored rows.
    None,
    /// Their sum.
    Sum,
    /// The sum over that of the weights of the rows that count: their number without weights, `Σ_i w_{y_i}` with class weights
    /// (PyTorch), times the row's own weight where there is one. 0 if no row counts.
    #[default]
    Mean,
    /// Their sum over a number known to the caller, as with gradient accumulation over batches of unequal length.
    Normalizer(f64),
}

/// Label smoothing: the target keeps `1 − α`, and all V classes share the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Smoothing {
    /// No smoothing.
    #[default]
    None,
    /// PyTorch's form: every class gets `α / V`, the target among them.
    Torch(f64),
    /// Megatron's form: `α` is spread over the other V − 1 classes, as PyTorch's form with `α V / (V − 1)`.
    Megatron(f64),
}

impl Smoothing {
    /// Whether it changes anything.
    pub(crate) fn smooths(self) -> bool {
        match self {
            Self::None => false,
            Self::Torch(a) | Self::Megatron(a) => a > 0.0,
        }
    }
}

/// Settings of [`linear_cross_entropy`](crate::linear_cross_entropy); [`LossConfig::build`] checks them.
///
/// ```
/// use fused_ce_loss::{LossConfig, Smoothing};
///
/// let options = LossConfig::new().with_softcap(30.0).with_smoothing(Smoothing::Torch(0.1)).build()?;
/// # Ok::<(), fused_ce_loss::OptionsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Rows with this target count for nothing, cost nothing, and may hold NaN. It may name a class.
    pub ignore_index: i64,
    /// How the losses of the rows become one.
    pub reduction: Reduction,
    /// Soft cap `s`: logits become `s tanh(logit / s)` (Gemma 2). From 10⁻¹⁵ to 10¹⁵.
    pub softcap: Option<f64>,
    /// Temperature `τ`: logits, after the cap, are divided by it. From 10⁻¹⁵ to 10¹⁵.
    pub temperature: f64,
    /// Label smoothing.
    pub smoothing: Smoothing,
    /// Weight `λ` of `λ lse²`, which keeps the normaliser near 1 (PaLM). Not weighed by class.
    pub z_loss: f64,
    /// Row `t` of a sequence predicts target `t + shift`; the last rows of a sequence predict nothing. Nothing is copied. A
    /// sequence is the last axis of the targets, which must be classes.
    pub shift: usize,
    /// How memory and time are traded.
    pub plan: Plan,
    /// Memory in bytes that a call may hold beyond inputs and outputs: decides between [`Plan::Store`] and
    /// [`Plan::Recompute`] where the plan is [`Plan::Auto`], and how large panels are in any. What a plan that is asked for
    /// keeps is not bounded by it, nor are the tiles of the CPU, a few MB, and per token the lists of [`LossConfig::top_k`].
    pub memory_budget: u64,
    /// Whether the output has the entropy of every row.
    pub entropy: bool,
    /// Number of largest classes per row in the output; 1 gives arg-max and accuracy.
    pub top_k: usize,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            ignore_index: -100,
            reduction: Reduction::Mean,
            softcap: None,
            temperature: 1.0,
            smoothing: Smoothing::None,
            z_loss: 0.0,
            shift: 0,
            plan: Plan::Auto,
            memory_budget: 512 << 20,
            entropy: false,
            top_k: 0,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $with:ident $field:ident: $t:ty = $value:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $with(mut self, $field: $t) -> Self {
                self.$field = $value;
                self
            }
        )*
    };
}

impl LossConfig {
    /// Plain cross-entropy: mean over the rows whose target is not −100.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`LossConfig::ignore_index`].
        with_ignore_index ignore_index: i64 = ignore_index;
        /// Sets [`LossConfig::reduction`].
        with_reduction reduction: Reduction = reduction;
        /// Sets [`LossConfig::softcap`].
        with_softcap softcap: f64 = Some(softcap);
        /// Sets [`LossConfig::temperature`].
        with_temperature temperature: f64 = temperature;
        /// Sets [`LossConfig::smoothing`].
        with_smoothing smoothing: Smoothing = smoothing;
        /// Sets [`LossConfig::z_loss`].
        with_z_loss z_loss: f64 = z_loss;
        /// Sets [`LossConfig::shift`].
        with_shift shift: usize = shift;
        /// Sets [`LossConfig::plan`].
        with_plan plan: Plan = plan;
        /// Sets [`LossConfig::memory_budget`].
        with_memory_budget memory_budget: u64 = memory_budget;
        /// Sets [`LossConfig::entropy`].
        with_entropy entropy: bool = entropy;
        /// Sets [`LossConfig::top_k`].
        with_top_k top_k: usize = top_k;
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If a value is out of range, or two settings exclude each other.
    pub fn build(self) -> Result<LossOptions, OptionsError> {
        let positive = |name, x: f64| {
            let fine = x.is_finite() && x > 0.0;
            if fine {
                Ok(())
            } else {
                Err(OptionsError::NotPositive { name, value: x })
            }
        };
        // In f32 they, their inverses and their ratio must be numbers.
        let in_range = |name, x: f64| {
            positive(name, x)?;
            if (SMALLEST..=LARGEST).contains(&x) {
                Ok(())
            } else {
                Err(OptionsError::Range { name, value: x })
            }
        };
        if let Some(cap) = self.softcap {
            in_range("softcap", cap)?;
        }
        in_range("temperature", self.temperature)?;
        if let Reduction::Normalizer(n) = self.reduction {
            positive("normalizer", n)?;
        }
        if let Smoothing::Torch(a) | Smoothing::Megatron(a) = self.smoothing
            && !(0.0..=1.0).contains(&a)
        {
            return Err(OptionsError::Smoothing(a));
        }
        if !self.z_loss.is_finite() || self.z_loss < 0.0 {
            return Err(OptionsError::ZLoss(self.z_loss));
        }
        let smoothed_cap = self.softcap.is_some() && self.smoothing != Smoothing::None;
        match self.plan {
            Plan::Filtered(filter) => {
                if !(filter.threshold > 0.0 && filter.threshold < 1.0) {
                    return Err(OptionsError::Threshold(filter.threshold));
                }
                if smoothed_cap {
                    return Err(OptionsError::SmoothedCap("filtered"));
                }
            }
            Plan::ForwardGradient => {
                if smoothed_cap {
                    return Err(OptionsError::SmoothedCap("forward_gradient"));
                }
                if self.entropy {
                    return Err(OptionsError::ForwardGradient("entropy"));
                }
                if self.top_k > 0 {
                    return Err(OptionsError::ForwardGradient("top_k"));
                }
            }
            Plan::Auto | Plan::Store | Plan::Recompute => {}
        }
        Ok(LossOptions {
            config: self,
            class_weights: None,
            step: 0,
        })
    }
}

/// Checked options, with the tensors among them.
#[derive(Debug, Clone, Default)]
pub struct LossOptions {
    pub(crate) config: LossConfig,
    pub(crate) class_weights: Option<Tensor<1>>,
    pub(crate) step: u64,
}

impl LossOptions {
    /// Weighs the classes, `[V]`, as PyTorch's `weight` does. No gradient flows to the weights.
    pub fn with_class_weights(mut self, weights: Tensor<1>) -> Self {
        self.class_weights = Some(weights);
        self
    }

    /// Sets the number of the training step, which the draws of [`Tail::Stochastic`](crate::Tail::Stochastic) depend on: equal steps draw equal
    /// numbers.
    pub fn at_step(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The settings that were checked.
    pub fn config(&self) -> &LossConfig {
        &self.config
    }
}

/// Bounds of soft cap and temperature.
const SMALLEST: f64 = 1e-15;
const LARGEST: f64 = 1e15;

/// Why [`LossConfig::build`] refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A setting must be positive and finite.
    #[error("{name} must be positive and finite, got {value}")]
    NotPositive {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: f64,
    },
    /// A setting is too small or too large to compute with.
    #[error("{name} must lie between {SMALLEST:e} and {LARGEST:e}, got {value:e}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: f64,
    },
    /// Label smoothing outside `[0, 1]`.
    #[error("label smoothing must lie in [0, 1], got {0}")]
    Smoothing(f64),
    /// Negative or infinite z-loss.
    #[error("z_loss must be finite and not negative, got {0}")]
    ZLoss(f64),
    /// Filter threshold outside `(0, 1)`.
    #[error("the threshold of a filter must lie in (0, 1), got {0}")]
    Threshold(f64),
    /// With a soft cap, the part of the gradient that smoothing adds to every class depends on the row, and costs
    /// what these plans save.
    #[error("softcap together with label smoothing needs an exact plan over all logits, not `{0}`")]
    SmoothedCap(&'static str),
    /// The running rescale of the forward pass has no gradient for this output.
    #[error("the plan `forward_gradient` has no gradient for the output `{0}`")]
    ForwardGradient(&'static str),
}
