//! A layout in the caller's own names.

use super::ImportError;
use super::file::{Map, linear, vector};
use crate::layers::MinRnn;
use crate::scan::{Candidate, Cell, Transition};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Tensor, TensorData};
use core_tensor::state_dict::StateDict;
use serde::{Deserialize, Serialize};

/// What a file holds and under which names, in the words of whoever has it: any implementation that
/// computes one of our cells can be read.
///
/// # Example
/// A minGRU in one packed tensor, candidate rows first, with an output projection, whose file has the
/// initial state as the state that it is:
/// ```
/// use seq_rnn_parallel_scan::import::{Layout, NamedInitial, NamedLayout, NamedLinear, NamedPlanes, Plane};
/// use seq_rnn_parallel_scan::{Candidate, Cell, Transition};
///
/// let cell = Cell::MinGru { candidate: Candidate::G, transition: Transition::Positive };
/// let rows = NamedLinear::new("proj.weight").with_bias("proj.bias");
/// let layout = Layout::Named(
///     NamedLayout::new(cell, NamedPlanes::packed(rows, &[Plane::Candidate, Plane::Update]))
///         .with_output(NamedLinear::new("down.weight"))
///         .with_initial(NamedInitial::State("h0".into())),
/// );
/// # let _ = layout;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedLayout {
    /// The recurrence that the weights belong to: [`Cell::MinGru`] or [`Cell::MinLstm`].
    pub cell: Cell,
    /// The maps from the input to the planes of the cell.
    pub planes: NamedPlanes,
    /// The map from the states to the output, where the layer has one.
    pub output: Option<NamedLinear>,
    /// The state that sequences start from by default.
    pub initial: NamedInitial,
    /// Whether weights are `[inputs, outputs]` (JAX, Keras) instead of `[outputs, inputs]` (PyTorch). The
    /// rows of packed planes are then columns.
    pub input_first: bool,
}

/// The names of a linear map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedLinear {
    /// The weight.
    pub weight: String,
    /// The bias, `[outputs]`; none means the map has none. All planes have one, or none has.
    pub bias: Option<String>,
}

/// The names of the maps to the planes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedPlanes {
    /// One map, whose outputs are equal parts, one per plane.
    Packed {
        /// The map.
        linear: NamedLinear,
        /// Which plane each part is, first rows first.
        order: Vec<Plane>,
    },
    /// One map per plane, in any order.
    Separate(Vec<(Plane, NamedLinear)>),
}

/// What a pre-activation is to its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Plane {
    /// minGRU: the update gate `z = σ(·)`, in `h ← (1 − z) h + z c`.
    Update,
    /// minGRU: the same gate of an implementation that has it the other way round,
    /// `h ← z h + (1 − z) c`. Read with the opposite sign, which is exact.
    Keep,
    /// minLSTM: the forget gate `f`.
    Forget,
    /// minLSTM: the input gate `i`.
    Input,
    /// The candidate, before its activation `c`.
    Candidate,
    /// minGRU with a signed transition: the `s` of `tanh(s)`.
    Transition,
}

/// The state that sequences start from. All but [`NamedInitial::Zero`] make a layer with
/// [`InitialState::Learned`](crate::InitialState::Learned).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedInitial {
    /// 0, and nothing learned.
    Zero,
    /// The candidate's activation of 0: ½ for [`Candidate::G`].
    ActivatedZero,
    /// A learned vector that passes through the candidate's activation first.
    PreActivation(String),
    /// A learned vector that is the state itself. It is held before the activation, so it
    /// comes back to within rounding ([`Candidate::Linear`]: exactly), and must be a value of it: over 0
    /// for [`Candidate::G`], between −1 and 1 for [`Candidate::Tanh`].
    State(String),
}

impl NamedLayout {
    /// A layout without output projection that starts from 0, weights `[outputs, inputs]`.
    pub fn new(cell: Cell, planes: NamedPlanes) -> Self {
        Self {
            cell,
            planes,
            output: None,
            initial: NamedInitial::Zero,
            input_first: false,
        }
    }

    /// With a map from the states to the output, see [`NamedLayout::output`].
    pub fn with_output(mut self, output: impl Into<Option<NamedLinear>>) -> Self {
        self.output = output.into();
        self
    }

    /// With an initial state, see [`NamedLayout::initial`].
    pub fn with_initial(mut self, initial: NamedInitial) -> Self {
        self.initial = initial;
        self
    }

    /// With weights the other way round, see [`NamedLayout::input_first`].
    pub fn with_input_first(mut self, input_first: bool) -> Self {
        self.input_first = input_first;
        self
    }

