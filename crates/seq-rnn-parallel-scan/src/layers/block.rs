//! The paper's block.

use super::min_rnn::linear;
use super::{
    BlockState, CausalConv, CausalConvConfig, InitialState, MinGruConfig, MinLstmConfig, MinRnn,
};
use crate::gelu;
use crate::scan::{Candidate, Cell, ScanOptions};
use burn::config::Config;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{Device, Tensor};
use core_tensor::ext::{compute_dtype, zeros};

/// Configuration of a [`MinRnnBlock`].
#[derive(Config, Debug)]
pub struct MinRnnBlockConfig {
    /// Features of the residual stream.
    pub d_model: usize,
    /// The recurrence.
    #[config(
        default = "Cell::MinGru { candidate: Candidate::G, transition: crate::scan::Transition::Positive }"
    )]
    pub cell: Cell,
    /// Channels of the state per feature; the layer maps back to `d_model`.
    #[config(default = 2.0)]
    pub expansion: f64,
    /// Kernel of the causal convolution; 0 for none.
    #[config(default = 0)]
    pub conv_kernel: usize,
    /// Whether a linear map of the features follows the convolution.
    #[config(default = true)]
    pub conv_pointwise: bool,
    /// Whether the convolution has an RMSNorm before it, as the other branches have.
    #[config(default = false)]
    pub conv_norm: bool,
    /// Width of the MLP per feature; 0 for none.
    #[config(default = 0)]
    pub mlp: usize,
    /// Probability of dropout after the recurrence and after the MLP.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Whether the linear maps of the recurrence have a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Whether the recurrence starts from a state of its own.
    #[config(default = false)]
    pub learned_initial: bool,
    /// Initial bias towards remembering, see [`MinGruConfig::forget_bias`].
    #[config(default = 0.0)]
    pub forget_bias: f64,
    /// Whether all linear maps are as [`MinRnn::deterministic`] has them.
    #[config(default = false)]
    pub deterministic: bool,
}

impl MinRnnBlockConfig {
    /// Makes the block with random weights.
    ///
    /// # Panics
    /// If a size is 0, the dropout is no probability, or the cell is not one of the minRNN family.
    pub fn init(&self, device: &Device) -> MinRnnBlock {
        let d_model = self.d_model;
        let hidden = (d_model as f64 * self.expansion).round() as usize;
        let rnn = match self.cell {
            Cell::MinGru {
                candidate,
                transition,
            } => MinGruConfig::new(d_model, hidden)
                .with_candidate(candidate)
                .with_transition(transition)
                .with_d_output(Some(d_model))
                .with_bias(self.bias)
                .with_learned_initial(self.learned_initial)
                .with_forget_bias(self.forget_bias)
                .with_deterministic(self.deterministic)
                .init(device),
            Cell::MinLstm {
                candidate,
                normalized,
            } => MinLstmConfig::new(d_model, hidden)
                .with_candidate(candidate)
                .with_normalized(normalized)
                .with_d_output(Some(d_model))
                .with_bias(self.bias)
                .with_learned_initial(self.learned_initial)
                .with_forget_bias(self.forget_bias)
                .with_deterministic(self.deterministic)
                .init(device),
            Cell::Linear | Cell::Log => panic!("MinRnnBlock: expected a minGRU or minLSTM cell"),
        };
        let norm = || RmsNormConfig::new(d_model).init(device);
        MinRnnBlock {
            conv: (self.conv_kernel > 0).then(|| {
                CausalConvConfig::new(d_model)
                    .with_kernel(self.conv_kernel)
                    .with_pointwise(self.conv_pointwise)
                    .with_deterministic(self.deterministic)
                    .init(device)
            }),
            conv_norm: (self.conv_kernel > 0 && self.conv_norm).then(norm),
            norm: norm(),
            rnn,
            mlp: (self.mlp > 0).then(|| Mlp {
                norm: norm(),
                up: LinearConfig::new(d_model, self.mlp * d_model).init(device),
                down: LinearConfig::new(self.mlp * d_model, d_model).init(device),
                deterministic: self.deterministic,
            }),
            dropout: DropoutConfig::new(self.dropout).init(),
        }
    }
}

