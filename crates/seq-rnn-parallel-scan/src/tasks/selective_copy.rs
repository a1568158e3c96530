//! Selective copying, in the two forms that papers use.

use super::{Row, Task, TaskError, TaskRng, require};
use serde::{Deserialize, Serialize};

/// Selective copying as the minRNN paper's experiments generate it (arXiv 2410.01201, Table 1).
///
/// Of `length` positions, `tokens` different ones, uniformly chosen, hold data tokens, uniform in
/// `1..=vocabulary − 2`; the others hold the empty token `vocabulary − 1`. Then follow `tokens`
/// positions of token 0, at which the data tokens are to be repeated in order. Loss and accuracy
/// count these last positions only.
///
/// The paper uses length 4096, 16 tokens and a vocabulary of 16 ([`SelectiveCopy::paper`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SelectiveCopy {
    /// Positions before the answer.
    pub length: usize,
    /// Tokens to remember, at most `length`.
    pub tokens: usize,
    /// Number of tokens, the empty one and 0 included: at least 3.
    pub vocabulary: usize,
}

/// Selective copying as S4's and Mamba's code generates it (arXiv 2312.00752, Section 4.1.1), which
/// differs in tokens and sizes.
///
/// Of `length + tokens` positions, `tokens` different ones hold data tokens, uniform in
/// `1..=vocabulary − 2`; the others hold the noise token 0. Then follow `tokens` markers
/// `vocabulary − 1`, at which the data tokens are to be repeated in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MarkedCopy {
    /// Noise tokens.
    pub length: usize,
    /// Tokens to remember.
    pub tokens: usize,
    /// Number of tokens, marker and noise included: at least 3.
    pub vocabulary: usize,
}

impl SelectiveCopy {
    /// The paper's sizes.
    pub fn paper() -> Self {
        Self {
            length: 4096,
            tokens: 16,
            vocabulary: 16,
        }
    }
}

/// Data tokens at random places of `span` positions of `blank`, then `tokens` times `ask`.
fn copy([span, tokens, vocabulary]: [usize; 3], [blank, ask]: [u32; 2], rng: &mut TaskRng) -> Row {
    let mut inputs = vec![blank; span];
    let mut targets = vec![None; span];
    for at in rng.subset(tokens, span) {
        inputs[at] = 1 + rng.below(vocabulary as u32 - 2);
        targets.push(Some(inputs[at]));
    }
    inputs.resize(span + tokens, ask);
    Row { inputs, targets }
}

fn check(task: &'static str, vocabulary: usize, tokens: usize) -> Result<(), TaskError> {
    let few = (3..1 << 31).contains(&vocabulary);
    require(
        few,
        task,
        "vocabulary",
        "at least 3 and less than 2^31",
        vocabulary,
    )?;
    require(tokens > 0, task, "tokens", "at least 1", tokens)
}

impl Task for SelectiveCopy {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn classes(&self) -> usize {
        self.vocabulary - 2
    }

    fn max_time(&self) -> usize {
        self.length + self.tokens
    }

    fn padding(&self) -> u32 {
        self.vocabulary as u32 - 1
    }

    fn check(&self) -> Result<(), TaskError> {
        let (task, length) = ("SelectiveCopy", self.length);
        check(task, self.vocabulary, self.tokens)?;
        require(length < 1 << 31, task, "length", "less than 2^31", length)?;
        let expected = format!("at most length = {length}");
        require(self.tokens <= length, task, "tokens", expected, self.tokens)
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let Self {
            length,
            tokens,
            vocabulary,
        } = *self;
        Ok(copy(
            [length, tokens, vocabulary],
            [vocabulary as u32 - 1, 0],
            rng,
        ))
    }
}

impl Task for MarkedCopy {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn classes(&self) -> usize {
        self.vocabulary - 2
    }

    fn max_time(&self) -> usize {
        self.length + 2 * self.tokens
    }

    fn padding(&self) -> u32 {
        0
    }

    fn check(&self) -> Result<(), TaskError> {
        let task = "MarkedCopy";
        check(task, self.vocabulary, self.tokens)?;
        require(
            self.length < 1 << 30,
            task,
            "length",
            "less than 2^30",
            self.length,
        )?;
        require(
            self.tokens < 1 << 30,
            task,
            "tokens",
            "less than 2^30",
            self.tokens,
        )
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let Self {
            length,
            tokens,
            vocabulary,
        } = *self;
        let span = length + tokens;
        Ok(copy(
            [span, tokens, vocabulary],
            [0, vocabulary as u32 - 1],
            rng,
        ))
    }
}