    /// Reads the layer.
    pub(super) fn read(&self, file: &StateDict<'_>) -> Result<MinRnn, ImportError> {
        let planes = self.read_planes(file)?;
        let [d_hidden, _] = planes[0].weight.dims();
        let dtype = planes[0].weight.dtype();
        let output = self.output.as_ref();
        let output = output.map(|names| self.read_output(file, names, d_hidden, dtype));
        let initial = self.read_initial(file, d_hidden, dtype)?;
        let (weights, biases): (Vec<_>, Vec<_>) =
            planes.into_iter().map(|map| (map.weight, map.bias)).unzip();
        let biases: Option<Vec<_>> = biases.into_iter().collect();
        Ok(MinRnn {
            planes: module(Map {
                weight: Tensor::cat(weights, 0),
                bias: biases.map(|biases| Tensor::cat(biases, 0)),
            }),
            output: output.transpose()?.map(module),
            initial: initial.map(Param::from_tensor),
            cell: self.cell,
            deterministic: false,
        })
    }

    /// One map per plane of the cell, in the cell's order.
    fn read_planes(&self, file: &StateDict<'_>) -> Result<Vec<Map>, ImportError> {
        let (maps, named): (Vec<Map>, Vec<Plane>) = match &self.planes {
            NamedPlanes::Packed { linear, order } => {
                self.places(order)?;
                let map = self::linear(file, linear, self.input_first)?;
                (
                    parts(file, &linear.weight, map, order.len())?,
                    order.clone(),
                )
            }
            NamedPlanes::Separate(planes) => {
                let order: Vec<Plane> = planes.iter().map(|(plane, _)| *plane).collect();
                self.places(&order)?;
                let maps = planes.iter();
                let maps = maps.map(|(_, names)| linear(file, names, self.input_first));
                let maps: Vec<Map> = maps.collect::<Result<_, _>>()?;
                let names = planes.iter().map(|(_, names)| &names.weight);
                for (name, map) in names.zip(&maps) {
                    if describe(map) != describe(&maps[0]) {
                        let expected =
                            format!("as {:?}: {}", planes[0].1.weight, describe(&maps[0]));
                        return Err(file.mismatch(name, expected, describe(map)).into());
                    }
                }
                (maps, order)
            }
        };
        let mut placed: Vec<_> = self.places(&named)?.into_iter().zip(maps).collect();
        placed.sort_by_key(|((place, _), _)| *place);
        let turned = placed.into_iter().map(|((_, negated), map)| match negated {
            false => map,
            true => Map {
                weight: -map.weight,
                bias: map.bias.map(|bias| -bias),
            },
        });
        Ok(turned.collect())
    }

    /// The place of each plane among those of the cell, and whether its sign is the opposite.
    fn places(&self, planes: &[Plane]) -> Result<Vec<(usize, bool)>, ImportError> {
        let error = |expected: String| ImportError::Layout {
            cell: self.cell,
            expected,
            got: format!("{planes:?}"),
        };
        let needed: &[Plane] = match self.cell {
            Cell::MinGru {
                transition: Transition::Positive,
                ..
            } => &[Plane::Update, Plane::Candidate],
            Cell::MinGru { .. } => &[Plane::Update, Plane::Candidate, Plane::Transition],
            Cell::MinLstm { .. } => &[Plane::Forget, Plane::Input, Plane::Candidate],
            Cell::Linear | Cell::Log => {
                return Err(error("a cell with weights, MinGru or MinLstm".into()));
            }
        };
        let place = |plane: &Plane| {
            let (plane, negated) = match plane {
                Plane::Keep => (Plane::Update, true),
                plane => (*plane, false),
            };
            let place = needed.iter().position(|p| *p == plane);
            place.map(|place| (place, negated))
        };
        let places: Option<Vec<_>> = planes.iter().map(place).collect();
        let once = |places: &Vec<(usize, bool)>| {
            let each = |place| places.iter().filter(|(p, _)| *p == place).count() == 1;
            places.len() == needed.len() && (0..needed.len()).all(each)
        };
        let expected = || format!("each of the planes {needed:?} once");
        places.filter(once).ok_or_else(|| error(expected()))
    }

    fn read_output(
        &self,
        file: &StateDict<'_>,
        names: &NamedLinear,
        d_hidden: usize,
        dtype: DType,
    ) -> Result<Map, ImportError> {
        let map = linear(file, names, self.input_first)?;
        let [outputs, inputs] = map.weight.dims();
        if inputs != d_hidden || map.weight.dtype() != dtype {
            let expected = format!("a map of {d_hidden} states in {dtype:?}");
            let got = format!("{inputs} to {outputs} in {:?}", map.weight.dtype());
            return Err(file.mismatch(&names.weight, expected, got).into());
        }
        Ok(map)
    }

