//! Blocks on top of each other.

use super::{MinRnnBlock, MinRnnBlockConfig, StackState};
use crate::scan::ScanOptions;
use burn::config::Config;
use burn::module::Module;
use burn::nn::{RmsNorm, RmsNormConfig};
use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Configuration of a [`MinRnnStack`].
#[derive(Config, Debug)]
pub struct MinRnnStackConfig {
    /// The block; all are alike.
    pub block: MinRnnBlockConfig,
    /// Number of blocks.
    pub layers: usize,
}

impl MinRnnStackConfig {
    /// Makes the stack with random weights.
    ///
    /// # Panics
    /// As [`MinRnnBlockConfig::init`].
    pub fn init(&self, device: &Device) -> MinRnnStack {
        MinRnnStack {
            blocks: (0..self.layers).map(|_| self.block.init(device)).collect(),
            norm: RmsNormConfig::new(self.block.d_model).init(device),
        }
    }
}

/// Blocks on top of each other with a last norm: a sequence model of `[batch, time, d_model]`.
#[derive(Module, Debug)]
pub struct MinRnnStack {
    /// The blocks, from the input upwards.
    pub blocks: Vec<MinRnnBlock>,
    /// The last norm.
    pub norm: RmsNorm,
}

impl MinRnnStack {
    /// The state before the first step of `batch` sequences: what is meant where none is given, and what
    /// [`StackState::load`] compares with.
    pub fn initial_state(&self, batch: usize) -> StackState {
        let blocks = self.blocks.iter().map(|block| block.initial_state(batch));
        StackState {
            blocks: blocks.collect(),
        }
    }

    /// Output and state; the state starts the next chunk.
    ///
    /// # Shapes
    /// - `x`, output: `[batch, time, d_model]`
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn forward(&self, x: Tensor<3>, state: Option<StackState>) -> (Tensor<3>, StackState) {
        self.forward_with(x, state, ScanOptions::default())
    }

    /// [`MinRnnStack::forward`] with resets, packed sequences (no state crosses their boundaries, nor
    /// does the convolution) or checkpoints.
    ///
    /// # Panics
    /// If a shape disagrees; if time is to run backwards, which a causal convolution cannot; if a state is
    /// carried into packed sequences through a convolution.
    pub fn forward_with(
        &self,
        x: Tensor<3>,
        state: Option<StackState>,
        options: ScanOptions,
    ) -> (Tensor<3>, StackState) {
        assert!(
            !options.reverse,
            "MinRnnStack: expected time to run forwards"
        );
        let has_conv = self.blocks.iter().any(|block| block.conv.is_some());
        assert!(
            !(has_conv && state.is_some() && options.cu_seqlens.is_some()),
            "MinRnnStack: a state with convolution tails goes on in a batch, not in packed sequences"
        );
        let starts = has_conv.then(|| starts(&x, &options)).flatten();
        let mut x = x;
        let mut states = state.map(|state| {
            assert_eq!(
                state.blocks.len(),
                self.blocks.len(),
                "MinRnnStack: blocks of the state"
            );
            state.blocks.into_iter()
        });
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let state = states.as_mut().and_then(Iterator::next);
            let (y, state) = block.forward(x, state, starts.clone(), options.clone());
            x = y;
            blocks.push(state);
        }
        (self.norm.forward(x), StackState { blocks })
    }

    /// One step: output `[batch, d_model]` from the input `[batch, d_model]` and the state before.
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn step(&self, x: Tensor<2>, state: Option<StackState>) -> (Tensor<2>, StackState) {
        let (y, state) = self.forward(x.unsqueeze_dim(1), state);
        (y.squeeze_dim(1), state)
    }
}

/// 1 where a sequence begins inside the batch entry, `[batch, time]`.
fn starts(x: &Tensor<3>, options: &ScanOptions) -> Option<Tensor<2>> {
    let [_, time, _] = x.dims();
    let device = x.device();
    let reset = options.reset.clone();
    let packed = options.cu_seqlens.as_ref().map(|at| {
        let mut flags = vec![false; time];
        at.iter()
            .filter(|&&t| t < time)
            .for_each(|&t| flags[t] = true);
        Tensor::<2, Bool>::from_data(TensorData::new(flags, [1, time]), &device)
    });
    let mask = match (reset, packed) {
        (Some(a), Some(b)) => Some(a.bool_or(b)),
        (a, b) => a.or(b),
    };
    mask.map(|mask| mask.float().cast(x.dtype()))
}
