#![doc = include_str!("../README.md")]

mod classifier;
pub mod engine;
mod loss;
mod options;
mod output;
mod plan;
pub mod reference;
mod targets;

pub use classifier::Classifier;
pub use loss::linear_cross_entropy;
pub use options::{LossConfig, LossOptions, OptionsError, Reduction, Smoothing};
pub use output::LossOutput;
pub use plan::{Filter, FilterReport, Monitor, Plan, Report, Tail};
pub use targets::Targets;
