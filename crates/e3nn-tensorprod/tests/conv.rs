//! The fused convolution against its reference in plain tensor operations: values, gradients, tangents, gradients of
//! tangents; bits.

#[path = "common/convolution.rs"]
mod convolution;

use burn::tensor::{DType, Device, Tensor, TensorData};
use convolution::{ALL, Case, NONE, Random, paths};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::graph::Graph;
use core_tensor::testing::poison_outputs;
use e3nn_tensorprod::conv::{
    ConvolutionConfig, InstructionOrder, RadialTable, convolve_radial, convolve_spline, partials,
    reference,
};
use e3nn_tensorprod::{ConvError, ConvPath, Layout, Paths, convolve};
use rand::Rng;

/// Every multiplicity around the sizes of blocks, degrees up to 4, both layouts, values and all gradients, with tangents and
/// without.
#[test]
fn matches_the_reference() {
    let _poison = poison_outputs();
    let mut random = Random::new(1);
    for mul in [1_usize, 3, 16, 17, 32, 128] {
        for layout in [Layout::MulIr, Layout::IrMul] {
            let x = format!("{mul}x0e+{mul}x1o+{}x2e", mul.div_ceil(2));
            let paths = paths(&x, "0e+1o+2e+3o", "0e+0o+1o+1e+2e+2o+3o", layout);
            let graph = random.graph(9, 40);
            for tangents in [NONE, ALL] {
                let case = Case::new(2, paths.clone(), graph.clone(), tangents);
                case.check(&Device::flex(), DType::F64, 1e-13, ALL);
                case.check(&Device::flex(), DType::F32, 3e-6, ALL);
            }
        }
    }
}

/// The partial derivatives are the gradients that Burn finds of the reference, and close under differentiation.
#[test]
fn partial_derivatives() {
    let _poison = poison_outputs();
    let mut random = Random::new(11);
    let paths = paths("5x0e+20x1o+3x2e", "0e+1o+2e", "0e+1o+1e+2e", Layout::MulIr);
    let graph = random.graph(7, 40);
    let [features, harmonics, outputs] =
        [paths.irreps_in(), paths.irreps_sh(), paths.irreps_out()].map(|irreps| irreps.dim());
    let shapes = [
        [7, features],
        [40, harmonics],
        [40, paths.weight_numel()],
        [7, outputs],
    ];
    let data = shapes.map(|shape| random.data(shape));
    for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 3e-6)] {
        let device = Device::flex().autodiff();
        let make = |d: &TensorData| Tensor::<2>::from_data(d.clone(), (&device, dtype));
        let [x, y, w, g] = data.each_ref().map(make);
        let [tx, ty, tw] = [&x, &y, &w].map(|t| t.clone().require_grad());
        let out = reference::convolve(tx.clone(), ty.clone(), tw.clone(), &paths, &graph);
        let gradients = (out * g.clone()).sum().backward();
        let got = partials(x.clone(), y.clone(), w.clone(), g.clone(), &paths, &graph);
        for (got, tracked) in got.iter().zip([&tx, &ty, &tw]) {
            let want = tracked.grad(&gradients).unwrap().into_data();
            let largest = want.iter::<f64>().fold(0.0, |m: f64, v| m.max(v.abs()));
            assert_close!(got.clone().into_data(), want, 0.0, bound * largest);
        }
        // ⟨v, Φ_x(y, w, g)⟩ = Φ(v, y, w, g) = ⟨f(v, y, w), g⟩.
        let v = make(&data[0]) * 0.5 + 1.0;
        let [gx, ..] = got;
        let left: f64 = (gx * v.clone().inner())
            .sum()
            .cast(DType::F64)
            .into_scalar();
        let right = (convolve(v, y, w, &paths, &graph) * g).sum().inner();
        let right: f64 = right.cast(DType::F64).into_scalar();
        assert!((left - right).abs() < 30.0 * bound * right.abs().max(1.0));
    }
}

/// Degrees for which output components are cut into several pieces.
#[test]
fn high_degrees() {
    let _poison = poison_outputs();
    let mut random = Random::new(3);
    let all = "0e+1o+2e+3o+4e+5o+6e+7o+8e";
    let paths = paths("5x4e+3x3o+2x0e", "0e+1o+2e+3o+4e", all, Layout::MulIr);
    let graph = random.graph(6, 50);
    for tangents in [NONE, ALL] {
        let case = Case::new(4, paths.clone(), graph.clone(), tangents);
        case.check(&Device::flex(), DType::F64, 1e-13, ALL);
        case.check(&Device::flex(), DType::F32, 1e-5, ALL);
    }
}

