//! Tensor products.

use crate::device;
use crate::random::{Problem, random_paths};
use burn::tensor::{DType, Device};
use core_tensor::assert_close;
use e3nn_tensorprod::product::op::reference;
use e3nn_tensorprod::product::tensor_product;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

fn matches_reference(problem: &Problem) {
    let plan = problem.plan();
    let rows = problem.rows();
    let run = |device: Device, dtype: DType, fast: bool| {
        let device = device.autodiff();
        let [x, y, w] = problem
            .inputs(&plan, &rows, &device, dtype)
            .map(|t| t.require_grad());
        let cotangent = problem.cotangent(&plan, &device, dtype);
        let out = if fast {
            tensor_product(&plan, x.clone(), y.clone(), Some(w.clone()), &rows)
        } else {
            let some = (plan.weight_numel() > 0).then(|| w.clone());
            reference::tensor_product(&plan, x.clone(), y.clone(), some, &rows)
        };
        // Where there is nothing to multiply, the product is not tracked: the inputs keep the sum so.
        let mut inputs = x.clone().sum() + y.clone().sum();
        if plan.weight_numel() > 0 {
            inputs = inputs + w.clone().sum();
        }
        let grads = ((out.clone() * cotangent).sum() + inputs).backward();
        (
            out.into_data(),
            [x, y, w].map(|t| t.grad(&grads).map(|g| g.into_data())),
        )
    };
    let (got, got_grads) = run(device(), DType::F32, true);
    let (want, want_grads) = run(Device::flex(), DType::F64, false);
    assert_close!(got, want, 3e-5, 3e-5, "{problem:?}");
    for (name, (got, want)) in ["x", "y", "w"]
        .iter()
        .zip(got_grads.into_iter().zip(want_grads))
    {
        if name == &"w" && plan.weight_numel() == 0 {
            continue;
        }
        let (got, want) = (got.expect("a gradient"), want.expect("a gradient"));
        assert_close!(got, want, 3e-5, 3e-5, "gradient of {name}: {problem:?}");
    }
}

/// The same products on every run: shrinking would take long on a software driver.
#[test]
fn random_products_match_the_reference() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let problem = random_paths()
            .new_tree(&mut runner)
            .expect("a problem")
            .current();
        // Empty tensors are not for this backend's sums; the CPU's tests have them.
        if problem.plan().paths().is_empty() || problem.batch == 0 {
            continue;
        }
        matches_reference(&problem);
    }
}
