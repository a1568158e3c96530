//! Tensor products against e3nn 0.6.0: paths, coefficients, values, gradients, gradients of gradients.

mod common;

use burn::tensor::{DType, Device, Tensor};
use common::Golden;
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::{
    ConnectionMode, Instruction, InstructionOrder, IrrepNormalization, Norm, Normalization,
    PathNormalization, TensorSquareConfig, WeightRows,
};
use e3nn_tensorprod::{Irrep, Irreps, ProductPlan, SortOrder, TensorProductConfig};
use serde_json::Value;
use std::sync::Arc;

fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn single(text: &str) -> Irrep {
    irreps(text)[0].irrep
}

/// A path of the generator's list.
fn path(in1: usize, in2: usize, out: usize, mode: &str, has_weight: bool) -> Instruction {
    let path = Instruction::new(in1, in2, out, mode.parse().unwrap());
    if has_weight { path } else { path.unweighted() }
}

const SMALL: [&str; 3] = [
    "3x0e+2x1o+1x2e",
    "2x0e+1x1o+1x2e",
    "2x0e+3x1o+2x1e+1x2e+1x3o",
];

fn fully_connected(texts: [&str; 3]) -> TensorProductConfig {
    let [a, b, c] = texts.map(irreps);
    TensorProductConfig::fully_connected(&a, &b, &c)
}

fn modes(mode: &str) -> TensorProductConfig {
    let p = |out, has_weight| path(0, 0, out, mode, has_weight);
    let (texts, paths) = match mode {
        "uvw" => (
            ["3x1o+2x2e", "2x1o+4x0e", "5x0e+5x1e+2x2e+1x3o"],
            vec![
                p(0, true),
                p(1, true),
                p(2, true).with_path_weight(0.3),
                path(1, 0, 3, mode, true),
                path(1, 1, 2, mode, true),
            ],
        ),
        "uvu" => (
            ["3x1o", "2x1o", "3x0e+3x1e+3x2e"],
            vec![p(0, true), p(1, true), p(2, false)],
        ),
        "uvv" => (
            ["3x1o", "2x1o", "2x0e+2x1e+2x2e"],
            vec![p(0, true), p(1, false), p(2, true)],
        ),
        "uuw" => (
            ["3x1o", "3x2e", "4x1o+2x2o+1x3o"],
            vec![p(0, true), p(1, true), p(2, false)],
        ),
        "uuu" => (
            ["3x1o", "3x1o", "3x0e+3x1e+3x2e"],
            vec![p(0, true), p(1, false), p(2, true)],
        ),
        "uvuv" => (
            ["3x1o", "2x2e", "6x1o+6x2o+6x3o"],
            vec![p(0, true), p(1, false), p(2, true)],
        ),
        "uvu<v" => (
            ["4x1o", "4x1o", "6x0e+6x1e+6x2e"],
            vec![p(0, true), p(1, false), p(2, true)],
        ),
        "u<vw" => (
            ["4x1o", "4x1o", "2x0e+3x1e+2x2e"],
            vec![p(0, true), p(1, true), p(2, true)],
        ),
        _ => panic!("{mode}"),
    };
    let [a, b, c] = texts.map(irreps);
    TensorProductConfig::new(a, b, c, paths)
}

