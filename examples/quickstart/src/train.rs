//! The model, its data, and one training step.

use crate::corpus::hex;
use crate::history::History;
use crate::settings::Settings;
use anyhow::{Context, Result, ensure};
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use core_tensor::resume::rand::{Rng, RngCore};
use core_tensor::resume::{CheckpointStore, RngStream, Saved, TrainState};
use fused_ce_loss::{LossOptions, linear_cross_entropy};
use seq_rnn_parallel_scan::{MinRnnBlockConfig, MinRnnLm, MinRnnLmConfig, MinRnnStackConfig};
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};

/// Most batches that a validation looks at: at the default sizes, all of a text of 1.3 MB. (The mean
/// loss of twenty random batches of Shakespeare varies by 0.015, that of one by 0.06.)
const VALIDATION_BATCHES: usize = 64;
/// Standard deviation of the initial embeddings.
const EMBEDDING_STD: f64 = 0.02;

/// A text as tokens: the first nine tenths to learn from, the rest for validation.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    tokens: Vec<u32>,
    split: usize,
    vocabulary: usize,
}

impl Data {
    pub(crate) fn new(tokens: Vec<u32>, vocabulary: usize) -> Self {
        let split = tokens.len() / 10 * 9 + tokens.len() % 10 * 9 / 10;
        Self {
            tokens,
            split,
            vocabulary,
        }
    }

    /// Number of characters.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn training(&self) -> &[u32] {
        &self.tokens[..self.split]
    }

    pub(crate) fn validation(&self) -> &[u32] {
        &self.tokens[self.split..]
    }
}

/// A training run in memory.
pub(crate) struct Trainer {
    pub(crate) settings: Settings,
    pub(crate) data: Data,
    pub(crate) model: MinRnnLm,
    pub(crate) state: TrainState,
    pub(crate) history: History,
    optim: ModuleOptimizer,
    device: Device,
}

impl Trainer {
    /// A new run on a plain device.
    pub(crate) fn new(settings: Settings, data: Data, device: &Device) -> Result<Self> {
        // Burn draws initial weights from the device's generator, which the whole process shares,
        // and only when they are first looked at: the digest looks at them in a fixed order, while
        // nothing else draws.
        static DRAWING: Mutex<()> = Mutex::new(());
        let alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
        device.seed(RngStream::new(settings.seed, "weights", 0).next_u64());
        let device = device.clone().autodiff();
        let model = model_config(&settings, data.vocabulary).init(&device);
        let _ = digest(&model);
        drop(alone);
        let optim = AdamWConfig::new()
            .with_beta_2(0.99)
            .with_epsilon(1e-8)
            .with_weight_decay(0.1)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        Ok(Self {
            state: TrainState::new(settings.seed).with_config(&settings)?,
            history: History::default(),
            settings,
            data,
            model,
            optim,
            device,
        })
    }

    /// The run that was saved.
    pub(crate) fn load(saved: Saved, data: Data, device: &Device) -> Result<Self> {
        let mut run = Self::new(stored_settings(&saved)?, data, device)?;
        run.model = saved.load_module("model", run.model)?;
        run.optim = saved.load_optimizer("optimizer", run.optim)?;
        run.history = serde_json::from_slice(&saved.load_bytes("history")?)
            .context("cannot read the history of the run")?;
        run.state = saved.state;
        Ok(run)
    }

    /// Saves everything that the next step depends on.
    pub(crate) fn save(&self, store: &CheckpointStore) -> Result<()> {
        let history = serde_json::to_vec(&self.history)?;
        store.save(&self.state, |w| {
            w.module("model", &self.model)?;
            w.optimizer("optimizer", &self.optim)?;
            w.bytes("history", &history)
        })?;
        Ok(())
    }

    /// One step; returns its loss. Everything random in it comes from the seed and the number of
    /// the step, so it does not matter what ran before in this process.
    pub(crate) fn step(&mut self) -> Result<f32> {
        let step = self.state.step;
        let (batch, time) = (self.settings.batch, self.settings.context);
        let text = self.data.training();
        let mut rng = RngStream::new(self.settings.seed, "batch", step);
        let starts: Vec<usize> = (0..batch)
            .map(|_| rng.random_range(0..(text.len() - time) as u64) as usize)
            .collect();
        let loss = loss(&self.model, text, &starts, time, &self.device);
        let value: f32 = loss.clone().into_scalar();
        ensure!(
            value.is_finite(),
            "the loss is {value} at step {step}: try a smaller --lr"
        );
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        let rate = self.settings.learning_rate(step);
        self.model = self.optim.step(rate, self.model.clone(), grads);
        self.state.step += 1;
        self.history.training.push(value);
        Ok(value)
    }

