//! Energies, forces, virials, the exact gradient of a loss on them, and products with the Hessian, of any
//! potential written over [`Dual`]s.
//!
//! Forces are gradients, and a loss on forces needs the gradient of gradients, while Burn's autodiff is of first
//! order. The exact way is forward over reverse:
//!
//! 1. [`predict`]: an ordinary pass forward and back with respect to positions and strain, parameters
//!    untracked: energies `E`, forces `F = −∂E/∂r`, virials `W = −∂E/∂ε`.
//! 2. `b = ∂L/∂E`, `a = ∂L/∂F`, `c = ∂L/∂W`: plain numbers ([`Prediction::slopes`]).
//! 3. [`surrogate`]: a pass in which every quantity carries its derivative along `ṙ = −a`, `ε̇ = −c`. It ends in
//!    `Ė = ∂E/∂r·ṙ + ∂E/∂ε·ε̇ = a·F + c·W`, and `s = Σ (b E + Ė)` has the gradient of the loss:
//!    `∂s/∂θ = b·∂E/∂θ + a·∂F/∂θ + c·∂W/∂θ = ∂L/∂θ`.
//! 4. One ordinary backward pass of `s`.
//!
//! [`force_loss`] does all four. Nothing is approximated, and every op needs its own first derivative only.
//!
//! Both passes must compute the same function: layers that draw random numbers (dropout) have no place in a
//! potential, unless they draw the same in both.
//!
//! # Example
//! ```
//! use burn::module::{Module, Param};
//! use burn::tensor::{Device, Tensor};
//! use core_tensor::dual::Dual;
//! use core_tensor::force::{Potential, force_loss, predict};
//!
//! /// Springs between neighbours in a chain: `E = ½ k Σ (|r_{i+1} − r_i| − 1)²`.
//! #[derive(Module, Debug)]
//! struct Chain {
//!     k: Param<Tensor<1>>,
//! }
//!
//! impl Potential for Chain {
//!     type System = ();
//!
//!     fn energies(&self, _: &(), positions: Dual<2>, _: Option<Dual<3>>) -> Dual<1> {
//!         let bonds = positions.dims()[0] - 1;
//!         let ends = positions.clone().narrow(0, 1, bonds) - positions.narrow(0, 0, bonds);
//!         let stretch = ends.norm_dim(1) - 1.0;
//!         stretch.square().sum() * self.k.val() * 0.5
//!     }
//! }
//!
//! let device = Device::flex().autodiff();
//! let model = Chain { k: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
//! let positions = Tensor::<2>::from_floats([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]], &device);
//!
//! let now = predict(&model, &(), positions.clone(), None);
//! assert_eq!(now.forces.into_data().try_to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, -1.0, 0.0, 0.0]);
//!
//! // L = Σ F² = 2 (k / 2)², so ∂L/∂k = k.
//! let step = force_loss(&model, &(), positions, None, |p| p.forces.clone().square().sum());
//! let slope = model.k.val().grad(&step.gradients).unwrap();
//! assert_eq!(slope.into_scalar::<f32>(), 2.0);
//! ```

mod strain;

pub use strain::deform;

use crate::dual::Dual;
use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

/// A model of the potential energy.
///
/// It is written once, over [`Dual`]s: a dual without tangent is a plain tensor, and costs what a tensor costs.
/// Layers that are generic over [`Value`](crate::dual::Value) take duals as they are.
pub trait Potential {
    /// What the energy depends on besides positions and strain: species, cells, neighbours, and which atom belongs
    /// to which structure.
    type System: ?Sized;

    /// Energy of every structure, `[structures]`.
    ///
    /// # Shapes
    /// - `positions`: `[atoms, 3]`, the atoms of all structures one after the other
    /// - `strain`: `[structures, 3, 3]`, present where virials are wanted. Every vector between atoms, through
    ///   periodic images too, is to be deformed by the symmetric part of its structure's strain: [`deform`] does.
    fn energies(
        &self,
        system: &Self::System,
        positions: Dual<2>,
        strain: Option<Dual<3>>,
    ) -> Dual<1>;
}

/// What a potential predicts. Nothing of it is tracked by autodiff.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Energy `E` of every structure, `[structures]`.
    pub energies: Tensor<1>,
    /// Force on every atom, `F = −∂E/∂r`, `[atoms, 3]`, in units of energy per length.
    pub forces: Tensor<2>,
    /// Virial of every structure, `W = −∂E/∂ε`, `[structures, 3, 3]`, symmetric, in units of energy, where it was
    /// asked for. The stress is `−W / V` with the volume `V` of the cell.
    pub virials: Option<Tensor<3>>,
}

/// Derivatives of a loss with respect to predictions, plain numbers; absent where the loss does not depend on them.
#[derive(Debug, Clone, Default)]
pub struct Slopes {
    /// `∂L/∂E`, `[structures]`.
    pub energies: Option<Tensor<1>>,
    /// `∂L/∂F`, `[atoms, 3]`.
    pub forces: Option<Tensor<2>>,
    /// `∂L/∂W`, `[structures, 3, 3]`.
    pub virials: Option<Tensor<3>>,
}

/// A loss, what it was computed from, and its gradient.
#[allow(missing_debug_implementations, reason = "Burn's Gradients has none")]
pub struct ForceLoss {
    /// Value of the loss, untracked.
    pub loss: Tensor<1>,
    /// What the model predicts.
    pub prediction: Prediction,
    /// Gradient with respect to the parameters, for `GradientsParams::from_grads`.
    pub gradients: Gradients,
}

/// A tracked leaf with the values of `x`.
fn leaf<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.detach().autodiff().require_grad()
}

