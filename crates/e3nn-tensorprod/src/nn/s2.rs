//! Signals on the sphere: to a grid, a function of every value, and back.

use super::{NnError, ScalarFunction, SecondMoment, blocks};
use crate::irreps::{Irrep, Irreps, Parity};
use crate::sh::{Evaluator, Normalization};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::dual::{Dual, Value};
use core_tensor::product::matmul;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How coefficients are scaled to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum S2Normalization {
    /// Coefficients of variance 1 give values of variance 1.
    Component,
    /// Irreps of length 1 give values of variance 1.
    Norm,
    /// The harmonics are orthonormal under the integral over the sphere.
    Integral,
}

impl S2Normalization {
    /// What the orthonormal harmonics of degree `l` are multiplied by on the way to the grid, for a signal up to
    /// `lmax`.
    fn to_grid(self, l: usize, lmax: usize) -> f64 {
        let degrees = (lmax + 1) as f64;
        match self {
            Self::Component => (4.0 * PI / ((2 * l + 1) as f64 * degrees)).sqrt(),
            Self::Norm => (4.0 * PI / degrees).sqrt(),
            Self::Integral => 1.0,
        }
    }
}

/// A grid of Kostelec and Rockmore: latitudes `β_i = π (i + ½) / N`, longitudes `α_j = 2π j / M`, in the axes
/// of e3nn: `x = sin β sin α`, `y = cos β`, `z = sin β cos α`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S2Grid {
    beta: usize,
    alpha: usize,
}

impl S2Grid {
    /// `beta` latitudes by `alpha` longitudes.
    ///
    /// # Errors
    /// If the grid does not hold degree `lmax`: `beta` is odd or below `2 (lmax + 1)`, or `alpha` is below
    /// `2 lmax + 1`.
    pub fn new(beta: usize, alpha: usize, lmax: usize) -> Result<Self, NnError> {
        let (latitudes, longitudes) = least_points(lmax);
        if beta % 2 == 1 || beta < latitudes || alpha < longitudes {
            return Err(NnError::Grid { beta, alpha, lmax });
        }
        Ok(Self { beta, alpha })
    }

    /// The smallest grid that holds degree `lmax`.
    pub fn smallest(lmax: usize) -> Self {
        let (beta, alpha) = least_points(lmax);
        Self { beta, alpha }
    }

    /// Number of points.
    pub fn points(self) -> usize {
        self.beta * self.alpha
    }

    /// Unit vectors to the points, latitude by latitude.
    pub fn positions(self) -> Vec<[f64; 3]> {
        let angles = (0..self.points()).map(|n| {
            let beta = PI * ((n / self.alpha) as f64 + 0.5) / self.beta as f64;
            (beta, 2.0 * PI * (n % self.alpha) as f64 / self.alpha as f64)
        });
        angles
            .map(|(b, a)| [b.sin() * a.sin(), b.cos(), b.sin() * a.cos()])
            .collect()
    }

    /// Weight of every latitude, such that the weighted sum over the points is the mean over the sphere for
    /// every signal that the grid holds.
    fn weights(self) -> Vec<f64> {
        let b = self.beta / 2;
        let weight = |j: usize| {
            let odd = (2 * j + 1) as f64;
            let terms = (0..b).map(|k| {
                let k = (2 * k + 1) as f64;
                (odd * k * PI / (4 * b) as f64).sin() / k
            });
            let sum: f64 = terms.sum();
            2.0 / b as f64 * (PI * odd / (4 * b) as f64).sin() * sum / (2 * self.alpha) as f64
        };
        (0..self.beta).map(weight).collect()
    }

    /// Orthonormal harmonics up to `lmax` at every point, `[points, (lmax + 1)²]`.
    fn harmonics(self, lmax: usize) -> Vec<Vec<f64>> {
        let degrees: Vec<usize> = (0..=lmax).collect();
        let evaluator = Evaluator::new(&degrees, false, Normalization::Integral);
        let values = evaluator.values(&self.positions());
        values
            .chunks(evaluator.dim())
            .map(<[f64]>::to_vec)
            .collect()
    }
}

/// Latitudes and longitudes that a degree needs.
pub(super) const fn least_points(lmax: usize) -> (usize, usize) {
    let longitudes = lmax.saturating_mul(2).saturating_add(1);
    (longitudes.saturating_add(1), longitudes)
}

/// Degree of the harmonic at place `i` of `0, 1, …, lmax`.
fn degree(i: usize) -> usize {
    i.isqrt()
}

/// Values of a signal on a grid: `f(x_p) = Σ_l n_l A^l · Y^l(x_p)`, as `e3nn.o3.ToS2Grid`.
#[derive(Module, Debug)]
pub struct ToS2Grid {
    matrix: Tensor<2>,
}

impl ToS2Grid {
    /// For coefficients of degrees `0..=lmax`, each once.
    pub fn new(
        lmax: usize,
        grid: S2Grid,
        normalization: S2Normalization,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let harmonics = grid.harmonics(lmax);
        let size = (lmax + 1) * (lmax + 1);
        let entry = |i: usize, p: usize| harmonics[p][i] * normalization.to_grid(degree(i), lmax);
        let values = (0..size).flat_map(|i| (0..grid.points()).map(move |p| (i, p)));
        let values: Vec<f64> = values.map(|(i, p)| entry(i, p)).collect();
        let data = TensorData::new(values, [size, grid.points()]);
        Self {
            matrix: Tensor::from_data(data, (device, dtype)),
        }
    }

    /// # Shapes
    /// `[batch, (lmax + 1)²]` to `[batch, points]`, latitude by latitude.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        V::from_dual(x.linear(|x: Tensor<2>| matmul(x, self.matrix.clone())))
    }
}

