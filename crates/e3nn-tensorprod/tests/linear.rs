//! Equivariant linear maps against e3nn 0.6.0.

mod common;
#[path = "common/golden_linear.rs"]
mod golden_linear;

use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use common::Golden;
use core_tensor::assert_close;
use e3nn_tensorprod::product::op::{Slot, partial, reference};
use e3nn_tensorprod::product::{RowClasses, WeightRows};
use e3nn_tensorprod::{Biases, LinearConfig, TensorProductConfig};
use golden_linear::{config, irreps, same_numbers};

#[test]
fn all_cases_of_e3nn() {
    let meta = Golden::open("linear").meta();
    let cases = meta.as_object().unwrap();
    assert_eq!(cases.len(), 5);
    for (case, meta) in cases {
        same_numbers(case, &Device::flex(), DType::F64, [1e-12, 1e-10]);
        same_numbers(case, &Device::flex(), DType::F32, [1e-5, 1e-5]);
        // The coefficients, too.
        let Some(paths) = meta.get("instructions").and_then(|list| list.as_array()) else {
            continue;
        };
        let layer = config(case).init(&Device::flex()).unwrap();
        let mut paths_of_blocks = paths.iter().filter(|path| path[0] != -1);
        for path in layer.plan().paths() {
            let want = paths_of_blocks.next().unwrap()[3].as_f64().unwrap();
            let l = path.l[0];
            // The symbols of l x 0 -> l are 1 / √(2l + 1).
            let got = path.coefficient / f64::from(2 * l as u32 + 1).sqrt();
            assert!((got - want).abs() <= 4e-16, "{case}: {got}, want {want}");
        }
        assert!(paths_of_blocks.next().is_none());
    }
}

#[test]
fn classes_are_a_one_hot_product() {
    let device = Device::flex().autodiff();
    let (a, c) = (irreps("4x0e+3x1o+2x0e"), irreps("3x1o+5x0e"));
    let species = 3;
    let classes: Vec<usize> = (0..37).map(|i| (i * i) % species).collect();
    let one_hot: Vec<f64> = classes
        .iter()
        .flat_map(|&c| (0..species).map(move |s| f64::from(u8::from(s == c))))
        .collect();
    let one_hot = burn::tensor::TensorData::new(one_hot, [37, species]);
    let one_hot = Tensor::<2>::from_data(one_hot, (&device, DType::F64));
    let product = TensorProductConfig::fully_connected(&a, &irreps("3x0e"), &c)
        .with_internal_weights(false)
        .init(&device)
        .unwrap();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, (&device, DType::F64));
    let (x, w) = (
        random([37, a.dim()]).require_grad(),
        random([1, product.weight_numel()]).require_grad(),
    );
    let cot = random([37, c.dim()]);
    let want = product.forward_weighted(x.clone(), one_hot, w.clone());

    let linear = LinearConfig::new(a, c)
        .with_classes(Some(species))
        .with_internal_weights(false)
        .init(&device)
        .unwrap();
    let by_class = linear.class_weights_from_one_hot(w.clone().reshape([product.weight_numel()]));
    let classes = RowClasses::new(&classes, species).unwrap();
    let rows = WeightRows::ByClass(classes);
    let got = linear.forward_weighted(x.clone(), by_class, None, &rows);
    assert_close!(got.clone(), want.clone(), 1e-13, 1e-13);
    let (got, want) = (
        (got * cot.clone()).sum().backward(),
        (want * cot).sum().backward(),
    );
    for input in [x, w] {
        let grad = |grads| input.grad(grads).unwrap();
        assert_close!(grad(&got), grad(&want), 1e-13, 1e-13);
    }
}

