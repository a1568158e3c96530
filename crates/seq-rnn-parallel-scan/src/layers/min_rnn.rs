//! minGRU and minLSTM as layers.

use super::InitialState;
use crate::product::product;
use crate::scan::reference::activate;
use crate::scan::{Candidate, Cell, ScanOptions, ScanOutput, Transition, scan};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, s};

/// Configuration of a minGRU layer; [`MinGruConfig::init`] makes it.
///
/// Defaults follow the form that every public implementation ships (the paper's Appendix B):
/// candidate `g`, positive transition, computed here in linear space.
#[derive(Config, Debug)]
pub struct MinGruConfig {
    /// Features of the input.
    pub d_input: usize,
    /// Channels of the state.
    pub d_hidden: usize,
    /// Features of the output, by a last linear map; none means the states themselves.
    pub d_output: Option<usize>,
    /// Activation of the candidate. [`Candidate::Linear`] is the paper's main text.
    #[config(default = "Candidate::G")]
    pub candidate: Candidate,
    /// How the forget factor arises; the signed ones can count and track parity.
    #[config(default = "Transition::Positive")]
    pub transition: Transition,
    /// Whether the projections have a bias. The reference code has one, lucidrains' has none.
    #[config(default = true)]
    pub bias: bool,
    /// Whether the layer owns an initial state to be learned, see [`InitialState::Learned`].
    #[config(default = false)]
    pub learned_initial: bool,
    /// Initial bias of the gate towards remembering, `z = σ(k − forget_bias)`; needs `bias`.
    #[config(default = 0.0)]
    pub forget_bias: f64,
    /// Whether the projections sum in an order of their own on the CPU, so that outputs and states have
    /// the same bits run as a whole, in chunks, step by step or packed; see [`MinRnn::deterministic`].
    #[config(default = false)]
    pub deterministic: bool,
}

/// Configuration of a minLSTM layer; [`MinLstmConfig::init`] makes it.
#[derive(Config, Debug)]
pub struct MinLstmConfig {
    /// Features of the input.
    pub d_input: usize,
    /// Channels of the state.
    pub d_hidden: usize,
    /// Features of the output, by a last linear map; none means the states themselves.
    pub d_output: Option<usize>,
    /// Activation of the candidate.
    #[config(default = "Candidate::G")]
    pub candidate: Candidate,
    /// Whether the two gates are scaled to add up to 1 (v1 and v2 of the paper define it so; v3 and
    /// the reference code's default leave them free).
    #[config(default = true)]
    pub normalized: bool,
    /// Whether the projections have a bias.
    #[config(default = true)]
    pub bias: bool,
    /// Whether the layer owns an initial state to be learned, see [`InitialState::Learned`].
    #[config(default = false)]
    pub learned_initial: bool,
    /// Initial bias of the forget gate, `f = σ(… + forget_bias)`; needs `bias`. The reference code
    /// scales it up to 3.
    #[config(default = 0.0)]
    pub forget_bias: f64,
    /// Whether the projections sum in an order of their own on the CPU, so that outputs and states have
    /// the same bits run as a whole, in chunks, step by step or packed; see [`MinRnn::deterministic`].
    #[config(default = false)]
    pub deterministic: bool,
}

