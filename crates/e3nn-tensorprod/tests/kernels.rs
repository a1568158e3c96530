//! The kernels of tensor products against the reference, on random lists of paths of every mode; their gradients by
//! finite differences; bits for any number of threads; statistics and equivariance. Outputs start as NaN throughout.

#[path = "common/random.rs"]
mod random;

use burn::tensor::{DType, Device, Distribution, Tensor};
use core_tensor::assert_close;
use core_tensor::testing::{GradCheck, PoisonGuard, check_gradients, poison_outputs};
use e3nn_tensorprod::product::op::reference;
use e3nn_tensorprod::product::{
    ConnectionMode, Instruction, Normalization, PathNormalization, RowClasses, Slot,
    TensorSquareConfig, WeightRows, partial, tensor_product,
};
use e3nn_tensorprod::testing::{Argument, Equivariance, assert_equivariant};
use e3nn_tensorprod::{Irrep, Irreps, LinearConfig, Parity, ProductPlan, TensorProductConfig};
use proptest::prelude::*;
use random::{Problem, random_paths};
use std::sync::{Arc, OnceLock};

fn cpu() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    Device::flex()
}

fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// A product that mixes all modes, with and without weights, and shares blocks between paths.
fn all_modes() -> Arc<ProductPlan> {
    use ConnectionMode::*;
    let path = Instruction::new;
    let paths = vec![
        path(0, 0, 0, Uvw),
        path(0, 0, 1, Uvu).unweighted(),
        path(0, 2, 1, Uvu),
        path(1, 2, 2, Uuu),
        path(1, 2, 3, Uuw),
        path(1, 1, 4, Uvuv).with_path_weight(0.5),
        path(1, 2, 5, UvuTriangle),
        path(1, 2, 3, UvwTriangle),
        path(1, 2, 2, Uvv),
        path(1, 2, 2, Uuu).unweighted(),
        path(0, 0, 0, Uvw),
    ];
    TensorProductConfig::new(
        irreps("5x1o+3x2e"),
        irreps("4x1e+2x0o+3x2e"),
        irreps("6x1o+5x1o+3x2e+4x3e+6x2o+3x1e"),
        paths,
    )
    .plan()
    .unwrap_or_else(|e| panic!("{e}"))
}