impl Prediction {
    /// The loss that `f` computes from the predictions, and its derivatives with respect to them.
    ///
    /// # Panics
    /// If the loss depends on none of them.
    pub fn slopes(&self, f: impl FnOnce(&Self) -> Tensor<1>) -> (Tensor<1>, Slopes) {
        let tracked = Self {
            energies: leaf(self.energies.clone()),
            forces: leaf(self.forces.clone()),
            virials: self.virials.clone().map(leaf),
        };
        let loss = f(&tracked);
        let gradients = loss.backward();
        let slopes = Slopes {
            energies: tracked.energies.grad(&gradients),
            forces: tracked.forces.grad(&gradients),
            virials: tracked.virials.and_then(|virials| virials.grad(&gradients)),
        };
        (loss.without_autodiff(), slopes)
    }
}

/// Energies and forces, and virials where `structures`, the number of structures, is given. Parameters are not
/// tracked.
///
/// # Panics
/// If positions are not `[atoms, 3]`, or the model returns another number of energies than `structures`.
pub fn predict<P: Potential + Module>(
    model: &P,
    system: &P::System,
    positions: Tensor<2>,
    structures: Option<usize>,
) -> Prediction {
    check_positions("predict", &positions);
    let positions = leaf(positions);
    let options = (&positions.device(), positions.dtype());
    let strain = structures.map(|n| Tensor::<3>::zeros([n, 3, 3], options).require_grad());
    let energies = model.valid().energies(
        system,
        Dual::constant(positions.clone()),
        strain.clone().map(Dual::constant),
    );
    let energies = energies.value;
    if let Some(structures) = structures {
        assert_eq!(
            energies.dims(),
            [structures],
            "predict: the model's energies are not one per structure"
        );
    }
    // A structure without neighbours has an energy that depends on no position.
    let gradients = energies
        .is_tracked()
        .then(|| energies.clone().sum().backward());
    fn slope<const D: usize>(x: &Tensor<D>, gradients: Option<&Gradients>) -> Tensor<D> {
        gradients
            .and_then(|gradients| x.grad(gradients))
            .map_or_else(
                || x.clone().without_autodiff().zeros_like(),
                |gradient| -gradient,
            )
    }
    Prediction {
        forces: slope(&positions, gradients.as_ref()),
        virials: strain.map(|strain| slope(&strain, gradients.as_ref())),
        energies: energies.without_autodiff(),
    }
}

/// A number whose gradient with respect to the parameters is that of the loss with these [`Slopes`]: `Σ (b E + Ė)`.
/// Other terms of a loss (weight decay, other properties) may be added before `backward`.
///
/// # Panics
/// If the shapes of the slopes are not those of the predictions, or all are absent.
pub fn surrogate<P: Potential>(
    model: &P,
    system: &P::System,
    positions: Tensor<2>,
    slopes: Slopes,
) -> Tensor<1> {
    check_positions("surrogate", &positions);
    let positions = positions.without_autodiff();
    let positions = Dual {
        value: positions,
        tangent: slopes.forces.map(|a| -a.without_autodiff()),
    };
    if let Some(tangent) = &positions.tangent {
        assert_eq!(
            tangent.dims(),
            positions.dims(),
            "surrogate: ∂L/∂F has another shape than the positions"
        );
    }
    let strain = slopes.virials.map(|c| {
        let c = c.without_autodiff();
        Dual::new(c.zeros_like(), -c)
    });
    let Dual { value, tangent } = model.energies(system, positions, strain);
    let by_energies = slopes.energies.map(|b| {
        assert_eq!(
            b.dims(),
            value.dims(),
            "surrogate: ∂L/∂E has another shape than the energies"
        );
        (value * b.without_autodiff()).sum()
    });
    crate::dual::sum(by_energies, tangent.map(Tensor::sum))
        .expect("surrogate: the loss depends on energies, forces or virials")
}

/// The loss that `f` computes from the predictions, and its exact gradient with respect to the parameters:
/// [`predict`], [`Prediction::slopes`] and [`surrogate`], and a backward pass. Virials are predicted where the
/// number of `structures` is given.
///
/// # Panics
/// As those three do.
pub fn force_loss<P: Potential + Module>(
    model: &P,
    system: &P::System,
    positions: Tensor<2>,
    structures: Option<usize>,
    f: impl FnOnce(&Prediction) -> Tensor<1>,
) -> ForceLoss {
    let prediction = predict(model, system, positions.clone(), structures);
    let (loss, slopes) = prediction.slopes(f);
    let gradients = surrogate(model, system, positions, slopes).backward();
    ForceLoss {
        loss,
        prediction,
        gradients,
    }
}

/// `H v`, with the Hessian `H = ∂²E/∂r∂r` of the total energy, `[atoms, 3]`: one pass with tangents and one back.
/// Three passes per atom, with unit vectors for `direction`, give the force constants that phonons are computed
/// from.
///
/// # Panics
/// If positions and direction are not both `[atoms, 3]`.
pub fn hessian_vector_product<P: Potential + Module>(
    model: &P,
    system: &P::System,
    positions: Tensor<2>,
    direction: Tensor<2>,
) -> Tensor<2> {
    check_positions("hessian_vector_product", &positions);
    let positions = leaf(positions);
    let along = Dual::new(positions.clone(), direction.without_autodiff());
    let slope = model.valid().energies(system, along, None).tangent;
    let product = slope
        .filter(Tensor::is_tracked)
        .and_then(|slope| positions.grad(&slope.sum().backward()));
    product.unwrap_or_else(|| positions.without_autodiff().zeros_like())
}

fn check_positions(op: &str, positions: &Tensor<2>) {
    let [_, axes] = positions.dims();
    assert_eq!(axes, 3, "{op}: positions are not [atoms, 3]");
}
