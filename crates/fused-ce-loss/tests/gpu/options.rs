//! Every option with every plan.

use super::common::grid::{EXACT_PLANS, compare, problems};
use super::common::{Problem, Random, Setup};
use super::{TINY, device};
use burn::tensor::{DType, Int, Tensor};
use fused_ce_loss::{Plan, Reduction, linear_cross_entropy};

fn check(seed: u64, shape: [usize; 3], budget: Option<u64>, setup: Setup, bounds: [f64; 2]) {
    for (name, mut problem) in problems(&mut Random::new(seed), shape) {
        if let Some(budget) = budget {
            problem.config.memory_budget = budget;
        }
        for plan in EXACT_PLANS {
            let what = format!("{name} {shape:?} {budget:?}");
            compare(&what, &problem, &device(), plan, setup, bounds);
        }
    }
}

#[test]
fn in_one_panel() {
    check(0, [52, 123, 31], None, Setup::F32, [1e-6, 1e-6]);
}

#[test]
fn in_many_panels() {
    // Two blocks of tokens, three panels of classes, the last one with one class.
    check(1, [300, 513, 24], Some(TINY), Setup::F32, [1e-6, 1e-6]);
}

#[test]
fn with_a_weight_of_columns() {
    let setup = Setup {
        columns: true,
        ..Setup::F32
    };
    check(2, [300, 513, 17], Some(TINY), setup, [1e-6, 1e-6]);
}

#[test]
fn with_a_frozen_head() {
    let setup = Setup {
        frozen: true,
        ..Setup::F32
    };
    check(3, [20, 300, 8], Some(TINY), setup, [1e-6, 1e-6]);
}

#[test]
fn awkward_sizes() {
    for n in [1, 2, 65] {
        for v in [1, 2, 255, 257] {
            for d in [1, 3, 64] {
                let problem = Problem {
                    bias: Some(Random::new(7).normal(&[v], 0.5)),
                    ..Random::new((n * v * d) as u64).problem([n, v, d])
                };
                for plan in [Plan::Store, Plan::Recompute] {
                    let what = format!("N {n}, V {v}, D {d}");
                    let setup = Setup {
                        columns: d == 3,
                        ..Setup::F32
                    };
                    compare(&what, &problem, &device(), plan, setup, [1e-6, 1e-6]);
                }
            }
        }
    }
}

/// Types of half precision that the device has, and the bound of an error of 2⁻⁸ in bf16.
fn halves() -> impl Iterator<Item = (Setup, f64)> {
    let setup = |dtype| Setup {
        dtype,
        ..Setup::F32
    };
    // f16 has three bits more, but its smallest gradients are subnormal.
    [(DType::F16, 5e-4), (DType::BF16, 3e-3)]
        .into_iter()
        .filter(|(dtype, _)| device().supports_dtype(*dtype))
        .map(move |(dtype, bound)| {
            println!("{dtype:?} is supported");
            (setup(dtype), bound)
        })
}

#[test]
fn half_precision() {
    for (setup, bound) in halves() {
        check(4, [300, 513, 48], Some(TINY), setup, [3e-3, bound]);
    }
}

/// Where nothing but the targets weighs, gradients are as exact as their storage allows: half a unit in the last place is
/// 2.0e-4 of a number in f16 on average, eight times that in bf16.
#[test]
fn targets_are_kept_apart_from_factors_of_half_precision() {
    let shape = [300, 513, 48];
    let problems = problems(&mut Random::new(4), shape);
    for (mut setup, general) in halves() {
        let bound = if setup.dtype == DType::F16 {
            2.3e-4
        } else {
            1.84e-3
        };
        for columns in [false, true] {
            setup.columns = columns;
            for name in ["plain", "bias", "temperature", "smoothing", "token weights"] {
                let found = problems.iter().find(|(known, _)| *known == name);
                let (_, mut problem) = found.expect("a problem of the catalogue").clone();
                problem.config.memory_budget = TINY;
                let plan = Plan::ForwardGradient;
                compare(name, &problem, &device(), plan, setup, [3e-3, bound]);
            }
        }
        // Few classes, which are added up in parts, and so many that none is; columns of several cubes.
        for shape in [[300, 2, 20], [130, 40, 270], [90, 2100, 20]] {
            for columns in [false, true] {
                setup.columns = columns;
                let what = format!("{shape:?}");
                let problem = Random::new(5).problem(shape);
                let bounds = [3e-3, general];
                compare(&what, &problem, &device(), Plan::Recompute, setup, bounds);
            }
        }
    }
}

/// A gradient that is no number stays none, also with all bits of the fraction set, as those that an NVIDIA GPU makes.
#[test]
fn not_a_number_is_not_rounded_away() {
    for (setup, _) in halves() {
        let device = device().autodiff();
        let problem = Random::new(6).problem([40, 70, 8]);
        let hidden = problem.hidden.tensor::<2>(&device, setup.dtype);
        let weight = problem
            .weight
            .tensor::<2>(&device, setup.dtype)
            .require_grad();
        let options = problem
            .config
            .with_reduction(Reduction::None)
            .build()
            .unwrap();
        let targets = Tensor::<1, Int>::zeros([40], &device);
        let out = linear_cross_entropy(hidden, weight.clone(), targets, &options);
        let mut factors = [1.0; 40];
        factors[3] = f32::from_bits(0x7fff_ffff);
        let loss = out.loss * Tensor::from_floats(factors, &device);
        let gradient = weight.grad(&loss.sum().backward()).unwrap();
        assert!(gradient.into_data().iter::<f32>().all(f32::is_nan));
    }
}
