//! Even pairs.

use super::{Labels, Lengths, Row, Task, TaskError, TaskRng};
use serde::{Deserialize, Serialize};

/// Even pairs: in a string of fair bits, is the number of neighbours that differ even (answer 0) or
/// odd (answer 1)? Equivalently, whether the last bit differs from the first.
///
/// Tokens 0 and 1 are the bits, 2 is query and padding. A string of one bit has no neighbours: 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EvenPairs {
    /// Number of bits.
    pub length: Lengths,
    /// Where the answers are.
    pub labels: Labels,
}

impl Task for EvenPairs {
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
        self.length.check("EvenPairs")
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let length = self.length.draw(rng);
        let bits: Vec<u32> = (0..length).map(|_| rng.below(2)).collect();
        let first = bits[0];
        let answers = bits.clone().into_iter().map(|bit| bit ^ first);
        Ok(self.labels.row(bits, answers, 2))
    }
}
