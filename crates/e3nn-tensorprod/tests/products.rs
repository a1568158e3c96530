//! Tensor products against e3nn 0.6.0: paths, coefficients, values, gradients, gradients of gradients.

mod common;
#[path = "common/golden_products.rs"]
mod golden_products;
#[path = "common/golden_symbols.rs"]
mod golden_symbols;

use burn::tensor::{DType, Device};
use e3nn_tensorprod::product::{ConnectionMode, Instruction, InstructionOrder};
use e3nn_tensorprod::{Irreps, ProductPlan, SortOrder, TensorProductConfig};
use golden_products::{cases, irreps, path, plan, same_numbers};
use serde_json::Value;

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
        same_numbers(case, &plan, &Device::flex(), DType::F64, [1e-12, 1e-10]);
        same_numbers(case, &plan, &Device::flex(), DType::F32, [1e-5, 1e-5]);
    }
}

#[test]
fn the_matrix_of_a_fixed_second_input() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_products::the_matrix_of_a_fixed_second_input(&Device::flex(), dtype, bound);
    }
}

#[test]
fn symbols_of_e3nn() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_symbols::products_have_those_of_e3nn(&Device::flex(), dtype, bound);
    }
}

#[test]
fn full_product_of_e3nn_jax() {
    for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        golden_products::full_product_of_e3nn_jax(&Device::flex(), dtype, bound);
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
    // What cannot be numbered or held is refused before it is made.
    assert_eq!(
        build(["99999x0e", "99999x0e", "0e"], vec![good]),
        "instruction 0: 9999800001 pairs of copies, expected at most 268435456"
    );
    assert_eq!(
        build(["9999x0e", "9999x0e", "9999x0e"], vec![good]),
        "instruction 0: 999700029999 weights, expected at most 4294967295"
    );
    assert_eq!(
        build(["9999999999e", "0e", "9999999999e"], vec![good]),
        "instruction 0: 399999999960000000001 3j symbols, expected at most 4294967295"
    );
    let huge = irreps("4294967296x0e");
    assert!(
        TensorProductConfig::full(&huge, &huge, None)
            .plan()
            .is_err()
    );
    let square = TensorProductConfig::square(&huge, None, Default::default());
    assert!(square.plan().is_err());
    let error = TensorProductConfig::elementwise(&irreps("2x1o"), &irreps("3x0e"), None);
    assert_eq!(
        error.unwrap_err().to_string(),
        "elementwise product of 2x1o and 3x0e: 2 and 3 irreps, expected as many in both"
    );
}
