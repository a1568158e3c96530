//! Every rule of `Dual` in f64: the tangent against differences of the value, and reverse mode through value and
//! tangent against differences of both, to 1e-10 (a slope that was rounded to f32 anywhere fails).
#![cfg(all(feature = "testing", feature = "flex"))]

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData, s};
use core_tensor::dual::{Dual, Value};
use core_tensor::testing::{GradCheck, check_gradients};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Inputs<'a> = &'a [Dual<1>];

/// A function of flat inputs to a flat output.
struct Case {
    name: &'static str,
    /// Sizes of the inputs.
    sizes: Vec<usize>,
    f: Box<dyn Fn(Inputs<'_>) -> Dual<1>>,
}

fn case(
    name: &'static str,
    sizes: impl Into<Vec<usize>>,
    f: impl Fn(Inputs<'_>) -> Dual<1> + 'static,
) -> Case {
    Case {
        name,
        sizes: sizes.into(),
        f: Box::new(f),
    }
}

fn flat<const D: usize>(x: Dual<D>) -> Dual<1> {
    let len: usize = x.dims().iter().product();
    x.reshape([len])
}

fn m(x: &Dual<1>, rows: usize, columns: usize) -> Dual<2> {
    x.clone().reshape([rows, columns])
}

fn device() -> Device {
    Device::flex()
}

fn vector(values: &[f64]) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&device(), DType::F64))
}

fn ints<const D: usize>(values: &[i64], shape: [usize; D]) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn mask() -> Tensor<2, Bool> {
    let values = vec![true, false, false, true, true, false];
    Tensor::from_data(TensorData::new(values, [2, 3]), &device())
}

/// Inputs lie in ±[0.8, 1.8], away from the kinks at 0 and at 1.9; even places are positive, all of them in
/// functions that need it.
fn elementwise() -> Vec<Case> {
    let positive =
        |name, f: fn(Dual<1>) -> Dual<1>| case(name, [6], move |x| f(x[0].clone().square().sqrt()));
    let any = |name, f: fn(Dual<1>) -> Dual<1>| case(name, [6], move |x| f(x[0].clone()));
    vec![
        any("exp", Dual::exp),
        positive("ln", Dual::ln),
        positive("sqrt", Dual::sqrt),
        any("recip", Dual::recip),
        any("square", Dual::square),
        any("sin", Dual::sin),
        any("cos", Dual::cos),
        any("tanh", Dual::tanh),
        any("sigmoid", Dual::sigmoid),
        any("silu", Dual::silu),
        any("softplus", Dual::softplus),
        any("softplus of large values", |x| (x * 20.0).softplus() / 20.0),
        any("relu", Dual::relu),
        any("abs", Dual::abs),
        any("powi 1", |x| x.powi(1)),
        any("powi 2", |x| x.powi(2)),
        any("powi 3", |x| x.powi(3)),
        any("powi 7", |x| x.powi(7) / 7.0),
        any("powi -1", |x| x.powi(-1)),
        any("powi -3", |x| x.powi(-3)),
        positive("powf 2.5", |x| x.powf(2.5)),
        positive("powf -0.5", |x| x.powf(-0.5)),
        positive("powf 3", |x| x.powf(3.0)),
        any("clamp within", |x| x.clamp(-1.9, 1.9)),
        any("clamp half", |x| x.clone().clamp(0.0, 1.9) + x * 0.1),
    ]
}

fn arithmetic() -> Vec<Case> {
    let pair = |name, f: fn(Dual<1>, Dual<1>) -> Dual<1>| {
        case(name, [5, 5], move |x| f(x[0].clone(), x[1].clone()))
    };
    // A row and a column: operands of different shapes.
    let broadcast = |name, f: fn(Dual<2>, Dual<2>) -> Dual<2>| {
        case(name, [3, 2], move |x| {
            flat(f(m(&x[0], 1, 3), m(&x[1], 2, 1)))
        })
    };
    let one = |name, f: fn(Dual<1>) -> Dual<1>| case(name, [5], move |x| f(x[0].clone()));
    vec![
        pair("x + y", |x, y| x + y),
        pair("x - y", |x, y| x - y),
        pair("x * y", |x, y| x * y),
        pair("x / y", |x, y| x / y),
        broadcast("row + column", |x, y| x + y),
        broadcast("row - column", |x, y| x - y),
        broadcast("row * column", |x, y| x * y),
        broadcast("row / column", |x, y| x / y),
        broadcast("column / row", |x, y| y / x),
        one("numbers", |x| {
            (2.0 - x.clone() * 3.0) / 7.0 + (1.5 / x.clone() - 0.3) - (0.1 + 0.7 * x)
        }),
        one("-x", |x| -x),
        one("tensors on the right", |x| {
            let t = vector(&[0.3, -0.7, 1.1, 2.3, -1.9]);
            (x.clone() + t.clone()) * t.clone() + (x - t.clone()) / t
        }),
        one("tensors on the left", |x| {
            let t = vector(&[0.3, -0.7, 1.1, 2.3, -1.9]);
            t.clone() + t.clone() * x.clone() + (t.clone() - x.clone()) + t / x
        }),
    ]
}

