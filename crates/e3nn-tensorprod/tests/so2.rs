//! Products in the frames of edges against the direct product: values, gradients, tangents and their gradients; poles, the
//! seam of the chart, edges of length zero; truncation; equivariance; bits. Outputs start as NaN.

#[path = "common/edges.rs"]
mod edges;

use burn::tensor::{DType, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use e3nn_tensorprod::product::{ConnectionMode, Instruction};
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::so2::{EdgeFrames, EdgeProductConfig, PlanChoice};
use e3nn_tensorprod::testing::{Argument, assert_equivariant};
use e3nn_tensorprod::{Irrep, Irreps, IrrepsTensor, Layout, Parity, TensorProductConfig, irreps};
use edges::{Case, Random, cpu, thousand};
use proptest::prelude::*;

fn even(l: usize) -> Irrep {
    Irrep::new(l, Parity::Even)
}

/// Blocks of degrees up to 4, of any parity (of even parity for `pseudo`), with multiplicities around the lanes.
fn blocks(pseudo: bool) -> impl Strategy<Value = Irreps> {
    let mul = prop_oneof![6 => 1..5_usize, 1 => Just(0), 1 => Just(32), 1 => Just(35)];
    let block = (mul, 0..=4_usize, any::<bool>()).prop_map(move |(mul, l, odd)| {
        let parity = if odd && !pseudo {
            Parity::Odd
        } else {
            Parity::Even
        };
        (mul, Irrep::new(l, parity))
    });
    proptest::collection::vec(block, 1..5).prop_map(Irreps::new)
}

fn random_case() -> impl Strategy<Value = Case> {
    any::<bool>()
        .prop_flat_map(|pseudo| {
            let degrees = proptest::collection::vec(0..=4_usize, 1..5);
            (Just(pseudo), blocks(pseudo), degrees, blocks(pseudo))
        })
        .prop_flat_map(|(pseudo, features, degrees, out)| {
            let natural = |l: usize| Irrep::new(l, Parity::of_harmonics(l));
            let irrep = move |l: usize| if pseudo { even(l) } else { natural(l) };
            let harmonics = Irreps::new(degrees.into_iter().map(|l| (1, irrep(l))));
            let config = EdgeProductConfig::fully_connected(&features, &harmonics, &out);
            let edges = prop_oneof![4 => 1..5_usize, 1 => Just(0), 1 => Just(300)];
            (Just(config), edges, any::<bool>(), any::<u64>())
        })
        .prop_map(|(config, edges, per_edge, seed)| Case::new(config, edges, per_edge, seed))
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let product = &self.config.product;
        write!(
            f,
            "{} x {} -> {}, {:?} by {:?}",
            product.irreps_in1,
            product.irreps_in2,
            product.irreps_out,
            self.x.dims(),
            self.w.as_ref().map(Tensor::dims)
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_products_are_the_direct_ones(case in random_case()) {
        case.agrees(1e-12);
    }
}

#[test]
fn all_degrees_up_to_six() {
    let natural = Irreps::spherical_harmonics(6, Parity::Odd);
    let all = Irreps::new(natural.iter().map(|b| (3, b.irrep)));
    let config = EdgeProductConfig::fully_connected(&all, &natural, &all);
    for per_edge in [false, true] {
        Case::new(config.clone(), 9, per_edge, 5).agrees(1e-12);
    }
    for normalization in [Normalization::Norm, Normalization::Integral] {
        let config = config.clone().with_normalization(normalization);
        Case::new(config, 3, false, 6).agrees(1e-12);
    }
}

#[test]
fn depthwise_products() {
    let features = irreps!("5x0e+4x1o+33x2e+2x1e");
    let harmonics = irreps!("0e+1o+2e+3o");
    let targets = irreps!("0e+1o+1e+2e+2o+3o");
    let config = EdgeProductConfig::depthwise(&features, &harmonics, &targets);
    for per_edge in [false, true] {
        Case::new(config.clone(), 11, per_edge, 3).agrees(1e-12);
    }
}

#[test]
fn modes_side_by_side() {
    for per_edge in [false, true] {
        Case::new(edges::modes_side_by_side(), 6, per_edge, 8).agrees(1e-12);
    }
    // None with weights.
    let path = |a, b, c| Instruction::new(a, b, c, ConnectionMode::Uvu).unweighted();
    let paths = vec![path(0, 0, 0), path(1, 2, 1)];
    let [features, harmonics] = [irreps!("4x0e+4x1o"), irreps!("0e+1o+2e")];
    let out = irreps!("4x0e+4x1o+4x1e");
    let product = TensorProductConfig::new(features, harmonics, out, paths);
    Case::new(EdgeProductConfig::new(product), 6, false, 9).agrees(1e-12);
}

#[test]
fn poles_seam_and_lengths() {
    let features = irreps!("3x0e+2x1o+2x2e+1x3o+2x1e");
    let harmonics = irreps!("0e+1o+2e+3o");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let special = [
        [0.0, 1.0, 0.0],
        [0.0, -1.0, 0.0],
        [0.0, -7.0, 0.0],
        [1e-9, -1.0, 0.0],
        [1.0, 0.0, 0.0],
        [1.0, -0.0, 0.0],
        [0.6, 1e-17, -0.8],
        [0.6, -1e-17, -0.8],
        [0.0, 0.0, -2.0],
        [0.3, 0.2, 0.9],
    ];
    let count = special.len();
    for per_edge in [false, true] {
        let mut case = Case::new(config.clone(), count, per_edge, 12);
        let values: Vec<f64> = special.iter().flatten().copied().collect();
        let data = TensorData::new(values, [count, 3]);
        case.vectors = Tensor::from_data(data, (&cpu(), DType::F64));
        case.agrees(1e-12);
    }
}

#[test]
fn results_and_gradients_are_continuous_across_the_seam() {
    let features = irreps!("2x0e+2x1o+2x2e+1x2o");
    let harmonics = irreps!("0e+1o+2e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let device = cpu().autodiff();
    let layer = config
        .with_plan(PlanChoice::EdgeFrame)
        .init(&device)
        .unwrap();
    let x = Random::new(4)
        .tensor([1, features.dim()], DType::F64)
        .autodiff();
    let w = Random::new(5)
        .tensor([1, layer.weight_numel()], DType::F64)
        .autodiff();
    let run = |y: f64| {
        let v = Tensor::<2>::from_data([[0.8, y, -0.5]], (&device, DType::F64)).require_grad();
        let out = layer.forward_weighted(x.clone(), v.clone(), w.clone());
        let grads = out.clone().powi_scalar(2).sum().backward();
        (out.inner(), v.grad(&grads).unwrap())
    };
    let (above, below) = (run(1e-13), run(-1e-13));
    assert_close!(above.0, below.0, 0.0, 1e-11);
    assert_close!(above.1, below.1, 0.0, 1e-10);
}

#[test]
fn edges_of_length_zero() {
    let features = irreps!("3x0e+2x1o+2x2e");
    let harmonics = irreps!("0e+1o+2e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    for per_edge in [false, true] {
        let mut case = Case::new(config.clone(), 5, per_edge, 21);
        let mask = TensorData::from([[1.0], [0.0], [1.0], [0.0], [1.0]]);
        let mask = Tensor::<2>::from_data(mask, (&cpu(), DType::F64));
        case.vectors = case.vectors * mask;
        // The harmonics have no derivative there, and neither have frames.
        case.agrees(1e-12);
    }
    let none = Case::new(config, 0, false, 22);
    assert_eq!(
        none.layer()
            .forward_weighted(none.x, none.vectors, none.w.unwrap())
            .dims(),
        [0, 19]
    );
}

#[test]
fn lengths_do_not_matter() {
    let features = irreps!("3x0e+2x1o+2x2e");
    let harmonics = irreps!("0e+1o+2e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let case = Case::of(config, 8, false, 30, DType::F32);
    let (layer, w) = (case.layer(), case.w.clone().unwrap());
    let run = |scale: f64| {
        layer.forward_weighted(case.x.clone(), case.vectors.clone() * scale, w.clone())
    };
    let want = run(1.0);
    for scale in [1e-30, 1e-20, 1e20, 1e30] {
        assert_close!(run(scale), want.clone(), 0.0, 3e-6, "{scale}");
    }
}

#[test]
fn frames_made_once_serve_both_plans() {
    let features = irreps!("3x0e+2x1o+2x2e");
    let harmonics = irreps!("0e+1o+2e+3o");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    let mut case = Case::new(config, 7, false, 31);
    case.vectors = Tensor::cat(
        vec![
            case.vectors.narrow(0, 0, 6),
            Tensor::zeros([1, 3], (&cpu(), DType::F64)),
        ],
        0,
    );
    let frames = EdgeFrames::new(case.vectors.clone(), 3);
    let w = case.w.clone().unwrap();
    for plan in [PlanChoice::Direct, PlanChoice::EdgeFrame] {
        let layer = case.config.clone().with_plan(plan).init(&cpu()).unwrap();
        let got = layer.forward_weighted_in(case.x.clone(), &frames, w.clone());
        let want = layer.forward_weighted(case.x.clone(), case.vectors.clone(), w.clone());
        assert_close!(got, want, 0.0, 1e-13);
    }
    for normalization in [
        Normalization::Component,
        Normalization::Norm,
        Normalization::Integral,
    ] {
        let degrees = [3, 0, 1, 2, 1];
        let want = spherical_harmonics(&degrees, case.vectors.clone(), true, normalization);
        assert_close!(frames.harmonics(&degrees, normalization), want, 0.0, 1e-14);
    }
    assert_eq!(
        frames.harmonics(&[], Normalization::Component).dims(),
        [7, 0]
    );
}

#[test]
fn own_weights() {
    let features = irreps!("3x0e+2x1o");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o"), &features);
    let mut random = Random::new(1);
    let x = random.tensor([4, 9], DType::F32);
    let vectors = random.vectors(4, DType::F32);
    let layer = config
        .with_plan(PlanChoice::EdgeFrame)
        .init(&cpu())
        .unwrap();
    let w = layer
        .product
        .weight
        .as_ref()
        .unwrap()
        .val()
        .unsqueeze::<2>();
    let want = layer.forward_weighted(x.clone(), vectors.clone(), w);
    assert_close!(
        layer.forward(x.clone(), vectors.clone()),
        want.clone(),
        0.0,
        0.0
    );
    let frames = EdgeFrames::new(vectors, layer.lmax());
    assert_close!(layer.forward_in(x, &frames), want, 0.0, 0.0);
}

#[test]
fn half_precision_is_storage() {
    let features = irreps!("3x0e+2x1o+2x2e");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o+2e"), &features);
    let case = Case::of(config, 8, false, 40, DType::F32);
    let layer = case.layer();
    let w = case.w.clone().unwrap();
    let want = layer.forward_weighted(case.x.clone(), case.vectors.clone(), w.clone());
    let [x, v, w] = [case.x, case.vectors, w].map(|t| t.cast(DType::BF16));
    let got = layer.forward_weighted(x, v, w);
    assert_eq!(got.dtype(), DType::BF16);
    assert_close!(got.cast(DType::F32), want, 0.05, 0.1);
}

#[test]
fn equivariance_under_a_thousand_elements() {
    let features = irreps!("4x0e+2x0o+3x1o+2x1e+2x2e+2x3o+1x4e");
    let harmonics = irreps!("0e+1o+2e+3o+4e");
    let out = irreps!("3x0e+2x1o+2x1e+2x2e+1x2o+2x3o+1x4e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &out);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        for mmax in [None, Some(1)] {
            let case = Case::of(config.clone().with_mmax(mmax), 4, false, 2, dtype);
            let (layer, w) = (case.layer(), case.w.clone().unwrap());
            let f = |x: &[Tensor<2>]| {
                let vectors = x[2].clone() - x[1].clone();
                vec![layer.forward_weighted(x[0].clone(), vectors, w.clone())]
            };
            let inputs = [
                Argument::features(features.clone()),
                Argument::positions(),
                Argument::positions(),
            ];
            let mut options = thousand(dtype, tolerance);
            // Differences of shifted positions are not those of the positions to the last bit.
            options.translation = 0.0;
            let report = assert_equivariant(f, &inputs, &[out.clone().into()], &options);
            println!("{dtype:?} mmax {mmax:?}: {:.1e}", report.max_rel());
        }
    }
}

/// Zeros where components in frames have an order above `mmax`.
fn truncate(x: &IrrepsTensor, mmax: usize) -> IrrepsTensor {
    let mut mask = Vec::new();
    for block in x.irreps() {
        let l = block.irrep.l() as isize;
        for _ in 0..block.mul {
            mask.extend((-l..=l).map(|m| f64::from(u8::from(m.unsigned_abs() <= mmax))));
        }
    }
    let mask = TensorData::new(mask.clone(), [1, mask.len()]);
    let mask = Tensor::<2>::from_data(mask, (&cpu(), DType::F64));
    IrrepsTensor::new(x.values().clone() * mask, x.irreps().clone(), Layout::MulIr)
}

#[test]
fn orders_that_are_left_out() {
    let features = irreps!("3x0e+2x1o+2x2e+2x3o+1x3e");
    let harmonics = irreps!("0e+1o+2e+3o+4e");
    let config = EdgeProductConfig::fully_connected(&features, &harmonics, &features);
    for per_edge in [false, true] {
        let case = Case::new(config.clone(), 6, per_edge, 50);
        let frames = EdgeFrames::new(case.vectors.clone(), 3);
        let d: Vec<Tensor<3>> = (0..=3).map(|l| frames.wigner(l)).collect();
        let x = IrrepsTensor::new(case.x.clone(), features.clone(), Layout::MulIr).rotate(&d);
        let y = Tensor::<2>::from_data([[0.0, 1.0, 0.0]], (&cpu(), DType::F64)).repeat_dim(0, 6);
        let mut last = f64::INFINITY;
        for mmax in 0..=4 {
            // The product along y of what is kept, of which is kept the same.
            let kept = truncate(&x, mmax).into_values();
            let w = case.w.clone().map(Dual::constant);
            let out = case.direct(kept.into(), y.clone().into(), w).value;
            let out = IrrepsTensor::new(out, features.clone(), Layout::MulIr);
            let want = truncate(&out, mmax).rotate_back(&d).into_values();
            let config = case.config.clone().with_mmax(Some(mmax));
            let layer = config.init(&cpu()).unwrap();
            let w = case.w.clone().unwrap();
            let got = layer.forward_weighted(case.x.clone(), case.vectors.clone(), w);
            assert_close!(got.clone(), want, 0.0, 1e-12, "mmax {mmax}");
            // What is lost becomes less, and nothing from the largest degree on.
            let w = case.w.clone().map(Dual::constant);
            let exact = case
                .direct(case.x.clone().into(), case.vectors.clone().into(), w)
                .value;
            let lost = (got - exact).square().sum().into_scalar::<f64>().sqrt();
            assert!(
                if mmax < 3 {
                    lost > 1e-2 && lost < last
                } else {
                    lost < 1e-11
                },
                "{mmax}: {lost}"
            );
            assert_eq!(layer.explain().truncation, (mmax < 3).then_some(mmax));
            last = lost;
        }
    }
}

#[test]
fn bits_for_any_number_of_threads() {
    let features = irreps!("5x0e+4x1o+3x2e+2x1e");
    let config = EdgeProductConfig::fully_connected(&features, &irreps!("0e+1o+2e"), &features);
    for per_edge in [false, true] {
        let case = Case::of(config.clone(), 1000, per_edge, 80, DType::F32);
        let layer = case.layer();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
                let [x, v, w] = [&case.x, &case.vectors, case.w.as_ref().unwrap()].map(leaf);
                let y = layer.forward_weighted(x.clone(), v.clone(), w.clone());
                let grads = y.clone().powi_scalar(2).sum().backward();
                [
                    Some(y.inner()),
                    x.grad(&grads),
                    v.grad(&grads),
                    w.grad(&grads),
                ]
                .map(|t| t.unwrap().into_data())
            })
        };
        let want = run(1);
        for threads in [2, 5] {
            for (got, want) in run(threads).iter().zip(&want) {
                got.assert_eq(want, true);
            }
        }
    }
}
