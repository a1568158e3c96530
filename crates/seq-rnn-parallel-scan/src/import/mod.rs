//! Weights written by other implementations, from safetensors: the layouts of three PyTorch packages,
//! and [`NamedLayout`], in which the caller names the tensors.

mod file;
mod named;

pub use named::{NamedInitial, NamedLayout, NamedLinear, NamedPlanes, Plane};

use crate::layers::MinRnn;
use crate::scan::{Candidate, Cell, Transition};
use burn::tensor::Device;
use core_tensor::state_dict::{StateDict, StateDictError};

/// Whose names and row order a file has.
///
/// Implementations also differ in the state that an unnamed initial state means: here
/// [`InitialState::Zero`](crate::InitialState) is always 0, and where a package starts from ½ or from a
/// learned vector, the imported layer has it as [`InitialState::Learned`](crate::InitialState).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// `minGRU` of minGRU-pytorch: `to_hidden_and_gate` with rows `[hidden; gate]`, `to_out` where the
    /// layer expands; no biases. Starts from 0.
    LucidrainsGru,
    /// `minLSTM` of minGRU-pytorch: `to_hidden_and_f_i_gate` with rows `[hidden; forget; input]`,
    /// `to_out`; no biases; normalised gates. Starts from 0.
    LucidrainsLstm,
    /// cheind/mingru: `to_gate_hidden` (a cell) or `gate_hidden` (a layer of `MinGRU`, with the prefix
    /// `layers.N.`), rows `[gate; hidden]`. Starts from ½: use the learned initial state.
    Cheind,
    /// `MinGRU` of mingru-scans: `linear_z`, `linear_h`, optionally `h0_pre`. Starts from ½ or its learned
    /// state: use the learned initial state.
    MingruScans,
    /// `SignedMinGRU` of mingru-scans: `linear_z`, `linear_h`, `linear_s`, optionally `h0`.
    MingruScansSigned {
        /// The package's argument of the same name, which the file does not tell.
        coupled: bool,
    },
    /// Any other file, whose tensors the caller names.
    Named(NamedLayout),
}

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no safetensors file, or a tensor is missing or of another shape or dtype than the layout needs.
    #[error("import: {0}")]
    StateDict(#[from] StateDictError),
    /// A [`NamedLayout`] does not describe its cell.
    #[error("import: layout of {cell:?}: expected {expected}, got {got}")]
    Layout {
        /// The cell of the layout.
        cell: Cell,
        /// What the cell needs.
        expected: String,
        /// What the layout names.
        got: String,
    },
    /// An initial state that is given after the activation is no value of it.
    #[error("import: initial state {name:?}: expected {expected}, got {value}")]
    InitialState {
        /// The tensor's name.
        name: String,
        /// The values that the activation takes.
        expected: &'static str,
        /// The first one outside.
        value: f64,
    },
}

/// Reads a layer from the bytes of a safetensors file. `prefix` stands before every name, such as
/// `"layers.0."`; weights keep the dtype that they have in the file.
///
/// # Errors
/// If the bytes are no safetensors file, a tensor is missing or of another shape or dtype, or a
/// [`NamedLayout`] does not fit its cell.
pub fn min_rnn_from_safetensors(
    bytes: &[u8],
    layout: Layout,
    prefix: &str,
    device: &Device,
) -> Result<MinRnn, ImportError> {
    let file = StateDict::open(bytes, device)?.at(prefix);
    layout.in_names(&file).read(&file)
}

const GRU: Cell = Cell::MinGru {
    candidate: Candidate::G,
    transition: Transition::Positive,
};
const LSTM: Cell = Cell::MinLstm {
    candidate: Candidate::G,
    normalized: true,
};

impl Layout {
    /// The layout in names, with the optional tensors that the file has.
    fn in_names(self, file: &StateDict<'_>) -> NamedLayout {
        let linear = |name: &str| {
            let bias = Some(format!("{name}.bias")).filter(|bias| file.has(bias));
            NamedLinear {
                weight: format!("{name}.weight"),
                bias,
            }
        };
        let packed = |cell, name: &str, order: &[Plane]| {
            NamedLayout::new(cell, NamedPlanes::packed(linear(name), order))
        };
        let separate = |cell, planes: &[(Plane, &str)]| {
            let planes = planes.iter().map(|&(plane, name)| (plane, linear(name)));
            NamedLayout::new(cell, NamedPlanes::Separate(planes.collect()))
        };
        let output = || file.has("to_out.weight").then(|| linear("to_out"));
        match self {
            Layout::Named(layout) => layout,
            Layout::LucidrainsGru => {
                let order = [Plane::Candidate, Plane::Update];
                packed(GRU, "to_hidden_and_gate", &order).with_output(output())
            }
            Layout::LucidrainsLstm => {
                let order = [Plane::Candidate, Plane::Forget, Plane::Input];
                packed(LSTM, "to_hidden_and_f_i_gate", &order).with_output(output())
            }
            Layout::Cheind => {
                let name = if file.has("to_gate_hidden.weight") {
                    "to_gate_hidden"
                } else {
                    "gate_hidden"
                };
                packed(GRU, name, &[Plane::Update, Plane::Candidate])
                    .with_initial(NamedInitial::ActivatedZero)
            }
            Layout::MingruScans => {
                let planes = [(Plane::Update, "linear_z"), (Plane::Candidate, "linear_h")];
                let initial = if file.has("h0_pre") {
                    NamedInitial::PreActivation("h0_pre".into())
                } else {
                    NamedInitial::ActivatedZero
                };
                separate(GRU, &planes).with_initial(initial)
            }
            Layout::MingruScansSigned { coupled } => {
                let cell = Cell::MinGru {
                    candidate: Candidate::Linear,
                    transition: if coupled {
                        Transition::SignedCoupled
                    } else {
                        Transition::Signed
                    },
                };
                let planes = [
                    (Plane::Update, "linear_z"),
                    (Plane::Candidate, "linear_h"),
                    (Plane::Transition, "linear_s"),
                ];
                let initial = if file.has("h0") {
                    NamedInitial::State("h0".into())
                } else {
                    NamedInitial::Zero
                };
                separate(cell, &planes).with_initial(initial)
            }
        }
    }
}