/// A recurrent layer of the minRNN family: one projection of the input to the planes of a [`Cell`], the
/// fused scan, and optionally a projection of the states.
///
/// [`MinGru`] and [`MinLstm`] are this layer with the cell that their configuration chose.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use seq_rnn_parallel_scan::{InitialState, MinGruConfig};
///
/// let device = Device::flex();
/// let layer = MinGruConfig::new(16, 32).init(&device);
/// let x = Tensor::<3>::random([2, 10, 16], Distribution::Default, &device);
///
/// // All steps at once …
/// let (y, last) = layer.forward(x.clone(), InitialState::Zero);
/// assert_eq!(y.dims(), [2, 10, 32]);
///
/// // … or in two chunks, or step by step, from the state of the chunk before.
/// let (_, state) = layer.forward(x.clone().narrow(1, 0, 9), InitialState::Zero);
/// let (_, state) = layer.step(x.narrow(1, 9, 1).squeeze_dim(1), state);
/// assert_eq!(state.dims(), last.dims());
/// ```
#[derive(Module, Debug)]
pub struct MinRnn {
    /// From the input to the planes of the cell, side by side in the order that [`Cell`] names.
    pub planes: Linear,
    /// From the states to the output, if not the states themselves.
    pub output: Option<Linear>,
    /// The learned initial state before its activation, `[hidden]`.
    pub initial: Option<Param<Tensor<1>>>,
    /// The recurrence.
    #[module(skip)]
    pub cell: Cell,
    /// Whether the bits of a row depend on that row alone: not on how many rows are projected at once.
    ///
    /// A matrix product usually picks the order of its sums by the number of rows, so that a step
    /// agrees with the full run to rounding only. On the CPU, this makes outputs and states
    /// bit-identical for full runs, chunks, steps and packed sequences, and these and the gradients for
    /// any number of threads; the cost is in the book, chapter Numerics. On other devices it has no
    /// effect but a warning through `log` (a panic with feature `strict`).
    #[module(skip)]
    pub deterministic: bool,
}

/// A minGRU layer, see [`MinGruConfig`].
pub type MinGru = MinRnn;
/// A minLSTM layer, see [`MinLstmConfig`].
pub type MinLstm = MinRnn;

impl MinGruConfig {
    /// The recurrence that this configuration describes.
    pub fn cell(&self) -> Cell {
        Cell::MinGru {
            candidate: self.candidate,
            transition: self.transition,
        }
    }

    /// Makes the layer with random weights.
    ///
    /// # Panics
    /// If a size is 0, or if there is a forget bias but no bias.
    pub fn init(&self, device: &Device) -> MinGru {
        let sizes = [self.d_input, self.d_hidden];
        // Plane 0 is the update gate: remembering means a small z.
        let layer = MinRnn::new(
            self.cell(),
            sizes,
            self.d_output,
            self.bias,
            self.learned_initial,
            device,
        );
        let layer = MinRnn {
            deterministic: self.deterministic,
            ..layer
        };
        layer.with_gate_bias(-self.forget_bias)
    }
}

impl MinLstmConfig {
    /// The recurrence that this configuration describes.
    pub fn cell(&self) -> Cell {
        Cell::MinLstm {
            candidate: self.candidate,
            normalized: self.normalized,
        }
    }

    /// Makes the layer with random weights.
    ///
    /// # Panics
    /// If a size is 0, or if there is a forget bias but no bias.
    pub fn init(&self, device: &Device) -> MinLstm {
        let sizes = [self.d_input, self.d_hidden];
        // Plane 0 is the forget gate.
        let layer = MinRnn::new(
            self.cell(),
            sizes,
            self.d_output,
            self.bias,
            self.learned_initial,
            device,
        );
        let layer = MinRnn {
            deterministic: self.deterministic,
            ..layer
        };
        layer.with_gate_bias(self.forget_bias)
    }
}

impl MinRnn {
    fn new(
        cell: Cell,
        [d_input, d_hidden]: [usize; 2],
        d_output: Option<usize>,
        bias: bool,
        learned_initial: bool,
        device: &Device,
    ) -> Self {
        assert!(
            d_input > 0 && d_hidden > 0 && d_output != Some(0),
            "MinRnn: sizes must not be 0, got input {d_input}, hidden {d_hidden}, output {d_output:?}"
        );
        let linear = |from, to| LinearConfig::new(from, to).with_bias(bias).init(device);
        Self {
            planes: linear(d_input, cell.planes() * d_hidden),
            output: d_output.map(|d_output| linear(d_hidden, d_output)),
            initial: learned_initial.then(|| Initializer::Zeros.init([d_hidden], device)),
            cell,
            deterministic: false,
        }
    }

    /// Adds to the bias of plane 0.
    fn with_gate_bias(mut self, value: f64) -> Self {
        if value != 0.0 {
            let hidden = self.d_hidden();
            let bias = self
                .planes
                .bias
                .take()
                .expect("MinRnn: a forget bias needs `bias`");
            self.planes.bias = Some(bias.map(|bias| {
                let gate = bias.clone().slice(s![..hidden]) + value;
                bias.slice_assign(s![..hidden], gate)
            }));
        }
        self
    }

