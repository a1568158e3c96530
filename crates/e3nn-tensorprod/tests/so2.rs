//! Products in the frames of edges against the direct product: values, gradients, tangents and their gradients; poles, the
//! seam of the chart, edges of length zero; truncation; equivariance; SO(2) linear maps; the planner. Outputs start as NaN.

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::testing::{PoisonGuard, poison_outputs};
use e3nn_tensorprod::product::{ConnectionMode, Instruction};
use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
use e3nn_tensorprod::so2::{
    EdgeFrames, EdgeProduct, EdgeProductConfig, EdgeProductError, FrameLayout, Plan, PlanChoice,
    So2LinearConfig,
};
use e3nn_tensorprod::testing::{Argument, Equivariance, assert_equivariant};
use e3nn_tensorprod::{
    ConvolutionConfig, Irrep, Irreps, IrrepsTensor, Layout, Parity, TensorProductConfig, irreps,
    wigner_3j,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::OnceLock;

fn cpu() -> Device {
    static POISON: OnceLock<PoisonGuard> = OnceLock::new();
    POISON.get_or_init(poison_outputs);
    Device::flex()
}

/// Reproducible tensors.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn tensor(&mut self, shape: [usize; 2], dtype: DType) -> Tensor<2> {
        let count = shape[0] * shape[1];
        let values: Vec<f64> = (0..count).map(|_| self.0.random_range(-1.7..1.7)).collect();
        Tensor::from_data(TensorData::new(values, shape), (&cpu(), dtype))
    }

    /// Vectors of lengths between 0.3 and 3.
    fn vectors(&mut self, edges: usize, dtype: DType) -> Tensor<2> {
        let v = self.tensor([edges, 3], dtype);
        let length = v.clone().square().sum_dim(1).sqrt();
        let factors = self.tensor([edges, 1], dtype).abs() + 0.3;
        v / length * factors
    }
}

/// A product and its inputs.
struct Case {
    config: EdgeProductConfig,
    x: Tensor<2>,
    vectors: Tensor<2>,
    w: Option<Tensor<2>>,
}

impl Case {
    fn new(config: EdgeProductConfig, edges: usize, per_edge: bool, seed: u64) -> Self {
        Self::of(config, edges, per_edge, seed, DType::F64)
    }

    fn of(
        mut config: EdgeProductConfig,
        edges: usize,
        per_edge: bool,
        seed: u64,
        dtype: DType,
    ) -> Self {
        config.product.internal_weights = false;
        let plan = config.product.plan().expect("a product");
        let mut random = Random::new(seed);
        let rows = if per_edge { edges } else { 1 };
        let numel = plan.weight_numel();
        Self {
            x: random.tensor([edges, plan.irreps_in1().dim()], dtype),
            vectors: random.vectors(edges, dtype),
            w: (numel > 0).then(|| random.tensor([rows, numel], dtype)),
            config,
        }
    }