fn shapes() -> Vec<Case> {
    let matrix = |name, f: fn(Dual<2>) -> Dual<1>| case(name, [6], move |x| f(m(&x[0], 2, 3)));
    let cube = |name, f: fn(Dual<3>) -> Dual<1>| {
        case(name, [12], move |x| f(x[0].clone().reshape([2, 3, 2])))
    };
    vec![
        matrix("sum", Dual::sum),
        matrix("sum_dim", |x| flat(x.sum_dim(1))),
        cube("sum_dims", |x| flat(x.sum_dims(&[0, 2]))),
        matrix("mean", Dual::mean),
        matrix("mean_dim", |x| flat(x.mean_dim(1))),
        cube("mean_dims", |x| flat(x.mean_dims(&[0, 1]))),
        matrix("reshape", |x| x.reshape([-1])),
        cube("flatten", |x| flat(x.flatten::<2>(1, 2))),
        matrix("transpose", |x| flat(x.transpose())),
        cube("swap_dims", |x| flat(x.swap_dims(0, 2))),
        cube("permute", |x| flat(x.permute([2, 0, 1]))),
        matrix("slice", |x| flat(x.slice(s![.., 1..3]))),
        matrix("narrow", |x| flat(x.narrow(1, 1, 2))),
        matrix("unsqueeze", |x| flat(x.unsqueeze::<3>())),
        matrix("unsqueeze_dim", |x| flat(x.unsqueeze_dim::<3>(1))),
        matrix("squeeze_dim", |x| x.narrow(0, 1, 1).squeeze_dim(0)),
        matrix("repeat_dim", |x| flat(x.repeat_dim(1, 3))),
        matrix("expand", |x| flat(x.sum_dim(1).expand([2, 4]))),
        matrix("select", |x| flat(x.select(1, ints(&[2, 0, 2, 2], [4])))),
        matrix("gather", |x| flat(x.gather(1, ints(&[2, 2, 0, 1], [2, 2])))),
    ]
}

fn joins() -> Vec<Case> {
    let pair = |name, f: fn(Dual<2>, Dual<2>) -> Dual<1>| {
        case(name, [6, 6], move |x| f(m(&x[0], 2, 3), m(&x[1], 2, 3)))
    };
    vec![
        pair("cat", |x, y| flat(Dual::cat(vec![x, y], 1))),
        pair("stack", |x, y| flat(Dual::stack::<3>(vec![x, y], 1))),
        pair("mask_where", |x, y| flat(x.mask_where(mask(), y))),
        case("mask_fill", [6], |x| {
            flat(m(&x[0], 2, 3).mask_fill(mask(), -2.0))
        }),
        pair("matmul", |x, y| flat(x.matmul(y.transpose()))),
        case("matmul of a batch", [12, 6], |x| {
            let (x, y): (Dual<3>, Dual<3>) = (
                x[0].clone().reshape([2, 3, 2]),
                x[1].clone().reshape([1, 2, 3]),
            );
            flat(x.matmul(y))
        }),
        case("affine", [12], |x| {
            let weight = vector(&[0.1, -0.2, 0.3, 0.4, 0.5, -0.6]).reshape([2, 3]);
            let bias = vector(&[1.0, 2.0, -3.0]);
            flat(x[0].clone().reshape([2, 3, 2]).affine(weight, Some(bias)))
        }),
        case("norm_dim", [6], |x| flat(m(&x[0], 2, 3).norm_dim(1))),
    ]
}

fn cases() -> Vec<Case> {
    [elementwise(), arithmetic(), shapes(), joins()]
        .into_iter()
        .flatten()
        .collect()
}