/// The product of a case of the generator, by the constructor that its user would call.
fn plan(case: &str) -> Arc<ProductPlan> {
    let normalized = |config: TensorProductConfig, irrep, path| {
        config.with_normalization(Normalization {
            irrep,
            path,
            ..Normalization::default()
        })
    };
    use IrrepNormalization::{Component, Norm as ByNorm};
    use PathNormalization::{Element, Path};
    let device = Device::flex();
    let square = |out: Option<&str>| {
        TensorSquareConfig::new(irreps("2x0e+3x1o+1x2e"))
            .with_irreps_out(out.map(irreps))
            .init(&device)
            .unwrap()
            .plan()
            .clone()
    };
    let config = match case {
        "fctp_component_element" => normalized(fully_connected(SMALL), Component, Element),
        "fctp_component_path" => normalized(fully_connected(SMALL), Component, Path),
        "fctp_norm_element" => normalized(fully_connected(SMALL), ByNorm, Element),
        "fctp_norm_path" => normalized(fully_connected(SMALL), ByNorm, Path),
        "fctp_unshared" => fully_connected(SMALL),
        "fctp_lmax4" => fully_connected([
            "4x0e+4x0o+3x1o+3x1e+2x2o+2x2e+1x3o+1x4e",
            "0e+1o+2e+3o+4e",
            "2x0e+2x0o+2x1o+2x1e+2x2o+2x2e+1x3e+1x4o+1x5o+1x6e",
        ]),
        "uvu_nequip" => {
            let hidden = irreps("4x0o+4x0e+4x1o+4x1e+4x2o+4x2e");
            TensorProductConfig::depthwise(
                &hidden,
                &irreps("0e+1o+2e"),
                &hidden,
                InstructionOrder::Found,
                SortOrder::DegreeFirst,
            )
        }
        "variances_unreached_output" => TensorProductConfig::new(
            irreps("2x1o+3x0e"),
            irreps("1x1o+2x0e"),
            irreps("2x1o+1x0e+2x2o"),
            vec![
                path(0, 1, 0, "uvw", true),
                path(1, 0, 0, "uvw", true).with_path_weight(2.0),
                path(0, 0, 1, "uvw", true),
            ],
        )
        .with_normalization(Normalization {
            in1_var: Some(vec![1.0, 0.25]),
            in2_var: Some(vec![2.0, 1.0]),
            out_var: Some(vec![1.0, 3.0, 1.0]),
            ..Normalization::default()
        }),
        "elementwise" => TensorProductConfig::elementwise(
            &irreps("5x1o+5x1e"),
            &irreps("10x1e"),
            Some(&["0e", "0o", "1e", "1o"].map(single)),
        )
        .unwrap(),
        "elementwise_split" => {
            TensorProductConfig::elementwise(&irreps("2x0e+3x1o"), &irreps("4x0e+1x2e"), None)
                .unwrap()
        }
        "full" => TensorProductConfig::full(&irreps("2x0e+1x1o+1x2e"), &irreps("1x0o+2x1o"), None),
        "square_full" => return square(None),
        "square_fc" => return square(Some("2x0e+2x1o+1x2e")),
        "right" => fully_connected(["3x0e+2x1o", "2x0e+1x1o", "2x0e+2x1o"]),
        _ => {
            let mode = case
                .strip_prefix("mode_")
                .unwrap_or_else(|| panic!("{case}"));
            let (mode, irrep) = mode.split_once('_').unwrap();
            let irrep = if irrep == "norm" { ByNorm } else { Component };
            normalized(modes(mode), irrep, Element)
        }
    };
    config.plan().unwrap_or_else(|e| panic!("{case}: {e}"))
}

fn integers(value: &Value) -> Vec<usize> {
    let all = value.as_array().unwrap().iter();
    all.map(|n| n.as_u64().unwrap() as usize).collect()
}

/// Irreps, instructions, coefficients, shapes of weights and mask of outputs as e3nn has them.
fn same_paths(case: &str, plan: &ProductPlan, meta: &Value) {
    let is = |got: &Irreps, name: &str| {
        if let Some(text) = meta.get(name).and_then(Value::as_str) {
            assert_eq!(got.to_string(), text, "{case}: {name}");
        }
    };
    is(plan.irreps_in1(), "irreps_in1");
    is(plan.irreps_in1(), "irreps_in");
    is(plan.irreps_in2(), "irreps_in2");
    is(plan.irreps_out(), "irreps_out");
    let Some(instructions) = meta.get("instructions").and_then(Value::as_array) else {
        return;
    };
    assert_eq!(plan.paths().len(), instructions.len(), "{case}");
    assert_eq!(
        plan.weight_numel() as u64,
        meta["weight_numel"].as_u64().unwrap(),
        "{case}"
    );
    let mut at = 0;
    for (n, (path, want)) in plan.paths().iter().zip(instructions).enumerate() {
        let ins = path.instruction;
        assert_eq!(
            [ins.in1, ins.in2, ins.out],
            integers(&Value::from(&want.as_array().unwrap()[..3]))[..]
        );
        assert_eq!(ins.mode.name(), want[3].as_str().unwrap(), "{case} {n}");
        assert_eq!(ins.has_weight, want[4].as_bool().unwrap(), "{case} {n}");
        let (got, want_coefficient) = (path.coefficient, want[5].as_f64().unwrap());
        assert!(
            (got - want_coefficient).abs() <= 4e-16 * want_coefficient,
            "{case} {n}: {got}"
        );
        let shape = integers(&want[6]);
        assert_eq!(ins.mode.weight_shape(path.mul), shape, "{case} {n}");
        let numel: usize = shape.iter().product();
        match plan.weight_slice(n) {
            Some((range, shape_of_view)) => {
                assert_eq!((range, shape_of_view), (at..at + numel, shape));
                at += numel;
            }
            None => assert!(!ins.has_weight),
        }
    }
    if let Some(mask) = meta.get("output_mask") {
        let mask: Vec<bool> = integers(mask).into_iter().map(|n| n != 0).collect();
        assert_eq!(plan.output_mask(), mask, "{case}");
    }
}

