//! The fused convolution in f32 against its reference in f64 on the CPU.

use crate::convolution::{self, ALL, Case, NONE, Random, paths, read};
use crate::device;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::Dual;
use core_tensor::product::matmul;
use e3nn_tensorprod::conv::{
    RadialTable, convolve_radial, convolve_spline, limit_panels, reference,
};
use e3nn_tensorprod::{ConvPath, Layout, Paths, convolve};

/// Bound on the errors of sums, against the largest.
const BOUND: f64 = 2e-6;

/// Multiplicities around the sizes of planes, both layouts, values and all gradients, with tangents and without.
#[test]
fn matches_the_reference() {
    let mut random = Random::new(1);
    let x = "3x0e+3x1o+2x2e";
    let mut cases = vec![(paths(x, "0e+1o+2e", "0e+1o+1e+2e", Layout::MulIr), 9, 40)];
    for (mul, layout) in [
        (1_usize, Layout::IrMul),
        (32, Layout::MulIr),
        (40, Layout::IrMul),
    ] {
        let x = format!("{mul}x1o");
        cases.push((paths(&x, "0e+1o", "0e+1o+1e+2e", layout), 30, 300));
    }
    for (paths, nodes, edges) in cases {
        let graph = random.graph(nodes, edges);
        for tangents in [NONE, ALL] {
            let case = Case::new(2, paths.clone(), graph.clone(), tangents);
            case.check(&device(), DType::F32, BOUND, ALL);
        }
    }
}

/// So many edges that units take several in a row, of one node and of the next.
#[test]
fn runs_of_edges() {
    let paths = paths("32x1o", "0e+1o", "0e+1o+1e+2e", Layout::IrMul);
    let graph = Random::new(3).graph(700, 20_000);
    let case = Case::new(4, paths, graph, ALL);
    case.check(&device(), DType::F32, BOUND, ALL);
}

/// Degrees up to 4 in one kernel each, and a path of degree 8 that takes several.
#[test]
fn high_degrees() {
    let graph = Random::new(3).graph(6, 50);
    for (x, y, z) in [("2x4e", "2e+4e", "0e+3e+4e"), ("2x8e", "8e", "8e")] {
        let case = Case::new(4, paths(x, y, z, Layout::MulIr), graph.clone(), NONE);
        case.check(&device(), DType::F32, BOUND, ALL);
    }
}

/// Any set of tangents, and of tracked inputs.
#[test]
fn absent_tangents_and_untracked_inputs() {
    let paths = paths("4x1o", "1o", "0e+1e", Layout::MulIr);
    let graph = Random::new(5).graph(7, 60);
    let flags = |bits: usize| [0, 1, 2].map(|i| bits >> i & 1 == 1);
    for tangents in 0..8 {
        // Inputs alone without tangents and with all of them.
        let alone = matches!(tangents, 0 | 7);
        for tracked in [7, 0, 1, 2, 4].into_iter().take(if alone { 5 } else { 1 }) {
            let case = Case::new(6, paths.clone(), graph.clone(), flags(tangents));
            case.check(&device(), DType::F32, BOUND, flags(tracked));
        }
    }
}

/// No edges, no nodes, a node with many edges, a source of many edges.
#[test]
fn awkward_graphs() {
    let paths = paths("6x0e+3x1o", "0e+1o", "0e+1o", Layout::MulIr);
    for (n, graph) in convolution::awkward_graphs().into_iter().enumerate() {
        for tangents in [NONE, ALL] {
            let case = Case::new(8 + n as u64, paths.clone(), graph.clone(), tangents);
            let tracked = if graph.nodes() == 0 { NONE } else { ALL };
            case.check(&device(), DType::F32, BOUND, tracked);
        }
    }
}

/// Paths that share a block of the output add up there; blocks of the input may be left out, have other multiplicities, or
/// none.
#[test]
fn paths_of_ones_own() {
    let [x, y, z] = [
        "5x1o+0x2e+7x0e+5x1o",
        "1o+0e+2e",
        "5x1o+0x3e+5x1o+7x1o+5x0e+2x2e",
    ]
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
        let graph = Random::new(9).graph(8, 30);
        for tangents in [NONE, ALL] {
            let case = Case::new(10, paths.clone(), graph.clone(), tangents);
            case.check(&device(), DType::F32, BOUND, ALL);
        }
    }
}