    /// The initial state before its activation.
    fn read_initial(
        &self,
        file: &StateDict<'_>,
        d_hidden: usize,
        dtype: DType,
    ) -> Result<Option<Tensor<1>>, ImportError> {
        Ok(match &self.initial {
            NamedInitial::Zero => None,
            NamedInitial::ActivatedZero => Some(Tensor::zeros([d_hidden], (file.device(), dtype))),
            NamedInitial::PreActivation(name) => Some(vector(file, name, d_hidden, dtype)?),
            NamedInitial::State(name) => {
                let state = vector(file, name, d_hidden, dtype)?;
                Some(before_activation(
                    self.candidate(),
                    &file.full(name),
                    state,
                )?)
            }
        })
    }

    fn candidate(&self) -> Candidate {
        match self.cell {
            Cell::MinGru { candidate, .. } | Cell::MinLstm { candidate, .. } => candidate,
            Cell::Linear | Cell::Log => Candidate::Linear,
        }
    }
}

impl NamedLinear {
    /// A map without bias.
    pub fn new(weight: impl Into<String>) -> Self {
        Self {
            weight: weight.into(),
            bias: None,
        }
    }

    /// With a bias.
    pub fn with_bias(mut self, bias: impl Into<String>) -> Self {
        self.bias = Some(bias.into());
        self
    }
}

impl NamedPlanes {
    /// One map for all planes, in this order of rows.
    pub fn packed(linear: NamedLinear, order: &[Plane]) -> Self {
        NamedPlanes::Packed {
            linear,
            order: order.to_vec(),
        }
    }
}

/// Equal parts of a map's outputs.
fn parts(
    file: &StateDict<'_>,
    name: &str,
    map: Map,
    count: usize,
) -> Result<Vec<Map>, ImportError> {
    let [outputs, inputs] = map.weight.dims();
    if !outputs.is_multiple_of(count) {
        let expected = format!("outputs for {count} equal planes");
        let got = format!("{outputs} outputs of {inputs} inputs");
        return Err(file.mismatch(name, expected, got).into());
    }
    let weights = map.weight.chunk(count, 0);
    let biases = match map.bias {
        Some(bias) => bias.chunk(count, 0).into_iter().map(Some).collect(),
        None => vec![None; count],
    };
    let parts = weights.into_iter().zip(biases);
    Ok(parts.map(|(weight, bias)| Map { weight, bias }).collect())
}

/// What all planes have in common.
fn describe(map: &Map) -> String {
    let [outputs, inputs] = map.weight.dims();
    let bias = if map.bias.is_some() { "with" } else { "no" };
    format!(
        "{inputs} to {outputs} in {:?}, {bias} bias",
        map.weight.dtype()
    )
}

/// As Burn holds it: weight `[inputs, outputs]`.
fn module(map: Map) -> Linear {
    Linear {
        weight: Param::from_tensor(map.weight.transpose()),
        bias: map.bias.map(Param::from_tensor),
    }
}

/// The inverse of [`activate`](crate::scan::reference::activate), in f64.
fn before_activation(
    candidate: Candidate,
    name: &str,
    state: Tensor<1>,
) -> Result<Tensor<1>, ImportError> {
    type Domain = fn(f64) -> bool;
    type Inverse = fn(f64) -> f64;
    let (expected, inside, inverse): (_, Domain, Inverse) = match candidate {
        Candidate::Linear => return Ok(state),
        Candidate::G => (
            "finite values over 0, as g has them",
            |y| y > 0.0 && y.is_finite(),
            // g(v) = v + ½ from v = 0 on, σ(v) below.
            |y| match y >= 0.5 {
                true => y - 0.5,
                false => y.ln() - (-y).ln_1p(),
            },
        ),
        Candidate::Tanh => (
            "values between −1 and 1, as tanh has them",
            |y| y.abs() < 1.0,
            f64::atanh,
        ),
    };
    let data = state.to_data();
    if let Some(value) = data.iter::<f64>().find(|y| !inside(*y)) {
        return Err(ImportError::InitialState {
            name: name.to_owned(),
            expected,
            value,
        });
    }
    let values: Vec<f64> = data.iter::<f64>().map(inverse).collect();
    let data = TensorData::new(values, state.dims());
    Ok(Tensor::from_data(data, (&state.device(), state.dtype())))
}
