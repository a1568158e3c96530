//! ListOps: nested operations on lists of digits.

use super::{Row, Task, TaskError, TaskRng, require};
use serde::{Deserialize, Serialize};

/// Token of the closing bracket; `0..=9` are the digits.
pub const END: u32 = 14;
/// Token that fills up shorter sequences.
pub const PADDING: u32 = 15;

const TASK: &str = "ListOps";
const LEAF: f64 = 0.75;
/// Trees thrown away before giving up; of the Long Range Arena's, about one in a hundred fits.
const ATTEMPTS: usize = 1_000_000;

/// ListOps with the rules of the Long Range Arena (arXiv 2011.04006, Section 2.2.1).
///
/// A node is a digit, uniform in 0 to 9, with probability ¾ and always at `max_depth`; otherwise an
/// [`Operator`] of 2 to `max_args` nodes, both uniform. The root has depth 1. Expressions are drawn
/// until one has more than `min_length` and less than `max_length` tokens, where a digit, an operator with
/// its opening bracket, and a closing bracket are one token each. (The files of the Long Range Arena also
/// hold parentheses; its loader drops them, and they are not made here.)
///
/// The answer, a digit, is asked at the last token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListOps {
    /// Depth below which there are digits only.
    pub max_depth: usize,
    /// Most arguments of an operator, at least 2.
    pub max_args: usize,
    /// Expressions have more tokens than this.
    pub min_length: usize,
    /// Expressions have fewer tokens than this.
    pub max_length: usize,
}

/// What is done with a list of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// `[MIN`, token 10: the smallest.
    Min,
    /// `[MAX`, token 11: the largest.
    Max,
    /// `[MED`, token 12: the median; of an even number, the mean of the middle two, rounded down.
    Median,
    /// `[SM`, token 13: the sum modulo 10.
    SumMod,
}

impl Operator {
    /// All of them, in the order of their tokens.
    pub const ALL: [Self; 4] = [Self::Min, Self::Max, Self::Median, Self::SumMod];

    /// The operator of a token.
    pub fn from_token(token: u32) -> Option<Self> {
        let at = token.checked_sub(10)?;
        Self::ALL.get(at as usize).copied()
    }

    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Min => "[MIN",
            Self::Max => "[MAX",
            Self::Median => "[MED",
            Self::SumMod => "[SM",
        }
    }

    /// The result for a list of digits; of an empty one, 0.
    pub fn apply(self, digits: &[u32]) -> u32 {
        let mut sorted = digits.to_vec();
        sorted.sort_unstable();
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
            return 0;
        };
        match self {
            Self::Min => least,
            Self::Max => most,
            // For an odd number of digits both indices are the middle.
            Self::Median => (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2,
            Self::SumMod => sorted.iter().sum::<u32>() % 10,
        }
    }
}

/// An operator whose bracket is open.
struct Open {
    operator: Operator,
    /// Arguments that it will have.
    expected: usize,
    /// Values of those it has.
    values: Vec<u32>,
}

impl ListOps {
    /// The sizes of the Long Range Arena: depth 10, up to 10 arguments, 501 to 1999 tokens.
    pub fn lra() -> Self {
        Self {
            max_depth: 10,
            max_args: 10,
            min_length: 500,
            max_length: 2000,
        }
    }

    /// One expression with its value, or nothing if it grows too long.
    fn expression(&self, rng: &mut TaskRng) -> Option<(Vec<u32>, u32)> {
        let mut tokens = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            if tokens.len() + open.len() >= self.max_length {
                return None;
            }
            if open.len() + 1 < self.max_depth && !rng.chance(LEAF) {
                let token = 10 + rng.below(4);
                tokens.push(token);
                open.push(Open {
                    operator: Operator::ALL[token as usize - 10],
                    expected: rng.between(2, self.max_args),
                    values: Vec::new(),
                });
                continue;
            }
            let mut value = rng.below(10);
            tokens.push(value);
            // A value may complete the operator around it, and that the next.
            loop {
                let Some(inner) = open.last_mut() else {
                    return Some((tokens, value));
                };
                inner.values.push(value);
                if inner.values.len() < inner.expected {
                    break;
                }
                value = inner.operator.apply(&inner.values);
                tokens.push(END);
                open.pop();
            }
        }
    }

    /// Tokens of the longest expression that depth and arguments allow.
    fn longest(&self) -> usize {
        let wider = |length: usize, _| length.saturating_mul(self.max_args).saturating_add(2);
        // A tree that exceeds any sequence after 64 levels need not be followed further down.
        (1..self.max_depth.min(65)).fold(1, wider)
    }
}

