//! A small training run in which everything that must be resumed matters: Adam's moments, a schedule,
//! a shuffled order, dropout made anew at each step, noise from a stream that runs on.

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Tensor, TensorData};
use core_tensor::resume::rand::Rng;
use core_tensor::resume::rand::seq::SliceRandom;
use core_tensor::resume::{CheckpointStore, ResumeError, RngStream, Saved, TrainState};

const SAMPLES: usize = 50;
const BATCH: usize = 8;
const INPUTS: usize = 6;

#[derive(Module, Debug)]
pub struct Mlp {
    pub first: Linear,
    pub second: Linear,
}

impl Mlp {
    pub fn new(seed: u64, hidden: usize, device: &Device) -> Self {
        let mut rng = RngStream::new(seed, "init", 0);
        let mut linear = |from: usize, to: usize| {
            let mut layer = LinearConfig::new(from, to).init(device);
            layer.weight = Param::from_tensor(uniform([from, to], &mut rng, device));
            layer.bias = Some(Param::from_tensor(uniform([to], &mut rng, device)));
            layer
        };
        Self {
            first: linear(INPUTS, hidden),
            second: linear(hidden, 1),
        }
    }

    /// The bits of every parameter.
    pub fn bits(&self) -> Vec<u8> {
        [&self.first, &self.second]
            .iter()
            .flat_map(|layer| {
                let mut bits = layer.weight.val().into_data().as_bytes().to_vec();
                bits.extend(layer.bias.as_ref().unwrap().val().into_data().as_bytes());
                bits
            })
            .collect()
    }
}

fn uniform<const D: usize>(dims: [usize; D], rng: &mut impl Rng, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| rng.random::<f32>() - 0.5)
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

pub struct Run {
    pub model: Mlp,
    pub optim: ModuleOptimizer,
    pub schedule: ModuleLrScheduler,
    pub state: TrainState,
    device: Device,
    inputs: Vec<f32>,
}

impl Run {
    pub fn new(seed: u64, hidden: usize, device: &Device) -> Self {
        let device = device.clone().autodiff();
        let mut data = RngStream::new(seed, "data", 0);
        Self {
            model: Mlp::new(seed, hidden, &device),
            optim: AdamConfig::new().init(),
            schedule: SequentialLrSchedulerConfig::new(
                vec![
                    LinearLrSchedulerConfig::new(1e-4, 1e-2, 20).into(),
                    CosineAnnealingLrSchedulerConfig::new(1e-2, 2000).into(),
                ],
                vec![20],
            )
            .init()
            .unwrap(),
            state: TrainState::new(seed).with_config(&("mlp", hidden)).unwrap(),
            device,
            inputs: (0..SAMPLES * INPUTS).map(|_| data.random()).collect(),
        }
    }

    /// The run as it was saved. Everything is made anew first, with other numbers where numbers could
    /// leak from.
    pub fn load(saved: Saved, hidden: usize, device: &Device) -> Result<Self, ResumeError> {
        let run = Self::new(saved.state.seed, hidden, device);
        saved.expect_config(&("mlp", hidden))?;
        let other = Mlp::new(!saved.state.seed, hidden, &run.device);
        Ok(Self {
            model: saved.load_module("model", other)?,
            optim: saved.load_optimizer("optim", run.optim)?,
            schedule: saved.load_scheduler("schedule", run.schedule)?,
            state: saved.state,
            ..run
        })
    }

    pub fn save(&self, store: &CheckpointStore) -> Result<(), ResumeError> {
        let saved = store.save(&self.state, |w| {
            w.module("model", &self.model)?;
            w.optimizer("optim", &self.optim)?;
            w.scheduler("schedule", &self.schedule)
        });
        saved.map(drop)
    }

    pub fn step(&mut self) {
        let state = &mut self.state;
        let mut order: Vec<usize> = (0..SAMPLES).collect();
        order.shuffle(&mut RngStream::new(state.seed, "shuffle", state.epoch));
        let start = state.cursor as usize;
        let batch = &order[start..(start + BATCH).min(SAMPLES)];
        state.cursor += batch.len() as u64;
        if state.cursor == SAMPLES as u64 {
            (state.epoch, state.cursor) = (state.epoch + 1, 0);
        }

        let rows = batch
            .iter()
            .flat_map(|i| &self.inputs[i * INPUTS..(i + 1) * INPUTS]);
        let rows: Vec<f32> = rows.copied().collect();
        let targets: Vec<f32> = rows.chunks(INPUTS).map(|x| (x[0] - x[1]) * x[2]).collect();
        let tensor = |values, width| {
            Tensor::<2>::from_data(TensorData::new(values, [batch.len(), width]), &self.device)
        };
        let [_, hidden] = self.model.first.weight.dims();
        let mut dropout = RngStream::new(state.seed, "dropout", state.step);
        let mask = (0..batch.len() * hidden).map(|_| f32::from(dropout.random::<f32>() < 0.9));
        let mask = tensor(mask.collect(), hidden);
        let mut stream = state.stream("noise");
        let noise = (0..batch.len())
            .map(|_| stream.random::<f32>() * 0.01)
            .collect();
        state.keep_stream(&stream);

        let active = tanh(self.model.first.forward(tensor(rows, INPUTS))) * mask;
        let error = self.model.second.forward(active) - tensor(targets, 1) + tensor(noise, 1);
        let loss = (error.clone() * error).mean();
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        self.model = self
            .optim
            .step(self.schedule.step(), self.model.clone(), grads);
        state.step += 1;
    }

    pub fn train_to(mut self, step: u64) -> Self {
        while self.state.step < step {
            self.step();
        }
        self
    }
}
