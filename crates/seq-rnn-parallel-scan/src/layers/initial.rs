//! What a sequence starts from.

use burn::tensor::Tensor;

/// The state before the first step.
///
/// Public implementations disagree on what a given tensor means (a real state or a pre-activation) and
/// on the default (0, ½ or learned); here the type says it.
#[derive(Debug, Clone, Default)]
pub enum InitialState {
    /// 0.
    #[default]
    Zero,
    /// A real state `[sequences, hidden]`, as a forward pass or a step returned it.
    Real(Tensor<2>),
    /// The layer's own learned state, passed through the activation of its candidate.
    Learned,
}

impl From<Option<Tensor<2>>> for InitialState {
    fn from(state: Option<Tensor<2>>) -> Self {
        state.map_or(InitialState::Zero, InitialState::Real)
    }
}
