//! A message-passing potential after NequIP (arXiv 2101.03164).

use anyhow::{Context, Result};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::atoms::{Batch, BatchTensors};
use core_tensor::dual::Dual;
use core_tensor::force::Potential;
use core_tensor::state_dict::{StateDict, StateDictWriter};
use e3nn_tensorprod::conv::{Convolution, ConvolutionConfig};
use e3nn_tensorprod::import::StateDictModule;
use e3nn_tensorprod::nn::{
    FullyConnectedNet, FullyConnectedNetConfig, Gate, GateConfig, ScalarFunction,
};
use e3nn_tensorprod::product::RowClasses;
use e3nn_tensorprod::radial::{Bessel, BesselConfig, polynomial_cutoff};
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::{Irrep, Irreps, Linear, LinearConfig, Parity};
use std::sync::Arc;

/// Configuration of a [`ForceField`].
#[derive(Config, Debug)]
pub(crate) struct ForceFieldConfig {
    /// Atomic numbers that it knows, ascending.
    pub(crate) species: Vec<u8>,
    /// Distance up to which atoms see each other, Å.
    pub(crate) cutoff: f64,
    /// Copies of every irrep of the features.
    pub(crate) channels: usize,
    /// Largest degree of features and harmonics.
    pub(crate) lmax: usize,
    /// Rounds of messages.
    pub(crate) layers: usize,
    /// Average number of neighbours of an atom.
    pub(crate) neighbors: f64,
    /// Mean energy of an atom, eV, which [`ForceField`] leaves out: f32 has no digits for it.
    pub(crate) shift: f64,
    /// Size of what is learned, eV: that of the forces, so that weights of order 1 will do.
    pub(crate) scale: f64,
}

/// Functions of the distance.
const BASIS: usize = 8;
/// Width of the radial networks.
const RADIAL: usize = 32;

/// A batch as the potential takes it.
pub(crate) struct System {
    batch: BatchTensors,
    /// Place of every atom's species among those that the model knows.
    species: Tensor<1, Int>,
    classes: Arc<RowClasses>,
}

#[derive(Module, Debug)]
struct Interaction {
    up: Linear,
    radial: FullyConnectedNet,
    mix: Linear,
    /// The self-connection, with weights of every species.
    skip: Linear,
    gate: Gate,
    #[module(skip)]
    conv: Convolution,
}

/// The potential: an embedding of the species, rounds of messages, a readout of every atom's energy (less
/// [`ForceFieldConfig::shift`]).
#[derive(Module, Debug)]
pub(crate) struct ForceField {
    embedding: Param<Tensor<2>>,
    bessel: Bessel,
    interactions: Vec<Interaction>,
    readout: FullyConnectedNet,
    #[module(skip)]
    pub(crate) config: ForceFieldConfig,
}

impl ForceFieldConfig {
    /// Makes the model with random weights.
    pub(crate) fn init(&self, device: &Device) -> Result<ForceField> {
        let channels = self.channels;
        let scalar = Irrep::SCALAR;
        let sh = Irreps::spherical_harmonics(self.lmax, Parity::Odd);
        let mut input = Irreps::new([(channels, scalar)]);
        let mut interactions = Vec::new();
        for layer in 1..=self.layers {
            // Invariants are all that the readout takes.
            let lmax = if layer == self.layers { 0 } else { self.lmax };
            let gate = gate(channels, lmax)?;
            let conv = ConvolutionConfig::new(input.clone(), sh.clone(), gate.irreps_in.clone());
            let conv = conv.init()?;
            let sizes = vec![BASIS, RADIAL, conv.weight_numel()];
            let linear = |from: &Irreps, to: &Irreps| LinearConfig::new(from.clone(), to.clone());
            interactions.push(Interaction {
                up: linear(&input, &input).init(device)?,
                radial: FullyConnectedNetConfig::new(sizes, ScalarFunction::Silu).init(device)?,
                mix: linear(conv.irreps_out(), &gate.irreps_in).init(device)?,
                skip: linear(&input, &gate.irreps_in)
                    .with_classes(Some(self.species.len()))
                    .init(device)?,
                conv,
                gate: gate.clone(),
            });
            input = gate.irreps_out;
        }
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 1.0,
        };
        let readout = FullyConnectedNetConfig::new(vec![channels, 16, 1], ScalarFunction::Silu);
        Ok(ForceField {
            embedding: normal.init([self.species.len(), channels], device),
            bessel: BesselConfig::nequip(self.cutoff, BASIS).init(device, DType::F32),
            interactions,
            readout: readout.init(device)?,
            config: self.clone(),
        })
    }
}

