//! Tensor products.

use crate::device;
use crate::random::{Problem, random_paths};
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::op::{Slot, partial, reference, weighted_part};
use e3nn_tensorprod::product::{
    ConnectionMode, Instruction, RowClasses, WeightRows, tensor_product,
};
use e3nn_tensorprod::{Irreps, ProductPlan, TensorProductConfig};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

fn matches_reference(problem: &Problem) {
    let plan = problem.plan();
    let rows = problem.rows();
    let weights = plan.weight_numel() > 0;
    let run = |device: Device, dtype: DType, fast: bool| {
        let device = device.autodiff();
        let [x, y, w] = problem
            .inputs(&plan, &rows, &device, dtype)
            .map(|t| t.require_grad());
        let cotangent = problem.cotangent(&plan, &device, dtype);
        let some = weights.then(|| w.clone());
        let out = if fast {
            tensor_product(&plan, x.clone(), y.clone(), some, &rows)
        } else {
            reference::tensor_product(&plan, x.clone(), y.clone(), some, &rows)
        };
        // Where there is nothing to multiply, the product is not tracked: the inputs keep the sum so.
        let mut inputs = x.clone().sum() + y.clone().sum();
        if weights {
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
    assert_close!(got, want, 1e-5, 1e-5, "{problem:?}");
    let names = ["x", "y", "w"].iter().take(if weights { 3 } else { 2 });
    for (name, (got, want)) in names.zip(got_grads.into_iter().zip(want_grads)) {
        let (got, want) = (got.expect("a gradient"), want.expect("a gradient"));
        let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
        assert_close!(
            got,
            want,
            1e-5,
            1e-5 * scale,
            "gradient of {name}: {problem:?}"
        );
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
        // Of an empty tensor Burn's sum has no value on a GPU; another test has empty batches.
        if problem.plan().paths().is_empty() || problem.batch == 0 {
            continue;
        }
        matches_reference(&problem);
    }
}

fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// Numbers that f32 holds exactly, so that both sides see the same.
fn draw(seed: u64, [rows, columns]: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut next = || f64::from(rng.random_range(-1.0..1.0_f32));
    let values: Vec<f64> = (0..rows * columns).map(|_| next()).collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), (device, dtype))
}

fn shape(plan: &ProductPlan, rows: &WeightRows, batch: usize, slot: Slot) -> [usize; 2] {
    match slot {
        Slot::In1 => [batch, plan.irreps_in1().dim()],
        Slot::In2 => [batch, plan.irreps_in2().dim()],
        Slot::Weight => [rows.count(batch), plan.weight_numel()],
        Slot::Out => [batch, plan.irreps_out().dim()],
    }
}

/// A partial product and its gradients by the three operands, of the kernel for the device.
fn partial_and_gradients(
    plan: &Arc<ProductPlan>,
    slot: Slot,
    rows: &WeightRows,
    batch: usize,
    device: &Device,
    dtype: DType,
) -> Vec<TensorData> {
    let device = device.clone().autodiff();
    let of = |slot: Slot, seed: u64| draw(seed, shape(plan, rows, batch, slot), &device, dtype);
    let operands = slot.others().map(|s| of(s, s as u64).require_grad());
    let out = partial(plan, slot, operands.clone(), rows);
    let grads = (out.clone() * of(slot, 9)).sum().backward();
    let gradients = operands.iter().zip(slot.others());
    let gradients = gradients.filter(|(_, s)| *s != Slot::Weight || plan.weight_numel() > 0);
    let gradients = gradients.map(|(x, _)| x.grad(&grads).expect("a gradient").into_data());
    [out.into_data()].into_iter().chain(gradients).collect()
}

fn partials_agree(plan: &Arc<ProductPlan>, rows: &WeightRows, batch: usize, what: &str) {
    // A sum over rows has an error of its own: relative to the largest value.
    partials_agree_in(DType::F32, 3e-6, plan, rows, batch, what);
}

fn partials_agree_in(
    dtype: DType,
    bound: f64,
    plan: &Arc<ProductPlan>,
    rows: &WeightRows,
    batch: usize,
    what: &str,
) {
    for slot in Slot::ALL {
        if slot == Slot::Weight && plan.weight_numel() == 0 {
            continue;
        }
        let run =
            |device: &Device, dtype| partial_and_gradients(plan, slot, rows, batch, device, dtype);
        let got = run(&device(), dtype);
        let want = run(&Device::flex(), DType::F64);
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            let scale = want.iter::<f64>().fold(1e-3_f64, |m, x| m.max(x.abs()));
            let what = format!("{what}, {batch} rows, {slot:?}, result {i}");
            assert_close!(got, want, bound, bound * scale, "{what}");
        }
    }
}

