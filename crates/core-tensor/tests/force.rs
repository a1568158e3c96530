//! The force step on a toy potential of two layers, in f64: gradient of a loss on energies, forces and virials,
//! products with the Hessian, and training.
#![cfg(all(feature = "testing", feature = "flex"))]

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::force::{
    Potential, Prediction, deform, force_loss, hessian_vector_product, predict,
};

/// Gaussians of distances, two layers, a sum over pairs.
#[derive(Module, Debug)]
struct Toy {
    hidden: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    readout: Param<Tensor<2>>,
}

/// Pairs of atoms of several structures.
struct Clusters {
    from: Tensor<1, Int>,
    to: Tensor<1, Int>,
    structures: Tensor<1, Int>,
    /// `[structures, pairs]`: 1 where the pair is of the structure.
    members: Tensor<2>,
}

impl Potential for Toy {
    type System = Clusters;

    fn energies(&self, system: &Clusters, positions: Dual<2>, strain: Option<Dual<3>>) -> Dual<1> {
        let end = |places: &Tensor<1, Int>| positions.clone().select(0, places.clone());
        let mut vectors = end(&system.to) - end(&system.from);
        if let Some(strain) = strain {
            vectors = deform(vectors, strain, system.structures.clone());
        }
        let distances = vectors.norm_dim(1);
        let centers = Tensor::<2>::from_data(
            TensorData::from([[0.5, 1.0, 1.5, 2.0]]),
            (&distances.device(), distances.dtype()),
        );
        let basis = (-(distances - centers.without_autodiff()).square()).exp();
        let hidden = basis
            .affine(self.hidden.val(), Some(self.bias.val()))
            .silu();
        let pairs = hidden.affine(self.readout.val(), None);
        let count = system.members.dims()[0];
        Dual::constant(system.members.clone())
            .matmul(pairs)
            .reshape([count])
    }
}

/// Atoms per structure.
const SIZES: [usize; 2] = [4, 3];
const ATOMS: usize = 7;

fn numbers(n: usize, seed: f64) -> Vec<f64> {
    (0..n)
        .map(|i| ((i as f64 + 1.0) * 12.9898 * seed).sin())
        .collect()
}

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

fn system(device: &Device) -> Clusters {
    let mut pairs = vec![];
    let mut first = 0_i64;
    for (s, size) in SIZES.into_iter().enumerate() {
        let atoms = first..first + size as i64;
        first = atoms.end;
        for i in atoms.clone() {
            pairs.extend(atoms.clone().filter(|&j| j != i).map(|j| (i, j, s as i64)));
        }
    }
    let list = |f: fn(&(i64, i64, i64)) -> i64| {
        let list: Vec<i64> = pairs.iter().map(f).collect();
        Tensor::from_data(TensorData::from(list.as_slice()), device)
    };
    let members = |s: i64| pairs.iter().map(move |p| f64::from(u8::from(p.2 == s)));
    Clusters {
        from: list(|p| p.0),
        to: list(|p| p.1),
        structures: list(|p| p.2),
        members: tensor(
            (0..SIZES.len() as i64).flat_map(members).collect(),
            [SIZES.len(), pairs.len()],
            device,
        ),
    }
}

/// The parameters as one list: 4 × 5 + 5 + 5.
const PARAMETERS: usize = 30;

fn model(parameters: &[f64], device: &Device) -> Toy {
    let part = |at: core::ops::Range<usize>| parameters[at].to_vec();
    Toy {
        hidden: Param::from_tensor(tensor(part(0..20), [4, 5], device)),
        bias: Param::from_tensor(tensor(part(20..25), [5], device)),
        readout: Param::from_tensor(tensor(part(25..30), [5, 1], device)),
    }
}

fn list<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().try_to_vec().unwrap()
}

fn positions(device: &Device) -> Tensor<2> {
    tensor(numbers(ATOMS * 3, 0.7), [ATOMS, 3], device)
}

/// A loss with unequal weights on everything.
fn loss(p: &Prediction) -> Tensor<1> {
    let weights = |n: usize| numbers(n, 0.31).into_iter().map(|x| 1.5 + x).collect();
    let device = p.energies.device();
    let forces = tensor(weights(ATOMS * 3), [ATOMS, 3], &device);
    let mut loss = p.energies.clone().square().sum() * 0.3
        + p.energies.clone().sum() * 0.7
        + (p.forces.clone().square() * forces).sum();
    if let Some(virials) = &p.virials {
        let weights = tensor(weights(SIZES.len() * 9), [SIZES.len(), 3, 3], &device);
        loss = loss + (virials.clone().square() * weights).sum() * 0.2;
    }
    loss
}