/// Values, first and second derivatives. e3nn's `h*` are gradients of `Σ_i ⟨g_i, v_i⟩`, which is `⟨cot, ȯut⟩` for the
/// tangent `ȯut` along `v*`.
fn same_numbers(case: &str, plan: &Arc<ProductPlan>, dtype: DType, [first, second]: [f64; 2]) {
    let golden = Golden::open("tensor_products");
    let device = Device::flex().autodiff();
    let name = |what: &str| format!("{case}.{what}");
    let row = |what: &str| -> Tensor<2> {
        if golden.shape(&name(what)).len() == 1 {
            let flat = golden.tensor::<1>(&name(what), &device, dtype);
            flat.unsqueeze_dim(0)
        } else {
            golden.tensor::<2>(&name(what), &device, dtype)
        }
    };
    let has = |what: &str| golden.has(&name(what));
    let args: Vec<&str> = ["x1", "x2", "w"]
        .into_iter()
        .filter(|&arg| has(arg))
        .collect();
    let rows = match has("w").then(|| golden.shape(&name("w")).len()) {
        Some(2) => WeightRows::PerRow,
        _ => WeightRows::Shared,
    };
    let run = |with_tangents: bool| {
        let inputs: Vec<Tensor<2>> = args.iter().map(|arg| row(arg).require_grad()).collect();
        let dual = |i: usize| {
            let value = inputs[i].clone();
            if with_tangents {
                Dual::new(value, row(&format!("v{i}")))
            } else {
                Dual::constant(value)
            }
        };
        let x = dual(0);
        let y = if has("x2") { dual(1) } else { x.clone() };
        let w = has("w").then(|| dual(args.len() - 1));
        (plan.apply(x, y, w, &rows), inputs)
    };
    let close = |got: Tensor<2>, want: Tensor<2>, bound: f64, what: &str| {
        assert_close!(got, want, bound, bound, "{case}, {dtype:?}: {what}");
    };

    let (out, inputs) = run(false);
    close(out.value.clone(), row("out"), first, "out");
    let grads = (out.value * row("cot")).sum().backward();
    for (i, input) in inputs.iter().enumerate() {
        let name = format!("g{i}");
        let gradient = input.grad(&grads).expect("a gradient");
        close(Tensor::from_inner(gradient), row(&name), first, &name);
    }

    let (out, inputs) = run(true);
    let tangent = out.tangent.expect("a tangent");
    close(tangent.clone(), row("hcot"), second, "hcot");
    let grads = (tangent * row("cot")).sum().backward();
    for (i, input) in inputs.iter().enumerate() {
        let name = format!("h{i}");
        let gradient = input.grad(&grads).expect("a gradient");
        close(Tensor::from_inner(gradient), row(&name), second, &name);
    }
}

fn cases() -> serde_json::Map<String, Value> {
    Golden::open("tensor_products")
        .meta()
        .as_object()
        .unwrap()
        .clone()
}

#[test]
fn all_cases_of_e3nn() {
    let cases = cases();
    assert_eq!(cases.len(), 30);
    for (case, meta) in &cases {
        let plan = plan(case);
        same_paths(case, &plan, meta);
        if case == "right" {
            continue;
        }
        same_numbers(case, &plan, DType::F64, [1e-12, 1e-10]);
        same_numbers(case, &plan, DType::F32, [1e-5, 1e-5]);
    }
}

#[test]
fn the_matrix_of_a_fixed_second_input() {
    let golden = Golden::open("tensor_products");
    let device = Device::flex();
    let layer = fully_connected(["3x0e+2x1o", "2x0e+1x1o", "2x0e+2x1o"])
        .with_internal_weights(false)
        .init(&device)
        .unwrap();
    let y = golden.tensor::<2>("right.x2", &device, DType::F64);
    let w = golden.tensor::<1>("right.w", &device, DType::F64);
    let w: Tensor<2> = w.unsqueeze_dim(0);
    let want = golden.tensor::<3>("right.out", &device, DType::F64);
    let got = layer.right_weighted(y.clone(), w.clone());
    assert_close!(got, want.clone(), 1e-12, 1e-12);
    let own_rows = w.repeat_dim(0, 3);
    assert_close!(layer.right_weighted(y, own_rows), want, 1e-12, 1e-12);
}