fn matches_reference(problem: &Problem, dtype: DType, bound: f64) {
    let device = cpu().autodiff();
    let plan = problem.plan();
    let rows = problem.rows();
    let inputs = problem.inputs(&plan, &rows, &device, dtype);
    let cotangent = problem.cotangent(&plan, &device, dtype);
    let run = |fast: bool| {
        let [x, y, w] = inputs.each_ref().map(|t| t.clone().detach().require_grad());
        let out = if fast {
            tensor_product(&plan, x.clone(), y.clone(), Some(w.clone()), &rows)
        } else {
            let some = (plan.weight_numel() > 0).then(|| w.clone());
            reference::tensor_product(&plan, x.clone(), y.clone(), some, &rows)
        };
        // Where there is nothing to multiply, the product is not tracked: the inputs keep the sum so.
        let inputs = x.clone().sum() + y.clone().sum() + w.clone().sum();
        let grads = ((out.clone() * cotangent.clone()).sum() + inputs).backward();
        let gradients = [x, y, w].map(|t| t.grad(&grads));
        (out, gradients)
    };
    let ((got, got_grads), (want, want_grads)) = (run(true), run(false));
    assert_close!(got, want, bound, bound);
    for (name, (got, want)) in ["x", "y", "w"]
        .iter()
        .zip(got_grads.into_iter().zip(want_grads))
    {
        let (got, want) = (got.expect("a gradient"), want.expect("a gradient"));
        assert_close!(got, want, bound, bound, "gradient of {name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_products_match_the_reference(problem in random_paths()) {
        matches_reference(&problem, DType::F64, 1e-12);
    }

    #[test]
    fn random_products_match_the_reference_in_f32(problem in random_paths()) {
        matches_reference(&problem, DType::F32, 3e-5);
    }
}

#[test]
fn half_precision_is_storage() {
    let device = cpu();
    let plan = all_modes();
    let random = |width| Tensor::<2>::random([17, width], Distribution::Default, &device);
    let (x, y, w) = (
        random(plan.irreps_in1().dim()),
        random(plan.irreps_in2().dim()),
        random(plan.weight_numel()),
    );
    for dtype in [DType::BF16, DType::F16] {
        let [x, y, w] = [&x, &y, &w].map(|t| t.clone().cast(dtype));
        let got = tensor_product(
            &plan,
            x.clone(),
            y.clone(),
            Some(w.clone()),
            &WeightRows::PerRow,
        );
        assert_eq!(got.dtype(), dtype);
        let [x, y, w] = [x, y, w].map(|t| t.cast(DType::F32));
        let want = tensor_product(&plan, x, y, Some(w), &WeightRows::PerRow);
        assert_close!(got, want.cast(dtype), 0.0, 0.0);
    }
}

/// All four partial products, and thereby gradients of gradients, against finite differences.
#[test]
fn partial_products_have_the_right_gradients() {
    let device = cpu();
    let plan = all_modes();
    let classes = RowClasses::new(&[1, 0, 1], 2).unwrap();
    for rows in [
        WeightRows::Shared,
        WeightRows::PerRow,
        WeightRows::ByClass(classes),
    ] {
        let shape = |slot| match slot {
            Slot::In1 => [3, plan.irreps_in1().dim()],
            Slot::In2 => [3, plan.irreps_in2().dim()],
            Slot::Weight => [rows.count(3), plan.weight_numel()],
            Slot::Out => [3, plan.irreps_out().dim()],
        };
        for slot in Slot::ALL {
            let places = slot.others();
            let values: Vec<Vec<f64>> = places
                .iter()
                .map(|&place| {
                    let random = Tensor::<2>::random(
                        shape(place),
                        Distribution::Default,
                        (&device, DType::F64),
                    );
                    random.into_data().iter::<f64>().collect()
                })
                .collect();
            let cotangent =
                Tensor::<2>::random(shape(slot), Distribution::Default, (&device, DType::F64));
            let cotangent = Tensor::from_inner(cotangent);
            let settings = GradCheck {
                rtol: 1e-6,
                atol: 1e-7,
                directions: 4,
                step: 1e-4,
                ..GradCheck::default()
            };
            check_gradients(&device, &values, settings, |inputs| {
                let operands =
                    core::array::from_fn(|i| inputs[i].clone().reshape(shape(places[i])));
                (partial(&plan, slot, operands, &rows) * cotangent.clone()).sum()
            });
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let device = cpu();
    let plan = all_modes();
    let batch = 1700;
    let class: Vec<usize> = (0..batch).map(|i| i * i % 5).collect();
    let classes = RowClasses::new(&class, 5).unwrap();
    for rows in [
        WeightRows::Shared,
        WeightRows::PerRow,
        WeightRows::ByClass(classes),
    ] {
        let random =
            |height, width| Tensor::<2>::random([height, width], Distribution::Default, &device);
        let x = random(batch, plan.irreps_in1().dim());
        let y = random(batch, plan.irreps_in2().dim());
        let w = random(rows.count(batch), plan.weight_numel());
        let g = random(batch, plan.irreps_out().dim());
        let all = || {
            Slot::ALL.map(|slot| {
                let operands = slot.others().map(|place| match place {
                    Slot::In1 => x.clone(),
                    Slot::In2 => y.clone(),
                    Slot::Weight => w.clone(),
                    Slot::Out => g.clone(),
                });
                let out = partial(&plan, slot, operands, &rows);
                out.into_data()
                    .iter::<f32>()
                    .map(f32::to_bits)
                    .collect::<Vec<_>>()
            })
        };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(all)
        };
        let one = on(1);
        assert!(one == on(2) && one == on(3) && one == on(7));
    }
}

/// Mean square of every component of the output over random inputs and weights.
fn mean_squares(plan: &Arc<ProductPlan>, same_input: bool) -> Vec<f64> {
    let device = cpu();
    device.seed(11);
    let (inputs, draws) = (2000, 40);
    let normal = |height, width| {
        Tensor::<2>::random(
            [height, width],
            Distribution::Normal(0.0, 1.0),
            (&device, DType::F64),
        )
    };
    let mut sums = vec![0.0; plan.irreps_out().dim()];
    for _ in 0..draws {
        let x = normal(inputs, plan.irreps_in1().dim());
        let y = if same_input {
            x.clone()
        } else {
            normal(inputs, plan.irreps_in2().dim())
        };
        let w = (plan.weight_numel() > 0).then(|| normal(inputs, plan.weight_numel()));
        let out = tensor_product(plan, x, y, w, &WeightRows::PerRow);
        let squares: Vec<f64> = out
            .powi_scalar(2)
            .mean_dim(0)
            .into_data()
            .iter::<f64>()
            .collect();
        sums.iter_mut()
            .zip(squares)
            .for_each(|(sum, x)| *sum += x / f64::from(draws));
    }
    sums
}

#[test]
fn outputs_have_unit_variance() {
    for path in [PathNormalization::Element, PathNormalization::Path] {
        let config = TensorProductConfig::fully_connected(
            &irreps("5x0e+4x1o+2x2e"),
            &irreps("2x0e+3x1o"),
            &irreps("2x0e+2x1o+1x1e+1x2e+1x3o"),
        );
        let normalization = Normalization {
            path,
            ..Normalization::default()
        };
        let plan = config.with_normalization(normalization).plan().unwrap();
        for square in mean_squares(&plan, false) {
            assert!((square - 1.0).abs() < 0.06, "{square}");
        }
    }
    let square = |out: Option<&str>| {
        let config =
            TensorSquareConfig::new(irreps("3x0e+4x1o+2x2e")).with_irreps_out(out.map(irreps));
        config.init(&cpu()).unwrap().plan().clone()
    };
    for square in mean_squares(&square(Some("3x0e+2x1o+2x2e")), true) {
        assert!((square - 1.0).abs() < 0.1, "{square}");
    }
    // e3nn's own bound for squares of one irrep, whose mean is not 0.
    for square in mean_squares(&square(None), true) {
        assert!((square - 1.0).abs() < 0.1, "{square}");
    }
}

#[test]
fn a_thousand_elements_of_o3() {
    let device = cpu();
    let products = [
        all_modes(),
        TensorProductConfig::fully_connected(
            &irreps("4x0e+2x0o+3x1o+2x2e+1x3o+1x4e"),
            &irreps("0e+1o+2e+3o"),
            &irreps("3x0e+2x0o+2x1o+2x1e+2x2e+2x3o+1x4e+1x5o"),
        )
        .plan()
        .unwrap(),
    ];
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        let options = Equivariance {
            elements: 1000,
            dtype,
            tolerance,
            device: device.clone(),
            ..Equivariance::default()
        };
        for plan in &products {
            let w = Tensor::<2>::random(
                [1, plan.weight_numel()],
                Distribution::Default,
                (&device, dtype),
            );
            let f = |x: &[Tensor<2>]| {
                let (x, y) = (x[0].clone(), x[1].clone());
                vec![tensor_product(
                    plan,
                    x,
                    y,
                    Some(w.clone()),
                    &WeightRows::Shared,
                )]
            };
            let inputs =
                [plan.irreps_in1(), plan.irreps_in2()].map(|i| Argument::features(i.clone()));
            assert_equivariant(f, &inputs, &[plan.irreps_out().clone().into()], &options);
        }
        let (a, b) = (irreps("4x0e+3x1o+2x2e+1x3e"), irreps("2x1o+5x0e+3x2e+2x3e"));
        let linear = LinearConfig::new(a.clone(), b.clone())
            .with_internal_weights(false)
            .init(&device)
            .unwrap();
        let w = Tensor::<2>::random(
            [1, linear.weight_numel()],
            Distribution::Default,
            (&device, dtype),
        );
        let f = |x: &[Tensor<2>]| {
            vec![linear.forward_weighted(x[0].clone(), w.clone(), None, &WeightRows::Shared)]
        };
        assert_equivariant(f, &[Argument::features(a)], &[b.into()], &options);
    }
}

#[test]
fn nothing_in_nothing_out() {
    let device = cpu().autodiff();
    let plan = all_modes();
    let none = |width| Tensor::<2>::zeros([0, width], &device);
    let w = Tensor::<2>::ones([1, plan.weight_numel()], &device).require_grad();
    let [n1, n2, n3] = [plan.irreps_in1(), plan.irreps_in2(), plan.irreps_out()].map(|i| i.dim());
    let out = tensor_product(&plan, none(n1), none(n2), Some(w), &WeightRows::Shared);
    assert_eq!(out.dims(), [0, n3]);
    let empty = TensorProductConfig::full(&Irreps::default(), &irreps("2x1o"), None);
    let layer = empty.init(&device).unwrap();
    let y = Tensor::<2>::ones([5, 6], &device);
    assert_eq!(
        layer.forward(Tensor::<2>::zeros([5, 0], &device), y).dims(),
        [5, 0]
    );
    // A block that no path reaches is 0.
    let scalar = Irreps::from(Irrep::new(0, Parity::Odd));
    let config = TensorProductConfig::new(irreps("2x1o"), irreps("1x1o"), scalar, Vec::new());
    let out = config.init(&device).unwrap().forward(
        Tensor::<2>::ones([3, 6], &device),
        Tensor::<2>::ones([3, 3], &device),
    );
    assert_close!(out, Tensor::<2>::zeros([3, 1], &device), 0.0, 0.0);
}

#[test]
#[should_panic(expected = "tensor product: In2 has shape [3, 5], expected [3, 29]")]
fn a_wrong_shape_is_told() {
    let plan = all_modes();
    let x = |width| Tensor::<2>::zeros([3, width], &cpu());
    let w = Tensor::<2>::zeros([1, plan.weight_numel()], &cpu());
    tensor_product(
        &plan,
        x(plan.irreps_in1().dim()),
        x(5),
        Some(w),
        &WeightRows::Shared,
    );
}
