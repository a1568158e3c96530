//! Trains one small language model with every way to compute the loss, from the same seeds on the same batches, and
//! reports the validation loss, that of rare words apart: a filter that drops the tail gives rare classes no gradient.
//!
//! `cargo run --release -p fused-ce-loss --example training -- --text FILE`
//!
//! The model predicts a word from the eight before it: embeddings, one hidden layer with a residual connection, RMSNorm, and a
//! classifier over all words that occur twice or more in the text.

use burn::module::Module;
use burn::nn::{
    Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig, RmsNorm, RmsNormConfig,
};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use clap::Parser;
use fused_ce_loss::{
    Filter, LossConfig, LossOptions, LossOutput, Plan, Reduction, Tail, linear_cross_entropy,
    reference,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares the plans in training.
#[derive(Parser)]
struct Arguments {
    /// The text.
    #[arg(long)]
    text: std::path::PathBuf,
    /// Steps of each run.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Runs of each plan, from different seeds.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Words of a batch.
    #[arg(long, default_value_t = 1024)]
    batch: usize,
    /// Words that occur at most so often in the training text count as rare.
    #[arg(long, default_value_t = 5)]
    rare: usize,
}

const CONTEXT: usize = 8;
const EMBEDDING: usize = 64;
const WIDTH: usize = 256;

#[derive(Module, Debug)]
struct Model {
    embedding: Embedding,
    up: Linear,
    down: Linear,
    norm: RmsNorm,
    head: Linear,
}

impl Model {
    fn new(classes: usize, device: &Device) -> Self {
        let small = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        Self {
            embedding: EmbeddingConfig::new(classes, EMBEDDING).init(device),
            up: LinearConfig::new(CONTEXT * EMBEDDING, WIDTH).init(device),
            down: LinearConfig::new(WIDTH, WIDTH).init(device),
            norm: RmsNormConfig::new(WIDTH).init(device),
            head: LinearConfig::new(WIDTH, classes)
                .with_initializer(small)
                .init(device),
        }
    }

    fn hidden(&self, words: Tensor<2, Int>) -> Tensor<2> {
        let [n, _] = words.dims();
        let x = self
            .embedding
            .forward(words)
            .reshape([n, CONTEXT * EMBEDDING]);
        let x = relu(self.up.forward(x));
        self.norm.forward(x.clone() + relu(self.down.forward(x)))
    }
}

/// A text as numbers of words.
struct Text {
    words: Vec<i32>,
    classes: usize,
    /// Occurrences of each word in the training part.
    counts: Vec<usize>,
    split: usize,
}

impl Text {
    /// Words and punctuation marks; those that occur once become one word.
    fn read(path: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let mut words = Vec::new();
        let mut from = None;
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            let inside = c.is_alphanumeric() || c == '\'';
            match (from, inside) {
                (None, true) => from = Some(at),
                (Some(start), false) => {
                    words.push(&text[start..at]);
                    from = None;
                }
                _ => {}
            }
            if !inside && !c.is_whitespace() {
                words.push(&text[at..at + c.len_utf8()]);
            }
        }
        let mut occurrences: HashMap<&str, usize> = HashMap::new();
        words
            .iter()
            .for_each(|w| *occurrences.entry(w).or_default() += 1);
        let mut ids: HashMap<&str, i32> = HashMap::new();
        let words: Vec<i32> = words
            .iter()
            .map(|&w| {
                if occurrences[w] < 2 {
                    return 0;
                }
                let next = ids.len() as i32 + 1;
                *ids.entry(w).or_insert(next)
            })
            .collect();
        let (classes, split) = (ids.len() + 1, words.len() / 10 * 9);
        assert!(split > 10 * CONTEXT, "{} is too short", path.display());
        let mut counts = vec![0; classes];
        words[..split].iter().for_each(|&w| counts[w as usize] += 1);
        Self {
            words,
            classes,
            counts,
            split,
        }
    }

    /// Contexts and next words that end at `places`.
    fn batch(&self, places: &[usize], device: &Device) -> (Tensor<2, Int>, Tensor<1, Int>) {
        let n = places.len();
        let context: Vec<i32> = places
            .iter()
            .flat_map(|&p| self.words[p - CONTEXT..p].to_vec())
            .collect();
        let next: Vec<i32> = places.iter().map(|&p| self.words[p]).collect();
        (
            Tensor::from_data(TensorData::new(context, [n, CONTEXT]), device),
            Tensor::from_data(TensorData::new(next, [n]), device),
        )
    }
}

