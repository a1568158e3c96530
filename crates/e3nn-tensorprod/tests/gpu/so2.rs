//! Products in the frames of edges and SO(2) linear maps.

use crate::device;
use crate::edges::{Case, Random, modes_side_by_side};
use crate::equivariance::settings;
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::so2::{
    EdgeFrames, EdgeProductConfig, FrameLayout, Plan, PlanChoice, So2Linear, So2LinearConfig,
    every_form,
};
use e3nn_tensorprod::testing::{Argument, assert_equivariant};
use e3nn_tensorprod::{Irreps, Layout, Parity, irreps};

/// Bound on the errors of sums, against the largest; of matrix products.
const BOUND: f64 = 2e-6;
const PRODUCTS: f64 = 3e-6;

fn forms_agree(edges: usize, dtype: DType, bounds: [f64; 2]) {
    let got = every_form(edges, &device(), dtype);
    let want = every_form(edges, &Device::flex(), DType::F64);
    assert_eq!(got.len(), want.len());
    for ((name, got), (other, want)) in got.into_iter().zip(want) {
        assert_eq!(name, other);
        let bound = bounds[usize::from(name.contains("SO(2) linear map"))];
        let scale = want.iter::<f64>().fold(1e-3_f64, |m, x| m.max(x.abs()));
        assert_close!(got, want, 0.0, bound * scale, "{name}, {edges} edges");
    }
}

/// The second partial derivatives are among them.
#[test]
fn every_form_by_every_argument() {
    for edges in [1, 2, 63, 64, 65, 300] {
        forms_agree(edges, DType::F32, [BOUND, PRODUCTS]);
    }
}

/// So many that units take several edges each, and that matrices are summed in parts.
#[test]
fn forms_of_many_edges() {
    forms_agree(1501, DType::F32, [BOUND, PRODUCTS]);
}

#[test]
fn f64() {
    if !device().supports_dtype(DType::F64) {
        println!("no f64 on this device");
        return;
    }
    forms_agree(65, DType::F64, [1e-13, 1e-13]);
}

/// Rows of features beyond what shared memory holds, cut within blocks.
#[test]
fn wide_features() {
    let features = irreps!("3x0e+700x1o+1x2e+130x6e+257x0o");
    for layout in [Layout::MulIr, Layout::IrMul] {
        for mmax in [None, Some(2)] {
            let layout = FrameLayout::new(&features, mmax).with_layout(layout);
            let run = |device: &Device, dtype| {
                let device = device.clone().autodiff();
                let mut random = Random::new(3);
                let edges = 3;
                let on = |t: Tensor<2>| Tensor::<2>::from_data(t.into_data(), (&device, dtype));
                let x = on(random.tensor([edges, features.dim()], DType::F32)).require_grad();
                let v = on(random.vectors(edges, DType::F32)).require_grad();
                let y = on(random.tensor([edges, layout.dim()], DType::F32)).require_grad();
                let frames = EdgeFrames::new(v.clone(), 6);
                let local = frames.rotate(x.clone(), &layout);
                let back = frames.rotate_back(y.clone(), &layout);
                let loss = (local.clone() * y.clone()).sum() + (back.clone() * x.clone()).sum();
                let grads = loss.backward();
                let leaves = [x, v, y].map(|t| t.grad(&grads).expect("a gradient"));
                [local, back]
                    .into_iter()
                    .chain(leaves)
                    .map(read)
                    .collect::<Vec<_>>()
            };
            let (got, want) = (run(&device(), DType::F32), run(&Device::flex(), DType::F64));
            for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
                let what = format!("{:?}, mmax {mmax:?}, result {i}", layout.layout());
                assert_close!(got, want, 0.0, PRODUCTS * scale, "{what}");
            }
        }
    }
}

fn case(config: EdgeProductConfig, edges: usize, per_edge: bool) -> Case {
    Case::of(config, edges, per_edge, 5, DType::F32)
}

#[test]
fn fully_connected_products() {
    let features = irreps!("5x0e+4x1o+33x2e+2x1e");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o+2e+3o"), &features);
    for (mmax, edges) in [(None, 1), (None, 65), (Some(1), 65), (Some(0), 3)] {
        let config = config.clone().with_mmax(mmax);
        for per_edge in [false, true] {
            case(config.clone(), edges, per_edge).agrees_on(&device(), DType::F32, PRODUCTS);
        }
    }
}

