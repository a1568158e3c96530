//! Numbers made by PyTorch, Liger and Cut Cross-Entropy.

use super::common::Setup;
use super::common::check::{Way, check_golden, single_precision};
use super::device;
use fused_ce_loss::{Plan, linear_cross_entropy};

fn check(plan: Plan, columns: bool, frozen: bool) {
    let way = Way {
        loss: linear_cross_entropy,
        precise: true,
        plan,
        setup: Setup {
            columns,
            frozen,
            ..Setup::F32
        },
    };
    check_golden(&device(), single_precision, way);
}

#[test]
fn stored_logits_match() {
    check(Plan::Store, false, false);
}

#[test]
fn recomputed_logits_match() {
    check(Plan::Recompute, true, false);
}

#[test]
fn gradients_of_the_forward_pass_match() {
    check(Plan::ForwardGradient, false, true);
}
