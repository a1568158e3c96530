//! The golden files: numbers made by PyTorch, Liger and Cut Cross-Entropy, see `tests/golden/README.md`.

mod common;

use burn::tensor::{DType, Device};
use common::check::{Way, check_golden, single_precision};
use common::{Loss, Problem, Setup};
use core_tensor::testing::poison_outputs;
use fused_ce_loss::{Filter, Plan, Tail, linear_cross_entropy, reference};

/// Every plan; the filter keeps everything above 10⁻³⁰⁰.
fn plans() -> Vec<Plan> {
    let all = Filter {
        threshold: 1e-300,
        tail: Tail::Drop,
        ..Filter::default()
    };
    vec![
        Plan::Store,
        Plan::Recompute,
        Plan::ForwardGradient,
        Plan::Filtered(all),
    ]
}

fn check(dtype: DType, bound: impl Fn(&Problem) -> f64, plans: &[Plan], loss: Loss, precise: bool) {
    for &plan in plans {
        for (columns, frozen) in [(false, false), (false, true), (true, false), (true, true)] {
            let setup = Setup {
                dtype,
                columns,
                frozen,
            };
            let way = Way {
                loss,
                precise,
                plan,
                setup,
            };
            check_golden(&Device::flex(), &bound, way);
        }
    }
}

#[test]
fn plain_operations_match() {
    let loss = reference::linear_cross_entropy;
    check(DType::F64, |_| 1e-11, &[Plan::Auto], loss, false);
}

#[test]
fn every_plan_matches_in_f64() {
    let _poison = poison_outputs();
    check(DType::F64, |_| 1e-11, &plans(), linear_cross_entropy, true);
}

#[test]
fn every_plan_matches_in_f32() {
    let _poison = poison_outputs();
    check(
        DType::F32,
        single_precision,
        &plans(),
        linear_cross_entropy,
        true,
    );
}