#[test]
fn products_of_single_copies() {
    let config = EdgeProductConfig::depthwise(
        &irreps!("5x0e+4x1o+33x2e+2x1e"),
        &irreps!("0e+1o+2e+3o"),
        &irreps!("0e+1o+1e+2e+2o+3o"),
    );
    for config in [config, modes_side_by_side()] {
        for per_edge in [false, true] {
            case(config.clone(), 65, per_edge).agrees_on(&device(), DType::F32, PRODUCTS);
        }
    }
}

#[test]
fn edges_of_length_zero_and_no_edges() {
    let features = irreps!("3x0e+2x1o+2x2e");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o+2e"), &features);
    for per_edge in [false, true] {
        let mut case = case(config.clone(), 5, per_edge);
        let mask = TensorData::from([[1.0_f32], [0.0], [1.0], [0.0], [1.0]]);
        case.vectors = case.vectors * Tensor::from_data(mask, &Device::flex());
        case.agrees_on(&device(), DType::F32, PRODUCTS);
    }
    let device = device();
    let layer = config
        .with_plan(PlanChoice::EdgeFrame)
        .init(&device)
        .unwrap();
    let none = |columns| Tensor::<2>::empty([0, columns], &device);
    assert_eq!(layer.forward(none(19), none(3)).dims(), [0, 19]);
}

fn read(t: Tensor<2>) -> TensorData {
    t.into_data()
}

/// A linear map between frames with modulation, both layouts, and back: value, tangent, and gradients by everything.
fn linear_map(
    map: &So2Linear,
    layout: Layout,
    edges: usize,
    device: &Device,
    dtype: DType,
) -> Vec<TensorData> {
    let device = device.clone().autodiff();
    let map = map.clone().to_device(&device);
    let mut map = map.train();
    let on = |t: Tensor<2>| Tensor::<2>::from_data(t.into_data(), (&device, dtype)).require_grad();
    map.m0 = map.m0.map(|w| w.cast(dtype).detach().require_grad());
    map.bias = map
        .bias
        .map(|b| b.map(|b| b.cast(dtype).detach().require_grad()));
    let pairs = map.pairs.into_iter();
    map.pairs = pairs
        .map(|w| w.map(|w| w.cast(dtype).detach().require_grad()))
        .collect();
    let mut random = Random::new(6);
    let mut draw = |columns: usize| random.tensor([edges, columns], DType::F32);
    let [inputs, outputs] = [map.inputs(), map.outputs()].map(|l| l.clone().with_layout(layout));
    let width = inputs.irreps().dim();
    let [x, dx, factors, cot, cot_dot] = [
        width,
        width,
        inputs.modulation_dim(),
        outputs.irreps().dim(),
        outputs.irreps().dim(),
    ]
    .map(|columns| on(draw(columns)));
    let vectors = on(random.vectors(edges, DType::F32));
    let directions = on(random.tensor([edges, 3], DType::F32));
    let frames = EdgeFrames::new(Dual::new(vectors.clone(), directions.clone()), 4);
    let local = frames.rotate(Dual::new(x.clone(), dx.clone()), &inputs);
    let local = inputs.modulate(local, Dual::constant(factors.clone()));
    let y = frames.rotate_back_rescaled(map.forward(local), &outputs);
    let tangent = y.tangent.clone().expect("a tangent");
    let loss = (y.value.clone() * cot).sum() + (tangent.clone() * cot_dot).sum();
    let grads = loss.backward();
    let mut results = vec![read(y.value), read(tangent)];
    let leaves = [x, dx, factors, vectors, directions, map.m0.val()];
    let leaves = leaves.into_iter().chain(map.pairs.iter().map(|w| w.val()));
    results.extend(leaves.map(|leaf| read(leaf.grad(&grads).expect("a gradient"))));
    let bias = map.bias.as_ref().expect("a bias").val();
    results.push(bias.grad(&grads).expect("a gradient").into_data());
    results
}