/// Any set of tangents and of tracked inputs.
#[test]
fn absent_tangents_and_untracked_inputs() {
    let _poison = poison_outputs();
    let mut random = Random::new(5);
    let paths = paths("4x0e+20x1o", "0e+1o+2e", "0e+1o+1e+2e", Layout::MulIr);
    let graph = random.graph(7, 60);
    let flags = |bits: usize| [0, 1, 2].map(|i| bits >> i & 1 == 1);
    for tangents in 0..8 {
        for tracked in 0..8 {
            let case = Case::new(6, paths.clone(), graph.clone(), flags(tangents));
            case.check(&Device::flex(), DType::F64, 1e-13, flags(tracked));
        }
    }
}

/// No edges, no nodes, a node with many edges, a source of many edges.
#[test]
fn awkward_graphs() {
    let _poison = poison_outputs();
    let paths = paths("6x0e+3x1o", "0e+1o+2e", "0e+1o+2e", Layout::MulIr);
    for (n, graph) in convolution::awkward_graphs().into_iter().enumerate() {
        for tangents in [NONE, ALL] {
            let case = Case::new(8 + n as u64, paths.clone(), graph.clone(), tangents);
            // Without nodes there is nothing to take a gradient of.
            let tracked = if graph.nodes() == 0 { NONE } else { ALL };
            case.check(&Device::flex(), DType::F64, 1e-13, tracked);
        }
    }
}

/// Paths that share a block of the output add up there; blocks of the input may be left out, have other multiplicities, or
/// none.
#[test]
fn paths_of_ones_own() {
    let _poison = poison_outputs();
    let [x, y, z] = ["5x1o+0x2e+7x0e+5x1o", "1o+0e", "5x1o+0x3e+5x1o+7x1o+5x0e"]
        .map(|text| text.parse().unwrap());
    let path = |input, harmonic, output, coefficient| ConvPath {
        input,
        harmonic,
        output,
        coefficient,
    };
    let list = [
        path(0, 1, 0, 0.5),
        path(3, 1, 0, -2.0),
        path(3, 1, 2, 1.0),
        path(2, 0, 3, 3.0),
        path(3, 0, 4, 0.25),
    ];
    for layout in [Layout::MulIr, Layout::IrMul] {
        let paths = Paths::new(&x, &y, &z, &list, layout).unwrap();
        assert_eq!(paths.irreps_out().to_string(), "17x1o+5x0e");
        let graph = Random::new(9).graph(8, 30);
        for tangents in [NONE, ALL] {
            let case = Case::new(10, paths.clone(), graph.clone(), tangents);
            case.check(&Device::flex(), DType::F64, 1e-13, ALL);
        }
    }
}

/// One edge: a scalar, a scaled vector, a dot product and a cross product.
#[test]
fn closed_form() {
    let device = Device::flex();
    let [x, y, z] = ["1x1o", "0e+1o", "1x1o+1x0e+1x1e"].map(|text| text.parse().unwrap());
    let path = |harmonic, output| ConvPath {
        input: 0,
        harmonic,
        output,
        coefficient: 1.0,
    };
    let list = [path(0, 0), path(1, 1), path(1, 2)];
    let paths = Paths::new(&x, &y, &z, &list, Layout::MulIr).unwrap();
    let graph = Graph::new(2, &[1], &[0], &[]).unwrap();
    let x = Tensor::<2>::from_data([[9.0, 9.0, 9.0], [1.0, 2.0, 3.0]], (&device, DType::F64));
    let y = Tensor::<2>::from_data([[2.0, -1.0, 0.5, 4.0]], (&device, DType::F64));
    let w = Tensor::<2>::from_data([[1.0, 10.0, 100.0]], (&device, DType::F64));
    let out = convolve(x, y, w, &paths, &graph);
    let third = 1.0 / 3.0_f64.sqrt();
    let sixth = 100.0 / 6.0_f64.sqrt();
    // (1, 2, 3) · 2, (1, 2, 3) · (−1, ½, 4), (1, 2, 3) × (−1, ½, 4).
    let want = [
        [
            2.0 * third,
            4.0 * third,
            6.0 * third,
            120.0 * third,
            6.5 * sixth,
            -7.0 * sixth,
            2.5 * sixth,
        ],
        [0.0; 7],
    ];
    assert_close!(
        out,
        Tensor::<2>::from_data(want, (&device, DType::F64)),
        1e-15,
        0.0
    );
}

