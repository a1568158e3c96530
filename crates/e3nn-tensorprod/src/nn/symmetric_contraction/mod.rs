//! MACE's symmetric contraction: products of up to ν copies of the features of a node.

mod basis;

pub use basis::coupling_basis;

use super::{NnError, blocks};
use crate::irreps::{Irrep, Irreps};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::cast_module;
use core_tensor::dual::{Dual, Value};
use core_tensor::product::matmul;
use std::collections::BTreeMap;

/// Configuration of a [`SymmetricContraction`].
#[derive(Config, Debug)]
pub struct SymmetricContractionConfig {
    /// Irreps of the features: different irreps, all of one multiplicity, the channels.
    pub irreps_in: Irreps,
    /// Irreps of the output, of the same multiplicity.
    pub irreps_out: Irreps,
    /// Largest number of factors ν.
    pub correlation: usize,
    /// Number of elements; each has its own weights.
    pub num_elements: usize,
}

impl SymmetricContractionConfig {
    /// Makes the layer, weights from N(0, 1) divided by the number of paths, as MACE does. `dtype` is that of weights and
    /// constants and must be the dtype of the features.
    ///
    /// # Errors
    /// If the irreps have different multiplicities or repeat, the correlation or the number of elements or channels is 0,
    /// or an output cannot be reached (MACE makes it 0).
    pub fn init(&self, device: &Device, dtype: DType) -> Result<SymmetricContraction, NnError> {
        const LAYER: &str = "SymmetricContraction";
        let channels = self.irreps_in.first().map_or(0, |b| b.mul);
        for irreps in [&self.irreps_in, &self.irreps_out] {
            let repeats =
                (1..irreps.len()).any(|i| irreps[..i].iter().any(|b| b.irrep == irreps[i].irrep));
            if repeats || irreps.iter().any(|b| b.mul != channels) {
                return Err(NnError::Channels {
                    layer: LAYER,
                    irreps: irreps.clone(),
                });
            }
        }
        let numbers = [
            ("correlation", self.correlation),
            ("num_elements", self.num_elements),
            ("number of channels", channels),
        ];
        if let Some((name, _)) = numbers.into_iter().find(|&(_, number)| number == 0) {
            return Err(NnError::Number {
                layer: LAYER,
                name,
                value: 0.0,
                expected: "at least 1",
            });
        }
        let coupled = Irreps::new(self.irreps_in.iter().map(|b| (1, b.irrep)));
        let monomials = monomials(coupled.dim(), self.correlation);
        let mut contractions = Vec::new();
        for block in self.irreps_out.iter() {
            let contraction = Contraction::new(
                &coupled,
                block.irrep,
                &monomials,
                [self.num_elements, channels],
                (device, dtype),
            );
            contractions.push(contraction.ok_or_else(|| NnError::Unreachable {
                correlation: self.correlation,
                irreps: coupled.clone(),
                irrep: block.irrep,
            })?);
        }
        let factors = monomials
            .windows(2)
            .map(|pair| Factors::new(&pair[0], &pair[1], device));
        let layer = SymmetricContraction {
            factors: factors.collect(),
            contractions,
            irreps_in: self.irreps_in.clone(),
            irreps_out: self.irreps_out.clone(),
        };
        // Burn draws in the default precision of the device.
        let drawn = Tensor::<1>::empty([1], device).dtype();
        Ok(if drawn == dtype {
            layer
        } else {
            cast_module(layer, dtype)
        })
    }
}

/// The monomials of each order `1..=correlation` in `dim` variables, each as ascending indices.
fn monomials(dim: usize, correlation: usize) -> Vec<Vec<Vec<usize>>> {
    let mut orders = vec![(0..dim).map(|i| vec![i]).collect::<Vec<_>>()];
    for _ in 1..correlation {
        let last = orders.last().expect("the first order");
        let next = last.iter().flat_map(|m| {
            let first = m[m.len() - 1];
            (first..dim).map(move |i| m.iter().copied().chain([i]).collect())
        });
        let next = next.collect();
        orders.push(next);
    }
    orders
}