fn some_map(mmax: Option<usize>) -> So2Linear {
    let (features, out) = (irreps!("3x0e+2x1o+33x2e+1x3e"), irreps!("4x0e+40x2e+3x4o"));
    let config = So2LinearConfig::new(features, out).with_mmax(mmax);
    config.init(&Device::flex()).unwrap()
}

#[test]
fn linear_maps() {
    for mmax in [None, Some(2)] {
        let map = some_map(mmax);
        for (layout, edges) in [(Layout::MulIr, 65), (Layout::IrMul, 300)] {
            let got = linear_map(&map, layout, edges, &device(), DType::F32);
            let want = linear_map(&map, layout, edges, &Device::flex(), DType::F64);
            assert_eq!(got.len(), want.len());
            for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
                let what = format!("mmax {mmax:?}, {layout:?}, result {i}");
                assert_close!(got, want, 0.0, PRODUCTS * scale, "{what}");
            }
        }
    }
}

#[test]
fn products_commute_with_rotations_and_inversion() {
    let features = irreps!("4x0e+2x0o+3x1o+2x1e+2x2e+2x3o+1x4e");
    let out = irreps!("3x0e+2x1o+2x1e+2x2e+1x2o+2x3o+1x4e");
    let harmonics = irreps!("0e+1o+2e+3o+4e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &out);
    for mmax in [None, Some(1)] {
        let config = config.clone().with_mmax(mmax);
        let layer = config.with_plan(PlanChoice::EdgeFrame);
        let layer = layer.init(&device()).unwrap();
        let f = |x: &[Tensor<2>]| vec![layer.forward(x[0].clone(), x[1].clone())];
        let inputs = [
            Argument::features(features.clone()),
            Argument::features(irreps!("1o")),
        ];
        assert_equivariant(f, &inputs, &[out.clone().into()], &settings());
    }
}

#[test]
fn linear_maps_commute_with_rotations() {
    let features = irreps!("4x0e+4x1o+4x2e+4x3o");
    let config = So2LinearConfig::new(features.clone(), features.clone()).with_mmax(Some(2));
    let map = config.init(&device()).unwrap();
    let f = |x: &[Tensor<2>]| {
        let frames = EdgeFrames::new(x[1].clone(), 3);
        let local = map.forward(frames.rotate(x[0].clone(), map.inputs()));
        vec![frames.rotate_back_rescaled(local, map.outputs())]
    };
    let inputs = [
        Argument::features(features.clone()),
        Argument::features(irreps!("1o")),
    ];
    let mut settings = settings();
    settings.inversions = false;
    assert_equivariant(f, &inputs, &[features.into()], &settings);
}

#[test]
fn reruns_have_the_same_bits() {
    // Of 300 edges, matrices are summed in parts.
    for (edges, reruns) in [(40, 20), (300, 3)] {
        let run = || every_form(edges, &device(), DType::F32);
        let first = run();
        for _ in 0..reruns {
            for ((name, got), (_, want)) in run().iter().zip(&first) {
                assert!(got == want, "{name}, {edges} edges");
            }
        }
    }
}

#[test]
fn strided_operands() {
    let features = irreps!("3x0e+2x1o+5x2e");
    let map = So2LinearConfig::new(features.clone(), features.clone());
    let map = map.init(&Device::flex()).unwrap();
    let run = |device: &Device, dtype: DType, strided: bool| {
        let map = map.clone().to_device(device);
        let mut map = map;
        map.m0 = map.m0.map(|w| w.cast(dtype));
        map.bias = map.bias.map(|b| b.map(|b| b.cast(dtype)));
        let pairs = map.pairs.into_iter();
        map.pairs = pairs.map(|w| w.map(|w| w.cast(dtype))).collect();
        let mut random = Random::new(9);
        let vectors = random.vectors(9, DType::F32).into_data();
        let frames = EdgeFrames::new(Tensor::<2>::from_data(vectors, (device, dtype)), 2);
        let x = random.tensor([9, features.dim()], DType::F32);
        let x = Tensor::<2>::from_data(x.into_data(), (device, dtype));
        let views = |x: Tensor<2>| {
            let [rows, columns] = x.dims();
            let wide = Tensor::cat(vec![x.ones_like(), x.clone(), x.ones_like()], 1);
            let wide = wide.transpose().narrow(0, columns, columns);
            wide.transpose().slice([0..rows, 0..columns])
        };
        let view = |x: Tensor<2>| if strided { views(x) } else { x };
        let local = frames.rotate(view(x), map.inputs());
        let local = map.forward(view(local));
        read(frames.rotate_back(view(local), map.outputs()))
    };
    let got = run(&device(), DType::F32, true);
    let want = run(&Device::flex(), DType::F64, false);
    let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
    assert_close!(got, want, 0.0, PRODUCTS * scale);
}

#[test]
fn nan_stays_with_its_edge() {
    let features = irreps!("3x0e+2x1o+5x2e");
    let device = device();
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o+2e"), &features);
    let config = config.with_plan(PlanChoice::EdgeFrame);
    let mut random = Random::new(9);
    let on = |t: Tensor<2>| Tensor::<2>::from_data(t.into_data(), &device);
    let (x, vectors) = (
        random.tensor([70, features.dim()], DType::F32),
        random.vectors(70, DType::F32),
    );
    let mut values: Vec<f32> = x.into_data().iter::<f32>().collect();
    values[66 * features.dim()] = f32::NAN;
    let x = TensorData::new(values, [70, features.dim()]);
    let x = Tensor::<2>::from_data(x, &device);
    let out = config.init(&device).unwrap().forward(x, on(vectors));
    let out: Vec<f32> = out.into_data().iter::<f32>().collect();
    for (edge, row) in out.chunks(features.dim()).enumerate() {
        assert_eq!(row.iter().any(|x| x.is_nan()), edge == 66, "{edge}");
    }
}

#[test]
fn half_precision_is_storage() {
    let device = device();
    if !device.supports_dtype(DType::BF16) {
        println!("no bf16 on this device");
        return;
    }
    let features = irreps!("3x0e+2x1o+2x2e");
    let layout = FrameLayout::new(&features, None);
    let mut random = Random::new(9);
    let [x, vectors] = [
        random.tensor([8, features.dim()], DType::F32),
        random.vectors(8, DType::F32),
    ]
    .map(|t| Tensor::<2>::from_data(t.into_data(), &device).cast(DType::BF16));
    let run = |x: Tensor<2>, v: Tensor<2>| EdgeFrames::new(v, 2).rotate(x, &layout);
    let got = run(x.clone(), vectors.clone());
    assert_eq!(got.dtype(), DType::BF16);
    let want = run(x.cast(DType::F32), vectors.cast(DType::F32));
    assert_close!(got.cast(DType::F32), want, 0.05, 0.1);
}

/// Times on an H200 (`docs/src/gpu.md`) against the model of a GPU: 20,000 edges, directly and in frames, ms.
#[test]
fn the_planner_knows_gpus() {
    for (lmax, copies, times) in [
        (2, 128, [3.31, 1.28]),
        (3, 64, [3.62, 0.99]),
        (6, 16, [7.72, 0.83]),
    ] {
        let harmonics = Irreps::spherical_harmonics(lmax, Parity::Odd);
        let features = Irreps::new(harmonics.iter().map(|block| (copies, block.irrep)));
        let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
        let config = config.with_edges(20_000).with_layers(1_000);
        let layer = config.init(&device()).unwrap();
        let explanation = layer.explain();
        assert_eq!(layer.plan(), Plan::EdgeFrame);
        assert!(explanation.to_string().ends_with("a GPU (NVIDIA H200)"));
        let frames = explanation.edge_frame.as_ref().unwrap();
        for (cost, ms) in [&explanation.direct, frames].into_iter().zip(times) {
            let estimate = cost.nanoseconds() * 20e3 * 1e-6;
            assert!(
                (estimate / ms - 1.0).abs() < 0.3,
                "l = {lmax}: {estimate:.2} ms, timed {ms}"
            );
        }
        // What was not timed is estimated as for a CPU.
        let config = config.with_shared_weights(false);
        let text = config.init(&device()).unwrap().explain().to_string();
        assert!(text.ends_with("one thread of a CPU"), "{text}");
    }
}