/// Weights computed on the way.
#[test]
fn radial_product_matches_the_reference() {
    let _poison = poison_outputs();
    let device = Device::flex().autodiff();
    let mut random = Random::new(11);
    let paths = paths("16x0e+5x1o", "0e+1o+2e", "0e+1o+2e", Layout::MulIr);
    for (nodes, edges) in [(6, 40), (3, 900), (3, 0)] {
        let graph = random.graph(nodes, edges);
        for dual in [false, true] {
            let (hidden, width) = (11, paths.weight_numel());
            let mut tensor = |shape| {
                let data = random.data(shape);
                Tensor::<2>::from_data(data, (&device, DType::F64)).require_grad()
            };
            let mut pair = |shape| Dual {
                value: tensor(shape),
                tangent: dual.then(|| tensor(shape)),
            };
            let inputs = [
                pair([nodes, paths.irreps_in().dim()]),
                pair([edges, 9]),
                pair([edges, hidden]),
            ];
            let matrix = tensor([hidden, width]);
            let weigh = tensor([nodes, paths.irreps_out().dim()]).detach();
            let mut all = Vec::new();
            for fused in [true, false] {
                let [x, y, h] = inputs.clone();
                let out = if fused {
                    convolve_radial(x, y, h, matrix.clone(), &paths, &graph)
                } else {
                    let w = h.linear(|h| h.matmul(matrix.clone()));
                    reference::convolve(x, y, w, &paths, &graph)
                };
                let mut loss = (out.value.clone() * weigh.clone()).sum();
                let mut results = vec![out.value.to_data()];
                if let Some(tangent) = out.tangent {
                    results.push(tangent.to_data());
                    loss = loss + (tangent.powi_scalar(2) * weigh.clone()).sum();
                }
                let grads = loss.backward();
                let tracked = inputs
                    .iter()
                    .flat_map(|d| [Some(&d.value), d.tangent.as_ref()]);
                let tracked = tracked.flatten().chain([&matrix]);
                if edges > 0 {
                    results
                        .extend(tracked.map(|t| t.grad(&grads).expect("a gradient").into_data()));
                }
                all.push(results);
            }
            for (i, (got, want)) in all[0].iter().zip(&all[1]).enumerate() {
                let largest = want.iter::<f64>().fold(1.0, |m: f64, x| m.max(x.abs()));
                assert_close!(
                    got.clone(),
                    want.clone(),
                    1e-12,
                    1e-13 * largest,
                    "result {i}"
                );
            }
        }
    }
}

/// Weights from a table, within it and beyond its ends, and how well the table follows what it was made of.
#[test]
fn spline_matches_the_reference() {
    let _poison = poison_outputs();
    let device = Device::flex().autodiff();
    let mut random = Random::new(17);
    let paths = paths("16x0e+5x1o", "0e+1o+2e", "0e+1o+2e", Layout::MulIr);
    let width = paths.weight_numel();
    let tensor = |data: TensorData| Tensor::<2>::from_data(data, (&device, DType::F64));
    let frequencies = tensor(random.data([1, width]));
    // sin(3 f r): fourth derivatives up to 81.
    let network = |r: Dual<2>| r.linear(|r| r.matmul(frequencies.clone() * 3.0)).sin();
    let table = RadialTable::new(network, [0.5, 1.5], 9, &device, DType::F64);
    let inside = tensor(TensorData::new(
        (0..41).map(|i| 0.5 + f64::from(i) / 40.0).collect(),
        [41, 1],
    ));
    let off = table.evaluate(Dual::constant(inside.clone())).value
        - network(Dual::constant(inside)).value;
    let off = off.abs().max().into_scalar::<f64>();
    assert!(off < 81.0 / 384.0 / 8.0_f64.powi(4), "{off}");
    let graph = random.graph(6, 300);
    let (nodes, edges) = (graph.nodes(), graph.edges());
    for dual in [false, true] {
        let mut pair = |shape, scale: f64, shift: f64| {
            let mut draw = || {
                (tensor(random.data(shape)) * scale + shift)
                    .detach()
                    .require_grad()
            };
            Dual {
                value: draw(),
                tangent: dual.then(draw),
            }
        };
        let inputs = [
            pair([nodes, paths.irreps_in().dim()], 1.0, 0.0),
            pair([edges, 9], 1.0, 0.0),
            pair([edges, 1], 0.7, 1.0),
        ];
        let weigh = tensor(random.data([nodes, paths.irreps_out().dim()]));
        let results = [true, false].map(|fused| {
            let [x, y, r] = inputs.clone();
            let out = if fused {
                convolve_spline(x, y, r, &table, &paths, &graph)
            } else {
                reference::convolve(x, y, table.evaluate(r), &paths, &graph)
            };
            let mut loss = (out.value.clone() * weigh.clone()).sum();
            let mut results = vec![out.value.to_data()];
            if let Some(tangent) = out.tangent {
                results.push(tangent.to_data());
                loss = loss + (tangent.powi_scalar(2) * weigh.clone()).sum();
            }
            let grads = loss.backward();
            let tracked = inputs
                .iter()
                .flat_map(|d| [Some(&d.value), d.tangent.as_ref()]);
            results.extend(
                tracked
                    .flatten()
                    .map(|t| t.grad(&grads).expect("a gradient").into_data()),
            );
            results
        });
        for (i, (got, want)) in results[0].iter().zip(&results[1]).enumerate() {
            let largest = want.iter::<f64>().fold(1.0, |m: f64, x| m.max(x.abs()));
            assert_close!(
                got.clone(),
                want.clone(),
                1e-12,
                1e-13 * largest,
                "result {i}, dual {dual}"
            );
        }
    }
}