/// How the monomials of one order arise from those of the order below: times one variable.
#[derive(Module, Debug)]
struct Factors {
    below: Tensor<1, Int>,
    variable: Tensor<1, Int>,
}

impl Factors {
    fn new(below: &[Vec<usize>], order: &[Vec<usize>], device: &Device) -> Self {
        let places: BTreeMap<&[usize], usize> = below
            .iter()
            .enumerate()
            .map(|(n, m)| (m.as_slice(), n))
            .collect();
        let index = |values: Vec<i64>| {
            let len = values.len();
            Tensor::from_data(TensorData::new(values, [len]), device)
        };
        let split = order
            .iter()
            .map(|m| m.split_last().expect("an order above 0"));
        Self {
            below: index(split.clone().map(|(_, rest)| places[rest] as i64).collect()),
            variable: index(split.map(|(&last, _)| last as i64).collect()),
        }
    }
}

/// The part of the layer that makes one output irrep.
#[derive(Module, Debug)]
pub struct Contraction {
    /// Weights `[elements, paths, channels]` of each order `1..=correlation` that has paths.
    pub weights: Vec<Option<Param<Tensor<3>>>>,
    /// `[monomials, (2l + 1) · paths]` per order.
    basis: Vec<Option<Tensor<2>>>,
}

impl Contraction {
    /// `None` if no order reaches the irrep.
    fn new(
        irreps: &Irreps,
        out: Irrep,
        monomials: &[Vec<Vec<usize>>],
        [elements, channels]: [usize; 2],
        (device, dtype): (&Device, DType),
    ) -> Option<Self> {
        let (mut weights, mut basis) = (Vec::new(), Vec::new());
        for (order, monomials) in monomials.iter().enumerate() {
            let paths = coupling_basis(irreps, out, order + 1);
            if paths.iter().flatten().all(|&c| c == 0.0) {
                weights.push(None);
                basis.push(None);
                continue;
            }
            let summed = symmetric(&paths, monomials, [out.dim(), irreps.dim()]);
            let shape = [monomials.len(), out.dim() * paths.len()];
            basis.push(Some(Tensor::from_data(
                TensorData::new(summed, shape),
                (device, dtype),
            )));
            let normal = Initializer::Normal {
                mean: 0.0,
                std: 1.0 / paths.len() as f64,
            };
            weights.push(Some(normal.init([elements, paths.len(), channels], device)));
        }
        let reached = basis.iter().any(Option::is_some);
        reached.then_some(Self { weights, basis })
    }

    /// `Σ_k W[element, k, c] Σ_m U[m, o, k] M[b, c, m]` for one order.
    fn order(
        &self,
        order: usize,
        monomials: &Dual<3>,
        elements: &Tensor<1, Int>,
    ) -> Option<Dual<3>> {
        let (basis, weights) = (self.basis[order].as_ref()?, self.weights[order].as_ref()?);
        let [batch, channels, count] = monomials.value.dims();
        let [_, paths, _] = weights.dims();
        let dim = basis.dims()[1] / paths;
        let weights = weights.val().select(0, elements.clone()).swap_dims(1, 2);
        // Three axes, not four: where rows have gaps in memory (CUDA), Fusion of Burn 0.22.1 gets gradients of the sum of two such
        // orders wrong with an axis for each of batch and channels.
        let weights = weights.reshape([batch * channels, 1, paths]);
        Some(monomials.clone().linear(|m: Tensor<3>| {
            let coupled = matmul(m.reshape([batch * channels, count]), basis.clone());
            let coupled = coupled.reshape([batch * channels, dim, paths]);
            (coupled * weights.clone())
                .sum_dim(2)
                .reshape([batch, channels, dim])
        }))
    }
}

