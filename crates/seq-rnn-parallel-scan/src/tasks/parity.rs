//! Parity.

use super::{Labels, Lengths, Row, Task, TaskError, TaskRng};
use serde::{Deserialize, Serialize};

/// Parity of a string of fair bits: the answer is their sum modulo 2.
///
/// Tokens 0 and 1 are the bits, 2 is query and padding. A linear recurrence needs a transition of
/// −1 for it: with the paper's positive gates no number of layers generalises over lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parity {
    /// Number of bits.
    pub length: Lengths,
    /// Where the answers are.
    pub labels: Labels,
}

impl Task for Parity {
    fn vocabulary(&self) -> usize {
        3
    }

    fn classes(&self) -> usize {
        2
    }

    fn max_time(&self) -> usize {
        self.length.max + self.labels.extra()
    }

    fn padding(&self) -> u32 {
        2
    }

    fn check(&self) -> Result<(), TaskError> {
        self.length.check("Parity")
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let length = self.length.draw(rng);
        let bits: Vec<u32> = (0..length).map(|_| rng.below(2)).collect();
        let sums = bits.clone().into_iter().scan(0, |sum, bit| {
            *sum ^= bit;
            Some(*sum)
        });
        Ok(self.labels.row(bits, sums, 2))
    }
}