/// Validation loss over all words, over rare ones, and over words that the training text lacks or has once.
fn validate(model: &Model, text: &Text, rare: usize) -> [f64; 2] {
    let model = model.valid();
    let device = model.head.weight.device();
    let options = LossConfig::new()
        .with_reduction(Reduction::None)
        .build()
        .expect("options");
    let places: Vec<usize> = (text.split.max(CONTEXT)..text.words.len()).collect();
    let (mut sums, mut counts) = ([0.0; 2], [0; 2]);
    for places in places.chunks(2048) {
        let (context, next) = text.batch(places, &device);
        let out = linear_cross_entropy(model.hidden(context), &model.head, next, &options);
        for (&place, loss) in places.iter().zip(out.loss.into_data().iter::<f64>()) {
            let seen = text.counts[text.words[place] as usize];
            for (kind, counted) in [true, (1..=rare).contains(&seen)].into_iter().enumerate() {
                if counted {
                    sums[kind] += loss;
                    counts[kind] += 1;
                }
            }
        }
    }
    [0, 1].map(|k| sums[k] / f64::from(counts[k]))
}

/// How a run computes its loss.
#[derive(Clone, Copy)]
enum How {
    Plain,
    Fused(Plan),
}

impl How {
    fn loss(
        self,
        model: &Model,
        context: Tensor<2, Int>,
        next: Tensor<1, Int>,
        step: usize,
    ) -> LossOutput {
        let hidden = model.hidden(context);
        match self {
            Self::Plain => {
                reference::linear_cross_entropy(hidden, &model.head, next, &LossOptions::default())
            }
            Self::Fused(plan) => {
                let options = LossConfig::new().with_plan(plan).build().expect("options");
                linear_cross_entropy(hidden, &model.head, next, &options.at_step(step as u64))
            }
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let text = Text::read(&arguments.text);
    let device = Device::flex().autodiff();
    let filter = |exponent: i32, tail: Tail| {
        How::Fused(Plan::Filtered(Filter {
            threshold: 2.0_f64.powi(exponent),
            tail,
            ..Filter::default()
        }))
    };
    let drawn = Tail::Stochastic { seed: 0 };
    let ways = [
        ("plain, logits in memory", How::Plain),
        ("store", How::Fused(Plan::Store)),
        ("recompute", How::Fused(Plan::Recompute)),
        ("filtered 2⁻¹², tail drawn", filter(-12, drawn)),
        ("filtered 2⁻¹², tail dropped", filter(-12, Tail::Drop)),
        ("filtered 2⁻⁸, tail drawn", filter(-8, drawn)),
        ("filtered 2⁻⁸, tail dropped", filter(-8, Tail::Drop)),
    ];
    println!(
        "{} words, {} classes, {} steps of {} words, {} seeds\n",
        text.words.len(),
        text.classes,
        arguments.steps,
        arguments.batch,
        arguments.seeds
    );
    println!(
        "| loss | validation, mean (deviation) | rare words | ms per step | entries kept and drawn |"
    );
    println!("|---|---|---|---|---|");
    for (name, how) in ways {
        let (mut all, mut rare, mut seconds, mut share) =
            (Vec::new(), Vec::new(), 0.0, String::new());
        for seed in 0..arguments.seeds {
            device.seed(seed);
            let mut model = Model::new(text.classes, &device);
            let mut optim = AdamWConfig::new().with_weight_decay(0.01).init();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for step in 0..arguments.steps {
                let places: Vec<usize> = (0..arguments.batch)
                    .map(|_| rng.random_range(CONTEXT..text.split))
                    .collect();
                let (context, next) = text.batch(&places, &device);
                let start = Instant::now();
                let out = how.loss(&model, context, next, step);
                let grads = GradientsParams::from_grads(out.loss.backward(), &model);
                seconds += start.elapsed().as_secs_f64();
                let progress = step as f64 / arguments.steps as f64;
                let rate = 2e-3 * (progress * 20.0).min(1.0) * (1.0 - progress);
                model = optim.step(rate.max(1e-6), model, grads);
                if let Some(f) = out.report().filter {
                    let percent = |count: u64| 100.0 * count as f64 / f.entries as f64;
                    share = format!("{:.2} % + {:.2} %", percent(f.kept), percent(f.drawn));
                }
                if step % 20 == 0 {
                    eprint!("\r{name}, seed {seed}: step {step}    ");
                    let _ = std::io::stderr().flush();
                }
            }
            let [whole, few] = validate(&model, &text, arguments.rare);
            all.push(whole);
            rare.push(few);
        }
        eprint!("\r{:60}\r", "");
        let n = arguments.seeds as f64;
        let spread = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / n;
            let square = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
            format!("{mean:.4} ({:.4})", square.sqrt())
        };
        println!(
            "| {name} | {} | {} | {:.0} | {share} |",
            spread(&all),
            spread(&rare),
            1e3 * seconds / (n * arguments.steps as f64)
        );
    }
}