#[test]
fn norms_of_e3nn() {
    let golden = Golden::open("nn");
    for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
        let device = Device::flex().autodiff();
        let norm = Norm::new(&irreps("3x0e+2x1o+1x2e"), false);
        let x = golden.tensor::<2>("norm.x", &device, dtype).require_grad();
        let out = norm.forward(x.clone());
        let want = golden.tensor::<2>("norm.out", &device, dtype);
        assert_close!(out.clone(), want, bound, bound);
        // A zero vector is among them: its gradient is 0.
        let gradient = x.grad(&out.sum().backward()).unwrap();
        let gradient: Vec<f64> = gradient.into_data().iter::<f64>().collect();
        assert!(gradient.iter().all(|g| g.is_finite()));
        assert_eq!(gradient[3..6], [0.0; 3]);
    }
}

#[test]
fn names_of_modes() {
    for mode in ConnectionMode::ALL {
        assert_eq!(mode.name().parse::<ConnectionMode>().unwrap(), mode);
    }
    let error = "uvx".parse::<ConnectionMode>().unwrap_err().to_string();
    assert!(error.contains("\"uvx\""), "{error}");
}

#[test]
fn mace_orders_weights_by_output() {
    let make = |order| {
        TensorProductConfig::depthwise(
            &irreps("4x0e+4x1o"),
            &irreps("0e+1o+2e"),
            &irreps("0e+1o+2e"),
            order,
            SortOrder::DegreeFirst,
        )
    };
    let places = |config: &TensorProductConfig| -> Vec<[usize; 3]> {
        let all = config.instructions.iter();
        all.map(|path| [path.in1, path.in2, path.out]).collect()
    };
    let nequip = make(InstructionOrder::Found);
    let mace = make(InstructionOrder::ByOutput);
    assert_eq!(nequip.irreps_out, mace.irreps_out);
    assert_eq!(
        places(&nequip),
        [
            [0, 0, 0],
            [0, 1, 2],
            [0, 2, 5],
            [1, 0, 3],
            [1, 1, 1],
            [1, 1, 6],
            [1, 2, 4]
        ]
    );
    assert_eq!(
        places(&mace),
        [
            [0, 0, 0],
            [1, 1, 1],
            [0, 1, 2],
            [1, 0, 3],
            [1, 2, 4],
            [0, 2, 5],
            [1, 1, 6]
        ]
    );
}

#[test]
fn errors_name_the_instruction_and_the_block() {
    let build = |texts: [&str; 3], paths: Vec<Instruction>| {
        let [a, b, c] = texts.map(irreps);
        let config = TensorProductConfig::new(a, b, c, paths);
        config.plan().map(|_| ()).unwrap_err().to_string()
    };
    let good = path(0, 0, 0, "uvw", true);
    assert_eq!(
        build(["1o", "1o", "0e"], vec![good, path(0, 1, 0, "uvw", true)]),
        "instruction 1: irreps_in2 has 1 blocks (1x1o), so none numbered 1"
    );
    assert_eq!(
        build(
            ["1o", "1o", "0e+3e"],
            vec![good, path(0, 0, 1, "uvw", true)]
        ),
        "instruction 1: 1o (block 0) x 1o (block 0) does not contain 3e (block 1 of the output)"
    );
    assert_eq!(
        build(["2x1o", "1o", "3x0e"], vec![path(0, 0, 0, "uvu", true)]),
        "instruction 0: mode uvu needs as many copies in the output as in the first input; multiplicities are [2, 1, 3] (in1, in2, out)"
    );
    assert_eq!(
        build(["1o", "1o", "0e"], vec![good.unweighted()]),
        "instruction 0: mode uvw needs weights; multiplicities are [1, 1, 1] (in1, in2, out)"
    );
    assert_eq!(
        build(["1o", "1o", "0e"], vec![good.with_path_weight(-1.0)]),
        "path weight of instruction 0 is -1, expected a finite number not below 0"
    );
    let error = TensorProductConfig::elementwise(&irreps("2x1o"), &irreps("3x0e"), None);
    assert_eq!(
        error.unwrap_err().to_string(),
        "elementwise product of 2x1o and 3x0e: 2 and 3 irreps, expected as many in both"
    );
}
