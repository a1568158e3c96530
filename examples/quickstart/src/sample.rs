//! Generation, one character at a time.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use core_tensor::resume::RngStream;
use core_tensor::resume::rand::Rng;
use seq_rnn_parallel_scan::MinRnnLm;
use std::time::Instant;

/// A continuation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// What it continues.
    pub(crate) prompt: String,
    /// What the model wrote.
    pub(crate) text: String,
    /// Characters generated per second.
    pub(crate) speed: f64,
}

/// Continues `prompt`, which must not be empty, by up to `length` tokens; returns them with their
/// number per second.
///
/// The prompt is read in one parallel pass; from then on the state is carried and every character
/// costs the same, however long the text has become.
pub(crate) fn generate(
    model: &MinRnnLm,
    prompt: &[u32],
    length: usize,
    temperature: f64,
    mut rng: RngStream,
    stop: impl Fn() -> bool,
) -> (Vec<u32>, f64) {
    let model = model.valid();
    let device = model.head.weight.val().device();
    let [_, vocabulary] = model.head.weight.dims();
    let tokens = |tokens: &[u32]| {
        let values: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        Tensor::<1, Int>::from_data(TensorData::new(values, [tokens.len()]), &device)
    };
    let (logits, state) = model.forward(tokens(prompt).unsqueeze(), None);
    let last = logits.narrow(1, prompt.len() - 1, 1);
    let mut logits: Tensor<2> = last.reshape([1, vocabulary]);
    let mut state = Some(state);

    let begun = Instant::now();
    let mut written = Vec::with_capacity(length);
    while written.len() < length && !stop() {
        let weights: Vec<f32> = logits.into_data().iter().collect();
        let token = pick(&weights, temperature, rng.random());
        written.push(token);
        let next;
        (logits, next) = model.step(tokens(&[token]), state);
        state = Some(next);
    }
    let speed = written.len() as f64 / begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    (written, speed)
}

/// The token at `point`, from 0 to 1, of the distribution that the logits stand for.
fn pick(logits: &[f32], temperature: f64, point: f64) -> u32 {
    let (likeliest, most) = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .expect("a vocabulary is not empty");
    if temperature == 0.0 {
        return likeliest as u32;
    }
    let weight = |x: &f32| (f64::from(x - most) / temperature).exp();
    let mut left = point * logits.iter().map(weight).sum::<f64>();
    for (token, x) in logits.iter().enumerate() {
        left -= weight(x);
        if left < 0.0 {
            return token as u32;
        }
    }
    // Rounding may leave a remainder; the likeliest token certainly has weight.
    likeliest as u32
}

/// Text without control characters, which could do things to a terminal.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_follow_the_distribution() {
        // Probabilities 1/4, 1/2, 1/4.
        let logits = [0.0, 2f32.ln(), 0.0];
        for (point, token) in [
            (0.0, 0),
            (0.24, 0),
            (0.26, 1),
            (0.74, 1),
            (0.76, 2),
            (0.999, 2),
        ] {
            assert_eq!(pick(&logits, 1.0, point), token, "{point}");
        }
        assert_eq!(pick(&logits, 1.0, 1.0), 1);
        assert_eq!(pick(&logits, 0.0, 0.9), 1);
        // So cold that everything else vanishes, without a NaN.
        assert_eq!(pick(&[1.0, 0.0, -1e30], 1e-300, 0.5), 0);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            printable("a\tb\n\u{1b}[2Jc\r"),
            "a\tb\n\u{fffd}[2Jc\u{fffd}"
        );
    }
}
