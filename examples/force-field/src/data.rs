//! Structures with energies and forces.

use anyhow::{Context, Result, bail, ensure};
use core_tensor::atoms::{Batch, Cutoffs, Structure, Vec3, extxyz};
use std::path::Path;

/// 400 frames of ethanol at 500 K by GFN2-xTB, made by `data/make.py`.
const ETHANOL: &str = include_str!("../data/ethanol-gfn2.xyz");

/// A structure and what is to be learned of it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) structure: Structure,
    /// eV.
    pub(crate) energy: f64,
    /// eV/Å.
    pub(crate) forces: Vec<Vec3>,
}

/// Reads a file, or the built-in set.
pub(crate) fn read(path: Option<&Path>) -> Result<Vec<Frame>> {
    let frames: Result<Vec<Frame>> = match path {
        Some(path) => {
            let reader = extxyz::open(path).with_context(|| path.display().to_string())?;
            reader.map(|structure| frame(structure?)).collect()
        }
        None => extxyz::Reader::new(ETHANOL.as_bytes())
            .map(|structure| frame(structure?))
            .collect(),
    };
    let name = path.map_or("the built-in set".into(), |p| p.display().to_string());
    let frames = frames.with_context(|| name.clone())?;
    ensure!(!frames.is_empty(), "{name}: no structures");
    Ok(frames)
}

fn frame(structure: Structure) -> Result<Frame> {
    let (energy, forces) = (structure.energy(), structure.forces());
    match (energy, forces) {
        (Some(energy), Some(forces)) => Ok(Frame {
            structure,
            energy,
            forces,
        }),
        (None, _) => bail!("a structure has no energy"),
        (_, None) => bail!("a structure has no forces"),
    }
}

/// What a model must know of the data before it learns.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    /// Atomic numbers, ascending.
    pub(crate) species: Vec<u8>,
    /// Mean energy per atom, eV.
    pub(crate) shift: f64,
    /// Root mean square of the components of forces, eV/Å.
    pub(crate) scale: f64,
    /// Mean number of neighbours.
    pub(crate) neighbors: f64,
}

impl Statistics {
    pub(crate) fn of(frames: &[Frame], cutoffs: &Cutoffs) -> Result<Self> {
        let structures: Vec<Structure> = frames.iter().map(|f| f.structure.clone()).collect();
        let batch = Batch::new(&structures, cutoffs)?;
        let mut species = batch.species().to_vec();
        species.sort_unstable();
        species.dedup();
        let per_atom = frames.iter().map(|f| f.energy / f.forces.len() as f64);
        let squares = frames.iter().flat_map(|f| f.forces.iter().flatten());
        let atoms = batch.species().len() as f64;
        let scale = (squares.map(|f| f * f).sum::<f64>() / (3.0 * atoms)).sqrt();
        let neighbors = batch.graph().edges() as f64 / atoms;
        ensure!(neighbors > 0.0, "no two atoms are closer than the cutoff");
        ensure!(scale > 0.0, "all forces are 0");
        Ok(Self {
            species,
            shift: per_atom.sum::<f64>() / frames.len() as f64,
            scale,
            neighbors,
        })
    }
}
