//! Tasks with the recipes that learn them.

use super::{
    EvenPairs, Labels, Lengths, ListOps, Majority, Parity, Recipe, SelectiveCopy, SymmetricGroup,
    Task,
};
use crate::layers::{MinRnnBlockConfig, MinRnnLmConfig, MinRnnStackConfig};
use crate::scan::{Candidate, Cell, Transition};

/// A task, the recipe for it, and the tasks to test on: the same one, or longer.
#[derive(Debug)]
pub struct Experiment {
    /// What it is called, see [`Experiment::NAMES`].
    pub name: &'static str,
    /// What to train on.
    pub task: Box<dyn Task>,
    /// How to train.
    pub recipe: Recipe,
    /// What to test on, each with a name.
    pub tests: Vec<(String, Box<dyn Task>)>,
}

impl Experiment {
    /// The experiments there are.
    pub const NAMES: [&'static str; 6] = [
        "selective-copy",
        "parity",
        "s3",
        "majority",
        "even-pairs",
        "listops",
    ];

    /// An experiment by its name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "selective-copy" => Self::selective_copy(),
            "parity" => Self::parity(Transition::Signed),
            "s3" => Self::s3(Transition::Signed),
            "majority" => Self::majority(),
            "even-pairs" => Self::even_pairs(),
            "listops" => Self::listops(),
            _ => return None,
        })
    }

    /// Selective copying, shrunk to 64 positions and 4 tokens: 3 layers of 64 features learn it in
    /// minutes on a CPU, and one layer does not.
    pub fn selective_copy() -> Self {
        let task = SelectiveCopy {
            length: 64,
            tokens: 4,
            vocabulary: 16,
        };
        let mut recipe = recipe(&task, 3, 2.0, Transition::Positive);
        (recipe.steps, recipe.batch) = (1500, 64);
        recipe.weight_decay = 0.05;
        Self {
            name: "selective-copy",
            tests: vec![("64".into(), Box::new(task))],
            task: Box::new(task),
            recipe,
        }
    }

    /// Parity with an answer at every position, trained on 64 bits and tested on up to 1024: one
    /// layer generalises with [`Transition::Signed`], and none with [`Transition::Positive`].
    pub fn parity(transition: Transition) -> Self {
        let task = |length| Parity {
            length: Lengths::fixed(length),
            labels: Labels::Every,
        };
        let recipe = recipe(&task(64), 1, 1.0, transition);
        Self::longer("parity", recipe, task, &[64, 256, 512, 1024])
    }

    /// The word problem of S₃ with an answer at every position, trained on 64 permutations and tested
    /// on up to 1024.
    ///
    /// One layer with signed transitions can walk on the integers and turn around, `h ← ±h + b`, and
    /// S₃ is that walk modulo 3. To read the remainder off takes the MLP, which learns it as far as
    /// the walks of the training go: accuracy falls with length.
    pub fn s3(transition: Transition) -> Self {
        let task = |length| SymmetricGroup::s3(Lengths::fixed(length));
        let mut recipe = recipe(&task(64), 1, 1.0, transition);
        let block = &mut recipe.model.stack.block;
        block.mlp = 4;
        // Steps to both sides keep the walk near 0.
        let candidate = Candidate::Linear;
        block.cell = Cell::MinGru {
            candidate,
            transition,
        };
        Self::longer("s3", recipe, task, &[64, 256, 512, 1024])
    }

    /// Majority of 8 symbols with an answer at every position, trained on 40 symbols.
    pub fn majority() -> Self {
        let task = |length| Majority {
            symbols: 8,
            length: Lengths::fixed(length),
            labels: Labels::Every,
        };
        let recipe = recipe(&task(40), 2, 1.0, Transition::Positive);
        Self::longer("majority", recipe, task, &[40, 128, 256])
    }

    /// Even pairs with the papers' protocol: one query after 1 to 40 bits, tested on 40 to 256.
    pub fn even_pairs() -> Self {
        let task = |length| EvenPairs {
            length,
            labels: Labels::Query,
        };
        let train = task(Lengths { min: 1, max: 40 });
        let mut recipe = recipe(&train, 2, 1.0, Transition::Positive);
        (recipe.steps, recipe.batch) = (600, 128);
        Self {
            name: "even-pairs",
            task: Box::new(train),
            recipe,
            tests: vec![
                ("1-40".into(), Box::new(train)),
                (
                    "40-256".into(),
                    Box::new(task(Lengths { min: 40, max: 256 })),
                ),
            ],
        }
    }

    /// ListOps with expressions of 20 to 100 tokens and up to 5 arguments, which a CPU can train on.
    pub fn listops() -> Self {
        let task = ListOps {
            max_depth: 6,
            max_args: 5,
            min_length: 19,
            max_length: 101,
        };
        let mut recipe = recipe(&task, 2, 1.0, Transition::Positive);
        recipe.model.stack.block.d_model = 128;
        recipe.model.stack.block.mlp = 2;
        (recipe.steps, recipe.batch) = (1500, 64);
        Self {
            name: "listops",
            tests: vec![("20-100".into(), Box::new(task))],
            task: Box::new(task),
            recipe,
        }
    }

    fn longer<T: Task + 'static>(
        name: &'static str,
        recipe: Recipe,
        task: impl Fn(usize) -> T,
        lengths: &[usize],
    ) -> Self {
        let test = |&length: &usize| -> (String, Box<dyn Task>) {
            (length.to_string(), Box::new(task(length)))
        };
        Self {
            name,
            task: Box::new(task(lengths[0])),
            recipe,
            tests: lengths.iter().map(test).collect(),
        }
    }
}

/// What all recipes share: minGRU blocks of 64 features, a learned initial state, AdamW at 3e-3, clipping
/// at 1.
fn recipe(task: &dyn Task, layers: usize, expansion: f64, transition: Transition) -> Recipe {
    let block = MinRnnBlockConfig::new(64)
        .with_cell(Cell::MinGru {
            candidate: Candidate::G,
            transition,
        })
        .with_expansion(expansion)
        .with_learned_initial(true);
    Recipe {
        model: MinRnnLmConfig::new(task.vocabulary(), MinRnnStackConfig::new(block, layers)),
        steps: 1600,
        batch: 64,
        learning_rate: 3e-3,
        final_rate: 1.0,
        weight_decay: 0.0,
        clip: 1.0,
        seed: 0,
    }
}