/// The coefficients of each monomial, summed over the orders in which its factors can be written:
/// `[monomials, (2l + 1) · paths]`.
fn symmetric(paths: &[Vec<f64>], monomials: &[Vec<usize>], [dim_out, dim]: [usize; 2]) -> Vec<f64> {
    let places: BTreeMap<&[usize], usize> = monomials
        .iter()
        .enumerate()
        .map(|(n, m)| (m.as_slice(), n))
        .collect();
    let order = monomials.first().map_or(0, Vec::len);
    let columns = dim_out * paths.len();
    let mut summed = vec![0.0; monomials.len() * columns];
    for (k, path) in paths.iter().enumerate() {
        let size = dim.pow(order as u32);
        for (place, &c) in path.iter().enumerate().filter(|&(_, &c)| c != 0.0) {
            let (o, mut rest) = (place / size, place % size);
            let mut indices: Vec<usize> = (0..order)
                .map(|_| {
                    let i = rest % dim;
                    rest /= dim;
                    i
                })
                .collect();
            indices.sort_unstable();
            summed[places[indices.as_slice()] * columns + o * paths.len() + k] += c;
        }
    }
    summed
}

/// Products of up to ν copies of the features of a node, coupled to given irreps with learned weights per
/// element and channel (MACE, arXiv 2206.07697, eq. 10 and 11):
///
/// `out[b, c, o] = Σ_{n ≤ ν} Σ_k W⁽ⁿ⁾[e_b, k, c] Σ_{i₁…i_n} U⁽ⁿ⁾[o, i₁, …, i_n, k] x[b, c, i₁] ⋯ x[b, c, i_n]`
///
/// The sum over index tuples is folded onto the distinct monomials once, when the layer is made; each order
/// is then one matrix product. Weights have MACE's meaning (`mace-torch`, without the reduced basis).
/// Where an order does not reach an output, a new contraction of mace-torch 0.3.16 has zeros for weights of another order, by
/// a slip in their numbering; weights that are read are what they are.
/// `MACE`'s `weights_max` is the last entry of [`Contraction::weights`], its `weights.i` the entry for
/// `ν − 1 − i`.
///
/// Memory: `batch · channels · monomials` values per order; there are `(dim + n − 1 choose n)` monomials.
#[derive(Module, Debug)]
pub struct SymmetricContraction {
    factors: Vec<Factors>,
    /// One per irrep of the output.
    pub contractions: Vec<Contraction>,
    /// Irreps of the features.
    #[module(skip)]
    pub irreps_in: Irreps,
    /// Irreps of the output.
    #[module(skip)]
    pub irreps_out: Irreps,
}

impl SymmetricContraction {
    /// # Shapes
    /// `x` `[batch, irreps_in.dim]`, `elements` `[batch]`, the element of each node; returns
    /// `[batch, irreps_out.dim]`.
    ///
    /// # Panics
    /// If the shapes disagree.
    pub fn forward<V: Value<2>>(&self, x: V, elements: Tensor<1, Int>) -> V {
        let x: Dual<2> = x.into();
        blocks::check("SymmetricContraction", &self.irreps_in, &x);
        let [batch, _] = x.value.dims();
        assert!(
            elements.dims() == [batch],
            "SymmetricContraction: expected {batch} elements, got {}",
            elements.dims()[0]
        );
        let slices = self.irreps_in.slices();
        let parts = self.irreps_in.iter().zip(&slices);
        let parts: Vec<_> = parts
            .map(|(&b, range)| blocks::block(&x, range.start, b))
            .collect();
        let features = Dual::cat(parts, 2);

        let mut monomials = features.clone();
        let mut sums: Vec<Option<Dual<3>>> = vec![None; self.contractions.len()];
        for order in 0..=self.factors.len() {
            if order > 0 {
                let Factors { below, variable } = &self.factors[order - 1];
                let factor = features
                    .clone()
                    .linear(|x: Tensor<3>| x.select(2, variable.clone()));
                let below = monomials.linear(|m: Tensor<3>| m.select(2, below.clone()));
                monomials = below.bilinear(factor, |a, b| a * b);
            }
            for (sum, contraction) in sums.iter_mut().zip(&self.contractions) {
                let new = contraction.order(order, &monomials, &elements);
                *sum = match (sum.take(), new) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
        }
        let parts = sums
            .into_iter()
            .map(|s| blocks::flatten(s.expect("every output is reached")));
        let parts: Vec<_> = parts.collect();
        V::from_dual(blocks::join(parts, x))
    }
}