#[test]
fn f64() {
    if !device().supports_dtype(DType::F64) {
        println!("no f64 on this device");
        return;
    }
    for plan in [mixed(), large()] {
        partials_agree_in(DType::F64, 1e-13, &plan, &by_class(65), 65, "f64");
    }
}

fn by_class(batch: usize) -> WeightRows {
    // Class 1 has no rows.
    let class: Vec<usize> = (0..batch).map(|i| [0, 2, 3, 2][i * i % 4]).collect();
    WeightRows::ByClass(RowClasses::new(&class, 4).expect("classes below 4"))
}

/// A mode alone, twice into one block, with another degree and with other multiplicities.
fn single_mode(mode: ConnectionMode, weighted: bool) -> Arc<ProductPlan> {
    use ConnectionMode::*;
    let (m, n) = match mode {
        Uvw | Uvu | Uvv | Uvuv => (3, 2),
        _ => (4, 4),
    };
    let out = match mode {
        Uuw if !weighted => 1,
        Uvw | Uuw | UvwTriangle => 5,
        Uvu | Uuu => m,
        Uvv => n,
        Uvuv => m * n,
        UvuTriangle => m * (m - 1) / 2,
    };
    let [a, b, c] = [
        format!("{m}x1o+{m}x2e"),
        format!("{n}x1o+{n}x0e"),
        format!("{out}x0e+{out}x2e+{out}x1o"),
    ]
    .map(|text| irreps(&text));
    let paths = [[0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 2], [1, 0, 2]];
    let paths = paths.map(|[a, b, c]| {
        let path = Instruction::new(a, b, c, mode);
        if weighted { path } else { path.unweighted() }
    });
    TensorProductConfig::new(a, b, c, paths.to_vec())
        .plan()
        .unwrap_or_else(|e| panic!("{mode}: {e}"))
}

/// Their gradients are others of them; another test has those.
#[test]
fn every_partial_of_every_mode() {
    use ConnectionMode::{Uvw, UvwTriangle};
    let batch = 65;
    for mode in ConnectionMode::ALL {
        for weighted in [true, false] {
            if !weighted && matches!(mode, Uvw | UvwTriangle) {
                continue;
            }
            let plan = single_mode(mode, weighted);
            let all = [WeightRows::Shared, WeightRows::PerRow, by_class(batch)];
            for rows in all.iter().take(if weighted { 3 } else { 1 }) {
                for slot in Slot::ALL
                    .into_iter()
                    .filter(|&s| weighted || s != Slot::Weight)
                {
                    let run = |device: &Device, dtype| {
                        let of = |s: Slot| {
                            let shape = shape(&plan, rows, batch, s);
                            draw(s as u64, shape, device, dtype)
                        };
                        partial(&plan, slot, slot.others().map(of), rows).into_data()
                    };
                    let got = run(&device(), DType::F32);
                    let want = run(&Device::flex(), DType::F64);
                    let scale = want.iter::<f64>().fold(1e-3_f64, |m, x| m.max(x.abs()));
                    let what = format!("{mode}, weighted {weighted}, {rows:?}, {slot:?}");
                    assert_close!(got, want, 3e-6, 3e-6 * scale, "{what}");
                }
            }
        }
    }
}