    /// Loss over windows spread evenly over the validation text, always the same ones.
    pub(crate) fn validate(&self) -> f64 {
        let (batch, time) = (self.settings.batch, self.settings.context);
        let text = self.data.validation();
        let windows = ((text.len() - 1) / time).min(batch * VALIDATION_BATCHES);
        let last = text.len() - 1 - time;
        let starts: Vec<usize> = (0..windows)
            .map(|i| i * last / (windows - 1).max(1))
            .collect();
        let model = self.model.valid();
        let device = self.device.clone().inner();
        let sum: f64 = starts
            .chunks(batch)
            .map(|starts| {
                let mean: f32 = loss(&model, text, starts, time, &device).into_scalar();
                f64::from(mean) * starts.len() as f64
            })
            .sum();
        sum / windows as f64
    }

    /// SHA-256 of the weights: equal digests mean equal bits.
    pub(crate) fn digest(&self) -> String {
        digest(&self.model)
    }
}

/// The settings that a run was saved with.
pub(crate) fn stored_settings(saved: &Saved) -> Result<Settings> {
    serde_json::from_value(saved.state.config.clone()).with_context(|| {
        let directory = saved.directory().display();
        format!("`{directory}` was not saved by this version of the program")
    })
}

fn model_config(settings: &Settings, vocabulary: usize) -> MinRnnLmConfig {
    let block = MinRnnBlockConfig::new(settings.d_model)
        .with_conv_kernel(4)
        .with_conv_norm(true)
        .with_conv_pointwise(false)
        .with_mlp(4)
        .with_learned_initial(true);
    MinRnnLmConfig::new(vocabulary, MinRnnStackConfig::new(block, settings.layers))
        .with_embedding_std(EMBEDDING_STD)
}

/// Mean cross-entropy of the character after each of the `time` characters from each start.
fn loss(
    model: &MinRnnLm,
    text: &[u32],
    starts: &[usize],
    time: usize,
    device: &Device,
) -> Tensor<1> {
    let tokens = |shift: usize| {
        let windows = starts
            .iter()
            .flat_map(|&start| &text[start + shift..start + shift + time]);
        let tokens: Vec<i32> = windows.map(|&token| token as i32).collect();
        Tensor::<2, Int>::from_data(TensorData::new(tokens, [starts.len(), time]), device)
    };
    let (hidden, _) = model.hidden(tokens(0), None);
    // The logits of a batch never lie in memory.
    linear_cross_entropy(hidden, &model.head, tokens(1), &LossOptions::default()).loss
}

fn digest(model: &MinRnnLm) -> String {
    struct Weights(Sha256);
    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.update(param.val().into_data().as_bytes());
        }
    }
    let mut weights = Weights(Sha256::new());
    model.visit(&mut weights);
    hex(&weights.0.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::tiny;
    use crate::vocabulary::Vocabulary;

    const STEPS: u64 = 12;

    fn data() -> Data {
        let text = "the quick brown fox jumps over the lazy dog; ".repeat(20);
        let vocabulary = Vocabulary::of(&text);
        Data::new(vocabulary.encode(&text).unwrap(), vocabulary.len())
    }

    fn fresh() -> Trainer {
        Trainer::new(tiny(STEPS), data(), &Device::flex()).unwrap()
    }

    #[test]
    fn the_text_is_split_nine_to_one() {
        let data = Data::new((0..1234).collect(), 1234);
        assert_eq!(data.training().len(), 1110);
        assert_eq!(data.validation().len(), 124);
    }

    #[test]
    fn an_interrupted_run_ends_with_the_same_bits_wherever_it_is_cut() {
        let mut whole = fresh();
        while whole.state.step < STEPS {
            whole.step().unwrap();
        }
        let mut other_seed = tiny(STEPS);
        other_seed.seed += 1;
        let other = Trainer::new(other_seed, data(), &Device::flex()).unwrap();
        assert_ne!(other.digest(), fresh().digest());

        for cut in [1, 5, STEPS - 1] {
            let directory = tempfile::tempdir().unwrap();
            let store = CheckpointStore::open(directory.path()).unwrap();
            let mut first = fresh();
            while first.state.step < cut {
                first.step().unwrap();
            }
            first.save(&store).unwrap();
            // Nothing of the first part may be left in the second but what is on disk.
            drop(first);
            let saved = store.latest().unwrap().unwrap();
            let mut second = Trainer::load(saved, data(), &Device::flex()).unwrap();
            assert_eq!(second.state.step, cut);
            while second.state.step < STEPS {
                second.step().unwrap();
            }
            assert_eq!(second.digest(), whole.digest(), "cut at {cut}");
            assert_eq!(second.history.training, whole.history.training);
        }
    }

    #[test]
    fn it_learns() {
        let mut run = fresh();
        let before = run.validate();
        for _ in 0..60 {
            run.step().unwrap();
        }
        let after = run.validate();
        assert!(after < 0.7 * before, "{before} to {after}");
    }
}