/// Blocks that no kernel can hold in one go: several write to the same columns, one after the other.
#[test]
fn paths_in_several_kernels() {
    let [x, y, z] = ["2x4e", "4e", "2x4e"].map(|text| text.parse().unwrap());
    let path = |coefficient| ConvPath {
        input: 0,
        harmonic: 0,
        output: 0,
        coefficient,
    };
    let list: Vec<ConvPath> = (1..=8).map(|k| path(f64::from(k) / 4.0)).collect();
    let paths = Paths::new(&x, &y, &z, &list, Layout::IrMul).unwrap();
    let graph = Random::new(9).graph(5, 20);
    let case = Case::new(10, paths, graph, NONE);
    case.check(&device(), DType::F32, BOUND, ALL);
}

/// Views are read as they lie.
#[test]
fn strided_inputs() {
    let paths = paths("3x1o", "0e+1o", "0e+1o+1e+2e", Layout::MulIr);
    let graph = Random::new(5).graph(7, 60);
    let case = Case::new(6, paths.clone(), graph.clone(), NONE);
    let run = |device: &Device, dtype: DType, strided: bool| {
        let [x, y, w] = case.values.clone().map(|data| {
            let t = Tensor::<2>::from_data(data, (device, dtype));
            let [rows, columns] = t.dims();
            if !strided {
                return t;
            }
            let wide = Tensor::cat(vec![t.ones_like(), t.clone(), t.ones_like()], 1);
            if rows == graph.nodes() {
                wide.narrow(1, columns, columns)
            } else {
                wide.transpose().narrow(0, columns, columns).transpose()
            }
        });
        if strided {
            convolve(x, y, w, &paths, &graph)
        } else {
            reference::convolve(x, y, w, &paths, &graph)
        }
    };
    let got = read(run(&device(), DType::F32, true));
    let want = read(run(&Device::flex(), DType::F64, false));
    assert_close!(got, want, BOUND, BOUND);
}

/// A case whose weights follow from something.
struct Computed<'a> {
    case: Case,
    w: [TensorData; 2],
    matrix: TensorData,
    dual: bool,
    convolve: &'a dyn Fn(Dual<2>, Dual<2>, Dual<2>, Tensor<2>, bool) -> Dual<2>,
}

impl Computed<'_> {
    fn run(&self, device: &Device, dtype: DType, fused: bool) -> Vec<TensorData> {
        let device = device.clone().autodiff();
        let tensor = |data: &TensorData| {
            Tensor::<2>::from_data(data.clone(), (&device, dtype)).require_grad()
        };
        let [x, y, _] = &self.case.values;
        let [x_dot, y_dot, _] = &self.case.tangents;
        let pair = |value: &TensorData, tangent: Option<&TensorData>| Dual {
            value: tensor(value),
            tangent: tangent.filter(|_| self.dual).map(&tensor),
        };
        let inputs = [
            pair(x, x_dot.as_ref()),
            pair(y, y_dot.as_ref()),
            pair(&self.w[0], Some(&self.w[1])),
        ];
        let matrix = tensor(&self.matrix);
        let [x, y, w] = inputs.clone();
        let out = (self.convolve)(x, y, w, matrix.clone(), fused);
        let weigh = tensor(&self.case.cotangents[0]).detach();
        let mut loss = (out.value.clone() * weigh.clone()).sum();
        if let Some(tangent) = out.tangent.clone() {
            loss = loss + (tangent.powi_scalar(2) * weigh).sum();
        }
        let grads = loss.backward();
        let mut results: Vec<TensorData> = [Some(out.value), out.tangent]
            .into_iter()
            .flatten()
            .map(read)
            .collect();
        let inputs = inputs
            .iter()
            .flat_map(|d| [Some(&d.value), d.tangent.as_ref()]);
        let inputs = inputs.flatten().chain([&matrix]);
        results.extend(inputs.filter_map(|t| t.grad(&grads)).map(read));
        results
    }

    /// Against the reference, with all edges in one panel and in panels of 128. Where no matrix product has a choice, the
    /// bits are the same.
    fn check(&self, has_matrix: bool) {
        let want = self.run(&Device::flex(), DType::F64, false);
        limit_panels(usize::MAX);
        let whole = self.run(&device(), DType::F32, true);
        limit_panels(1);
        let cut = self.run(&device(), DType::F32, true);
        limit_panels(usize::MAX);
        assert_eq!(whole.len(), want.len());
        for (i, ((whole, cut), want)) in whole.into_iter().zip(cut).zip(want).enumerate() {
            let largest = want.iter::<f64>().fold(1.0, |m: f64, x| m.max(x.abs()));
            if !has_matrix {
                assert_eq!(bits(&whole), bits(&cut), "result {i}");
            }
            for got in [whole, cut] {
                let message = format!("result {i}, dual {}", self.dual);
                assert_close!(got, want.clone(), BOUND, BOUND * largest, "{message}");
            }
        }
    }
}

