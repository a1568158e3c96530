//! A language model over a stack.

use super::min_rnn::linear;
use super::{MinRnnStack, MinRnnStackConfig, StackState};
use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

/// Configuration of a [`MinRnnLm`].
#[derive(Config, Debug)]
pub struct MinRnnLmConfig {
    /// Number of tokens in the vocabulary.
    pub vocabulary: usize,
    /// The stack.
    pub stack: MinRnnStackConfig,
    /// Standard deviation of the initial embeddings. 1 is PyTorch's default; at 0.02, as GPT-2 has it, the
    /// branches of the first block are heard from the beginning, and small models learn faster.
    #[config(default = 1.0)]
    pub embedding_std: f64,
}

impl MinRnnLmConfig {
    /// Makes the model with random weights.
    ///
    /// # Panics
    /// As [`MinRnnStackConfig::init`].
    pub fn init(&self, device: &Device) -> MinRnnLm {
        let d_model = self.stack.block.d_model;
        MinRnnLm {
            embedding: EmbeddingConfig::new(self.vocabulary, d_model)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: self.embedding_std,
                })
                .init(device),
            stack: self.stack.init(device),
            head: LinearConfig::new(d_model, self.vocabulary)
                .with_bias(false)
                .init(device),
            deterministic: self.stack.block.deterministic,
        }
    }
}

/// Embedding, stack and head: next-token logits.
#[derive(Module, Debug)]
pub struct MinRnnLm {
    /// Tokens to features.
    pub embedding: Embedding,
    /// The sequence model.
    pub stack: MinRnnStack,
    /// Features to logits.
    pub head: Linear,
    /// Whether the head, too, is as [`MinRnn::deterministic`](super::MinRnn::deterministic) has it.
    #[module(skip)]
    pub deterministic: bool,
}

impl MinRnnLm {
    /// Logits `[batch, time, vocabulary]` of the token after each of `tokens` `[batch, time]`, and the
    /// state for the next chunk.
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn forward(
        &self,
        tokens: Tensor<2, Int>,
        state: Option<StackState>,
    ) -> (Tensor<3>, StackState) {
        let (x, state) = self.hidden(tokens, state);
        (linear(&self.head, x, self.deterministic), state)
    }

    /// What the head sees, `[batch, time, d_model]`: for losses that compute no logits.
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn hidden(
        &self,
        tokens: Tensor<2, Int>,
        state: Option<StackState>,
    ) -> (Tensor<3>, StackState) {
        self.stack.forward(self.embedding.forward(tokens), state)
    }

    /// Logits `[batch, vocabulary]` after one more token each `[batch]`.
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn step(
        &self,
        token: Tensor<1, Int>,
        state: Option<StackState>,
    ) -> (Tensor<2>, StackState) {
        let (logits, state) = self.forward(token.unsqueeze_dim(1), state);
        (logits.squeeze_dim(1), state)
    }
}
