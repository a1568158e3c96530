//! SO(2) linear maps, frames in both layouts, what the planner takes and why, what cannot be made, and what a convolution
//! costs. Outputs start as NaN.

#[path = "common/edges.rs"]
mod edges;

use burn::tensor::{DType, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::{ConnectionMode, Instruction};
use e3nn_tensorprod::so2::{
    EdgeFrames, EdgeProductConfig, EdgeProductError, FrameLayout, Plan, PlanChoice, So2LinearConfig,
};
use e3nn_tensorprod::testing::{Argument, assert_equivariant};
use e3nn_tensorprod::{
    ConvolutionConfig, Irreps, IrrepsTensor, Layout, Parity, TensorProductConfig, irreps, wigner_3j,
};
use edges::{Case, Random, cpu, thousand};

/// Weights of the uvw product put into matrices of orders: the same map.
#[test]
fn a_product_is_an_so2_linear_map() {
    let (features, out) = (
        irreps!("3x0e+2x1e+2x2e+1x1e"),
        irreps!("2x0e+3x1e+1x2e+2x3e"),
    );
    let harmonics = irreps!("0e+1e+2e+3e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &out);
    let case = Case::new(config, 5, false, 60);
    let w: Vec<f64> = case.w.clone().unwrap().into_data().iter::<f64>().collect();
    let config = So2LinearConfig::new(features, out).with_bias(false);
    let mut map = config.init(&cpu()).unwrap();
    let (inputs, outputs) = (map.inputs().clone(), map.outputs().clone());
    let product = case.config.product.plan().unwrap();
    let mut both_are_there = false;
    for m in 0..=2_usize {
        let [k, n] = [inputs.width(m), outputs.width(m)];
        let columns = if m == 0 { n } else { 2 * n };
        let mut matrix = vec![0.0; k * columns];
        let order = m as isize;
        let starts = [inputs.columns(order).start, outputs.columns(order).start];
        for path in product.paths() {
            let [l1, l2, l3] = path.l;
            let places = [
                inputs.block(path.instruction.in1, order),
                outputs.block(path.instruction.out, order),
            ];
            let [Some(row), Some(column)] = places else {
                continue;
            };
            let odd = (l1 + l2 + l3) % 2 == 1;
            let to = if odd { l3 - m } else { l3 + m };
            let symbols = wigner_3j(l1, l2, l3);
            let entry = symbols
                .nonzeros()
                .iter()
                .find(|e| [e.i, e.j, e.k] == [l1 + m, l2, to]);
            let Some(entry) = entry else { continue };
            let value = entry.value * path.coefficient * ((2 * l2 + 1) as f64).sqrt();
            if odd && m == 0 {
                assert!(value.abs() < 1e-15);
                continue;
            }
            both_are_there |= odd;
            let shift = if odd { n } else { 0 };
            for (u, row) in row.clone().enumerate() {
                for (v, column) in column.clone().enumerate() {
                    let at = (row - starts[0]) * columns + column - starts[1] + shift;
                    matrix[at] += value * w[path.weights.start + u * path.mul[2] + v];
                }
            }
        }
        let matrix = TensorData::new(matrix, [k, columns]);
        let matrix = Tensor::<2>::from_data(matrix, (&cpu(), DType::F64));
        if m == 0 {
            map.m0 = map.m0.map(|_| matrix.clone());
        } else {
            let pair = map.pairs[m - 1].clone();
            map.pairs[m - 1] = pair.map(|_| matrix.clone());
        }
    }
    assert!(both_are_there);
    let frames = EdgeFrames::new(case.vectors.clone(), 3);
    let local = map.forward(frames.rotate(case.x.clone(), &inputs));
    let got = frames.rotate_back(local, &outputs);
    let w = case.w.clone().map(Dual::constant);
    let want = case
        .direct(case.x.clone().into(), case.vectors.clone().into(), w)
        .value;
    assert_close!(got, want, 0.0, 1e-12);
}

#[test]
fn linear_maps_commute_with_rotations() {
    let (features, out) = (
        irreps!("4x0e+4x1o+4x2e+4x3o"),
        irreps!("2x0e+3x0e+3x1o+3x2e+3x4e"),
    );
    for (mmax, dtype, tolerance) in [
        (None, DType::F64, 1e-12),
        (Some(1), DType::F64, 1e-12),
        (Some(2), DType::F32, 2e-6),
    ] {
        let config = So2LinearConfig::new(features.clone(), out.clone()).with_mmax(mmax);
        let device = cpu();
        let mut map = config.init(&device).unwrap();
        map.m0 = map.m0.map(|w| w.cast(dtype));
        map.bias = map.bias.map(|b| b.map(|b| b.cast(dtype)));
        map.pairs = map
            .pairs
            .into_iter()
            .map(|w| w.map(|w| w.cast(dtype)))
            .collect();
        let factors = Random::new(3).tensor([4, map.inputs().modulation_dim()], dtype);
        let f = |x: &[Tensor<2>]| {
            let frames = EdgeFrames::new(x[1].clone(), 4);
            let local = frames.rotate(x[0].clone(), map.inputs());
            let local = map.inputs().modulate(local, factors.clone());
            vec![frames.rotate_back_rescaled(map.forward(local), map.outputs())]
        };
        let mut options = thousand(dtype, tolerance);
        options.inversions = false;
        let inputs = [
            Argument::features(features.clone()),
            Argument::features(irreps!("1o")),
        ];
        assert_equivariant(f, &inputs, &[out.clone().into()], &options);
    }
}

#[test]
fn linear_maps_against_their_definition() {
    let (features, out) = (irreps!("3x0e+2x1o+2x2e"), irreps!("4x0e+1x2e+3x1o"));
    let map = So2LinearConfig::new(features, out).init(&cpu()).unwrap();
    let [x_at, y_at] = [map.inputs(), map.outputs()];
    let mut random = Random::new(8);
    let x = random.tensor([9, x_at.dim()], DType::F32);
    let y = map.forward(x.clone());
    let part = |t: &Tensor<2>, layout: &FrameLayout, m: isize| {
        let columns = layout.columns(m);
        t.clone().narrow(1, columns.start, columns.len())
    };
    let bias = map.bias.as_ref().unwrap().val().unsqueeze::<2>();
    let want = part(&x, x_at, 0).matmul(map.m0.val()) + bias;
    assert_close!(part(&y, y_at, 0), want, 0.0, 1e-5);
    for m in 1..=2 {
        let n = y_at.width(m);
        let w = map.pairs[m - 1].val();
        let (w1, w2) = (w.clone().narrow(1, 0, n), w.narrow(1, n, n));
        let m = m as isize;
        let (plus, minus) = (part(&x, x_at, m), part(&x, x_at, -m));
        let want = plus.clone().matmul(w1.clone()) - minus.clone().matmul(w2.clone());
        assert_close!(part(&y, y_at, m), want, 0.0, 1e-5);
        assert_close!(
            part(&y, y_at, -m),
            plus.matmul(w2) + minus.matmul(w1),
            0.0,
            1e-5
        );
    }
    // fairchem's initial weights: uniform within ±1/√K, and times 1/√2 for m > 0.
    let many = irreps!("16x0e+16x1o+16x2e");
    let map = So2LinearConfig::new(many.clone(), many)
        .init(&cpu())
        .unwrap();
    let largest = |w: Tensor<2>| w.abs().max().into_scalar::<f32>();
    let bounds = [48.0_f32, 32.0, 16.0].map(|k| k.sqrt().recip());
    let all = [map.m0.val(), map.pairs[0].val(), map.pairs[1].val()];
    for (m, (w, bound)) in all.into_iter().zip(bounds).enumerate() {
        let bound = if m == 0 {
            bound
        } else {
            bound / 2.0_f32.sqrt()
        };
        let largest = largest(w);
        assert!(
            largest <= bound && largest > 0.5 * bound,
            "{m}: {largest} {bound}"
        );
    }
}

/// Gradients of the linear map by features and all parameters, by the plain definition.
#[test]
fn gradients_of_linear_maps() {
    let (features, out) = (irreps!("3x0e+2x1o+33x2e"), irreps!("4x0e+40x2e+3x1o"));
    let device = cpu().autodiff();
    let map = So2LinearConfig::new(features, out).init(&device).unwrap();
    let x = Random::new(9)
        .tensor([300, map.inputs().dim()], DType::F32)
        .autodiff();
    let x = x.require_grad();
    let part = |layout: &FrameLayout, m: isize| {
        let columns = layout.columns(m);
        x.clone().narrow(1, columns.start, columns.len())
    };
    let plain = || {
        let bias = map.bias.as_ref().unwrap().val().unsqueeze::<2>();
        let mut parts = vec![part(map.inputs(), 0).matmul(map.m0.val()) + bias];
        for (i, w) in map.pairs.iter().enumerate() {
            let m = i as isize + 1;
            let n = map.outputs().width(i + 1);
            let (w1, w2) = (w.val().narrow(1, 0, n), w.val().narrow(1, n, n));
            let (plus, minus) = (part(map.inputs(), m), part(map.inputs(), -m));
            parts.push(plus.clone().matmul(w1.clone()) - minus.clone().matmul(w2.clone()));
            parts.push(plus.matmul(w2) + minus.matmul(w1));
        }
        Tensor::cat(parts, 1)
    };
    let gradients = |y: Tensor<2>| {
        let grads = y.powi_scalar(2).sum().backward();
        let mut all = vec![x.grad(&grads).unwrap(), map.m0.val().grad(&grads).unwrap()];
        all.extend(map.pairs.iter().map(|w| w.val().grad(&grads).unwrap()));
        all.push(
            map.bias
                .as_ref()
                .unwrap()
                .val()
                .grad(&grads)
                .unwrap()
                .unsqueeze::<2>(),
        );
        all
    };
    for (got, want) in gradients(map.forward(x.clone()))
        .into_iter()
        .zip(gradients(plain()))
    {
        let scale = want.clone().abs().max().into_scalar::<f64>();
        assert_close!(got, want, 0.0, 3e-6 * scale);
    }
}

#[test]
fn frames_in_both_layouts() {
    let features = irreps!("4x0e+35x1o+2x2e+1x3o+0x1e");
    let mut random = Random::new(70);
    let values = random.tensor([300, features.dim()], DType::F64);
    let frames = EdgeFrames::new(random.vectors(300, DType::F64), 4);
    for mmax in [None, Some(1)] {
        let plain = FrameLayout::new(&features, mmax);
        let swapped = plain.clone().with_layout(Layout::IrMul);
        let x = IrrepsTensor::new(values.clone(), features.clone(), Layout::MulIr);
        let y = x.clone().to_layout(Layout::IrMul).into_values();
        let [a, b] = [
            frames.rotate(values.clone(), &plain),
            frames.rotate(y, &swapped),
        ];
        assert_close!(a.clone(), b.clone(), 0.0, 0.0);
        let d: Vec<Tensor<3>> = (0..=3).map(|l| frames.wigner(l)).collect();
        // Column by column from rotations of whole blocks.
        let rotated = x.rotate(&d);
        for block in 0..4 {
            let l = features[block].irrep.l() as isize;
            for m in -l..=l {
                let want = rotated
                    .block(block)
                    .narrow(2, (l + m) as usize, 1)
                    .squeeze_dim::<2>(2);
                match plain.block(block, m) {
                    Some(columns) => {
                        let got = a.clone().narrow(1, columns.start, columns.len());
                        assert_close!(got, want, 0.0, 1e-13);
                    }
                    None => assert!(mmax.is_some_and(|mmax| m.unsigned_abs() > mmax)),
                }
            }
        }
        let back = [
            frames.rotate_back(a, &plain),
            frames.rotate_back(b, &swapped),
        ];
        let swapped = IrrepsTensor::new(back[1].clone(), features.clone(), Layout::IrMul);
        assert_close!(
            back[0].clone(),
            swapped.to_layout(Layout::MulIr).into_values(),
            0.0,
            0.0
        );
        if mmax.is_none() {
            assert_close!(back[0].clone(), values.clone(), 0.0, 1e-13);
        }
    }
}

#[test]
fn what_cannot_be_made() {
    let features = irreps!("4x0e+4x1o");
    let make = |harmonics: &Irreps, plan: PlanChoice| {
        let config = EdgeProductConfig::fully_connected(&features, harmonics, &features);
        config
            .with_plan(plan)
            .init(&cpu())
            .map(|layer| layer.plan())
    };
    let error = make(&irreps!("0e+1e+1o"), PlanChoice::Auto).unwrap_err();
    assert!(matches!(error, EdgeProductError::Harmonics(_)));
    assert_eq!(
        error.to_string(),
        "block 1: spherical harmonics of degree 1 of 1o are 1o, not 1e"
    );
    let error = make(&irreps!("0e+2x1o"), PlanChoice::Auto).unwrap_err();
    assert_eq!(
        error,
        EdgeProductError::HarmonicMultiplicity { block: 1, mul: 2 }
    );
    assert_eq!(
        error.to_string(),
        "edge product: block 1 of the harmonics has multiplicity 2, expected 1"
    );

    let harmonics = irreps!("0e+1o");
    let path = Instruction::new(1, 1, 0, ConnectionMode::Uvuv).unweighted();
    let product = TensorProductConfig::new(
        features.clone(),
        harmonics.clone(),
        features.clone(),
        vec![path],
    );
    let config = EdgeProductConfig::new(product);
    let layer = config.init(&cpu()).unwrap();
    assert_eq!(layer.plan(), Plan::Direct);
    assert!(layer.explain().edge_frame.is_none());
    assert!(
        layer
            .explain()
            .to_string()
            .contains("does not have all paths")
    );
    let error = config
        .clone()
        .with_plan(PlanChoice::EdgeFrame)
        .init(&cpu())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "edge product: instruction 0 has mode uvuv without weights; in the frames of edges there are uvw with weights, and uvu"
    );
    assert!(config.with_mmax(Some(0)).init(&cpu()).is_err());

    let path = Instruction::new(7, 0, 0, ConnectionMode::Uvw);
    let product = TensorProductConfig::new(
        features.clone(),
        harmonics.clone(),
        features.clone(),
        vec![path],
    );
    let error = EdgeProductConfig::new(product).init(&cpu()).unwrap_err();
    assert!(matches!(error, EdgeProductError::Product(_)));
    assert!(
        error
            .to_string()
            .contains("instruction 0: irreps_in1 has 2 blocks"),
        "{error}"
    );

    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let truncated = config
        .clone()
        .with_mmax(Some(0))
        .with_plan(PlanChoice::Direct);
    let error = truncated.init(&cpu()).unwrap_err();
    assert_eq!(
        error,
        EdgeProductError::DirectTruncation { mmax: 0, lmax: 1 }
    );
    assert_eq!(
        config.with_edges(0).init(&cpu()).unwrap_err(),
        EdgeProductError::Zero("edges")
    );
    let none = So2LinearConfig::new(irreps!("0x1o"), features)
        .init(&cpu())
        .unwrap_err();
    assert_eq!(none.to_string(), "irreps_in must not be 0");
}

#[test]
#[should_panic(expected = "features have shape [3, 16], expected [4, 16]")]
fn as_many_features_as_edges() {
    let features = irreps!("4x0e+4x1o");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o"), &features);
    let layer = config
        .with_plan(PlanChoice::EdgeFrame)
        .init(&cpu())
        .unwrap();
    let zeros = |rows, columns| Tensor::<2>::zeros([rows, columns], &cpu());
    layer.forward(zeros(3, 16), zeros(4, 3));
}

#[test]
#[should_panic(expected = "weights have shape [2, 48], expected [1, 64] or [4, 64]")]
fn as_many_weights_as_the_product_has() {
    let features = irreps!("4x0e+4x1o");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o"), &features);
    let layer = config
        .with_plan(PlanChoice::EdgeFrame)
        .init(&cpu())
        .unwrap();
    let zeros = |rows, columns| Tensor::<2>::zeros([rows, columns], &cpu());
    layer.forward_weighted(zeros(4, 16), zeros(4, 3), zeros(2, 48));
}

#[test]
#[should_panic(expected = "matrices go to degree 1, features 4x2e need 2")]
fn frames_have_the_degrees_of_the_features() {
    let frames = EdgeFrames::new(Tensor::<2>::ones([2, 3], &cpu()), 1);
    frames.rotate(
        Tensor::zeros([2, 20], &cpu()),
        &FrameLayout::new(&irreps!("4x2e"), None),
    );
}

#[test]
fn the_planner_takes_what_costs_less() {
    let natural = |lmax: usize, mul: usize| {
        let irreps = Irreps::spherical_harmonics(lmax, Parity::Odd);
        Irreps::new(irreps.iter().map(|b| (mul, b.irrep)))
    };
    let mut seen = [0, 0];
    for lmax in 1..=6 {
        for mul in [1, 8, 64] {
            let (features, harmonics) = (natural(lmax, mul), natural(lmax, 1));
            for per_edge in [false, true] {
                let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features)
                    .with_shared_weights(!per_edge);
                let layer = config.init(&cpu()).unwrap();
                let explained = layer.explain();
                let [direct, frames] = [&explained.direct, explained.edge_frame.as_ref().unwrap()]
                    .map(|c| c.nanoseconds());
                let want = if frames < direct {
                    Plan::EdgeFrame
                } else {
                    Plan::Direct
                };
                assert_eq!(layer.plan(), want, "{lmax} {mul}");
                assert_eq!(explained.cost().nanoseconds(), frames.min(direct));
                seen[usize::from(want == Plan::EdgeFrame)] += 1;
                let text = explained.to_string();
                let name = if want == Plan::Direct {
                    "direct"
                } else {
                    "edge frame"
                };
                assert!(
                    text.contains(&format!("runs: {name} (estimated ")),
                    "{text}"
                );
            }
            let config = EdgeProductConfig::depthwise(&features, &harmonics, &features);
            let layer = config.with_shared_weights(false).init(&cpu()).unwrap();
            assert_eq!(layer.plan(), Plan::Direct, "depth-wise, {lmax} {mul}");
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    // Half of both plans' geometry, if two layers share it.
    let (features, harmonics) = (natural(3, 8), natural(3, 1));
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let cost = |layers: usize| {
        let layer = config.clone().with_layers(layers).init(&cpu()).unwrap();
        let explained = layer.explain().clone();
        [explained.direct, explained.edge_frame.unwrap()].map(|cost| cost.steps[0].flops)
    };
    assert_eq!(cost(1), cost(2).map(|flops| 2.0 * flops));
}

/// The convolution of MACE-large: 17 paths with 215 coefficients, and why it does not run in frames.
#[test]
fn what_a_convolution_costs() {
    let conv = ConvolutionConfig::new(
        irreps!("128x0e+128x1o+128x2e"),
        irreps!("0e+1o+2e+3o"),
        irreps!("0e+1o+2e+3o"),
    );
    let conv = conv.init().unwrap();
    let explained = conv.explain();
    assert_eq!((explained.paths.len(), explained.terms()), (17, 215));
    assert_eq!(
        (explained.flops(), explained.frame_flops()),
        (66_478, 115_456)
    );
    assert_eq!(explained.bytes_stored(4), 4 * (1152 + 16 + 2176));
    assert_eq!(explained.bytes_fused(4, 64), 4 * (1152 + 16 + 64));
    assert_eq!(explained.bytes_spline(4), 4 * (1152 + 16 + 1));
    assert_eq!(explained.bytes_messages(4), 4 * 9088);
    assert_eq!(explained.flops_fused(64), 2 * 64 * 2176);
    assert_eq!(explained.flops_spline(), 8 * 2176);
    let text = explained.to_string();
    assert!(text.contains("128x2e x 1x3o -> 128x1o"), "{text}");
    assert!(
        text.contains("total: 66478 flops per edge (115456 in frames"),
        "{text}"
    );
    // A block without channels costs nothing.
    let conv = ConvolutionConfig::new(irreps!("0x1o+2x0e"), irreps!("0e"), irreps!("0e+1o"));
    assert_eq!(
        conv.init().unwrap().explain().flops(),
        2 + 3 * 2 + 2 * 2 * 2
    );
}