/// `size` values with `0.8 ≤ |x| ≤ 1.8`, signs alternating.
fn draw(rng: &mut ChaCha8Rng, size: usize) -> Vec<f64> {
    (0..size)
        .map(|i| rng.random_range(0.8..1.8) * if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect()
}

fn numbers<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.to_data().iter::<f64>().collect()
}

#[test]
fn tangents_are_slopes_of_values() {
    let settings = GradCheck::precise();
    for case in cases() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut list =
            || -> Vec<Vec<f64>> { case.sizes.iter().map(|&n| draw(&mut rng, n)).collect() };
        let (at, along) = (list(), list());
        // Every set of inputs that move; the others have no tangent.
        for moving in 0..1_usize << case.sizes.len() {
            let moves = |i: usize| moving >> i & 1 == 1;
            let value = |step: f64| {
                let moved = at.iter().zip(&along).enumerate().map(|(i, (x, d))| {
                    let step = if moves(i) { step } else { 0.0 };
                    let moved: Vec<f64> = x.iter().zip(d).map(|(x, d)| x + step * d).collect();
                    Dual::constant(vector(&moved))
                });
                let y = (case.f)(&moved.collect::<Vec<_>>());
                assert!(
                    y.tangent.is_none(),
                    "{}: a constant has a tangent",
                    case.name
                );
                numbers(&y.value)
            };
            let inputs = at
                .iter()
                .zip(&along)
                .enumerate()
                .map(|(i, (x, d))| match moves(i) {
                    true => Dual::new(vector(x), vector(d)),
                    false => Dual::constant(vector(x)),
                });
            let y = (case.f)(&inputs.collect::<Vec<_>>());
            if moving == 0 {
                assert!(y.tangent.is_none(), "{}: nothing moves", case.name);
                continue;
            }
            assert_eq!(y.dtype(), DType::F64, "{}", case.name);
            assert_eq!(
                numbers(&y.value),
                value(0.0),
                "{}: values differ",
                case.name
            );
            let tangent = y
                .tangent
                .unwrap_or_else(|| panic!("{}: no tangent", case.name));
            assert_eq!(
                tangent.dims(),
                y.value.dims(),
                "{}: shape of the tangent",
                case.name
            );
            for (i, got) in numbers(&tangent).into_iter().enumerate() {
                let want = settings.slope(|step| value(step)[i]);
                assert!(
                    (got - want).abs() <= settings.atol + settings.rtol * want.abs(),
                    "{}, inputs {moving:b}: tangent {i} is {got:e}, difference {want:e}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn reverse_mode_through_tangents_is_exact() {
    for case in cases() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let count = case.sizes.len();
        let sizes = case.sizes.iter().chain(&case.sizes);
        let inputs: Vec<Vec<f64>> = sizes.map(|&n| draw(&mut rng, n)).collect();
        println!("{}", case.name);
        check_gradients(&device(), &inputs, GradCheck::precise(), |x| {
            let duals = (0..count).map(|i| Dual::new(x[i].clone(), x[count + i].clone()));
            let y = (case.f)(&duals.collect::<Vec<_>>());
            let tangent = y.tangent.expect("every input moves");
            let len = y.value.dims()[0];
            let weights = |first: f64| {
                vector(
                    &(0..len)
                        .map(|i| (first + i as f64).sin())
                        .collect::<Vec<_>>(),
                )
            };
            (tangent * weights(1.0)).sum() + (y.value * weights(5.0)).sum()
        });
    }
}

#[test]
fn edges_of_domains() {
    let at = |x: f64, f: fn(Dual<1>) -> Dual<1>| {
        let y = f(Dual::new(vector(&[x]), vector(&[1.0])));
        (numbers(&y.value)[0], y.tangent.map(|t| numbers(&t)[0]))
    };
    assert_eq!(at(-3.0, |x| x.powi(0)), (1.0, Some(0.0)));
    assert_eq!(at(0.0, |x| x.powi(0)), (1.0, Some(0.0)));
    assert_eq!(at(0.0, |x| x.powi(1)), (0.0, Some(1.0)));
    assert_eq!(at(0.0, |x| x.powi(2)), (0.0, Some(0.0)));
    assert_eq!(at(0.0, Dual::relu), (0.0, Some(0.0)));
    assert_eq!(at(0.0, Dual::abs), (0.0, Some(0.0)));
    assert_eq!(at(2.0, |x| x.clamp(-1.0, 2.0)), (2.0, Some(1.0)));
    assert_eq!(at(2.5, |x| x.clamp(-1.0, 2.0)), (2.0, Some(0.0)));
    assert_eq!(at(-1.5, |x| x.clamp(-1.0, 2.0)), (-1.0, Some(0.0)));
    assert_eq!(at(800.0, Dual::softplus), (800.0, Some(1.0)));
    assert_eq!(at(-800.0, Dual::softplus), (0.0, Some(0.0)));
    assert_eq!(at(0.0, Dual::softplus), (std::f64::consts::LN_2, Some(0.5)));
    let (y, slope) = at(-800.0, Dual::silu);
    assert_eq!((y.abs(), slope.map(f64::abs)), (0.0, Some(0.0)));
}

#[test]
fn nothing_broadcasts() {
    let x = Tensor::<2>::zeros([0, 3], (&device(), DType::F64));
    let row = Tensor::<2>::ones([1, 3], (&device(), DType::F64));
    let row = Dual::new(row.clone(), row);
    for y in [row.clone() + x.clone(), row.clone() - x.clone(), row * x] {
        assert_eq!((y.dims(), y.tangent.unwrap().dims()), ([0, 3], [0, 3]));
    }
}

#[test]
fn the_norm_of_the_zero_vector_has_no_slope() {
    let device = device().autodiff();
    let leaf = |values: [f64; 6]| {
        let data = TensorData::new(values.to_vec(), [2, 3]);
        Tensor::<2>::from_data(data, (&device, DType::F64)).require_grad()
    };
    let (x, dx) = (
        leaf([0.0, 0.0, 0.0, 3.0, 0.0, 4.0]),
        leaf([1.0, 2.0, 3.0, 1.0, 1.0, 1.0]),
    );
    let norm = Dual::new(x.clone(), dx.clone()).norm_dim(1);
    assert_eq!(norm.dims(), [2, 1]);
    assert_eq!(numbers(&norm.value), [0.0, 5.0]);
    let tangent = norm.tangent.unwrap();
    assert_eq!(numbers(&tangent)[0], 0.0);
    assert!((numbers(&tangent)[1] - 1.4).abs() < 1e-15);
    let grads = (norm.value.sum() + tangent.sum()).backward();
    let (gx, gdx) = (
        numbers(&x.grad(&grads).unwrap()),
        numbers(&dx.grad(&grads).unwrap()),
    );
    assert_eq!(gx[..3], [0.0; 3]);
    assert_eq!(gdx[..3], [0.0; 3]);
    assert!((gdx[3] - 0.6).abs() < 1e-15 && gx[3..].iter().all(|g| g.is_finite()));
}

#[test]
fn detached_duals_record_nothing() {
    let x = vector(&[1.0, 2.0]).autodiff().require_grad();
    let y = Dual::new(x.clone() * 2.0, x * 3.0);
    assert!(y.value.is_tracked() && y.tangent.as_ref().unwrap().is_tracked());
    let z = y.clone().detach();
    assert!(!z.value.is_tracked() && !z.tangent.unwrap().is_tracked());
    let single = y.map(|t| t.cast(DType::F32));
    assert_eq!(
        (single.dtype(), single.tangent.unwrap().dtype()),
        (DType::F32, DType::F32)
    );
}

#[test]
#[should_panic(expected = "a tangent would be lost")]
fn a_tangent_is_not_dropped_silently() {
    let x = vector(&[1.0]);
    let _: Tensor<1> = Value::from_dual(Dual::new(x.clone(), x));
}

#[test]
#[should_panic(expected = "shapes of value and tangent differ")]
fn a_tangent_has_the_shape_of_its_value() {
    Dual::new(vector(&[1.0]), vector(&[1.0, 2.0]));
}

#[test]
#[should_panic(expected = "Dual::affine")]
fn affine_checks_the_inputs() {
    let weight = vector(&[1.0, 2.0]).reshape([2, 1]);
    Dual::constant(vector(&[1.0, 2.0, 3.0])).affine(weight, None);
}

#[test]
fn affine_takes_values_without_entries() {
    let device = Device::flex();
    let weight = Tensor::<2>::zeros([4, 5], &device);
    for dims in [[0, 3, 4], [3, 0, 4]] {
        let x = Tensor::<3>::zeros(dims, &device);
        let bias = Tensor::<1>::ones([5], &device);
        let y = Dual::new(x.clone(), x).affine(weight.clone(), Some(bias));
        let dims = [dims[0], dims[1], 5];
        assert_eq!((y.dims(), y.tangent.unwrap().dims()), (dims, dims));
    }
}
