//! The generator's tensor products, and their numbers on a device.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use crate::common::Golden;
use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::{
    Instruction, InstructionOrder, IrrepNormalization, Normalization, PathNormalization,
    TensorSquareConfig, WeightRows,
};
use e3nn_tensorprod::{
    Irrep, Irreps, IrrepsTensor, Layout, ProductPlan, SortOrder, TensorProductConfig,
};
use serde_json::Value;
use std::sync::Arc;

pub fn irreps(text: &str) -> Irreps {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

pub fn single(text: &str) -> Irrep {
    irreps(text)[0].irrep
}

/// A path of the generator's list.
pub fn path(in1: usize, in2: usize, out: usize, mode: &str, has_weight: bool) -> Instruction {
    let path = Instruction::new(in1, in2, out, mode.parse().unwrap());
    if has_weight { path } else { path.unweighted() }
}

pub const SMALL: [&str; 3] = [
    "3x0e+2x1o+1x2e",
    "2x0e+1x1o+1x2e",
    "2x0e+3x1o+2x1e+1x2e+1x3o",
];

const RIGHT: [&str; 3] = ["3x0e+2x1o", "2x0e+1x1o", "2x0e+2x1o"];

pub fn fully_connected(texts: [&str; 3]) -> TensorProductConfig {
    let [a, b, c] = texts.map(irreps);
    TensorProductConfig::fully_connected(&a, &b, &c)
}

pub fn modes(mode: &str) -> TensorProductConfig {
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
pub fn plan(case: &str) -> Arc<ProductPlan> {
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
        "right" => fully_connected(RIGHT),
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

/// Values, first and second derivatives. e3nn's `h*` are gradients of `Σ_i ⟨g_i, v_i⟩`, which is `⟨cot, ȯut⟩` for the
/// tangent `ȯut` along `v*`.
pub fn same_numbers(
    case: &str,
    plan: &Arc<ProductPlan>,
    device: &Device,
    dtype: DType,
    [first, second]: [f64; 2],
) {
    let golden = Golden::open("tensor_products");
    let device = device.clone().autodiff();
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

pub fn cases() -> serde_json::Map<String, Value> {
    Golden::open("tensor_products")
        .meta()
        .as_object()
        .unwrap()
        .clone()
}

/// The case `right`: the matrix of a product whose second input is fixed.
pub fn the_matrix_of_a_fixed_second_input(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("tensor_products");
    let layer = fully_connected(RIGHT)
        .with_internal_weights(false)
        .init(device)
        .unwrap();
    let y = golden.tensor::<2>("right.x2", device, dtype);
    let w: Tensor<2> = golden
        .tensor::<1>("right.w", device, dtype)
        .unsqueeze_dim(0);
    let want = || golden.tensor::<3>("right.out", device, dtype);
    let rows = y.dims()[0];
    let got = layer.right_weighted(y.clone(), w.clone());
    assert_close!(
        got,
        want(),
        bound,
        bound,
        "right, shared weights, {dtype:?}"
    );
    let got = layer.right_weighted(y, w.repeat_dim(0, rows));
    assert_close!(
        got,
        want(),
        bound,
        bound,
        "right, weights of each row, {dtype:?}"
    );
}

/// e3nn-jax's full product of features in its own order of irreps.
pub fn full_product_of_e3nn_jax(device: &Device, dtype: DType, bound: f64) {
    let golden = Golden::open("e3nn_jax");
    let meta = golden.meta();
    let list = |name: &str| irreps(meta[name].as_str().unwrap());
    let features = |name: &str, irreps: Irreps| {
        IrrepsTensor::new(
            golden.tensor::<2>(name, device, dtype),
            irreps,
            Layout::MulIr,
        )
    };
    let order = SortOrder::ParityFirst;
    let x = features("x", list("irreps_x")).regroup(order);
    let y = features("y", list("irreps_y"));
    let layer = TensorProductConfig::full(x.irreps(), y.irreps(), None)
        .init(device)
        .unwrap();
    let irreps_out = layer.plan().irreps_out().clone();
    let got = layer.forward(x.into_values(), y.into_values());
    let got = IrrepsTensor::new(got, irreps_out, Layout::MulIr).regroup(order);
    assert_eq!(got.irreps(), &list("irreps_tp"));
    let want = golden.tensor::<2>("tp", device, dtype);
    assert_close!(got.into_values(), want, bound, bound, "e3nn-jax, {dtype:?}");
}
