//! Whether a function commutes with O(3) and translations: [`assert_equivariant`].

use super::arguments::{Argument, Motion, Role, normal};
use crate::irreps::MulIrrep;
use crate::rotation::{Orthogonal, Rotation};
use crate::wigner::Representation;
use burn::tensor::{DType, Device, Tensor};
use core::fmt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Settings of [`assert_equivariant`].
#[derive(Debug, Clone)]
pub struct Equivariance {
    /// Number of random elements of O(3), each tried on fresh random arguments.
    pub elements: usize,
    /// Whether every other element contains the inversion. Without, only SO(3) is tested.
    pub inversions: bool,
    /// Standard deviation of random translations; 0 for none. They act on [`Role::Positions`] only.
    pub translation: f64,
    /// Rows of random arguments that do not say another number.
    pub rows: usize,
    /// Dtype in which the function runs. Transformations are in `f64` always.
    pub dtype: DType,
    /// Device on which the function runs.
    pub device: Device,
    /// Seed of elements, translations and arguments.
    pub seed: u64,
    /// Largest error of a block that passes, relative to the largest value of the block in all trials.
    pub tolerance: f64,
    /// Whether a block of a result may be zero in all trials. Such a block is equivariant and tests nothing.
    pub allow_zero: bool,
}

impl Default for Equivariance {
    /// 100 elements of O(3), translations of size 10, 4 rows, `f64`, tolerance 1e-10.
    fn default() -> Self {
        Self {
            elements: 100,
            inversions: true,
            translation: 10.0,
            rows: 4,
            dtype: DType::F64,
            device: Device::default(),
            seed: 0,
            tolerance: 1e-10,
            allow_zero: false,
        }
    }
}

/// How far a block of a result is from equivariance.
#[derive(Debug, Clone)]
pub struct BlockError {
    /// Which result.
    pub output: usize,
    /// Which block of its irreps.
    pub block: usize,
    /// The irrep and its multiplicity.
    pub irrep: MulIrrep,
    /// Largest `|f(g x) − g f(x)|` in all trials; infinite where a value is NaN.
    pub max_abs: f64,
    /// Largest `|f(x)|` in all trials.
    pub scale: f64,
    /// The element of O(3) at which `max_abs` was found.
    pub worst: Orthogonal,
}

impl BlockError {
    /// `max_abs` relative to `scale`; infinite where only `scale` is zero.
    pub fn max_rel(&self) -> f64 {
        if self.max_abs == 0.0 {
            0.0
        } else {
            self.max_abs / self.scale
        }
    }

    /// Takes in one trial: `f(g x)`, `g f(x)` and `f(x)`.
    fn compare(&mut self, role: &Role, got: &[f64], want: &[f64], plain: &[f64], motion: &Motion) {
        if got.len() != want.len() {
            // Another number of rows cannot be compared, and is an error.
            (self.max_abs, self.worst) = (f64::INFINITY, motion.element);
            return;
        }
        let dim = role.dim();
        let range = role.irreps().slices().swap_remove(self.block);
        for start in (0..got.len()).step_by(dim) {
            for i in start + range.start..start + range.end {
                let gap = (got[i] - want[i]).abs();
                let gap = if gap.is_nan() { f64::INFINITY } else { gap };
                if gap > self.max_abs {
                    (self.max_abs, self.worst) = (gap, motion.element);
                }
                self.scale = self.scale.max(plain[i].abs());
            }
        }
    }
}

/// Errors of all blocks of all results; what [`assert_equivariant`] returns.
#[derive(Debug, Clone)]
pub struct EquivarianceReport {
    /// One entry for every block with components.
    pub blocks: Vec<BlockError>,
    /// Number of elements tried.
    pub elements: usize,
}

impl EquivarianceReport {
    /// The largest relative error of all blocks.
    pub fn max_rel(&self) -> f64 {
        self.blocks
            .iter()
            .map(BlockError::max_rel)
            .fold(0.0, f64::max)
    }
}

impl fmt::Display for EquivarianceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "equivariance under {} elements", self.elements)?;
        for error in &self.blocks {
            let BlockError {
                output,
                block,
                irrep,
                max_abs,
                scale,
                worst,
            } = error;
            let rel = error.max_rel();
            let [w, x, y, z] = worst.rotation.quaternion();
            let inversion = if worst.inversion {
                " with inversion"
            } else {
                ""
            };
            write!(
                f,
                "\n  result {output}, block {block} ({irrep}): max-rel {rel:.2e}, max-abs {max_abs:.2e}, \
                 largest value {scale:.2e}; worst at quaternion ({w:.3}, {x:.3}, {y:.3}, {z:.3}){inversion}"
            )?;
        }
        Ok(())
    }
}

