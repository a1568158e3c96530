//! Steps and errors.

use crate::data::Frame;
use crate::model::{ForceField, System};
use anyhow::Result;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::atoms::{Batch, Cutoffs, Structure, Vec3, to_tensor};
use core_tensor::force::{Prediction, force_loss, predict};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// How to train.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) seed: u64,
}

/// Mean absolute errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errors {
    /// meV per atom.
    pub(crate) energy: f64,
    /// meV/Å, over components.
    pub(crate) forces: f64,
}

/// Frames as the model takes them, with what it is to predict.
struct Task {
    positions: Tensor<2>,
    system: System,
    energies: Tensor<1>,
    forces: Tensor<2>,
    /// 1 / number of atoms of every structure.
    share: Tensor<1>,
}

impl Task {
    fn new(
        model: &ForceField,
        frames: &[&Frame],
        cutoffs: &Cutoffs,
        device: &Device,
    ) -> Result<Self> {
        let structures: Vec<Structure> = frames.iter().map(|f| f.structure.clone()).collect();
        let batch = Batch::new(&structures, cutoffs)?;
        let (positions, system) = model.system(&batch, device)?;
        let row = |values: Vec<f64>| {
            let data = TensorData::new(values, [frames.len()]);
            Tensor::<1>::from_data(data, (device, DType::F32))
        };
        let forces: Vec<Vec3> = frames.iter().flat_map(|f| f.forces.clone()).collect();
        // In f32 an energy of thousands of eV has no digits left: the mean is taken off before.
        let learned = |f: &&Frame| f.energy - model.config.shift * f.forces.len() as f64;
        Ok(Self {
            positions,
            system,
            energies: row(frames.iter().map(learned).collect()),
            forces: to_tensor(&forces, DType::F32, device),
            share: row(frames.iter().map(|f| 1.0 / f.forces.len() as f64).collect()),
        })
    }

    /// Squares of errors of energies per atom and of components of forces, both in units of the forces' size.
    fn loss(&self, found: &Prediction, scale: f64) -> Tensor<1> {
        let energies = (found.energies.clone() - self.energies.clone()) * self.share.clone();
        let forces = found.forces.clone() - self.forces.clone();
        (energies.square().mean() + forces.square().mean()) * scale.powi(-2)
    }
}

/// Trains; `watch` is called with the step, the number of steps, and the loss.
pub(crate) fn train(
    mut model: ForceField,
    frames: &[Frame],
    cutoffs: &Cutoffs,
    schedule: Schedule,
    device: &Device,
    mut watch: impl FnMut(usize, usize, f64),
) -> Result<ForceField> {
    let scale = model.config.scale;
    let mut optimizer = AdamConfig::new().init();
    let mut rng = ChaCha8Rng::seed_from_u64(schedule.seed);
    let mut order: Vec<&Frame> = frames.iter().collect();
    let per_epoch = frames.len().div_ceil(schedule.batch);
    let steps = schedule.epochs * per_epoch;
    let mut step = 0;
    for _ in 0..schedule.epochs {
        order.shuffle(&mut rng);
        for frames in order.chunks(schedule.batch) {
            let task = Task::new(&model, frames, cutoffs, device)?;
            let result = force_loss(
                &model,
                &task.system,
                task.positions.clone(),
                None,
                |found| task.loss(found, scale),
            );
            let gradients = GradientsParams::from_grads(result.gradients, &model);
            // A cosine to a hundredth.
            let turn = std::f64::consts::PI * step as f64 / steps as f64;
            let rate = schedule.learning_rate * (0.505 + 0.495 * turn.cos());
            model = optimizer.step(rate, model, gradients);
            step += 1;
            watch(step, steps, result.loss.into_scalar::<f32>().into());
        }
    }
    Ok(model)
}

/// What the model predicts of some frames: energies per atom, less their mean (eV), and components of forces (eV/Å), each with
/// its true value.
pub(crate) struct Pairs {
    pub(crate) energies: Vec<[f64; 2]>,
    pub(crate) forces: Vec<[f64; 2]>,
}

/// Predicts all frames, some at a time.
pub(crate) fn evaluate(
    model: &ForceField,
    frames: &[Frame],
    cutoffs: &Cutoffs,
    device: &Device,
) -> Result<Pairs> {
    let mut pairs = Pairs {
        energies: Vec::new(),
        forces: Vec::new(),
    };
    let refs: Vec<&Frame> = frames.iter().collect();
    for frames in refs.chunks(32) {
        let task = Task::new(model, frames, cutoffs, device)?;
        let found = predict(model, &task.system, task.positions.clone(), None);
        let share = task.share.clone();
        pairs
            .energies
            .extend(zip(found.energies * share.clone(), task.energies * share));
        pairs.forces.extend(zip(found.forces, task.forces));
    }
    Ok(pairs)
}

fn zip<const D: usize>(found: Tensor<D>, want: Tensor<D>) -> Vec<[f64; 2]> {
    let read = |t: Tensor<D>| t.into_data().iter::<f64>().collect::<Vec<_>>();
    let (found, want) = (read(found), read(want));
    want.into_iter().zip(found).map(|(w, f)| [w, f]).collect()
}

impl Pairs {
    pub(crate) fn errors(&self) -> Errors {
        let mean = |pairs: &[[f64; 2]]| {
            let sum: f64 = pairs.iter().map(|[w, f]| (w - f).abs()).sum();
            1000.0 * sum / pairs.len() as f64
        };
        Errors {
            energy: mean(&self.energies),
            forces: mean(&self.forces),
        }
    }
}
