//! Gradients against finite differences in `f64`.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Settings of [`check_gradients`]; the default suits smooth functions of values around 1.
#[derive(Debug, Clone, Copy)]
pub struct GradCheck {
    /// Step of the central difference.
    pub step: f64,
    /// Relative bound.
    pub rtol: f64,
    /// Absolute bound.
    pub atol: f64,
    /// Inputs of at most this many elements are checked element by element; larger ones along
    /// [`GradCheck::directions`] random directions.
    pub elementwise_limit: usize,
    /// Number of random directions for large inputs.
    pub directions: usize,
    /// Seed of the directions.
    pub seed: u64,
    /// Differences over five points, of fourth order in the step, instead of three points.
    pub five_point: bool,
}

impl GradCheck {
    /// Bounds that also see a gradient that was rounded to `f32` on its way, for functions whose fifth derivative
    /// is not much larger than 100.
    pub fn precise() -> Self {
        Self {
            step: 5e-4,
            rtol: 1e-10,
            atol: 1e-10,
            five_point: true,
            ..Self::default()
        }
    }

    /// The derivative of `f` at 0 by central differences.
    pub fn slope(&self, f: impl Fn(f64) -> f64) -> f64 {
        let difference = |step: f64| (f(step) - f(-step)) / (2.0 * step);
        if self.five_point {
            (4.0 * difference(self.step) - difference(2.0 * self.step)) / 3.0
        } else {
            difference(self.step)
        }
    }
}

impl Default for GradCheck {
    fn default() -> Self {
        Self {
            step: 1e-5,
            rtol: 1e-7,
            atol: 1e-8,
            elementwise_limit: 64,
            directions: 8,
            seed: 0,
            five_point: false,
        }
    }
}

/// Compares the gradients of a scalar function with central differences, in `f64`:
/// `f(x + εd) − f(x − εd) ≈ 2ε ⟨∇f, d⟩` for every unit direction of a small input and for random
/// directions of a large one.
///
/// `inputs` are flat lists of values with their shapes; `f` gets them as tracked one-dimensional
/// tensors in order and reshapes them as it likes.
///
/// # Panics
/// If a gradient is missing, is NaN, or differs by more than the bounds.
#[track_caller]
pub fn check_gradients(
    device: &Device,
    inputs: &[Vec<f64>],
    settings: GradCheck,
    f: impl Fn(&[Tensor<1>]) -> Tensor<1>,
) {
    let device = device.clone().autodiff();
    let tensors = |values: &[Vec<f64>]| -> Vec<Tensor<1>> {
        values
            .iter()
            .map(|x| {
                let data = TensorData::new(x.clone(), [x.len()]);
                Tensor::from_data(data, (&device, DType::F64)).require_grad()
            })
            .collect()
    };
    let value = |values: &[Vec<f64>]| f(&tensors(values)).into_scalar::<f64>();

    let tracked = tensors(inputs);
    let grads = f(&tracked).backward();
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    for (n, input) in inputs.iter().enumerate() {
        let gradient = tracked[n]
            .grad(&grads)
            .unwrap_or_else(|| panic!("input {n} has no gradient"));
        let gradient: Vec<f64> = gradient.into_data().iter::<f64>().collect();
        let directions: Vec<Vec<f64>> = if input.len() <= settings.elementwise_limit {
            let unit = |i| {
                (0..input.len())
                    .map(|j| f64::from(u8::from(i == j)))
                    .collect()
            };
            (0..input.len()).map(unit).collect()
        } else {
            let mut random = || {
                (0..input.len())
                    .map(|_| rng.random_range(-1.0..1.0))
                    .collect()
            };
            (0..settings.directions).map(|_| random()).collect()
        };
        for (k, direction) in directions.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = inputs.to_vec();
                moved[n]
                    .iter_mut()
                    .zip(direction)
                    .for_each(|(x, d)| *x += step * d);
                value(&moved)
            };
            let want = settings.slope(at);
            let got: f64 = gradient.iter().zip(direction).map(|(g, d)| g * d).sum();
            let bound = settings.atol + settings.rtol * want.abs();
            assert!(
                (got - want).abs() <= bound,
                "input {n}, direction {k}: gradient {got:e}, finite difference {want:e}, bound {bound:e}"
            );
        }
    }
}