/// The paper's block: `x += conv(x)`, `x += rnn(norm(x))`, `x += mlp(norm(x))`, the first and the last
/// optional, with RMSNorm and dropout on the branches; `x += conv(norm(x))` where the configuration
/// asks for it.
#[derive(Module, Debug)]
pub struct MinRnnBlock {
    /// The convolution, if any.
    pub conv: Option<CausalConv>,
    /// Norm before the convolution, if any.
    pub conv_norm: Option<RmsNorm>,
    /// Norm before the recurrence.
    pub norm: RmsNorm,
    /// The recurrence, mapping back to `d_model`.
    pub rnn: MinRnn,
    /// The MLP, if any.
    pub mlp: Option<Mlp>,
    /// Dropout on the branches.
    pub dropout: Dropout,
}

/// `down(GELU(up(norm(x))))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Norm before it.
    pub norm: RmsNorm,
    /// To the hidden width.
    pub up: Linear,
    /// Back.
    pub down: Linear,
    /// See [`MinRnn::deterministic`].
    #[module(skip)]
    pub deterministic: bool,
}

impl MinRnnBlock {
    /// What a sequence without a state starts from: the learned state where the block has one, else 0, and no steps before
    /// the first.
    fn beginning(&self) -> InitialState {
        if self.rnn.initial.is_some() {
            InitialState::Learned
        } else {
            InitialState::Zero
        }
    }

    /// The state before the first step of `batch` sequences, what [`MinRnnBlock::forward`] starts from without one.
    pub fn initial_state(&self, batch: usize) -> BlockState {
        let weight = self.rnn.planes.weight.val();
        let (device, dtype) = (weight.device(), weight.dtype());
        let kept = compute_dtype(dtype);
        let hidden = self.rnn.initial_state(self.beginning(), batch);
        let hidden = match hidden {
            Some(hidden) => hidden.cast(kept),
            None => zeros([batch, self.rnn.d_hidden()], &device, kept),
        };
        let conv_tail = self.conv.as_ref().map(|conv| {
            let [_, d_model] = conv.weight.dims();
            zeros([batch, conv.tail_len(), d_model], &device, dtype)
        });
        BlockState { hidden, conv_tail }
    }

    /// Output and state after the last step. Without a state, a sequence starts from the learned state
    /// where the block has one, else from 0. `starts` is what [`CausalConv::forward`] wants; the
    /// options carry the same boundaries for the recurrence.
    ///
    /// # Shapes
    /// - `x`, output: `[batch, time, d_model]`
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn forward(
        &self,
        x: Tensor<3>,
        state: Option<BlockState>,
        starts: Option<Tensor<2>>,
        options: ScanOptions,
    ) -> (Tensor<3>, BlockState) {
        let (initial, tail) = match state {
            Some(BlockState { hidden, conv_tail }) => (InitialState::Real(hidden), conv_tail),
            None => (self.beginning(), None),
        };
        let (x, conv_tail) = match &self.conv {
            Some(conv) => {
                let input = match &self.conv_norm {
                    Some(norm) => norm.forward(x.clone()),
                    None => x.clone(),
                };
                let (y, tail) = conv.forward(input.clone(), tail, starts.clone());
                let tail = match (&options.cu_seqlens, starts) {
                    (Some(at), Some(starts)) => conv.packed_tails(input, starts, at),
                    _ => tail,
                };
                (x + y, Some(tail))
            }
            None => (x, None),
        };
        let out = self
            .rnn
            .forward_with(self.norm.forward(x.clone()), initial, options);
        let x = x + self.dropout.forward(out.states);
        let x = match &self.mlp {
            Some(mlp) => {
                let wide = linear(&mlp.up, mlp.norm.forward(x.clone()), mlp.deterministic);
                let y = linear(&mlp.down, gelu(wide), mlp.deterministic);
                x + self.dropout.forward(y)
            }
            None => x,
        };
        (
            x,
            BlockState {
                hidden: out.last,
                conv_tail,
            },
        )
    }
}
