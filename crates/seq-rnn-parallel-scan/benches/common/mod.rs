//! The catalogue of problems that the benches time, and their check against the reference: nothing is
//! timed that is not right.
#![allow(dead_code, unreachable_pub, reason = "every bench uses its own part")]

use burn::tensor::{Device, Distribution, Tensor};
use core_tensor::assert_close;
use seq_rnn_parallel_scan::scan::reference;
use seq_rnn_parallel_scan::{
    Candidate, Cell, InitialState, MinGru, MinGruConfig, ScanOptions, Transition, linear_scan, scan,
};
use std::time::Instant;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From pre-activations to states.
    Op,
    /// A whole minGRU layer of equal width in and out.
    Layer,
}

/// Forward alone, or forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Forward,
    Train,
}

pub const CELL: Cell = Cell::MinGru {
    candidate: Candidate::G,
    transition: Transition::Positive,
};

/// A problem with its inputs.
pub struct Problem {
    kind: Kind,
    layer: MinGru,
    /// Input of the layer, or packed pre-activations.
    x: Tensor<3>,
}

impl Problem {
    pub fn new(kind: Kind, [batch, time, width]: [usize; 3], device: &Device) -> Self {
        let device = device.clone().autodiff();
        let normal = |columns| {
            let shape = [batch, time, columns];
            Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device)
        };
        let columns = if kind == Kind::Op { 2 * width } else { width };
        Self {
            kind,
            layer: MinGruConfig::new(width, width)
                .with_bias(false)
                .init(&device),
            x: normal(columns).require_grad(),
        }
    }

    /// The same layer in its deterministic mode.
    pub fn deterministic(mut self) -> Self {
        self.layer.deterministic = true;
        self
    }

    fn run(&self, x: Tensor<3>) -> Tensor<3> {
        match self.kind {
            Kind::Op => scan(CELL, x, ScanOptions::default()).states,
            Kind::Layer => self.layer.forward(x, InitialState::Zero).0,
        }
    }

    /// Seconds of one pass.
    pub fn time(&self, pass: Pass) -> f64 {
        let device = self.x.device();
        match pass {
            Pass::Forward => {
                use burn::module::Module;
                let (layer, x) = (self.layer.clone().valid(), self.x.clone().inner());
                let start = Instant::now();
                let y = match self.kind {
                    Kind::Op => scan(CELL, x, ScanOptions::default()).states,
                    Kind::Layer => layer.forward(x, InitialState::Zero).0,
                };
                device.sync().expect("the device answers");
                drop(y);
                start.elapsed().as_secs_f64()
            }
            Pass::Train => {
                let start = Instant::now();
                let y = self.run(self.x.clone());
                let grads = y.sum().backward();
                device.sync().expect("the device answers");
                let seconds = start.elapsed().as_secs_f64();
                drop(grads);
                seconds
            }
        }
    }

    /// Compares values and gradients with the reference.
    pub fn check(&self) {
        let run = |f: &dyn Fn(Tensor<3>) -> Tensor<3>| {
            let y = f(self.x.clone());
            let grads = y.clone().sin().sum().backward();
            [y.inner(), self.x.grad(&grads).expect("tracked")]
        };
        let reference = |x: Tensor<3>| {
            let planes = match self.kind {
                Kind::Op => x,
                Kind::Layer => self.layer.planes.forward(x),
            };
            reference::scan(CELL, planes, ScanOptions::default()).states
        };
        for (got, want) in run(&|x| self.run(x)).into_iter().zip(run(&reference)) {
            let scale: f64 = want.clone().abs().max().into_scalar();
            assert_close!(got, want, 1e-5, 1e-5 * scale, "{:?}", self.kind);
        }
    }
}

/// Seconds of one linear scan over `a` and `b`.
pub fn time_scan(a: &Tensor<3>, b: &Tensor<3>) -> f64 {
    let start = Instant::now();
    let out = linear_scan(a.clone(), b.clone(), ScanOptions::default());
    a.device().sync().expect("the device answers");
    let seconds = start.elapsed().as_secs_f64();
    drop(out);
    seconds
}