#[test]
fn own_weights_are_scaled_to_unit_variance() {
    let device = Device::flex();
    device.seed(7);
    for (f_in, f_out) in [(1, 1), (3, 2)] {
        let layer = LinearConfig::new(irreps("30x0e+50x1o+20x0e"), irreps("40x0e+40x1o"))
            .with_f_in(f_in)
            .with_f_out(f_out)
            .with_biases(Biases::Scalars)
            .init(&device)
            .unwrap();
        assert_eq!(layer.bias_numel(), f_out * 40);
        let x = Tensor::<2>::random([400, f_in * 200], Distribution::Normal(0.0, 1.0), &device);
        let out = layer.forward(x);
        let variance = out.clone().powi_scalar(2).mean().into_scalar::<f64>();
        assert!((variance - 1.0).abs() < 0.1, "{variance}");
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let base = || LinearConfig::new(irreps("4x0e+3x1o"), irreps("2x1o+8x0e"));
    let error = |config: LinearConfig| {
        config
            .init(&Device::flex())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(base().with_instructions(Some(vec![(0, 1), (0, 0)]))),
        "instruction 1: 0e (block 0) and 1o (block 0 of the output) are different irreps"
    );
    assert_eq!(
        error(base().with_instructions(Some(vec![(2, 1)]))),
        "instruction 0: irreps_in has 2 blocks (4x0e+3x1o), so none numbered 2"
    );
    assert_eq!(
        error(base().with_biases(Biases::Blocks(vec![true, true]))),
        "a bias on block 0 of the output, 1x1o".replace("1x1o", "1o") + "; only 0e may have one"
    );
    assert_eq!(
        error(base().with_biases(Biases::Blocks(vec![true]))),
        "biases has 1 entries, expected one per block (2)"
    );
    assert_eq!(error(base().with_f_in(0)), "f_in must not be 0");
    assert_eq!(
        error(base().with_f_out(usize::MAX)),
        "18446744073709551615 blocks of all outputs, expected at most 16777216"
    );
    assert_eq!(
        RowClasses::new(&[0, 3], 3).unwrap_err().to_string(),
        "row 1 is of class 3, but there are 3 classes"
    );
}

/// Paths of no copies, or no paths at all.
#[test]
fn weights_by_class_may_be_none() {
    let device = Device::flex();
    for (from, to, numel) in [("2x0e", "2x1o", 0), ("0x0e+2x1o", "3x0e+2x1o", 4)] {
        let config = LinearConfig::new(irreps(from), irreps(to)).with_classes(Some(3));
        let layer = config.init(&device).unwrap();
        let flat = Tensor::<1, Int>::arange(0..3 * numel, &device).float();
        let weights = layer.class_weights_from_one_hot(flat.clone());
        assert_eq!(weights.dims(), [3, numel as usize]);
        assert_close!(layer.one_hot_from_class_weights(weights), flat, 0.0, 0.0);
    }
}

#[test]
#[should_panic(expected = "class_weights_from_one_hot: expected f_in and f_out to be 1")]
fn weights_by_class_of_several_inputs() {
    let device = Device::flex();
    let config = LinearConfig::new(irreps("2x0e"), irreps("2x0e"));
    let layer = config.with_classes(Some(3)).with_f_in(2).init(&device);
    let flat = Tensor::<1>::zeros([24], &device);
    layer.unwrap().class_weights_from_one_hot(flat);
}

/// Maps that the matrix products take: blocks of every size, some empty, some that nothing reaches, several to one.
fn mixed_maps() -> Vec<LinearConfig> {
    let config = |a: &str, c: &str| LinearConfig::new(irreps(a), irreps(c));
    vec![
        config("5x0e", "3x0e"),
        config(
            "7x0e+0x1o+3x1o+2x2e+2x1o+1x3o+2x4e",
            "2x1o+6x0e+4x2e+0x0e+3x3o+5x4e+2x5o+1x1o",
        ),
        config("2x0e+1x1o", "1x0e+2x1o").with_f_in(3).with_f_out(2),
        config("4x0e+3x1o", "2x1o+8x0e").with_instructions(Some(vec![(1, 0)])),
    ]
}

/// Row counts about the sizes of blocks of rows.
const ROWS: [usize; 8] = [1, 2, 31, 32, 33, 64, 600, 1000];

#[test]
fn matrix_products_match_the_reference() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, (&device, DType::F64));
    for config in mixed_maps() {
        let plan = config.init(&device).unwrap().plan().clone();
        for batch in ROWS {
            // Of the five classes one has no rows.
            let classes: Vec<usize> = (0..batch).map(|i| (i * i) % 5).collect();
            for rows in [
                WeightRows::Shared,
                WeightRows::ByClass(RowClasses::new(&classes, 5).unwrap()),
                WeightRows::PerRow,
            ] {
                let (width, numel) = (plan.irreps_in1().dim(), plan.weight_numel());
                // Columns of a wider tensor, upside down: strides.
                let x = random([width + 3, batch]).require_grad();
                let w = random([rows.count(batch), numel]).require_grad();
                let cot = random([batch, plan.irreps_out().dim()]);
                let one = Tensor::ones([batch, 1], (&device, DType::F64));
                let cut = || x.clone().swap_dims(0, 1).narrow(1, 2, width);
                let got = plan.apply(cut(), one.clone(), Some(w.clone()), &rows);
                let want =
                    reference::tensor_product(&plan, cut(), one.clone(), Some(w.clone()), &rows);
                assert_close!(got.clone(), want.clone(), 1e-13, 1e-13, "{batch} rows");
                let grads = [got, want].map(|out| (out * cot.clone()).sum().backward());
                for input in [&x, &w] {
                    let [got, want] = grads.each_ref().map(|g| input.grad(g).unwrap());
                    assert_close!(got, want, 1e-11, 1e-11, "{batch} rows");
                }
                // Twice the number takes the other kernel.
                let got = plan.apply(cut(), one.clone() * 2.0, Some(w.clone()), &rows);
                let want = plan.apply(cut(), one, Some(w.clone()), &rows) * 2.0;
                assert_close!(got, want, 1e-13, 1e-13, "{batch} rows");
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let device = Device::flex();
    device.seed(4);
    let normal = Distribution::Normal(0.0, 1.0);
    for config in mixed_maps() {
        let plan = config.init(&device).unwrap().plan().clone();
        let batch = 1000;
        let classes: Vec<usize> = (0..batch).map(|i| i % 3).collect();
        for rows in [
            WeightRows::Shared,
            WeightRows::ByClass(RowClasses::new(&classes, 3).unwrap()),
        ] {
            let random = |shape| Tensor::<2>::random(shape, normal, (&device, DType::F32));
            let x = random([batch, plan.irreps_in1().dim()]);
            let w = random([rows.count(batch), plan.weight_numel()]);
            let g = random([batch, plan.irreps_out().dim()]);
            let one = Tensor::ones([batch, 1], (&device, DType::F32));
            let all = || {
                [Slot::Out, Slot::In1, Slot::Weight].map(|slot| {
                    let operands = slot.others().map(|place| match place {
                        Slot::In1 => x.clone(),
                        Slot::In2 => one.clone(),
                        Slot::Weight => w.clone(),
                        Slot::Out => g.clone(),
                    });
                    let out = partial(&plan, slot, operands, &rows).into_data();
                    out.iter::<f32>().map(f32::to_bits).collect::<Vec<_>>()
                })
            };
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                pool.build().unwrap().install(all)
            };
            let one_thread = on(1);
            assert!(one_thread == on(2) && one_thread == on(3) && one_thread == on(7));
        }
    }
}
