//! A façade shaped like PyTorch's `nn.GRU`.

use super::{InitialState, MinGruConfig, MinRnn};
use crate::scan::{Candidate, ScanOptions, Transition};
use burn::config::Config;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor, s};

/// Configuration of a [`GruLike`], with the names of `torch.nn.GRU`.
#[derive(Config, Debug)]
pub struct GruLikeConfig {
    /// Features of the input.
    pub input_size: usize,
    /// Channels of the state.
    pub hidden_size: usize,
    /// Layers on top of each other.
    #[config(default = 1)]
    pub num_layers: usize,
    /// Whether the projections have a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Whether the input is `[batch, time, features]` (the default here) or `[time, batch, features]`.
    #[config(default = true)]
    pub batch_first: bool,
    /// Dropout between layers.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Whether each layer runs in both directions.
    #[config(default = false)]
    pub bidirectional: bool,
    /// Activation of the candidate; tanh, as a GRU has it.
    #[config(default = "Candidate::Tanh")]
    pub candidate: Candidate,
    /// How the forget factor arises.
    #[config(default = "Transition::Positive")]
    pub transition: Transition,
    /// See [`MinRnn::deterministic`].
    #[config(default = false)]
    pub deterministic: bool,
}

/// minGRU layers in the shape of `torch.nn.GRU`: `(out, h_n) = rnn(x, h_0)`, states
/// `[layers · directions, batch, hidden]`.
#[derive(Module, Debug)]
pub struct GruLike {
    /// Layer by layer, forward before backward.
    pub layers: Vec<MinRnn>,
    /// Between layers.
    pub dropout: Dropout,
    /// Whether odd entries of `layers` run backwards.
    #[module(skip)]
    pub bidirectional: bool,
    /// Layout of the input.
    #[module(skip)]
    pub batch_first: bool,
}

impl GruLikeConfig {
    /// Makes the layers with random weights.
    ///
    /// # Panics
    /// If a size is 0 or the dropout is no probability.
    pub fn init(&self, device: &Device) -> GruLike {
        assert!(
            self.num_layers > 0,
            "GruLike: expected at least one layer, got 0"
        );
        let directions = if self.bidirectional { 2 } else { 1 };
        let layer = |i: usize| {
            let first = i < directions;
            let input = if first {
                self.input_size
            } else {
                directions * self.hidden_size
            };
            MinGruConfig::new(input, self.hidden_size)
                .with_bias(self.bias)
                .with_candidate(self.candidate)
                .with_transition(self.transition)
                .with_deterministic(self.deterministic)
                .init(device)
        };
        GruLike {
            layers: (0..self.num_layers * directions).map(layer).collect(),
            dropout: DropoutConfig::new(self.dropout).init(),
            bidirectional: self.bidirectional,
            batch_first: self.batch_first,
        }
    }
}

impl GruLike {
    /// Output of the last layer, and the last states of all.
    ///
    /// # Shapes
    /// - `x`: `[batch, time, input]`, or `[time, batch, input]` if not `batch_first`
    /// - output: the same with `directions · hidden` features
    /// - states: `[layers · directions, batch, hidden]`; `None` starts from 0
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn forward(&self, x: Tensor<3>, h_0: Option<Tensor<3>>) -> (Tensor<3>, Tensor<3>) {
        if let Some(h) = &h_0 {
            let (expected, [layers, batch, hidden]) = (self.layers.len(), h.dims());
            assert_eq!(
                layers, expected,
                "GruLike: expected states [layers · directions, batch, hidden] with {expected} layers, got [{layers}, {batch}, {hidden}]"
            );
        }
        let mut x = if self.batch_first {
            x
        } else {
            x.swap_dims(0, 1)
        };
        let directions = if self.bidirectional { 2 } else { 1 };
        let mut last = Vec::with_capacity(self.layers.len());
        for (l, layer) in self.layers.chunks(directions).enumerate() {
            if l > 0 {
                x = self.dropout.forward(x);
            }
            let outputs = layer.iter().enumerate().map(|(d, layer)| {
                let i = l * directions + d;
                // The batch, which may be 0, stays the first axis: Burn reads a 0 elsewhere in the shape to reshape to as "as
                // long as this axis is now".
                let own = |h: Tensor<3>| h.swap_dims(0, 1).slice(s![.., i..i + 1]).squeeze_dim(1);
                let initial = h_0.clone().map(own);
                let options = ScanOptions::default().with_reverse(d == 1);
                let out = layer.forward_with(x.clone(), InitialState::from(initial), options);
                last.push(out.last);
                out.states
            });
            x = Tensor::cat(outputs.collect(), 2);
        }
        let out = if self.batch_first {
            x
        } else {
            x.swap_dims(0, 1)
        };
        let last = last.into_iter().map(|h: Tensor<2>| h.unsqueeze_dim(1));
        let last = Tensor::<3>::cat(last.collect(), 1);
        (out, last.swap_dims(0, 1))
    }
}