    /// Features of the input.
    pub fn d_input(&self) -> usize {
        self.planes.weight.dims()[0]
    }

    /// Channels of the state.
    pub fn d_hidden(&self) -> usize {
        self.planes.weight.dims()[1] / self.cell.planes()
    }

    /// Features of the output.
    pub fn d_output(&self) -> usize {
        self.output
            .as_ref()
            .map_or(self.d_hidden(), |output| output.weight.dims()[1])
    }

    /// The output at every step, and the state after the last; the state starts the next chunk by
    /// [`InitialState::Real`].
    ///
    /// # Shapes
    /// - `x`: `[batch, time, d_input]`
    /// - output: `[batch, time, d_output]`, state: `[batch, d_hidden]`
    ///
    /// # Panics
    /// If a shape disagrees, or [`InitialState::Learned`] is asked of a layer that has none.
    pub fn forward(&self, x: Tensor<3>, initial: InitialState) -> (Tensor<3>, Tensor<2>) {
        let out = self.forward_with(x, initial, ScanOptions::default());
        (out.states, out.last)
    }

    /// [`MinRnn::forward`] with everything that a scan can do: resets, packed sequences, reverse time,
    /// checkpoints. The state comes from `initial`; the one in `options` is not looked at. `states` of the
    /// result is the layer's output.
    ///
    /// # Panics
    /// As [`MinRnn::forward`] and [`crate::scan()`].
    pub fn forward_with(
        &self,
        x: Tensor<3>,
        initial: InitialState,
        options: ScanOptions,
    ) -> ScanOutput {
        let sequences = options
            .cu_seqlens
            .as_ref()
            .map_or(x.dims()[0], |at| at.len().saturating_sub(1));
        let initial = self.initial_state(initial, sequences);
        let planes = linear(&self.planes, x, self.deterministic);
        let out = scan(self.cell, planes, ScanOptions { initial, ..options });
        let states = match &self.output {
            Some(output) => linear(output, out.states, self.deterministic),
            None => out.states,
        };
        ScanOutput {
            states,
            last: out.last,
        }
    }

    /// One step: output `[batch, d_output]` and state `[batch, d_hidden]` from the input
    /// `[batch, d_input]` and the state before.
    ///
    /// # Panics
    /// If a shape disagrees.
    pub fn step(&self, x: Tensor<2>, state: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (out, last) = self.forward(x.unsqueeze_dim(1), InitialState::Real(state));
        (out.squeeze_dim(1), last)
    }

    /// The state that sequences start from, where it is not 0.
    pub(super) fn initial_state(
        &self,
        initial: InitialState,
        sequences: usize,
    ) -> Option<Tensor<2>> {
        match initial {
            InitialState::Zero => None,
            InitialState::Real(state) => Some(state),
            InitialState::Learned => {
                let initial = self.initial.as_ref().expect(
                    "MinRnn: InitialState::Learned expects a layer configured with learned_initial",
                );
                let candidate = match self.cell {
                    Cell::MinGru { candidate, .. } | Cell::MinLstm { candidate, .. } => candidate,
                    Cell::Linear | Cell::Log => Candidate::Linear,
                };
                let state = activate(candidate, initial.val()).unsqueeze::<2>();
                Some(state.expand([sequences, self.d_hidden()]))
            }
        }
    }
}

/// A linear map as one product of matrices: a batch of products would read the weights per entry and
/// sum the weight's gradient over the batch afterwards.
pub(super) fn linear(layer: &Linear, x: Tensor<3>, deterministic: bool) -> Tensor<3> {
    let [batch, time, _] = x.dims();
    let x = x.flatten::<2>(0, 1);
    let y = if deterministic {
        let y = product(x, layer.weight.val());
        match &layer.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    } else {
        layer.forward(x)
    };
    let [_, features] = y.dims();
    if time == 0 {
        // Burn reads a 0 in the shape to reshape to as "as long as this axis is now".
        return y.reshape([0, batch, features]).swap_dims(0, 1);
    }
    y.reshape([batch, time, features])
}
