//! Two layers, one in each direction of time.

use super::{InitialState, MinGruConfig, MinLstmConfig, MinRnn};
use crate::scan::{ScanOptions, ScanOutput};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Which layer [`BiMinRnnConfig`] doubles.
#[derive(Debug, Clone)]
pub enum BiMinRnnConfig {
    /// minGRU.
    Gru(MinGruConfig),
    /// minLSTM.
    Lstm(MinLstmConfig),
}

impl From<MinGruConfig> for BiMinRnnConfig {
    fn from(config: MinGruConfig) -> Self {
        Self::Gru(config)
    }
}

impl From<MinLstmConfig> for BiMinRnnConfig {
    fn from(config: MinLstmConfig) -> Self {
        Self::Lstm(config)
    }
}

impl BiMinRnnConfig {
    /// Makes both layers, each with weights of its own.
    pub fn init(&self, device: &Device) -> BiMinRnn {
        let one = || match self {
            Self::Gru(config) => config.init(device),
            Self::Lstm(config) => config.init(device),
        };
        BiMinRnn {
            forward: one(),
            backward: one(),
        }
    }
}

/// One layer over time and one against it, side by side in the last axis. The backward half at step
/// `t` has seen the steps `t` and later: both halves are aligned with the input.
#[derive(Module, Debug)]
pub struct BiMinRnn {
    /// The layer over time.
    pub forward: MinRnn,
    /// The layer against time.
    pub backward: MinRnn,
}

impl BiMinRnn {
    /// Output `[batch, time, 2 · d_output]`, and the last states of both directions,
    /// `[sequences, d_hidden]` each: that of the backward layer belongs to step 0.
    ///
    /// Resets split a sequence for the forward layer only at their step, so they are refused here: pack
    /// the parts instead (`cu_seqlens`).
    ///
    /// # Panics
    /// If a shape disagrees, or if `options` holds a reset.
    pub fn forward(
        &self,
        x: Tensor<3>,
        initial: [InitialState; 2],
        options: ScanOptions,
    ) -> (Tensor<3>, [Tensor<2>; 2]) {
        assert!(
            options.reset.is_none(),
            "BiMinRnn: expected no reset; pack the sequences instead"
        );
        let [over, against] = initial;
        let ScanOutput {
            states: a,
            last: last_a,
        } = self
            .forward
            .forward_with(x.clone(), over, options.clone().with_reverse(false));
        let ScanOutput {
            states: b,
            last: last_b,
        } = self
            .backward
            .forward_with(x, against, options.with_reverse(true));
        (Tensor::cat(vec![a, b], 2), [last_a, last_b])
    }
}
