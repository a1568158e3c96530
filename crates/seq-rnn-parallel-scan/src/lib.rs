#![doc = include_str!("../README.md")]

mod gelu;
#[cfg(feature = "import")]
pub mod import;
pub mod layers;
mod product;
pub mod scan;
pub mod tasks;

pub use gelu::gelu;
pub use layers::{
    BiMinRnn, BiMinRnnConfig, BlockState, CausalConv, CausalConvConfig, GruLike, GruLikeConfig,
    InitialState, MinGru, MinGruConfig, MinLstm, MinLstmConfig, MinRnn, MinRnnBlock,
    MinRnnBlockConfig, MinRnnLm, MinRnnLmConfig, MinRnnStack, MinRnnStackConfig, StackState,
    StateData, StateError,
};
pub use scan::{
    Algorithm, Candidate, Cell, Planes, ScanOptions, ScanOutput, Transition, linear_scan, log_scan,
    min_gru, min_lstm, scan,
};
