//! The equivariant part: a small network learns to tell eight shapes of four points apart in any orientation.

use burn::tensor::Device;
use e3nn_tensorprod::tetris::{Recipe, evaluate};
use std::time::Instant;

/// Steps of a smoke run.
const SMOKE_STEPS: usize = 5;

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Shapes {
    /// Share recognised in orientations that training has not seen.
    pub(crate) turned: f64,
    /// Share of their mirror images recognised, where the chiral pair changes places.
    pub(crate) mirrored: f64,
    /// Seconds of training.
    pub(crate) seconds: f64,
    /// Steps of training.
    pub(crate) steps: usize,
    /// The shapes, drawn.
    pub(crate) picture: String,
}

/// Trains the network and tries it in twenty random orientations of each shape.
pub(crate) fn learn(device: &Device, seed: u64, smoke: bool) -> Shapes {
    let mut recipe = Recipe {
        seed,
        ..Recipe::default()
    };
    if smoke {
        recipe.steps = SMOKE_STEPS;
    }
    let begun = Instant::now();
    let trained = recipe.train(device, |_| ());
    let seconds = begun.elapsed().as_secs_f64();
    let [turned, mirrored] = evaluate(&trained.model, 20, seed.wrapping_add(1), device);
    Shapes {
        turned,
        mirrored,
        seconds,
        steps: trained.curve.len(),
        picture: trained.picture(device),
    }
}
