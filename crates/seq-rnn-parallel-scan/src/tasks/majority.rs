//! Majority.

use super::{Labels, Lengths, Row, Task, TaskError, TaskRng, require};
use serde::{Deserialize, Serialize};

/// Majority: which of `symbols` symbols, drawn uniformly, occurs most often? Of several with the same
/// count, the largest is the answer.
///
/// Tokens `0..symbols` are the symbols, `symbols` is query and padding. The minRNN paper's experiments
/// draw from 62 symbols, train on lengths 1 to 40 and test on 40 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Majority {
    /// Number of symbols, at least 1.
    pub symbols: usize,
    /// Number of symbols in a sequence.
    pub length: Lengths,
    /// Where the answers are.
    pub labels: Labels,
}

impl Task for Majority {
    fn vocabulary(&self) -> usize {
        self.symbols + 1
    }

    fn classes(&self) -> usize {
        self.symbols
    }

    fn max_time(&self) -> usize {
        self.length.max + self.labels.extra()
    }

    fn padding(&self) -> u32 {
        self.symbols as u32
    }

    fn check(&self) -> Result<(), TaskError> {
        let (task, symbols) = ("Majority", self.symbols);
        let range = (1..1 << 24).contains(&symbols);
        require(
            range,
            task,
            "symbols",
            "at least 1 and less than 2^24",
            symbols,
        )?;
        self.length.check(task)
    }

    fn row(&self, rng: &mut TaskRng) -> Result<Row, TaskError> {
        let length = self.length.draw(rng);
        let draws = (0..length).map(|_| rng.below(self.symbols as u32));
        let symbols: Vec<u32> = draws.collect();
        let mut counts = vec![0u32; self.symbols];
        // A count only grows, so the leader changes to the current symbol or not at all.
        let leaders = symbols.clone().into_iter().scan(0u32, |leader, symbol| {
            counts[symbol as usize] += 1;
            let rank = |s: u32| (counts[s as usize], s);
            if rank(symbol) > rank(*leader) {
                *leader = symbol;
            }
            Some(*leader)
        });
        let leaders: Vec<u32> = leaders.collect();
        Ok(self
            .labels
            .row(symbols, leaders.into_iter(), self.padding()))
    }
}