/// `got` against central differences with step 1e-5 of each list entry, relative to the largest slope.
fn compare(got: &[f64], at: &[f64], what: &str, f: impl Fn(&[f64]) -> f64) {
    let moved = |k: usize, by: f64| {
        let mut moved = at.to_vec();
        moved[k] += by;
        f(&moved)
    };
    let step = 1e-4;
    let central = |k, step| (moved(k, step) - moved(k, -step)) / (2.0 * step);
    // Fourth order: Richardson.
    let want: Vec<f64> = (0..at.len())
        .map(|k| (4.0 * central(k, step) - central(k, 2.0 * step)) / 3.0)
        .collect();
    let largest = want.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let worst = got
        .iter()
        .zip(&want)
        .map(|(g, w)| (g - w).abs())
        .fold(0.0, f64::max);
    println!("{what}: worst difference {worst:e}, largest slope {largest:e}");
    assert!(got.len() == at.len() && largest > 0.0);
    for (k, (g, w)) in got.iter().zip(&want).enumerate() {
        let bound = 1e-7 * w.abs() + 1e-9 * largest;
        assert!(
            (g - w).abs() <= bound,
            "{what} {k}: {g:e}, difference {w:e}"
        );
    }
}

#[test]
fn forces_and_virials_are_slopes_of_the_energy() {
    let device = Device::flex().autodiff();
    let plain = Device::flex();
    let (model, system) = (model(&numbers(PARAMETERS, 1.3), &device), system(&plain));
    let now = predict(&model, &system, positions(&device), Some(2));
    assert!(!now.energies.is_autodiff() && !now.forces.is_autodiff());
    let total = |e: Dual<1>| list(e.value).iter().sum::<f64>();
    let energy = |r: &[f64]| {
        let r = Dual::constant(tensor(r.to_vec(), [ATOMS, 3], &plain));
        total(model.valid().energies(&system, r, None))
    };
    let minus: Vec<f64> = list(now.forces).iter().map(|f| -f).collect();
    compare(&minus, &numbers(ATOMS * 3, 0.7), "forces", energy);
    let energy = |strain: &[f64]| {
        let strain = Dual::constant(tensor(strain.to_vec(), [2, 3, 3], &plain));
        total(
            model
                .valid()
                .energies(&system, positions(&plain).into(), Some(strain)),
        )
    };
    let virials = now.virials.unwrap();
    assert_close!(virials.clone().transpose(), virials.clone(), 0.0, 0.0);
    let minus: Vec<f64> = list(virials).iter().map(|w| -w).collect();
    compare(&minus, &[0.0; 18], "virials", energy);
}

#[test]
fn one_structure_deforms_as_several_do() {
    let device = Device::flex();
    let vectors = || Dual::constant(tensor(numbers(15, 0.9), [5, 3], &device));
    let strain: Vec<f64> = numbers(9, 0.2);
    let twice = [strain.clone(), strain.clone()].concat();
    let places = Tensor::<1, Int>::from_data([0, 1, 1, 0, 1], &device);
    let one = deform(
        vectors(),
        tensor(strain, [1, 3, 3], &device).into(),
        places.clone(),
    );
    let two = deform(vectors(), tensor(twice, [2, 3, 3], &device).into(), places);
    assert_close!(one.value, two.value, 1e-14, 1e-15);
}

#[test]
fn the_gradient_of_a_force_loss_is_exact() {
    let device = Device::flex().autodiff();
    let plain = Device::flex();
    let system = system(&plain);
    let parameters = numbers(PARAMETERS, 1.3);
    for structures in [None, Some(2)] {
        let model_here = model(&parameters, &device);
        let step = force_loss(&model_here, &system, positions(&device), structures, loss);
        let gradients = [
            list(model_here.hidden.val().grad(&step.gradients).unwrap()),
            list(model_here.bias.val().grad(&step.gradients).unwrap()),
            list(model_here.readout.val().grad(&step.gradients).unwrap()),
        ];
        let value = |parameters: &[f64]| {
            let model = model(parameters, &plain);
            list(loss(&predict(
                &model,
                &system,
                positions(&plain),
                structures,
            )))[0]
        };
        assert_eq!(list(step.loss)[0], value(&parameters));
        compare(&gradients.concat(), &parameters, "gradient", value);
    }
}