/// All results have the same bits on 1, 2 and 3 threads, and for any order of the edge list.
#[test]
fn same_bits_for_any_threads_and_any_order_of_edges() {
    let mut random = Random::new(12);
    let paths = paths("32x0e+16x1o+3x2e", "0e+1o+2e", "0e+1o+2e+3o", Layout::MulIr);
    let (nodes, edges) = (30, 3000);
    // Node 5 has more edges than are summed in one piece.
    let pair = |random: &mut Random| -> (u32, u32) {
        let to = if random.0.random_bool(0.3) {
            5
        } else {
            random.0.random_range(0..nodes)
        };
        (random.0.random_range(0..nodes), to)
    };
    // Distinct edges: equal ones keep the order of the list.
    let mut list: Vec<(u32, u32)> = (0..edges).map(|_| pair(&mut random)).collect();
    list.sort_unstable();
    list.dedup();
    let edges = list.len();
    let rows: Vec<usize> = (0..edges).collect();
    let graph_of = |order: &[usize]| {
        let (from, to): (Vec<_>, Vec<_>) = order.iter().map(|&i| list[i]).unzip();
        Graph::new(nodes as usize, &from, &to, &[]).unwrap()
    };
    let mut shuffled = rows.clone();
    for i in (1..edges).rev() {
        shuffled.swap(i, random.0.random_range(0..=i));
    }
    let graph = graph_of(&rows);
    let base = Case::new(13, paths.clone(), graph.clone(), ALL);
    // Edge values belong to edges of the list: those of the first graph's order, brought into the second's.
    let other_graph = graph_of(&shuffled);
    let place_of: Vec<usize> = {
        let mut place = vec![0; edges];
        for (at, &i) in graph.order().iter().enumerate() {
            place[i as usize] = at;
        }
        place
    };
    let reorder = |data: &TensorData| -> TensorData {
        let [_, width] = data.shape().dims();
        let values: Vec<f64> = data.iter().collect();
        let moved: Vec<f64> = other_graph
            .order()
            .iter()
            .flat_map(|&i| {
                let row = place_of[shuffled[i as usize]];
                values[row * width..(row + 1) * width].to_vec()
            })
            .collect();
        TensorData::new(moved, [edges, width])
    };
    let other = Case {
        values: [
            base.values[0].clone(),
            reorder(&base.values[1]),
            reorder(&base.values[2]),
        ],
        tangents: [
            base.tangents[0].clone(),
            base.tangents[1].as_ref().map(reorder),
            base.tangents[2].as_ref().map(reorder),
        ],
        cotangents: base.cotangents.clone(),
        graph: other_graph,
        paths,
    };
    assert_eq!(base.graph.sources(), other.graph.sources());
    let on = |threads: usize, case: &Case| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let radial = |x, y, w: Dual<2>, paths: &Paths, graph: &Graph| {
            // A matrix that depends on nothing but the sizes.
            let hidden = w.linear(|w| w.narrow(1, 0, 8));
            let matrix = Random::new(14).data([8, paths.weight_numel()]);
            let device = hidden.value.device();
            let matrix = Tensor::<2>::from_data(matrix, (&device, DType::F32));
            convolve_radial(x, y, hidden, matrix, paths, graph)
        };
        pool.install(|| {
            let mut all = case.run(&Device::flex(), convolve, DType::F32, ALL);
            all.extend(case.run(&Device::flex(), radial, DType::F32, ALL));
            let bits = |data: &TensorData| data.iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
            all.iter().map(bits).collect::<Vec<_>>()
        })
    };
    let want = on(1, &base);
    for threads in [1, 2, 3] {
        assert!(on(threads, &base) == want, "{threads} threads");
        assert!(on(threads, &other) == want, "shuffled, {threads} threads");
    }
}