    fn layer(&self) -> EdgeProduct {
        let config = self.config.clone().with_plan(PlanChoice::EdgeFrame);
        let layer = config.init(&cpu()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(layer.plan(), Plan::EdgeFrame);
        layer
    }

    /// The product of features and harmonics, by other code.
    fn direct(&self, x: Dual<2>, v: Dual<2>, w: Option<Dual<2>>) -> Dual<2> {
        let product = self.config.product.init(&cpu()).expect("a product");
        let degrees: Vec<usize> = self.config.product.irreps_in2.ls().collect();
        let y = spherical_harmonics(&degrees, v, true, self.config.normalization);
        match w {
            Some(w) => product.forward_weighted(x, y, w),
            None => product.forward(x, y),
        }
    }

    /// Values, tangents, and the gradients of both by all inputs and their tangents.
    fn agrees(&self, bound: f64) {
        cpu();
        let layer = self.layer();
        let mut random = Random::new(77);
        let mut like = |t: &Tensor<2>| random.tensor(t.dims(), t.dtype());
        let inputs: Vec<Tensor<2>> = [Some(&self.x), Some(&self.vectors), self.w.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let tangents: Vec<Tensor<2>> = inputs.iter().map(&mut like).collect();
        let out = [self.x.dims()[0], self.config.product.irreps_out.dim()];
        let cotangents = [0, 1].map(|_| random.tensor(out, self.x.dtype()));
        let run = |frames: bool| {
            let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
            let leaves: Vec<Tensor<2>> = inputs.iter().chain(&tangents).map(leaf).collect();
            let dual = |i: usize| Dual::new(leaves[i].clone(), leaves[inputs.len() + i].clone());
            let w = (inputs.len() > 2).then(|| dual(2));
            let y = match (frames, w) {
                (false, w) => self.direct(dual(0), dual(1), w),
                (true, Some(w)) => layer.forward_weighted(dual(0), dual(1), w),
                (true, None) => layer.forward(dual(0), dual(1)),
            };
            let tangent = y.tangent_or_zeros();
            let on = |t: &Tensor<2>| t.clone().autodiff();
            // Leaves that nothing depends on keep a gradient of 0.
            let leaf_sum = leaves.iter().map(|t| t.clone().sum() * 0.0);
            let sum = (y.value.clone() * on(&cotangents[0])).sum()
                + (tangent.clone() * on(&cotangents[1])).sum();
            let grads = leaf_sum.fold(sum, |sum, x| sum + x).backward();
            let gradients: Vec<Tensor<2>> = leaves
                .iter()
                .map(|t| t.grad(&grads).expect("a gradient"))
                .collect();
            (y.value.inner(), tangent.inner(), gradients)
        };
        let (got, want) = (run(true), run(false));
        let close = |got: &Tensor<2>, want: &Tensor<2>, what: &str| {
            if got.dims().contains(&0) {
                return;
            }
            let scale = want.clone().abs().max().into_scalar::<f64>().max(1.0);
            assert_close!(got.clone(), want.clone(), 0.0, bound * scale, "{what}");
        };
        close(&got.0, &want.0, "value");
        close(&got.1, &want.1, "tangent");
        let names = if self.w.is_some() {
            vec!["x", "v", "w", "ẋ", "v̇", "ẇ"]
        } else {
            vec!["x", "v", "ẋ", "v̇"]
        };
        for ((got, want), name) in got.2.iter().zip(&want.2).zip(names) {
            close(got, want, name);
        }
    }
}

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

/// Both modes in one product, into the same blocks, some paths without weights.
#[test]
fn modes_side_by_side() {
    use ConnectionMode::{Uvu, Uvw};
    let path = Instruction::new;
    let paths = vec![
        path(0, 0, 0, Uvu).unweighted(),
        path(0, 1, 1, Uvw),
        path(1, 1, 0, Uvw),
        path(1, 0, 1, Uvu),
        path(1, 2, 1, Uvu).unweighted(),
        path(1, 2, 1, Uvw),
        path(1, 1, 2, Uvu).with_path_weight(0.3),
    ];
    let [features, harmonics] = [irreps!("4x0e+4x1o"), irreps!("0e+1o+2e")];
    let out = irreps!("4x0e+4x1o+4x1e");
    let product = TensorProductConfig::new(features.clone(), harmonics.clone(), out.clone(), paths);
    for per_edge in [false, true] {
        Case::new(EdgeProductConfig::new(product.clone()), 6, per_edge, 8).agrees(1e-12);
    }
    // None with weights.
    let paths = vec![
        path(0, 0, 0, Uvu).unweighted(),
        path(1, 2, 1, Uvu).unweighted(),
    ];
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

fn thousand(dtype: DType, tolerance: f64) -> Equivariance {
    Equivariance {
        elements: 1000,
        dtype,
        tolerance,
        device: cpu(),
        ..Equivariance::default()
    }
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
    let largest = |w: Tensor<2>| w.abs().max().into_scalar::<f32>();
    let bounds = [7.0_f32, 4.0, 2.0].map(|k| k.sqrt().recip());
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
