//! Weights written by other packages: the same numbers in another order.
//!
//! A weight means the same everywhere (coupled irreps with component normalisation, paths normalised by
//! element), but packages list paths, and the weights of a path, in orders of their own. A [`Reordering`] maps one
//! list to the other, both ways.
//!
//! | package | channel-wise products | fully connected products, linear maps |
//! |---|---|---|
//! | e3nn, NequIP, SevenNet | paths as found: features, harmonics, outputs | as here |
//! | MACE | paths by output | as here |
//! | OpenEquivariance | paths by output | copies in groups of 32; within a group the second input first |
//! | cuEquivariance | paths by output, irreps even under natural parity first | as here |
//!
//! Features differ too: cuEquivariance has them component after component ([`Layout::IrMul`](crate::Layout)), and sorts
//! irreps by [`SortOrder::ParityFirst`]. e3nn-jax scales the weights of its linear maps otherwise: divide those by
//! its initial standard deviation.

use crate::conv::Convolution;
use crate::irreps::{Irrep, SortOrder};
use crate::product::{ConnectionMode, ProductPlan};
use burn::tensor::{Int, Tensor, TensorData};

/// Who wrote the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Package {
    /// e3nn, or a package that uses its products and lists paths as they are found.
    E3nn,
    /// NequIP.
    NequIp,
    /// MACE (`tp_out_irreps_with_instructions`).
    Mace,
    /// cuEquivariance (`cue.descriptors`).
    CuEquivariance,
    /// OpenEquivariance (`reorder_weights_from_e3nn` makes its order).
    OpenEquivariance,
}

/// Why weights cannot be reordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The package does not have such a path.
    #[error("weights: {package:?} has no path of mode {mode} (instruction {instruction})")]
    Mode {
        /// The package.
        package: Package,
        /// The mode.
        mode: ConnectionMode,
        /// Which instruction has it.
        instruction: usize,
    },
}

/// Another order of the same numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reordering {
    /// Where each number comes from.
    from: Vec<usize>,
}

impl Reordering {
    /// Number of weights.
    pub fn len(&self) -> usize {
        self.from.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// Whether nothing moves.
    pub fn is_identity(&self) -> bool {
        self.from.iter().enumerate().all(|(i, &from)| i == from)
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let mut from = vec![0; self.len()];
        for (to, &origin) in self.from.iter().enumerate() {
            from[origin] = to;
        }
        Self { from }
    }

    /// The numbers in the new order.
    ///
    /// # Panics
    /// If there are not [`len`](Self::len) of them.
    pub fn apply<T: Clone>(&self, weights: &[T]) -> Vec<T> {
        assert!(
            weights.len() == self.len(),
            "Reordering: expected {} weights, got {}",
            self.len(),
            weights.len()
        );
        self.from.iter().map(|&i| weights[i].clone()).collect()
    }

    /// The numbers along the last axis in the new order: weights of edges, or the last matrix of the network
    /// that makes them.
    ///
    /// # Panics
    /// If that axis has not [`len`](Self::len) of them.
    pub fn apply_last<const D: usize>(&self, weights: Tensor<D>) -> Tensor<D> {
        let last = weights.dims()[D - 1];
        assert!(
            last == self.len(),
            "Reordering: expected a last axis of {}, got {last}",
            self.len()
        );
        if self.is_identity() {
            return weights;
        }
        let from = self.from.iter().map(|&i| i as i64).collect::<Vec<_>>();
        let device = weights.device();
        let from = Tensor::<1, Int>::from_data(TensorData::new(from, [self.len()]), &device);
        weights.select(D - 1, from)
    }
}

/// From the order in which `package` keeps the weights of a channel-wise product of these irreps to that of `conv`.
pub fn channelwise(conv: &Convolution, package: Package) -> Reordering {
    let paths = conv.paths();
    let listed = paths.paths();
    let irrep = |n: usize| {
        let [x, y] = [
            conv.irreps_in()[listed[n].input].irrep,
            conv.irreps_sh()[listed[n].harmonic].irrep,
        ];
        let l = (paths.compiled()[n].dims[2] - 1) / 2;
        Irrep::new(l, x.parity().times(y.parity()))
    };
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_by_key(|&n| (listed[n].input, listed[n].harmonic, irrep(n).l()));
    let sorted = match package {
        Package::E3nn | Package::NequIp => None,
        Package::Mace | Package::OpenEquivariance => Some(SortOrder::DegreeFirst),
        Package::CuEquivariance => Some(SortOrder::ParityFirst),
    };
    if let Some(sort) = sorted {
        order.sort_by(|&a, &b| sort.compare(irrep(a), irrep(b)));
    }
    let mut from = vec![0; conv.weight_numel()];
    let mut theirs = 0;
    for n in order {
        let path = &paths.compiled()[n];
        for u in 0..path.channels {
            from[path.weight + u] = theirs + u;
        }
        theirs += path.channels;
    }
    Reordering { from }
}

/// From the order in which `package` keeps the weights of a tensor product with the instructions of `plan` to that of
/// `plan`.
///
/// # Errors
/// If the package has no such product: OpenEquivariance knows weighted paths of mode `uvw` and `uvu` only.
pub fn product(plan: &ProductPlan, package: Package) -> Result<Reordering, WeightsError> {
    let mut theirs = Vec::with_capacity(plan.weight_numel());
    for (instruction, path) in plan.paths().iter().enumerate() {
        let start = path.weights.start;
        if package != Package::OpenEquivariance {
            theirs.extend(path.weights.clone());
            continue;
        }
        let [m1, m2, m3] = path.mul;
        let m3 = match path.instruction.mode {
            ConnectionMode::Uvw => m3,
            ConnectionMode::Uvu if path.instruction.has_weight => 1,
            mode => {
                return Err(WeightsError::Mode {
                    package,
                    mode,
                    instruction,
                });
            }
        };
        for us in groups(m1) {
            for vs in groups(m2) {
                for ws in groups(m3) {
                    for v in vs.clone() {
                        for u in us.clone() {
                            theirs.extend(ws.clone().map(|w| start + (u * m2 + v) * m3 + w));
                        }
                    }
                }
            }
        }
    }
    // `theirs` says where each of their weights lies here.
    Ok(Reordering { from: theirs }.inverse())
}

/// Copies in groups of at most 32, the width of a warp.
fn groups(copies: usize) -> impl Iterator<Item = core::ops::Range<usize>> + Clone {
    const WARP: usize = 32;
    (0..copies)
        .step_by(WARP)
        .map(move |start| start..copies.min(start + WARP))
}