fn bits(data: &TensorData) -> Vec<u32> {
    data.iter::<f32>().map(f32::to_bits).collect()
}

/// Weights `hidden · matrix`.
#[test]
fn radial_product_matches_the_reference() {
    let mut random = Random::new(11);
    let paths = paths("8x0e+5x1o", "0e+1o", "0e+1o", Layout::MulIr);
    for (nodes, edges) in [(20, 500), (3, 0)] {
        let graph = random.graph(nodes, edges);
        let convolve = |x, y, h: Dual<2>, matrix: Tensor<2>, fused| {
            if fused {
                convolve_radial(x, y, h, matrix, &paths, &graph)
            } else {
                let w = h.linear(|h| matmul(h, matrix.clone()));
                reference::convolve(x, y, w, &paths, &graph)
            }
        };
        for dual in [false, true] {
            let mut data = |shape| random.data(shape);
            let computed = Computed {
                w: [data([edges, 11]), data([edges, 11])],
                matrix: data([11, paths.weight_numel()]),
                case: Case::new(12, paths.clone(), graph.clone(), ALL),
                dual,
                convolve: &convolve,
            };
            if edges > 0 {
                computed.check(true);
            } else {
                let got = computed.run(&device(), DType::F32, true);
                assert!(got[0].iter::<f32>().all(|x| x == 0.0));
            }
        }
    }
}

/// Weights from a table, within it and beyond its ends.
#[test]
fn spline_matches_the_reference() {
    let mut random = Random::new(17);
    let paths = paths("8x0e+5x1o", "0e+1o", "0e+1o", Layout::MulIr);
    let graph = random.graph(20, 500);
    let frequencies = random.data([1, paths.weight_numel()]);
    let edges = graph.edges();
    let convolve = |x, y, r: Dual<2>, _: Tensor<2>, fused| {
        let (device, dtype) = (r.value.device(), r.value.dtype());
        // The same numbers in f32 for both.
        let moved = |t: Tensor<2>, device: &Device, dtype: DType| {
            Tensor::<2>::from_data(t.into_data(), (device, dtype))
        };
        let network = |r: Dual<2>| {
            let r = r.linear(|r| moved(r, &Device::flex(), DType::F32));
            let frequencies =
                Tensor::<2>::from_data(frequencies.clone(), (&Device::flex(), DType::F32));
            let out = r.linear(|r| r.matmul(frequencies.clone() * 3.0)).sin();
            out.linear(|w| moved(w, &device, dtype))
        };
        let table = RadialTable::new(network, [0.5, 1.5], 9, &device, dtype);
        if fused {
            convolve_spline(x, y, r, &table, &paths, &graph)
        } else {
            reference::convolve(x, y, table.evaluate(r), &paths, &graph)
        }
    };
    // From 0.3 to 1.7, away from the knots.
    let at = |k: usize| 0.3 + (k % 56) as f64 * 0.025 + 0.007;
    let distances: Vec<f64> = (0..edges).map(at).collect();
    for dual in [false, true] {
        let computed = Computed {
            w: [
                TensorData::new(distances.clone(), [edges, 1]),
                random.data([edges, 1]),
            ],
            matrix: random.data([1, 1]),
            case: Case::new(12, paths.clone(), graph.clone(), ALL),
            dual,
            convolve: &convolve,
        };
        computed.check(false);
    }
}

/// Two runs, and runs in panels of any size, have the same bits.
#[test]
fn same_bits_in_every_run() {
    let paths = paths("8x0e+5x1o", "0e+1o", "0e+1o", Layout::MulIr);
    let graph = Random::new(5).graph(20, 700);
    let case = Case::new(6, paths, graph, ALL);
    let run = || case.run(&device(), convolve, DType::F32, ALL);
    let first: Vec<Vec<u32>> = run().iter().map(bits).collect();
    for bytes in [usize::MAX, 1, 200_000] {
        limit_panels(bytes);
        let again: Vec<Vec<u32>> = run().iter().map(bits).collect();
        limit_panels(usize::MAX);
        assert_eq!(first, again, "panels of {bytes} bytes");
    }
}