/// Coefficients of a signal given on a grid; the inverse of [`ToS2Grid`] for a signal that the grid holds.
/// As `e3nn.o3.FromS2Grid`.
#[derive(Module, Debug)]
pub struct FromS2Grid {
    matrix: Tensor<2>,
}

impl FromS2Grid {
    /// Coefficients of degrees `0..=lmax` of signals that were of degree `lmax_in` when [`ToS2Grid`] scaled them.
    pub fn new(
        grid: S2Grid,
        lmax: usize,
        lmax_in: usize,
        normalization: S2Normalization,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let (harmonics, weights) = (grid.harmonics(lmax), grid.weights());
        let size = (lmax + 1) * (lmax + 1);
        let entries = (0..grid.points()).flat_map(|p| {
            let (harmonics, weight) = (&harmonics[p], weights[p / grid.alpha]);
            (0..size).map(move |i| {
                let scale = 4.0 * PI / normalization.to_grid(degree(i), lmax_in);
                harmonics[i] * weight * scale
            })
        });
        let data = TensorData::new(entries.collect::<Vec<f64>>(), [grid.points(), size]);
        Self {
            matrix: Tensor::from_data(data, (device, dtype)),
        }
    }

    /// # Shapes
    /// `[batch, points]`, latitude by latitude, to `[batch, (lmax + 1)²]`.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        V::from_dual(x.linear(|x: Tensor<2>| matmul(x, self.matrix.clone())))
    }
}

/// Configuration of an [`S2Activation`].
#[derive(Config, Debug)]
pub struct S2ActivationConfig {
    /// One irrep of each degree `0..=lmax`; parities all `p`, or all `p (−1)^l`.
    pub irreps: Irreps,
    /// The function.
    pub function: ScalarFunction,
    /// Latitudes and longitudes of the grid.
    pub grid: [usize; 2],
    /// Largest degree of the output; that of the input by default.
    pub lmax_out: Option<usize>,
    /// How coefficients are scaled to values.
    #[config(default = "S2Normalization::Component")]
    pub normalization: S2Normalization,
    /// How the function is normalised.
    #[config(default = "SecondMoment::E3nn")]
    pub moment: SecondMoment,
}

impl S2ActivationConfig {
    /// Makes the layer.
    ///
    /// # Errors
    /// If the irreps are no signal on the sphere, the grid is too coarse, or the signal is odd and the function
    /// neither even nor odd.
    pub fn init(&self, device: &Device, dtype: DType) -> Result<S2Activation, NnError> {
        let irreps = self.irreps.simplify();
        let one_of_each = irreps
            .iter()
            .enumerate()
            .all(|(l, b)| b.mul == 1 && b.irrep.l() == l);
        let alternating = irreps.iter().all(|b| {
            let harmonic = Parity::of_harmonics(b.irrep.l());
            b.irrep.parity() == irreps[0].irrep.parity().times(harmonic)
        });
        let constant = irreps
            .iter()
            .all(|b| b.irrep.parity() == irreps[0].irrep.parity());
        if irreps.is_empty() || !one_of_each || !(alternating || constant) {
            return Err(NnError::NotASignal { irreps });
        }
        let value = match (irreps[0].irrep.parity(), self.function.parity()) {
            (Parity::Even, _) => Parity::Even,
            (Parity::Odd, Some(parity)) => parity,
            (Parity::Odd, None) => {
                return Err(NnError::Parity {
                    layer: "S2Activation",
                    index: 0,
                    block: irreps[0],
                    function: self.function,
                });
            }
        };
        let lmax = irreps.len() - 1;
        let lmax_out = self.lmax_out.unwrap_or(lmax);
        let grid = S2Grid::new(self.grid[0], self.grid[1], lmax.max(lmax_out))?;
        let out = (0..=lmax_out).map(|l| {
            // One degree alone is taken as of constant parity, as e3nn does.
            let parity = if constant {
                Parity::Even
            } else {
                Parity::of_harmonics(l)
            };
            (1, Irrep::new(l, value.times(parity)))
        });
        Ok(S2Activation {
            to_grid: ToS2Grid::new(lmax, grid, self.normalization, device, dtype),
            from_grid: FromS2Grid::new(grid, lmax_out, lmax, self.normalization, device, dtype),
            irreps_out: Irreps::new(out),
            irreps_in: irreps,
            function: self.function,
            moment: self.moment,
        })
    }
}

/// A function of the values of a signal on the sphere: `A ↦ { ∫ c f(Σ_l A^l · Y^l(x)) Y^j(x) dx }_j` on a grid.
/// As `e3nn.nn.S2Activation`.
///
/// Equivariant up to the error of the grid, which falls as the grid grows: what `f` adds above the degree
/// that the grid holds is aliased.
#[derive(Module, Debug)]
pub struct S2Activation {
    to_grid: ToS2Grid,
    from_grid: FromS2Grid,
    /// Irreps of the input.
    #[module(skip)]
    pub irreps_in: Irreps,
    /// Irreps of the output.
    #[module(skip)]
    pub irreps_out: Irreps,
    #[module(skip)]
    function: ScalarFunction,
    #[module(skip)]
    moment: SecondMoment,
}

impl S2Activation {
    /// # Shapes
    /// `[batch, irreps_in.dim]` to `[batch, irreps_out.dim]`.
    ///
    /// # Panics
    /// If the last axis has another size.
    pub fn forward<V: Value<2>>(&self, x: V) -> V {
        let x: Dual<2> = x.into();
        blocks::check("S2Activation", &self.irreps_in, &x);
        let values = self.function.apply(self.to_grid.forward(x), self.moment);
        V::from_dual(self.from_grid.forward(values))
    }
}
