//! A scan with its inputs on the device, its gradient for a given cotangent, and their check.

use burn::tensor::{DType, Device, Distribution, Tensor, s};
use core_tensor::ext::Dispatch;
use core_tensor::testing::differences;
use seq_rnn_parallel_scan::scan::{Cotangent, ScanBackend, Sequences, Spec};
use seq_rnn_parallel_scan::{Algorithm, Candidate, Cell, Planes, ScanOptions, Transition, scan};

/// What is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// `h ← a h + b`, a tensor for each.
    Linear,
    /// The paper's minGRU, packed.
    MinGru,
    /// The paper's minLSTM, packed.
    MinLstm,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    /// The gradient of the planes from that of the states.
    Backward,
    /// Both, through Burn's autodiff.
    Train,
}

impl Case {
    fn cell(self) -> Cell {
        let candidate = Candidate::G;
        match self {
            Case::Linear => Cell::Linear,
            Case::MinGru => Cell::MinGru {
                candidate,
                transition: Transition::Positive,
            },
            Case::MinLstm => Cell::MinLstm {
                candidate,
                normalized: true,
            },
        }
    }
}

/// The inputs.
pub(super) struct Work {
    cell: Cell,
    shape: [usize; 3],
    /// One tensor, or one per plane.
    planes: Vec<Tensor<3>>,
    tracked: Vec<Tensor<3>>,
    cotangent: Tensor<3>,
}

impl Work {
    pub(super) fn new(case: Case, dtype: DType, shape: [usize; 3], device: &Device) -> Self {
        let cell = case.cell();
        let [batch, time, width] = shape;
        let random = |columns, distribution| {
            let x = Tensor::<3>::random([batch, time, columns], distribution, device);
            x.cast(dtype)
        };
        let normal = Distribution::Normal(0.0, 1.0);
        let planes = match case {
            Case::Linear => {
                let a = random(width, Distribution::Uniform(-1.0, 1.0));
                vec![a, random(width, normal)]
            }
            _ => vec![random(cell.planes() * width, normal)],
        };
        Self::of(cell, shape, planes, random(width, normal))
    }

    fn of(cell: Cell, shape: [usize; 3], planes: Vec<Tensor<3>>, cotangent: Tensor<3>) -> Self {
        let tracked = |x: &Tensor<3>| x.clone().autodiff().require_grad();
        Self {
            cell,
            shape,
            tracked: planes.iter().map(tracked).collect(),
            planes,
            cotangent,
        }
    }

    /// Bytes that a pass reads and writes at least.
    pub(super) fn least_bytes(&self, pass: Pass) -> f64 {
        let planes = self.cell.planes();
        let forward = planes + 1;
        // Planes, states and cotangent are read, gradients written.
        let backward = 2 * planes + 2;
        let values = match pass {
            Pass::Forward => forward,
            Pass::Backward => backward,
            Pass::Train => forward + backward,
        };
        let per_value = self.shape.iter().product::<usize>() * self.cotangent.dtype().size();
        (values * per_value) as f64
    }

    fn scan(&self, planes: &[Tensor<3>], algorithm: Algorithm) -> Tensor<3> {
        let planes = match planes {
            [packed] => Planes::Packed(packed.clone()),
            separate => Planes::Separate(separate.to_vec()),
        };
        let options = ScanOptions::default().with_algorithm(algorithm);
        scan(self.cell, planes, options).states
    }

    /// All states.
    pub(super) fn forward(&self, algorithm: Algorithm) -> Tensor<3> {
        self.scan(&self.planes, algorithm)
    }

