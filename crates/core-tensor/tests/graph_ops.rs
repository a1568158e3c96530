//! Operations over edges on the CPU: kernels against plain tensor operations, gradients and tangents against
//! differences, bits against threads and the order of the edge list.
#![cfg(all(feature = "testing", feature = "flex"))]

#[path = "common/graphs.rs"]
mod graphs;

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::graph::{
    End, Graph, gather, segment_max, segment_mean, segment_softmax, segment_sum,
};
use core_tensor::testing::{GradCheck, check_gradients, for_each_mode, poison_outputs};
use graphs::{
    ENDS, Inputs, OPS, Op, build, dual, edges, graphs as all_graphs, matrix, random, values,
};

fn floats(data: TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

#[test]
fn kernels_agree_with_the_reference() {
    let _poison = poison_outputs();
    let device = Device::flex().autodiff();
    let mut rng = random(1);
    for (name, graph) in all_graphs(&mut rng) {
        for op in OPS {
            for end in ENDS {
                for features in [0, 1, 2, 7, 8, 33, 65] {
                    let inputs = Inputs::draw(&mut rng, &graph, op, end, features);
                    for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 3e-5)] {
                        let got = inputs.run(&device, dtype, true);
                        let want = inputs.run(&device, DType::F64, false);
                        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                            assert_eq!(got.dtype(), dtype);
                            // Sums of a thousand terms of either sign.
                            let scale = floats(want.clone())
                                .iter()
                                .fold(1.0_f64, |m, x| m.max(x.abs()));
                            assert_close!(
                                got,
                                want,
                                bound,
                                bound * scale,
                                "{name}, {op:?} by {end:?}, {features} features, {dtype:?}, result {i}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn half_precision_is_rounded_once() {
    let _poison = poison_outputs();
    let device = Device::flex();
    let mut rng = random(2);
    let edges = edges(&mut rng, 20, 700);
    let graph = build(20, &edges);
    for (dtype, epsilon) in [
        (DType::BF16, 2.0_f64.powi(-8)),
        (DType::F16, 2.0_f64.powi(-11)),
    ] {
        for op in OPS {
            for end in ENDS {
                let inputs = Inputs::draw(&mut rng, &graph, op, end, 9);
                let (x, w) = inputs.tensors(&device, dtype);
                let got = op.run(x.clone(), w.clone(), &graph, end);
                assert_eq!(got.dtype(), dtype);
                let wide = |x: Tensor<2>| x.cast(DType::F64);
                let want = op.reference(wide(x), w.map(wide), &graph, end);
                // q is rounded, and its product with the weights.
                let roundings = if matches!(op, Op::Weighted | Op::Envelope) {
                    2.1
                } else {
                    1.01
                };
                // f16 has subnormals from 6e-5 on.
                assert_close!(
                    got,
                    want,
                    roundings * epsilon,
                    3e-5,
                    "{op:?} by {end:?}, {dtype:?}"
                );
            }
        }
    }
}

#[test]
fn gradients_are_slopes_in_every_mode() {
    let mut rng = random(3);
    let mut list = edges(&mut rng, 6, 14);
    list.push((5, 0));
    let graph = build(7, &list);
    for op in OPS {
        for end in ENDS {
            let inputs = Inputs::draw(&mut rng, &graph, op, end, 2);
            for_each_mode(&Device::flex(), |_, device| {
                let mut lists = vec![inputs.x.clone()];
                // Weights away from 0, where a step would leave the domain.
                lists.extend(
                    inputs
                        .weights
                        .clone()
                        .map(|w| w.iter().map(|w| w + 0.3).collect()),
                );
                let graph = &inputs.graph;
                check_gradients(device, &lists, GradCheck::precise(), |x| {
                    let shape = |x: &Tensor<1>, rows: usize| {
                        let columns = x.dims()[0] / rows;
                        x.clone().reshape([rows, columns])
                    };
                    let values: Tensor<2> = shape(&x[0], op.rows(graph));
                    let weights = x.get(1).map(|w| shape(w, graph.edges()));
                    let y: Tensor<2> = op.run(values, weights, graph, end);
                    let len = y.dims().iter().product::<usize>();
                    let c = matrix(&values_of(len), y.dims()[0], &y.device(), DType::F64);
                    (y.clone() * c + y.powi_scalar(3)).sum()
                });
            });
        }
    }
}

fn values_of(len: usize) -> Vec<f64> {
    (0..len).map(|k| (k as f64 + 1.0).sin()).collect()
}

#[test]
fn tangents_are_slopes_and_reverse_mode_goes_through_them() {
    let mut rng = random(4);
    let list = edges(&mut rng, 5, 11);
    let graph = build(6, &list);
    let settings = GradCheck::precise();
    let device = Device::flex();
    for op in OPS {
        for end in ENDS {
            let inputs = Inputs::draw(&mut rng, &graph, op, end, 2);
            let rows = op.rows(&graph);
            let weights = inputs
                .weights
                .map(|w| w.iter().map(|w| w + 0.3).collect::<Vec<_>>());
            let at: Vec<Vec<f64>> = [Some(inputs.x), weights].into_iter().flatten().collect();
            let shapes = [[rows, 2], [graph.edges(), op.weights(2).unwrap_or(1)]];
            let along: Vec<Vec<f64>> = at
                .iter()
                .map(|x| values(&mut rng, x.len(), -1.0, 1.0))
                .collect();
            // The value along the direction.
            for moving in 1..1_usize << at.len() {
                let moves = |i: usize| moving >> i & 1 == 1;
                let run = |step: f64, tangents: bool| {
                    let input = |i: usize| {
                        let moved =
                            |k: usize| at[i][k] + if moves(i) { step * along[i][k] } else { 0.0 };
                        let x: Vec<f64> = (0..at[i].len()).map(moved).collect();
                        let x = matrix(&x, shapes[i][0], &device, DType::F64);
                        let dx = matrix(&along[i], shapes[i][0], &device, DType::F64);
                        Dual {
                            value: x,
                            tangent: (tangents && moves(i)).then_some(dx),
                        }
                    };
                    let weights = (at.len() == 2).then(|| input(1));
                    op.run(input(0), weights, &graph, end)
                };
                let got = floats(run(0.0, true).tangent.unwrap().into_data());
                let value = |step: f64| floats(run(step, false).value.into_data());
                for (i, got) in got.into_iter().enumerate() {
                    let want = settings.slope(|step| value(step)[i]);
                    assert!(
                        (got - want).abs() < 1e-10 * (1.0 + want.abs()),
                        "{op:?} by {end:?}, inputs {moving:b}: tangent {i} is {got:e}, difference {want:e}"
                    );
                }
            }
            // Values and tangents both as inputs.
            println!("{op:?} by {end:?}");
            let lists: Vec<Vec<f64>> = at.iter().chain(&along).cloned().collect();
            let half = at.len();
            check_gradients(&device, &lists, settings, |x| {
                let input = |i: usize| dual(x[i].clone(), x[half + i].clone(), shapes[i]);
                let weights = (half == 2).then(|| input(1));
                let y = op.run(input(0), weights, &graph, end);
                let tangent = y.tangent.expect("every input moves");
                let rows = tangent.dims()[0];
                let c = matrix(&values_of(rows * 2), rows, &tangent.device(), DType::F64);
                (tangent * c.clone()).sum() + (y.value.clone() * y.value * c).sum()
            });
        }
    }
}

#[test]
fn the_order_of_the_list_does_not_matter_to_the_bit() {
    let device = Device::flex().autodiff();
    let mut rng = random(5);
    let list = edges(&mut rng, 30, 2000);
    let graph = build(30, &list);
    for op in OPS {
        for end in ENDS {
            let inputs = Inputs::draw(&mut rng, &graph, op, end, 5);
            // The same edges, listed backwards, with the rows that belong to them. Equal edges keep their order in
            // the list, so there must be none that differ: each row is a function of the edge.
            let row =
                |edge: (u32, u32), f: usize| f64::from(edge.0 * 31 + edge.1 * 7 + f as u32).sin();
            let result = |list: &[(u32, u32)]| {
                let graph = build(30, list);
                let rows = |features: usize| -> Vec<f64> {
                    let edges = graph.order().iter().map(|&e| list[e as usize]);
                    edges
                        .flat_map(|e| (0..features).map(move |f| row(e, f)))
                        .collect()
                };
                let x = if op == Op::Gather {
                    inputs.x.clone()
                } else {
                    rows(5)
                };
                let weights = op
                    .weights(5)
                    .map(|n| rows(n).iter().map(|w| w.abs()).collect());
                Inputs {
                    graph,
                    op,
                    end,
                    x,
                    weights,
                    features: 5,
                }
                .run(&device, DType::F32, true)
            };
            let backwards: Vec<_> = list.iter().rev().copied().collect();
            assert!(result(&list) == result(&backwards), "{op:?} by {end:?}");
        }
    }
}

#[test]
fn one_thread_and_several_have_the_same_bits() {
    let device = Device::flex().autodiff();
    let mut rng = random(6);
    let mut list = edges(&mut rng, 300, 6000);
    list.extend((0..3000).map(|i| (i % 300, 17)));
    let graph = build(300, &list);
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for op in OPS {
            for end in ENDS {
                let inputs = Inputs::draw(&mut rng, &graph, op, end, 12);
                let [one, two, three] = [1, 2, 3].map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| inputs.run(&device, dtype, true))
                });
                assert!(one == two && one == three, "{op:?} by {end:?}, {dtype:?}");
            }
        }
    }
}

#[test]
fn a_node_with_many_edges() {
    let _poison = poison_outputs();
    const EDGES: u32 = 100_000;
    let list: Vec<(u32, u32)> = (0..EDGES).map(|i| (i % 3, 1)).collect();
    let graph = build(3, &list);
    let device = Device::flex();
    let mut rng = random(7);
    let x = values(&mut rng, EDGES as usize * 2, 0.0, 1.0);
    let exact: [f64; 2] = [0, 1].map(|f| x.iter().skip(f).step_by(2).sum());
    let single = matrix(&x, EDGES as usize, &device, DType::F32);
    let sum = floats(segment_sum(single.clone(), &graph, End::Destination).into_data());
    assert_eq!((&sum[..2], &sum[4..]), (&[0.0; 2][..], &[0.0; 2][..]));
    for f in 0..2 {
        // One sum over all, one rounding after the other, would be off by 1e-5 or so.
        assert!(
            (sum[2 + f] / exact[f] - 1.0).abs() < 1e-6,
            "{} of {}",
            sum[2 + f],
            exact[f]
        );
    }
    let mean = floats(segment_mean(single.clone(), &graph, End::Destination).into_data());
    assert!((mean[2] * f64::from(EDGES) / exact[0] - 1.0).abs() < 1e-6);
    let p = segment_softmax(single, None, &graph, End::Destination);
    let total = floats(segment_sum(p.cast(DType::F64), &graph, End::Destination).into_data());
    assert!((total[2] - 1.0).abs() < 1e-5 && (total[3] - 1.0).abs() < 1e-5);
}

#[test]
fn strided_inputs() {
    let mut rng = random(8);
    let device = Device::flex();
    let list = edges(&mut rng, 10, 33);
    let graph = build(10, &list);
    for op in OPS {
        for end in ENDS {
            let rows = op.rows(&graph);
            let whole = matrix(
                &values(&mut rng, rows * 20, 0.1, 1.0),
                20,
                &device,
                DType::F64,
            )
            .transpose();
            let view = |from: usize| whole.clone().slice([0..rows, from..from + 6]);
            let copy = |x: Tensor<2>| Tensor::<2>::from_data(x.into_data(), (&device, DType::F64));
            let weights = op.weights(6).map(|n| {
                matrix(
                    &values(&mut rng, graph.edges() * n, 0.1, 1.0),
                    n,
                    &device,
                    DType::F64,
                )
                .transpose()
            });
            let got = op.run(view(9), weights.clone(), &graph, end);
            let want = op.run(copy(view(9)), weights.map(copy), &graph, end);
            assert_close!(got, want, 0.0, 0.0, "{op:?}");
        }
    }
}

fn single(values: &[f64], columns: usize) -> Tensor<2> {
    matrix(values, values.len() / columns, &Device::flex(), DType::F32)
}

#[test]
fn softmax_saturates_and_masks() {
    // All edges arrive at node 0.
    let arrive = |n: usize| build(2, &vec![(1, 0); n]);
    let run = |scores: &[f64], weights: Option<&[f64]>| {
        let graph = arrive(scores.len());
        let weights = weights.map(|w| single(w, 1));
        floats(segment_softmax(single(scores, 1), weights, &graph, End::Destination).into_data())
    };
    assert_eq!(run(&[1e30, 1e30, -1e30], None), [0.5, 0.5, 0.0]);
    assert_eq!(run(&[-1e30, -1e30], None), [0.5, 0.5]);
    assert_eq!(run(&[f64::NEG_INFINITY, 3.0], None), [0.0, 1.0]);
    assert_eq!(run(&[f64::NEG_INFINITY; 2], None), [0.0, 0.0]);
    assert_eq!(run(&[5.0, 2.0], Some(&[0.0, 0.0])), [0.0, 0.0]);
    // A neighbour beyond the cutoff does not count, however high its score.
    assert_eq!(
        run(&[1e4, 2.0, 2.0], Some(&[0.0, 0.5, 0.5])),
        [0.0, 0.5, 0.5]
    );
    // e^100 · 1e-42 is 2.7e1: a tiny weight and a high score.
    let p = run(&[100.0, 0.0], Some(&[1e-38, 1.0]));
    let ratio = 100.0_f64.exp() * f64::from(1e-38_f32);
    assert!(
        (p[1] - 1.0 / (1.0 + ratio)).abs() < 1e-7 * p[1].max(1e-6),
        "{p:?}, {ratio}"
    );
    assert!(p.iter().all(|p| p.is_finite()));
}

#[test]
fn gradients_of_softmax_are_finite_at_the_cutoff() {
    let device = Device::flex().autodiff();
    let graph = build(2, &[(1, 0); 3]);
    let leaf = |v: &[f64]| matrix(v, 3, &device, DType::F32).require_grad();
    for weights in [[0.0, 1.0, 0.3], [0.0; 3]] {
        let (s, w) = (leaf(&[300.0, 1.0, 2.0]), leaf(&weights));
        let p = segment_softmax(s.clone(), Some(w.clone()), &graph, End::Destination);
        let grads = (p * leaf(&[1.0, 2.0, -1.0])).sum().backward();
        for leaf in [s, w] {
            let gradient = floats(leaf.grad(&grads).unwrap().into_data());
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        }
    }
}

#[test]
fn nan_stays_with_its_node() {
    let graph = build(3, &[(2, 0), (2, 0), (2, 1), (2, 1)]);
    for op in [Op::Sum, Op::Mean, Op::Max, Op::Softmax] {
        for at in [0, 1] {
            let mut x = [1.0, 2.0, 3.0, 4.0];
            x[at] = f64::NAN;
            let y = floats(
                op.run(single(&x, 1), None, &graph, End::Destination)
                    .into_data(),
            );
            let mine = if op == Op::Softmax { 0..2 } else { 0..1 };
            for (i, y) in y.into_iter().enumerate() {
                assert_eq!(
                    y.is_nan(),
                    mine.contains(&i),
                    "{op:?}, NaN at {at}, result {i}"
                );
            }
        }
    }
}

#[test]
fn ties_go_to_the_first_edge() {
    let device = Device::flex().autodiff();
    let graph = build(2, &[(1, 0); 3]);
    let x = matrix(&[5.0, 7.0, 7.0], 3, &device, DType::F64).require_grad();
    let grads = segment_max(x.clone(), &graph, End::Destination)
        .sum()
        .backward();
    assert_eq!(floats(x.grad(&grads).unwrap().into_data()), [0.0, 1.0, 0.0]);
}

fn two() -> Graph {
    build(2, &[(0, 1)])
}

#[test]
#[should_panic(expected = "gather: expected one row per node, [2, features], got [3, 1]")]
fn gather_checks_rows() {
    gather(single(&[1.0; 3], 1), &two(), End::Source);
}

#[test]
#[should_panic(expected = "segment_sum: expected one row per edge, [1, features], got [3, 1]")]
fn sums_check_rows() {
    segment_sum(single(&[1.0; 3], 1), &two(), End::Source);
}

#[test]
#[should_panic(expected = "segment_softmax: weights are [1, 3], scores [1, 2]")]
fn softmax_checks_weights() {
    segment_softmax(
        single(&[1.0; 2], 2),
        Some(single(&[1.0; 3], 3)),
        &two(),
        End::Source,
    );
}