/// Measures how far `f` is from `f(g x) = g f(x)` for random elements `g` of O(3) and translations.
///
/// `inputs` say how the arguments transform, `outputs` how the results do. `f` gets a tensor `[rows, dim]` per input
/// and returns one per output.
///
/// # Panics
/// If `f` returns another number of results than `outputs` or another width.
pub fn equivariance_error(
    f: impl Fn(&[Tensor<2>]) -> Vec<Tensor<2>>,
    inputs: &[Argument],
    outputs: &[Role],
    options: &Equivariance,
) -> EquivarianceReport {
    let Equivariance {
        rows,
        device,
        dtype,
        ..
    } = options;
    let run = |values: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        let arguments = inputs.iter().zip(values);
        let tensors = arguments.map(|(input, x)| input.tensor(x, *rows, device, *dtype));
        let results = f(&tensors.collect::<Vec<_>>());
        assert_eq!(
            results.len(),
            outputs.len(),
            "equivariance: the function returned another number of results than expected"
        );
        let host = results.into_iter().zip(outputs).enumerate();
        let host = host.map(|(i, (result, role))| {
            let (width, dim) = (result.dims()[1], role.dim());
            assert_eq!(
                width, dim,
                "equivariance: result {i} must have {dim} columns"
            );
            result.into_data().iter::<f64>().collect()
        });
        host.collect()
    };

    let mut blocks = no_errors(outputs);
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let roles = inputs.iter().map(|input| &input.role).chain(outputs);
    let degrees = roles.filter_map(|role| role.irreps().lmax().ok());
    let lmax = degrees.max().unwrap_or(0);
    for trial in 0..options.elements {
        let element = Orthogonal {
            rotation: Rotation::random(&mut rng),
            inversion: options.inversions && trial % 2 == 1,
        };
        let motion = Motion {
            element,
            representation: Representation::new(lmax, element),
            shift: [(); 3].map(|()| options.translation * normal(&mut rng)),
        };
        let drawn = inputs.iter().map(|input| input.draw(*rows, &mut rng));
        let values: Vec<_> = drawn.collect();
        let moved = inputs.iter().zip(&values);
        let moved = moved.map(|(input, x)| input.role.transform(&motion, x));
        let (got, plain) = (run(moved.collect()), run(values));
        for error in &mut blocks {
            let (role, got, plain) = (
                &outputs[error.output],
                &got[error.output],
                &plain[error.output],
            );
            let want = role.transform(&motion, plain);
            error.compare(role, got, &want, plain, &motion);
        }
    }
    EquivarianceReport {
        blocks,
        elements: options.elements,
    }
}

/// One entry for every block with components, before any trial.
fn no_errors(outputs: &[Role]) -> Vec<BlockError> {
    let mut blocks = Vec::new();
    for (output, role) in outputs.iter().enumerate() {
        for (block, &irrep) in role.irreps().iter().enumerate() {
            if irrep.mul > 0 {
                blocks.push(BlockError {
                    output,
                    block,
                    irrep,
                    max_abs: 0.0,
                    scale: 0.0,
                    worst: Orthogonal::IDENTITY,
                });
            }
        }
    }
    blocks
}

/// Asserts that `f(g x) = g f(x)` for random elements `g` of O(3) and translations, within
/// [`Equivariance::tolerance`] for every block of every result, and returns the errors that were found. Arguments are
/// as in [`equivariance_error`].
///
/// ```
/// use burn::tensor::Tensor;
/// use e3nn_tensorprod::irreps;
/// use e3nn_tensorprod::testing::{Argument, Equivariance, assert_equivariant};
///
/// // Differences of positions are vectors, and their lengths scalars.
/// let f = |x: &[Tensor<2>]| {
///     let vector = x[0].clone() - x[1].clone();
///     let length = vector.clone().square().sum_dim(1).sqrt();
///     vec![vector, length]
/// };
/// let inputs = [Argument::positions(), Argument::positions()];
/// let outputs = [irreps!("1o").into(), irreps!("0e").into()];
/// let report = assert_equivariant(f, &inputs, &outputs, &Equivariance::default());
/// assert!(report.max_rel() < 1e-13);
/// ```
///
/// # Panics
/// If a block exceeds the tolerance (with the errors of all), or is zero throughout, or as [`equivariance_error`].
#[track_caller]
pub fn assert_equivariant(
    f: impl Fn(&[Tensor<2>]) -> Vec<Tensor<2>>,
    inputs: &[Argument],
    outputs: &[Role],
    options: &Equivariance,
) -> EquivarianceReport {
    let report = equivariance_error(f, inputs, outputs, options);
    let tolerance = options.tolerance;
    let far = |error: &&BlockError| error.max_rel().is_nan() || error.max_rel() > tolerance;
    if let Some(error) = report.blocks.iter().find(far) {
        panic!(
            "not equivariant: block {} ({}) of result {} is off by more than {tolerance:e}; {report}",
            error.block, error.irrep, error.output
        );
    }
    let zero = report.blocks.iter().find(|error| error.scale == 0.0);
    if let Some(error) = zero.filter(|_| !options.allow_zero) {
        panic!(
            "nothing tested: block {} ({}) of result {} is always zero (`allow_zero` lets it pass); {report}",
            error.block, error.irrep, error.output
        );
    }
    report
}