/// All modes in one product, with and without weights, into common blocks.
fn mixed() -> Arc<ProductPlan> {
    use ConnectionMode::*;
    let path = |a, b, c, mode| Instruction::new(a, b, c, mode);
    let paths = vec![
        path(0, 0, 0, Uvu),
        path(0, 0, 0, Uuu).unweighted(),
        path(0, 1, 0, Uvw),
        path(1, 0, 1, Uvv),
        path(1, 1, 2, Uvuv).unweighted(),
        path(0, 0, 3, Uuw),
        path(0, 0, 4, UvuTriangle),
        path(0, 0, 5, UvwTriangle),
    ];
    TensorProductConfig::new(
        irreps("3x1o+2x0e"),
        irreps("3x1o+1x0e"),
        irreps("3x1e+3x1o+2x0e+4x2e+3x0e+5x1e+2x3o"),
        paths
            .into_iter()
            .map(|mut path| {
                // The second path into the first block is of scalars and vectors of another parity.
                if path.out == 0 && path.in2 == 1 {
                    path.out = 1;
                }
                path
            })
            .collect(),
    )
    .plan()
    .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn batches_of_awkward_sizes() {
    let plan = mixed();
    for batch in [1, 2, 63, 64, 65] {
        for rows in [WeightRows::Shared, WeightRows::PerRow, by_class(batch)] {
            partials_agree(&plan, &rows, batch, &format!("mixed, {rows:?}"));
        }
    }
    // Enough for weights to be summed in parts.
    for rows in [WeightRows::Shared, by_class(1000)] {
        partials_agree(&plan, &rows, 1000, &format!("mixed, {rows:?}"));
    }
    let none = |columns: usize| Tensor::<2>::empty([0, columns], (&device(), DType::F32));
    let (x, y) = (none(plan.irreps_in1().dim()), none(plan.irreps_in2().dim()));
    let w = draw(1, [1, plan.weight_numel()], &device(), DType::F32);
    let out = tensor_product(&plan, x, y, Some(w), &WeightRows::Shared);
    assert_eq!(out.dims(), [0, plan.irreps_out().dim()]);
    // An empty result harms nothing that is computed beside it.
    let beside = Tensor::<2>::ones([2, 1], (&device(), DType::F32)) * 3.0;
    assert_eq!(
        beside.into_data().iter::<f32>().collect::<Vec<_>>(),
        [3.0; 2]
    );
}

/// Paths that run as matrix products, beside some that do not.
fn large() -> Arc<ProductPlan> {
    let [a, b, c] = ["66x0e+18x1o+9x2e", "2x0e+1x1o", "34x0e+17x1o+9x1e+2x2e"].map(irreps);
    TensorProductConfig::fully_connected(&a, &b, &c)
        .plan()
        .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn fully_connected_products_of_many_copies() {
    let plan = large();
    for batch in [1, 65] {
        for rows in [WeightRows::Shared, by_class(batch)] {
            partials_agree(&plan, &rows, batch, &format!("large, {rows:?}"));
        }
    }
    // Enough for weights to be summed in parts.
    partials_agree(&plan, &WeightRows::Shared, 300, "large, many rows");
    partials_agree(
        &plan,
        &WeightRows::PerRow,
        3,
        "large, a row of weights each",
    );
}

#[test]
fn the_part_that_is_linear_in_the_weights() {
    let plan = mixed();
    let run = |device: &Device, dtype| {
        let of = |slot: Slot| {
            let shape = shape(&plan, &WeightRows::Shared, 7, slot);
            draw(slot as u64, shape, device, dtype)
        };
        let [x, y, w] = [of(Slot::In1), of(Slot::In2), of(Slot::Weight)];
        weighted_part(&plan, x, y, w, &WeightRows::Shared).into_data()
    };
    assert_close!(
        run(&device(), DType::F32),
        run(&Device::flex(), DType::F64),
        2e-6,
        2e-6
    );
}

/// Tangents, and gradients of tangents, by all values and directions.
#[test]
fn duals() {
    for plan in [mixed(), large()] {
        let rows = by_class(20);
        let run = |device: Device, dtype| {
            let device = device.autodiff();
            let slots = [Slot::In1, Slot::In2, Slot::Weight];
            let of = |slot: Slot, seed| draw(seed, shape(&plan, &rows, 20, slot), &device, dtype);
            let values = slots.map(|s| of(s, s as u64).require_grad());
            let directions = slots.map(|s| of(s, 10 + s as u64).require_grad());
            let dual = |i: usize| Dual::new(values[i].clone(), directions[i].clone());
            let out = plan.apply(dual(0), dual(1), Some(dual(2)), &rows);
            let tangent = out.tangent.clone().expect("a tangent");
            let loss = out.value * of(Slot::Out, 20) + tangent.clone() * of(Slot::Out, 21);
            let grads = loss.sum().backward();
            let all = values.iter().chain(&directions);
            let all = all.map(|x| x.grad(&grads).expect("a gradient").into_data());
            [tangent.into_data()]
                .into_iter()
                .chain(all)
                .collect::<Vec<_>>()
        };
        let got = run(device(), DType::F32);
        let want = run(Device::flex(), DType::F64);
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
            assert_close!(got, want, 3e-6, 3e-6 * scale, "result {i}");
        }
    }
}

#[test]
fn reruns_have_the_same_bits() {
    for (plan, batch) in [(mixed(), 1000), (large(), 300)] {
        for slot in Slot::ALL {
            let run = || {
                let rows = WeightRows::Shared;
                partial_and_gradients(&plan, slot, &rows, batch, &device(), DType::F32)
            };
            let first = run();
            assert!((0..2).all(|_| run() == first), "{slot:?}");
        }
    }
}

#[test]
fn strided_operands() {
    let plan = mixed();
    let run = |device: &Device, dtype| {
        let view = |slot: Slot| {
            let [rows, columns] = shape(&plan, &WeightRows::PerRow, 9, slot);
            let whole = draw(slot as u64, [columns + 3, rows + 2], device, dtype);
            whole.transpose().slice([1..rows + 1, 2..columns + 2])
        };
        let operands = [Slot::In1, Slot::In2, Slot::Weight].map(view);
        partial(&plan, Slot::Out, operands, &WeightRows::PerRow).into_data()
    };
    assert_close!(
        run(&device(), DType::F32),
        run(&Device::flex(), DType::F64),
        2e-6,
        2e-6
    );
}
