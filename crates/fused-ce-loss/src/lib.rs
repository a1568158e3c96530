#![doc = include_str!("../README.md")]

mod classifier;
pub mod engine;
mod evaluation;
mod loss;
mod module;
mod options;
mod output;
mod plan;
pub mod reference;
pub mod shard;
mod targets;

pub use classifier::Classifier;
pub use evaluation::Evaluation;
pub use loss::linear_cross_entropy;
pub use module::{LinearCrossEntropyLoss, LinearCrossEntropyLossConfig};
pub use options::{LossConfig, LossOptions, OptionsError, Reduction, Smoothing};
pub use output::LossOutput;
pub use plan::{Filter, FilterReport, Monitor, Plan, Report, Tail};
pub use targets::Targets;
