//! The layers that a model is built of.

mod bidirectional;
mod block;
mod causal_conv;
mod gru_like;
mod initial;
mod lm;
mod min_rnn;
mod stack;
mod state;

pub use bidirectional::{BiMinRnn, BiMinRnnConfig};
pub use block::{MinRnnBlock, MinRnnBlockConfig};
pub use causal_conv::{CausalConv, CausalConvConfig};
pub use gru_like::{GruLike, GruLikeConfig};
pub use initial::InitialState;
pub use lm::{MinRnnLm, MinRnnLmConfig};
pub use min_rnn::{MinGru, MinGruConfig, MinLstm, MinLstmConfig, MinRnn};
pub use stack::{MinRnnStack, MinRnnStackConfig};
pub use state::{BlockState, StackState, StateData, StateError};