#[test]
fn a_loss_on_energies_alone_needs_no_tangents() {
    let device = Device::flex().autodiff();
    let system = system(&Device::flex());
    let parameters = numbers(PARAMETERS, 1.3);
    let here = model(&parameters, &device);
    let energies = |p: &Prediction| p.energies.clone().square().sum();
    let step = force_loss(&here, &system, positions(&device), None, energies);
    let other = model(&parameters, &device);
    let direct = other.energies(&system, positions(&Device::flex()).into(), None);
    let grads = direct.value.square().sum().backward();
    let (got, want) = (here.hidden.val(), other.hidden.val());
    assert_close!(
        got.grad(&step.gradients).unwrap(),
        want.grad(&grads).unwrap(),
        1e-14,
        0.0
    );
}

#[test]
fn hessian_products_are_slopes_of_forces() {
    let device = Device::flex().autodiff();
    let system = system(&Device::flex());
    let model = model(&numbers(PARAMETERS, 1.3), &device);
    let direction = numbers(ATOMS * 3, 0.45);
    let along = tensor(direction.clone(), [ATOMS, 3], &device);
    let product = list(hessian_vector_product(
        &model,
        &system,
        positions(&device),
        along,
    ));
    // H v is the gradient of −F·v, and H is symmetric.
    let work = |r: &[f64]| -> f64 {
        let r = tensor(r.to_vec(), [ATOMS, 3], &device);
        let forces = list(predict(&model, &system, r, None).forces);
        forces.iter().zip(&direction).map(|(f, v)| -f * v).sum()
    };
    compare(&product, &numbers(ATOMS * 3, 0.7), "Hessian", work);
}

#[test]
fn training_on_forces_reduces_the_loss() {
    let device = Device::flex().autodiff();
    let system = system(&Device::flex());
    let truth = predict(
        &model(&numbers(PARAMETERS, 2.9), &device),
        &system,
        positions(&device),
        Some(2),
    );
    let loss = |p: &Prediction| {
        let difference = p.virials.clone().unwrap() - truth.virials.clone().unwrap();
        (p.energies.clone() - truth.energies.clone()).square().sum()
            + (p.forces.clone() - truth.forces.clone()).square().sum()
            + difference.square().sum()
    };
    let mut model = model(&numbers(PARAMETERS, 1.3), &device);
    let mut optimizer = AdamConfig::new().init();
    let mut losses = vec![];
    for _ in 0..200 {
        let step = force_loss(&model, &system, positions(&device), Some(2), loss);
        losses.push(list(step.loss)[0]);
        let gradients = GradientsParams::from_grads(step.gradients, &model);
        assert_eq!(gradients.len(), 3);
        model = optimizer.step(0.02, model, gradients);
    }
    println!("loss {} → {} → {}", losses[0], losses[1], losses[199]);
    assert!(losses[1] < losses[0] && losses[199] < 1e-2 * losses[0]);
}

/// One atom has no neighbours: no force, no curvature.
#[derive(Module, Debug)]
struct Vacuum {
    depth: Param<Tensor<1>>,
}

impl Potential for Vacuum {
    type System = ();

    fn energies(&self, (): &(), _: Dual<2>, _: Option<Dual<3>>) -> Dual<1> {
        self.depth.val().into()
    }
}

#[test]
fn an_energy_without_positions_has_no_forces() {
    let device = Device::flex().autodiff();
    let model = Vacuum {
        depth: Param::from_tensor(tensor(vec![2.0], [1], &device)),
    };
    let r = || tensor(vec![1.0, 2.0, 3.0], [1, 3], &device);
    let now = predict(&model, &(), r(), Some(1));
    assert_eq!(list(now.forces), [0.0; 3]);
    assert_eq!(list(now.virials.unwrap()), [0.0; 9]);
    assert_eq!(
        list(hessian_vector_product(&model, &(), r(), r())),
        [0.0; 3]
    );
    let step = force_loss(&model, &(), r(), None, |p| {
        p.energies.clone().square().sum() + p.forces.clone().sum()
    });
    assert_eq!(
        list(model.depth.val().grad(&step.gradients).unwrap()),
        [4.0]
    );
}