impl Task for ListOps {
    fn vocabulary(&self) -> usize {
        16
    }

    fn classes(&self) -> usize {
        10
    }

    fn max_time(&self) -> usize {
        self.max_length - 1
    }

    fn padding(&self) -> u32 {
        PADDING
    }

    fn check(&self) -> Result<(), TaskError> {
        let Self {
            max_depth,
            max_args,
            min_length,
            max_length,
        } = *self;
        require(max_depth > 0, TASK, "max_depth", "at least 1", max_depth)?;
        let args = (2..1 << 31).contains(&max_args);
        require(
            args,
            TASK,
            "max_args",
            "at least 2 and less than 2^31",
            max_args,
        )?;
        let window = max_length > min_length && max_length - min_length > 1;
        let expected = format!("at least min_length + 2 for min_length = {min_length}");
        require(window, TASK, "max_length", expected, max_length)?;
        require(
            max_length < 1 << 31,
            TASK,
            "max_length",
            "less than 2^31",
            max_length,
        )?;
        let longest = self.longest();
        let expected = format!("less than {longest}, the longest of max_depth and max_args");
        require(
            min_length < longest,
            TASK,
            "min_length",
            expected,
            min_length,
        )
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        for _ in 0..ATTEMPTS {
            let fits = |(tokens, _): &(Vec<u32>, u32)| {
                tokens.len() > self.min_length && tokens.len() < self.max_length
            };
            if let Some((inputs, value)) = self.expression(rng).filter(fits) {
                let mut targets = vec![None; inputs.len()];
                targets[inputs.len() - 1] = Some(value);
                return Ok(Row { inputs, targets });
            }
        }
        Err(TaskError::Unlikely {
            task: TASK,
            setting: "min_length and max_length",
            attempts: ATTEMPTS,
        })
    }
}

/// The value of an expression, from its tokens alone; padding may follow it.
///
/// # Errors
/// If the tokens are not exactly one expression.
pub fn evaluate(tokens: &[u32]) -> Result<u32, TaskError> {
    let malformed = |position, problem| TaskError::Malformed {
        task: TASK,
        position,
        problem,
    };
    let end = tokens
        .iter()
        .rposition(|&token| token != PADDING)
        .map_or(0, |at| at + 1);
    let mut open: Vec<(Operator, Vec<u32>)> = Vec::new();
    for (at, &token) in tokens[..end].iter().enumerate() {
        let value = match Operator::from_token(token) {
            Some(operator) => {
                open.push((operator, Vec::new()));
                continue;
            }
            None if token < 10 => token,
            None if token == END => match open.pop() {
                Some((_, values)) if values.is_empty() => {
                    return Err(malformed(at, "an operator without arguments"));
                }
                Some((operator, values)) => operator.apply(&values),
                None => return Err(malformed(at, "a closing bracket that nothing opened")),
            },
            None => return Err(malformed(at, "no token of an expression")),
        };
        match open.last_mut() {
            Some((_, values)) => values.push(value),
            None if at + 1 == end => return Ok(value),
            None => {
                return Err(malformed(
                    at + 1,
                    "something after the end of the expression",
                ));
            }
        }
    }
    Err(malformed(end, "the expression is not complete"))
}

/// Tokens of a written expression such as `[MAX 2 9 [MIN 4 7 ] 0 ]`, words apart by white space.
/// Parentheses are dropped, as the Long Range Arena's loader does.
///
/// # Errors
/// If a word is no token; whether the tokens are an expression is for [`evaluate`] to tell.
pub fn tokenize(text: &str) -> Result<Vec<u32>, TaskError> {
    let words = text
        .split_whitespace()
        .filter(|word| !matches!(*word, "(" | ")"));
    let tokens = words.enumerate().map(|(position, word)| {
        let operator = Operator::ALL.iter().position(|op| op.name() == word);
        match (word.as_bytes(), operator) {
            (_, Some(at)) => Ok(10 + at as u32),
            (b"]", _) => Ok(END),
            ([digit @ b'0'..=b'9'], _) => Ok(u32::from(digit - b'0')),
            _ => Err(TaskError::Malformed {
                task: TASK,
                position,
                problem: "expected a digit, `[MIN`, `[MAX`, `[MED`, `[SM` or `]`",
            }),
        }
    });
    tokens.collect()
}