/// Half precision is computed in f32 and rounded once.
#[test]
fn half_precision() {
    let graph = Random::new(15).graph(7, 30);
    let paths = paths("8x0e+8x1o", "0e+1o", "0e+1o+1e", Layout::IrMul);
    let case = Case::new(16, paths, graph, NONE);
    let device = Device::flex();
    for (dtype, bound) in [(DType::BF16, 4e-3), (DType::F16, 5e-4)] {
        let inputs = case
            .values
            .clone()
            .map(|v| Tensor::<2>::from_data(v, (&device, dtype)));
        let wide = inputs.clone().map(|t| t.cast(DType::F64));
        let [x, y, w] = inputs;
        let got = convolve(x, y, w, &case.paths, &case.graph);
        assert_eq!(got.dtype(), dtype);
        let [x, y, w] = wide;
        let want = reference::convolve(x, y, w, &case.paths, &case.graph);
        assert_close!(got.into_data(), want.into_data(), bound, 1e-5);
    }
}

/// The sizes that the literature states: MACE-large's layer has 17 paths and 71 rows of 128 channels, NequIP's at degree 2
/// with both parities 30 paths.
#[test]
fn sizes_of_known_models() {
    let mace = ConvolutionConfig::new(
        "128x0e+128x1o+128x2e".parse().unwrap(),
        "0e+1o+2e+3o".parse().unwrap(),
        "0e+1o+2e+3o".parse().unwrap(),
    )
    .with_order(InstructionOrder::ByOutput)
    .init()
    .unwrap();
    assert_eq!(mace.weight_numel(), 2176);
    assert_eq!(
        (mace.irreps_out().dim(), mace.paths().nonzeros()),
        (9088, 215)
    );
    let outputs: Vec<usize> = mace.paths().paths().iter().map(|p| p.output).collect();
    assert!(outputs.is_sorted());
    let all = "32x0o+32x0e+32x1o+32x1e+32x2o+32x2e";
    let nequip = ConvolutionConfig::new(
        all.parse().unwrap(),
        "0e+1o+2e".parse().unwrap(),
        "0o+0e+1o+1e+2o+2e".parse().unwrap(),
    );
    let nequip = nequip.init().unwrap();
    assert_eq!(
        (nequip.weight_numel(), nequip.paths().nonzeros()),
        (960, 274)
    );
    assert_eq!(nequip.irreps_out().dim(), 3264);
}

#[test]
fn nonsense_is_refused() {
    let [x, y, z] = ["4x1o", "0e+2x1o", "4x1o+3x1o+4x0e"].map(|text| text.parse().unwrap());
    let build = |input, harmonic, output| {
        let path = ConvPath {
            input,
            harmonic,
            output,
            coefficient: 1.0,
        };
        Paths::new(&x, &y, &z, &[path], Layout::MulIr).unwrap_err()
    };
    assert!(matches!(
        build(1, 0, 0),
        ConvError::NoSuchBlock {
            operand: "features",
            ..
        }
    ));
    assert!(matches!(
        build(0, 2, 0),
        ConvError::NoSuchBlock {
            operand: "harmonics",
            ..
        }
    ));
    assert!(matches!(
        build(0, 1, 2),
        ConvError::HarmonicMultiplicity { mul: 2, .. }
    ));
    assert!(matches!(build(0, 0, 1), ConvError::Multiplicities { .. }));
    let error = build(0, 0, 2).to_string();
    assert_eq!(error, "convolution: path 0: 1o x 0e does not contain 0e");
    let config = ConvolutionConfig::new(x, "0e".parse().unwrap(), "5e".parse().unwrap());
    assert!(matches!(config.init(), Err(ConvError::NoPath { .. })));
}

#[test]
#[should_panic(expected = "convolve: expected weights [1, 2] of F32, got [1, 3] of F32")]
fn wrong_shapes_panic() {
    let paths = paths("1x0e+1x1o", "0e", "0e+1o", Layout::MulIr);
    let graph = Graph::new(1, &[0], &[0], &[]).unwrap();
    let ones = |columns| Tensor::<2>::ones([1, columns], &Device::flex());
    convolve(ones(4), ones(1), ones(3), &paths, &graph);
}
