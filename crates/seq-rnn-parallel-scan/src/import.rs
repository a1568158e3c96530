//! Weights written by the PyTorch implementations, from safetensors.

use crate::layers::{MinGruConfig, MinLstmConfig, MinRnn};
use crate::scan::{Candidate, Transition};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Whose names and row order a file has.
///
/// Implementations also differ in the state that an unnamed initial state means: here
/// [`InitialState::Zero`](crate::InitialState) is always 0, and where a package starts from ½ or from a
/// learned vector, the imported layer has it as [`InitialState::Learned`](crate::InitialState).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no safetensors file.
    #[error("import: no valid safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor is not there.
    #[error("import: expected a tensor {name:?}; the file has {available:?}")]
    Missing {
        /// Its name.
        name: String,
        /// Names in the file, the first twenty.
        available: Vec<String>,
    },
    /// A tensor has another shape or dtype than the layout needs.
    #[error("import: tensor {name:?}: expected {expected}, got {got}")]
    Tensor {
        /// Its name.
        name: String,
        /// What the layout needs.
        expected: String,
        /// What the file has.
        got: String,
    },
}

/// Reads a layer from the bytes of a safetensors file. `prefix` stands before every name, such as
/// `"layers.0."`; weights keep the dtype that they have in the file.
///
/// # Errors
/// If the bytes are no safetensors file, or a tensor is missing or of another shape.
pub fn min_rnn_from_safetensors(
    bytes: &[u8],
    layout: Layout,
    prefix: &str,
    device: &Device,
) -> Result<MinRnn, ImportError> {
    let file = File {
        tensors: SafeTensors::deserialize(bytes)?,
        prefix,
    };
    // Rows of the file's planes in the order of our cell, biases, output, initial state.
    let (planes, output, initial) = match layout {
        Layout::LucidrainsGru => {
            let rows = file.rows("to_hidden_and_gate", 2, device)?;
            (pick(rows, &[1, 0]), file.linear("to_out", device)?, None)
        }
        Layout::LucidrainsLstm => {
            let rows = file.rows("to_hidden_and_f_i_gate", 3, device)?;
            (pick(rows, &[1, 2, 0]), file.linear("to_out", device)?, None)
        }
        Layout::Cheind => {
            let cell = file.has("to_gate_hidden.weight");
            let name = if cell {
                "to_gate_hidden"
            } else {
                "gate_hidden"
            };
            (file.rows(name, 2, device)?, None, Some(Start::Half))
        }
        Layout::MingruScans => {
            let rows = file.each(&["linear_z", "linear_h"], device)?;
            let initial = file
                .vector("h0_pre", device)?
                .map_or(Start::Half, Start::Learned);
            (rows, None, Some(initial))
        }
        Layout::MingruScansSigned { .. } => {
            let rows = file.each(&["linear_z", "linear_h", "linear_s"], device)?;
            (rows, None, file.vector("h0", device)?.map(Start::Learned))
        }
    };
    let [hidden, d_input] = planes[0].0.dims();
    let gru = MinGruConfig::new(d_input, hidden).with_learned_initial(initial.is_some());
    let mut layer = match layout {
        Layout::LucidrainsLstm => MinLstmConfig::new(d_input, hidden).init(device),
        Layout::MingruScansSigned { coupled } => {
            let transition = if coupled {
                Transition::SignedCoupled
            } else {
                Transition::Signed
            };
            gru.with_candidate(Candidate::Linear)
                .with_transition(transition)
                .init(device)
        }
        _ => gru.init(device),
    };
    let dtype = planes[0].0.dtype();
    let biased = planes[0].1.is_some();
    let (weights, biases): (Vec<_>, Vec<_>) = planes.into_iter().unzip();
    layer.planes = Linear {
        weight: Param::from_tensor(Tensor::cat(weights, 0).transpose()),
        bias: biased
            .then(|| Param::from_tensor(Tensor::cat(biases.into_iter().flatten().collect(), 0))),
    };
    layer.output = output;
    layer.initial = initial.map(|start| {
        Param::from_tensor(match start {
            Start::Learned(value) => value,
            // g(0) = ½.
            Start::Half => Tensor::zeros([hidden], (device, dtype)),
        })
    });
    Ok(layer)
}

/// The initial state of a package, before its activation.
enum Start {
    Half,
    Learned(Tensor<1>),
}

/// Weight `[hidden, input]` and bias `[hidden]` of one plane.
type Plane = (Tensor<2>, Option<Tensor<1>>);

