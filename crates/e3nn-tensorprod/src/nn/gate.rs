//! Scalars that scale vectors and tensors.

use super::{Activation, ActivationConfig, NnError, ScalarFunction, SecondMoment, blocks};
use crate::irreps::{Irreps, MulIrrep, SortOrder};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use core_tensor::dual::{Dual, Value};

/// Configuration of a [`Gate`].
///
/// Equal neighbours within each of the three lists are merged first, as e3nn does; functions are
/// counted after that.
#[derive(Config, Debug)]
pub struct GateConfig {
    /// Scalars that are part of the output.
    pub scalars: Irreps,
    /// One function per block of them.
    pub scalar_functions: Vec<ScalarFunction>,
    /// Scalars that gate, as many as there are gated irreps.
    pub gates: Irreps,
    /// One function per block of them.
    pub gate_functions: Vec<ScalarFunction>,
    /// What they scale.
    pub gated: Irreps,
    /// How functions are normalised.
    #[config(default = "SecondMoment::E3nn")]
    pub moment: SecondMoment,
}

impl GateConfig {
    /// Makes the layer.
    ///
    /// # Errors
    /// If functions do not match the blocks, a gate or scalar is not of degree 0, parities do not fit, or
    /// there are not as many gates as gated irreps.
    pub fn init(&self) -> Result<Gate, NnError> {
        let [scalars, gates, gated] =
            [&self.scalars, &self.gates, &self.gated].map(Irreps::simplify);
        let activation = |irreps: &Irreps, functions: &[ScalarFunction]| {
            let functions = functions.iter().copied().map(Some).collect();
            ActivationConfig::new(irreps.clone(), functions)
                .with_moment(self.moment)
                .init()
        };
        let act_scalars = activation(&scalars, &self.scalar_functions)?;
        let act_gates = activation(&gates, &self.gate_functions)?;
        if gates.num_irreps() != gated.num_irreps() {
            return Err(NnError::Gates {
                gates: gates.num_irreps(),
                gate_irreps: gates,
                gated: gated.num_irreps(),
                gated_irreps: gated,
            });
        }

        // The caller's tensor holds all blocks sorted; where does each of ours begin?
        let all = scalars + gates + gated.clone();
        let sorted = all.sort(SortOrder::DegreeFirst);
        let places = sorted.irreps.slices();
        let starts: Vec<usize> = (0..all.len()).map(|i| places[sorted.p[i]].start).collect();

        // Functions may have made neighbours equal.
        let pairs = pair_up(&gated, &act_gates.irreps_out.simplify());
        let out = pairs.iter().map(|pair| {
            let parity = pair.gate.irrep.parity().times(pair.gated.irrep.parity());
            (
                pair.gated.mul,
                crate::Irrep::new(pair.gated.irrep.l(), parity),
            )
        });
        Ok(Gate {
            irreps_in: sorted.irreps.simplify(),
            irreps_out: act_scalars.irreps_out.clone() + Irreps::new(out),
            act_scalars,
            act_gates,
            gated,
            pairs,
            starts,
        })
    }
}

/// A run of gated irreps with the gates that scale them, both of the same multiplicity.
#[derive(Debug, Clone)]
struct Pair {
    /// Where the run begins among the gated blocks put side by side.
    start: usize,
    gated: MulIrrep,
    /// Where the gates begin among all gates.
    gate_start: usize,
    gate: MulIrrep,
}

/// Cuts both lists at every border of either, so that runs have one irrep on each side.
fn pair_up(gated: &Irreps, gates: &Irreps) -> Vec<Pair> {
    let (mut pairs, mut start, mut gate_start) = (Vec::new(), 0, 0);
    let mut left = gates.iter().copied().filter(|g| g.mul > 0);
    let mut gate = left.next();
    for block in gated.iter() {
        let mut rest = block.mul;
        while rest > 0 {
            let current = gate.as_mut().expect("as many gates as gated irreps");
            let mul = rest.min(current.mul);
            pairs.push(Pair {
                start,
                gated: MulIrrep { mul, ..*block },
                gate_start,
                gate: MulIrrep { mul, ..*current },
            });
            start += mul * block.irrep.dim();
            gate_start += mul;
            rest -= mul;
            current.mul -= mul;
            if current.mul == 0 {
                gate = left.next();
            }
        }
    }
    pairs
}

/// Gated nonlinearity: `out = [f(scalars), g(gates) ⊙ gated]`, as `e3nn.nn.Gate`.
///
/// The input holds scalars, gates and gated irreps **sorted** as in e3nn (`0o` before `0e`, then by
/// degree; scalars before gates within an irrep); the output is in the order of the configuration. An odd
/// gate flips the parity of what it scales.
#[derive(Module, Debug)]
pub struct Gate {
    /// Irreps of the input, sorted and simplified.
    #[module(skip)]
    pub irreps_in: Irreps,
    /// Irreps of the output.
    #[module(skip)]
    pub irreps_out: Irreps,
    act_scalars: Activation,
    act_gates: Activation,
    #[module(skip)]
    gated: Irreps,
    #[module(skip)]
    pairs: Vec<Pair>,
    #[module(skip)]
    starts: Vec<usize>,
}

impl Gate {
    /// # Shapes
    /// `[batch, irreps_in.dim]` to `[batch, irreps_out.dim]`.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        blocks::check("Gate", &self.irreps_in, &x);
        let counts = [
            &self.act_scalars.irreps_in,
            &self.act_gates.irreps_in,
            &self.gated,
        ];
        let mut starts = self.starts.iter();
        let [scalars, gates, gated] = counts.map(|irreps| {
            let parts = irreps.iter().zip(starts.by_ref()).map(|(block, &start)| {
                let len = block.dim();
                x.clone()
                    .linear(move |x: Tensor<2>| x.narrow(1, start, len))
            });
            let parts: Vec<_> = parts.collect();
            (!parts.is_empty()).then(|| blocks::join(parts, x.clone()))
        });
        let mut out = Vec::new();
        out.extend(scalars.map(|s| self.act_scalars.forward(s)));
        if let Some((gates, gated)) = gates.map(|g| self.act_gates.forward(g)).zip(gated) {
            for pair in &self.pairs {
                let gate = blocks::block(&gates, pair.gate_start, pair.gate);
                let gated = blocks::block(&gated, pair.start, pair.gated);
                out.push(blocks::flatten(gated.bilinear(gate, |x, g| x * g)));
            }
        }
        // Without any output there is no input either.
        V::from_dual(blocks::join(out, x))
    }
}