    /// Gradients of the planes: packed as they are, or those of one after those of the other.
    pub(super) fn backward(&self, algorithm: Algorithm, states: Tensor<3>) -> Tensor<3> {
        let [count, time, width] = self.shape;
        let packed_planes = self.planes.len() == 1;
        let spec = Spec {
            cell: self.cell,
            packed_planes,
            sequences: Sequences::Batch { count, time },
            reverse: false,
            has_reset: false,
            checkpoint: None,
            algorithm,
        };
        let device = states.device();
        let wide = if states.dtype() == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, (&device, wide));
        let plane = |i: usize| self.planes.get(i).unwrap_or(&self.planes[0]).clone();
        let (gradients, _) = Dispatch::scan_backward(
            plane(0).into_dispatch(),
            plane(1).into_dispatch(),
            plane(2).into_dispatch(),
            zeros([count, width]).into_dispatch(),
            zeros([1, 1]).into_dispatch(),
            states.into_dispatch(),
            self.cotangent.clone().into_dispatch(),
            Cotangent::States,
            spec,
        );
        if packed_planes {
            Tensor::from_dispatch(gradients)
        } else {
            let gradients = Tensor::<4>::from_dispatch(gradients);
            gradients.reshape([self.cell.planes() * count, time, width])
        }
    }

    /// Forward and backward through Burn's autodiff; the gradient of the first tensor.
    pub(super) fn train(&self, algorithm: Algorithm) -> Tensor<3> {
        // Not summed: gradients are those of the sum, whose own time is that of another kernel of Burn.
        let gradients = self.scan(&self.tracked, algorithm).backward();
        self.tracked[0].grad(&gradients).expect("tracked")
    }

    /// A few channels of one batch entry, in f64 on the CPU.
    fn part(&self, entry: usize, channels: [usize; 2]) -> Self {
        let part = |x: &Tensor<3>, first: usize| {
            let x = x.clone().slice(s![
                entry..entry + 1,
                ..,
                first + channels[0]..first + channels[1]
            ]);
            Tensor::from_data(x.to_data(), (&Device::flex(), DType::F64))
        };
        let [_, time, width] = self.shape;
        let planes: Vec<Tensor<3>> = match &self.planes[..] {
            [packed] => {
                let planes = (0..self.cell.planes()).map(|p| part(packed, p * width));
                vec![Tensor::cat(planes.collect(), 2)]
            }
            separate => separate.iter().map(|x| part(x, 0)).collect(),
        };
        let shape = [1, time, channels[1] - channels[0]];
        Self::of(self.cell, shape, planes, part(&self.cotangent, 0))
    }

    /// Compares states and gradients of an algorithm with f64 on the CPU in a few channels of the first and the last batch
    /// entry, and with the serial algorithm in all.
    pub(super) fn check(&self, algorithm: Algorithm) -> Result<(), String> {
        let half = self.cotangent.dtype() == DType::BF16;
        // bf16 rounds states, which gradients are computed from, and gradients to 8 bits.
        let [bound, bound_of_gradients] = if half { [4e-3, 1e-2] } else { [1e-5, 1e-5] };
        let states = self.forward(algorithm);
        let gradients = self.backward(algorithm, states.clone());
        let [batch, _, width] = self.shape;
        for entry in [0, batch - 1] {
            for channels in [[0, 4], [width - 4, width]] {
                let part = self.part(entry, channels);
                let want = part.forward(Algorithm::Serial);
                let slice = |x: &Tensor<3>, row: usize, first: usize| {
                    let columns = first + channels[0]..first + channels[1];
                    x.clone().slice(s![row..row + 1, .., columns])
                };
                let got = slice(&states, entry, 0);
                close(&got, &want, bound).map_err(|why| format!("states, {why}"))?;
                let want = part.backward(Algorithm::Serial, want);
                for p in 0..self.cell.planes() {
                    let (got, want) = if self.planes.len() == 1 {
                        let own = want.clone().slice(s![.., .., p * 4..p * 4 + 4]);
                        (slice(&gradients, entry, p * width), own)
                    } else {
                        let own = want.clone().slice(s![p..p + 1, .., ..]);
                        (slice(&gradients, p * batch + entry, 0), own)
                    };
                    close(&got, &want, bound_of_gradients)
                        .map_err(|why| format!("gradient of plane {p}, {why}"))?;
                }
            }
        }
        let serial = self.forward(Algorithm::Serial);
        let serial_gradients = self.backward(Algorithm::Serial, serial.clone());
        everywhere(states, serial, 2.0 * bound)
            .and_then(|()| everywhere(gradients, serial_gradients, 2.0 * bound_of_gradients))
            .map_err(|why| format!("beside the serial algorithm, {why}"))
    }
}

/// Whether values are close, relative to each and to the largest.
fn close(got: &Tensor<3>, want: &Tensor<3>, bound: f64) -> Result<(), String> {
    let list = |x: &Tensor<3>| -> Vec<f64> { x.to_data().iter::<f64>().collect() };
    let (got, want) = (list(got), list(want));
    let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let d = differences(&got, &want, bound, bound * largest);
    d.worst.map_or(Ok(()), |at| {
        Err(format!("place {at}: {} for {}, {d}", got[at], want[at]))
    })
}

/// The same on the device.
fn everywhere(got: Tensor<3>, want: Tensor<3>, bound: f64) -> Result<(), String> {
    let [got, want] = [got, want].map(|x| x.cast(DType::F32));
    let largest: f64 = want.clone().abs().max().into_scalar();
    // NaN is not lower than anything.
    let fine: bool = (got - want)
        .abs()
        .lower_equal_elem(bound * largest)
        .all()
        .into_scalar();
    if fine {
        Ok(())
    } else {
        Err(format!(
            "somewhere off by more than {:.1e}",
            bound * largest
        ))
    }
}
