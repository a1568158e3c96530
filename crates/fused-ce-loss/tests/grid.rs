//! Every option with every plan, in f32 and half precision, against plain tensor operations in f64 on the same numbers.

mod common;

use burn::tensor::{DType, Device};
use common::grid::{EXACT_PLANS, SHAPES, problems};
use common::{Problem, Random, Setup};
use core_tensor::testing::poison_outputs;
use fused_ce_loss::{Filter, Plan, Tail};

fn compare(what: &str, problem: &Problem, plan: Plan, setup: Setup, bounds: [f64; 2]) {
    common::grid::compare(what, problem, &Device::flex(), plan, setup, bounds);
}

#[test]
fn single_precision_is_exact_to_one_in_a_million() {
    let _poison = poison_outputs();
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for (name, problem) in problems(&mut Random::new(seed as u64), shape) {
            for plan in EXACT_PLANS {
                let columns = seed % 2 == 1;
                let setup = Setup {
                    columns,
                    ..Setup::F32
                };
                compare(
                    &format!("{name} {shape:?}"),
                    &problem,
                    plan,
                    setup,
                    [1e-6, 1e-6],
                );
            }
        }
    }
}

#[test]
fn half_precision_is_exact_to_three_in_a_thousand() {
    let _poison = poison_outputs();
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for dtype in if seed == 1 {
            &[DType::BF16, DType::F16][..]
        } else {
            &[DType::BF16]
        } {
            let dtype = *dtype;
            for (name, problem) in problems(&mut Random::new(seed as u64), shape) {
                for plan in EXACT_PLANS {
                    let setup = Setup {
                        dtype,
                        columns: seed % 2 == 0,
                        frozen: false,
                    };
                    compare(
                        &format!("{name} {shape:?}"),
                        &problem,
                        plan,
                        setup,
                        [3e-3, 3e-3],
                    );
                }
            }
        }
    }
}

#[test]
fn bias_with_a_wide_layer() {
    // Cut Cross-Entropy adds the bias once per 256 columns to the target logit (its indexed dot product).
    let mut random = Random::new(9);
    let mut problem = random.problem([40, 130, 1100]);
    problem.bias = Some(random.normal(&[130], 2.0));
    for plan in EXACT_PLANS {
        compare("wide bias", &problem, plan, Setup::F32, [1e-6, 1e-6]);
    }
}

#[test]
fn a_filter_below_everything_is_exact() {
    let all = Filter {
        threshold: 1e-30,
        tail: Tail::Drop,
        ..Filter::default()
    };
    for (name, problem) in problems(&mut Random::new(3), SHAPES[1]) {
        for columns in [false, true] {
            let setup = Setup {
                columns,
                ..Setup::F32
            };
            compare(name, &problem, Plan::Filtered(all), setup, [1e-6, 1e-6]);
        }
        let half = Setup {
            dtype: DType::BF16,
            ..Setup::F32
        };
        compare(name, &problem, Plan::Filtered(all), half, [3e-3, 3e-3]);
    }
}