/// Scalars of even parity, and copies of every irrep of degrees 1 to `lmax`, gated.
fn gate(channels: usize, lmax: usize) -> Result<Gate> {
    let gated = Irreps::new(Irrep::all(lmax).map(|irrep| (channels, irrep)));
    let gated = gated.filter(|block| block.irrep.l() > 0);
    let scalars = |mul| Irreps::new([(mul, Irrep::SCALAR)]);
    let config = GateConfig::new(
        scalars(channels),
        vec![ScalarFunction::Silu],
        scalars(gated.num_irreps()).filter(|block| block.mul > 0),
        vec![ScalarFunction::Sigmoid; usize::from(lmax > 0)],
        gated,
    );
    Ok(config.init()?)
}

impl ForceField {
    /// Positions and the rest of a batch.
    pub(crate) fn system(&self, batch: &Batch, device: &Device) -> Result<(Tensor<2>, System)> {
        let known = &self.config.species;
        let places: Result<Vec<usize>> = batch
            .species()
            .iter()
            .map(|z| {
                let place = known.binary_search(z).ok();
                place.with_context(|| format!("the model does not know atomic number {z}"))
            })
            .collect();
        let places = places?;
        let (positions, tensors) = batch.to_tensors(DType::F32, device);
        let classes = RowClasses::new(&places, known.len())?;
        let list: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let count = list.len();
        Ok((
            positions,
            System {
                batch: tensors,
                species: Tensor::from_data(TensorData::new(list, [count]), device),
                classes,
            },
        ))
    }

    /// The weights as a safetensors file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut file = StateDictWriter::new();
        file.insert("embedding", self.embedding.val());
        file.insert("bessel.frequencies", self.bessel.frequencies.val());
        for (n, layer) in self.interactions.iter().enumerate() {
            let at = |name: &str| format!("interactions.{n}.{name}.");
            layer.up.save_state_dict(&at("up"), &mut file);
            layer.radial.save_state_dict(&at("radial"), &mut file);
            layer.mix.save_state_dict(&at("mix"), &mut file);
            layer.skip.save_state_dict(&at("skip"), &mut file);
        }
        self.readout.save_state_dict("readout.", &mut file);
        Ok(file.to_bytes()?)
    }

    /// With the weights of [`to_bytes`](Self::to_bytes).
    pub(crate) fn with_bytes(mut self, bytes: &[u8], device: &Device) -> Result<Self> {
        let state = StateDict::open(bytes, device)?;
        let shape = self.embedding.dims();
        self.embedding = Param::from_tensor(state.shaped("embedding", shape)?);
        let frequencies = state.shaped("bessel.frequencies", [BASIS])?;
        self.bessel.frequencies = Param::from_tensor(frequencies);
        let load = |(n, layer): (usize, Interaction)| -> Result<Interaction> {
            let at = |name: &str| state.at(&format!("interactions.{n}.{name}."));
            Ok(Interaction {
                up: layer.up.load_state_dict(&at("up"))?,
                radial: layer.radial.load_state_dict(&at("radial"))?,
                mix: layer.mix.load_state_dict(&at("mix"))?,
                skip: layer.skip.load_state_dict(&at("skip"))?,
                ..layer
            })
        };
        let layers = self.interactions.into_iter().enumerate();
        self.interactions = layers.map(load).collect::<Result<_>>()?;
        self.readout = self.readout.load_state_dict(&state.at("readout."))?;
        Ok(self)
    }
}

impl Potential for ForceField {
    type System = System;

    fn energies(&self, system: &System, positions: Dual<2>, strain: Option<Dual<3>>) -> Dual<1> {
        let ForceFieldConfig {
            cutoff,
            lmax,
            neighbors,
            scale,
            ..
        } = self.config;
        let graph = system.batch.graph();
        let vectors = system.batch.vectors(positions, strain);
        let r = vectors.clone().norm_dim(1);
        let basis = self.bessel.forward(r.clone()) * polynomial_cutoff(r, cutoff, 6);
        let degrees: Vec<usize> = (0..=lmax).collect();
        let y = spherical_harmonics(&degrees, vectors, true, Normalization::Component);

        let embedded = self.embedding.val().select(0, system.species.clone());
        let mut x = Dual::constant(embedded);
        for layer in &self.interactions {
            let skip = layer.skip.forward_by_class(x.clone(), &system.classes);
            let hidden = layer.radial.hidden(basis.clone());
            let last = layer.radial.weights.last().expect("two layers").val();
            let up = layer.up.forward(x);
            let sums = layer
                .conv
                .forward_radial(up, y.clone(), hidden, last, graph);
            let messages = layer.mix.forward(sums * (1.0 / neighbors.sqrt()));
            x = layer.gate.forward(messages + skip);
        }
        let per_atom = self.readout.forward(x) * scale;
        system.batch.sum_by_structure(per_atom)
    }
}