fn pick(planes: Vec<Plane>, order: &[usize]) -> Vec<Plane> {
    order.iter().map(|&i| planes[i].clone()).collect()
}

struct File<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'a str,
}

impl File<'_> {
    fn has(&self, name: &str) -> bool {
        self.tensors
            .tensor(&format!("{}{name}", self.prefix))
            .is_ok()
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, ImportError> {
        let name = format!("{}{name}", self.prefix);
        self.tensors.tensor(&name).map_err(|_| {
            let mut available: Vec<String> =
                self.tensors.names().into_iter().map(String::from).collect();
            available.sort();
            available.truncate(20);
            ImportError::Missing { name, available }
        })
    }

    fn tensor<const D: usize>(
        &self,
        name: &str,
        device: &Device,
    ) -> Result<Tensor<D>, ImportError> {
        let view = self.view(name)?;
        let error = |expected: String| ImportError::Tensor {
            name: format!("{}{name}", self.prefix),
            expected,
            got: format!("{:?} {:?}", view.dtype(), view.shape()),
        };
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            _ => return Err(error("a float dtype".into())),
        };
        if view.shape().len() != D || view.shape().contains(&0) {
            return Err(error(format!("{D} axes, none of them empty")));
        }
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        Ok(Tensor::from_data(data, (device, dtype)))
    }

    /// A linear map's weight and bias, the latter checked against the former.
    fn plane(&self, name: &str, device: &Device) -> Result<Plane, ImportError> {
        let weight: Tensor<2> = self.tensor(&format!("{name}.weight"), device)?;
        let bias = format!("{name}.bias");
        if !self.has(&bias) {
            return Ok((weight, None));
        }
        let tensor: Tensor<1> = self.tensor(&bias, device)?;
        let expected = [weight.dims()[0]];
        if tensor.dims() != expected || tensor.dtype() != weight.dtype() {
            return Err(ImportError::Tensor {
                name: format!("{}{bias}", self.prefix),
                expected: format!("{:?} {expected:?}", weight.dtype()),
                got: format!("{:?} {:?}", tensor.dtype(), tensor.dims()),
            });
        }
        Ok((weight, Some(tensor)))
    }

    /// A linear map split by rows into equal planes.
    fn rows(&self, name: &str, count: usize, device: &Device) -> Result<Vec<Plane>, ImportError> {
        let (weight, bias) = self.plane(name, device)?;
        let [rows, columns] = weight.dims();
        if !rows.is_multiple_of(count) {
            return Err(ImportError::Tensor {
                name: format!("{}{name}.weight", self.prefix),
                expected: format!("rows for {count} equal planes"),
                got: format!("[{rows}, {columns}]"),
            });
        }
        let weights = weight.chunk(count, 0);
        let biases = match bias {
            Some(bias) => bias.chunk(count, 0).into_iter().map(Some).collect(),
            None => vec![None; count],
        };
        Ok(weights.into_iter().zip(biases).collect())
    }

    /// Linear maps of the same shape, one per plane.
    fn each(&self, names: &[&str], device: &Device) -> Result<Vec<Plane>, ImportError> {
        let planes: Vec<Plane> = names
            .iter()
            .map(|name| self.plane(name, device))
            .collect::<Result<_, _>>()?;
        let describe = |(weight, bias): &Plane| (weight.dims(), weight.dtype(), bias.is_some());
        for (name, plane) in names.iter().zip(&planes) {
            if describe(plane) != describe(&planes[0]) {
                return Err(ImportError::Tensor {
                    name: format!("{}{name}", self.prefix),
                    expected: format!("as {:?}: {:?}", names[0], describe(&planes[0])),
                    got: format!("{:?}", describe(plane)),
                });
            }
        }
        Ok(planes)
    }

    /// An optional linear map.
    fn linear(&self, name: &str, device: &Device) -> Result<Option<Linear>, ImportError> {
        if !self.has(&format!("{name}.weight")) {
            return Ok(None);
        }
        let (weight, bias) = self.plane(name, device)?;
        Ok(Some(Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: bias.map(Param::from_tensor),
        }))
    }

    /// An optional vector, stored with leading axes of 1.
    fn vector(&self, name: &str, device: &Device) -> Result<Option<Tensor<1>>, ImportError> {
        if !self.has(name) {
            return Ok(None);
        }
        let tensor: Tensor<3> = self.tensor(name, device)?;
        Ok(Some(tensor.flatten(0, 2)))
    }
}
