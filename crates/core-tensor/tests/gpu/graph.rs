//! The graph kernels against the reference, which runs in f64 on the CPU on the same numbers.

use crate::device;
use crate::graphs::{
    ENDS, Inputs, OPS, build, edges, graphs as all_graphs, matrix, random, values,
};
use burn::tensor::{DType, Device, Tensor};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::ext::Dispatch;
use core_tensor::graph::{Call, End, GraphBackend, gather, segment_softmax, segment_sum};

#[test]
fn values_and_gradients_agree_with_the_reference() {
    let (gpu, cpu) = (device().autodiff(), Device::flex().autodiff());
    let mut rng = random(1);
    for (name, graph) in all_graphs(&mut rng) {
        for op in OPS {
            for end in ENDS {
                for features in [0, 1, 7, 33] {
                    let inputs = Inputs::draw(&mut rng, &graph, op, end, features);
                    let got = inputs.run(&gpu, DType::F32, true);
                    let want = inputs.run(&cpu, DType::F64, false);
                    for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                        let scale = want.iter::<f64>().fold(1.0_f64, |m, x| m.max(x.abs()));
                        assert_close!(
                            got,
                            want,
                            2e-5,
                            2e-5 * scale,
                            "{name}, {op:?} by {end:?}, {features} features, result {i}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn half_precision() {
    let mut rng = random(2);
    let list = edges(&mut rng, 20, 300);
    let graph = build(20, &list);
    for (dtype, epsilon) in [
        (DType::BF16, 2.0_f64.powi(-8)),
        (DType::F16, 2.0_f64.powi(-11)),
    ] {
        if !device().supports_dtype(dtype) {
            println!("no {dtype:?} on this device");
            continue;
        }
        for op in OPS {
            for end in ENDS {
                let inputs = Inputs::draw(&mut rng, &graph, op, end, 9);
                let (x, w) = inputs.tensors(&device(), dtype);
                let got = op.run(x.clone(), w.clone(), &graph, end);
                let wide = |x: Tensor<2>| {
                    Tensor::<2>::from_data(x.into_data(), (&Device::flex(), DType::F64))
                };
                let want = op.reference(wide(x), w.map(wide), &graph, end);
                assert_close!(
                    got,
                    want,
                    2.1 * epsilon,
                    5e-5,
                    "{op:?} by {end:?}, {dtype:?}"
                );
            }
        }
    }
}

#[test]
fn reruns_have_the_same_bits() {
    let gpu = device().autodiff();
    let mut rng = random(3);
    let mut list = edges(&mut rng, 50, 900);
    list.extend((0..2000).map(|i| (i % 50, 17)));
    let graph = build(50, &list);
    for op in OPS {
        for end in ENDS {
            let inputs = Inputs::draw(&mut rng, &graph, op, end, 12);
            let first = inputs.run(&gpu, DType::F32, true);
            assert!(
                (0..3).all(|_| inputs.run(&gpu, DType::F32, true) == first),
                "{op:?}"
            );
        }
    }
}

#[test]
fn strided_views() {
    let mut rng = random(4);
    let list = edges(&mut rng, 10, 33);
    let graph = build(10, &list);
    let (gpu, cpu) = (device(), Device::flex());
    for op in OPS {
        for end in ENDS {
            let rows = op.rows(&graph);
            let numbers = values(&mut rng, rows * 20, 0.1, 1.0);
            let view = |device: &Device, dtype| {
                let whole = matrix(&numbers, 20, device, dtype).transpose();
                whole.slice([0..rows, 9..15])
            };
            let weights = op
                .weights(6)
                .map(|n| values(&mut rng, graph.edges() * n, 0.1, 1.0));
            let weights = |device: &Device, dtype| {
                weights
                    .as_ref()
                    .map(|w| matrix(w, w.len() / graph.edges(), device, dtype).transpose())
            };
            let got = op.run(
                view(&gpu, DType::F32),
                weights(&gpu, DType::F32),
                &graph,
                end,
            );
            let want = op.reference(
                view(&cpu, DType::F64),
                weights(&cpu, DType::F64),
                &graph,
                end,
            );
            assert_close!(got, want, 1e-5, 1e-6, "{op:?} by {end:?}");
        }
    }
}

/// Values and tangents through a small attention layer.
#[test]
fn duals() {
    let mut rng = random(5);
    let list = edges(&mut rng, 12, 60);
    let graph = build(12, &list);
    let (x, dx) = (
        values(&mut rng, 12 * 4, -1.0, 1.0),
        values(&mut rng, 12 * 4, -1.0, 1.0),
    );
    let run = |device: &Device, dtype| {
        let x = Dual::new(
            matrix(&x, 12, device, dtype),
            matrix(&dx, 12, device, dtype),
        );
        let sent = gather(x.clone(), &graph, End::Source);
        let scores = sent.clone() * gather(x, &graph, End::Destination);
        let weights = sent.clone().sigmoid();
        let p = segment_softmax(scores, Some(weights), &graph, End::Destination);
        segment_sum(p * sent, &graph, End::Destination)
    };
    let (got, want) = (run(&device(), DType::F32), run(&Device::flex(), DType::F64));
    assert_close!(got.value, want.value, 1e-5, 1e-5);
    assert_close!(got.tangent.unwrap(), want.tangent.unwrap(), 1e-5, 1e-5);
}

#[test]
fn softmax_masks() {
    let graph = build(2, &[(1, 0); 3]);
    let run = |scores: [f64; 3], weights: [f64; 3]| -> Vec<f64> {
        let column = |values: [f64; 3]| matrix(&values, 3, &device(), DType::F32);
        let p = segment_softmax(
            column(scores),
            Some(column(weights)),
            &graph,
            End::Destination,
        );
        p.into_data().iter::<f64>().collect()
    };
    assert_eq!(run([1e4, 2.0, 2.0], [0.0, 0.5, 0.5]), [0.0, 0.5, 0.5]);
    assert_eq!(run([1.0, 2.0, 3.0], [0.0; 3]), [0.0; 3]);
    assert_eq!(run([-1e20, 5.0, 5.0], [1.0; 3]), [0.0, 0.5, 0.5]);
    assert_eq!(run([1e20, 1e20, -1e20], [1.0; 3]), [0.5, 0.5, 0.0]);
}

/// Fusion never compares the shapes and dtypes that an operation promises with those it returns: what is
/// promised is what a tensor says, what is returned is what its data say.
#[test]
fn promised_shapes_are_the_real_ones() {
    fn promised(x: Tensor<2>) {
        let (dims, dtype) = (x.dims().to_vec(), x.dtype());
        let data = x.into_data();
        assert_eq!((data.shape().to_vec(), data.dtype()), (dims, dtype));
    }
    let mut rng = random(6);
    for (_, graph) in all_graphs(&mut rng) {
        for (end, mean, weighted) in [(End::Source, false, true), (End::Destination, true, false)] {
            let call = Call {
                graph: graph.clone(),
                end,
                mean,
                weighted,
            };
            let rows = |n: usize| {
                let zeros = Tensor::<2>::ones([n, 5], (&device(), DType::F32));
                zeros.into_dispatch()
            };
            let (nodes, edges) = (|| rows(graph.nodes()), || rows(graph.edges()));
            promised(Tensor::from_dispatch(Dispatch::graph_gather(
                nodes(),
                call.clone(),
            )));
            promised(Tensor::from_dispatch(Dispatch::graph_sum(
                edges(),
                call.clone(),
            )));
            promised(Tensor::from_dispatch(Dispatch::graph_pick(
                edges(),
                edges(),
                call.clone(),
            )));
            promised(Tensor::from_dispatch(Dispatch::graph_place(
                edges(),
                nodes(),
                call.clone(),
            )));
            promised(Tensor::from_dispatch(Dispatch::graph_softmax(
                edges(),
                edges(),
                call.clone(),
            )));
            let (by_scores, by_weights) =
                Dispatch::graph_softmax_backward(edges(), edges(), edges(), call);
            promised(Tensor::from_dispatch(by_scores));
            promised(Tensor::from_dispatch(by_weights));
        }
    }
}
