//! Wigner 3j symbols as products have them on a device.
#![allow(unreachable_pub, reason = "every test program has it as a module")]

use crate::common::Golden;
use crate::golden_products::path;
use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use e3nn_tensorprod::product::WeightRows;
use e3nn_tensorprod::{Irrep, Irreps, Parity, TensorProductConfig};

const LMAX: usize = 12;
const WIDTH: usize = 2 * LMAX + 1;

/// Degrees and symbols, `[2l₁+1, 2l₂+1, 2l₃+1]`, of every triple of the file, sparse ones too.
fn symbols(golden: &Golden) -> Vec<([usize; 3], Vec<f64>)> {
    let degrees = |text: &str| -> [usize; 3] {
        let numbers = text.split('_').map(|l| l.parse().unwrap());
        numbers.collect::<Vec<_>>().try_into().unwrap()
    };
    let mut all = Vec::new();
    for name in golden.names() {
        if let Some(triple) = name.strip_prefix('w') {
            all.push((degrees(triple), golden.values(&name)));
        } else if let Some(triple) = name.strip_suffix("_val") {
            let ls = degrees(triple.strip_prefix("sp").unwrap());
            let [a, b, c] = ls.map(|l| 2 * l + 1);
            let mut dense = vec![0.0; a * b * c];
            let places = golden.integers(&format!("{triple}_idx_i"));
            for (at, value) in places.chunks(3).zip(golden.values(&name)) {
                let [i, j, k] = [0, 1, 2].map(|axis| at[axis] as usize);
                dense[(i * b + j) * c + k] = value;
            }
            all.push((ls, dense));
        }
    }
    all
}

/// A product with a path and an output of its own for every triple. In row `(i, j)` the `i`-th component of every degree of
/// the first input is 1, and the `j`-th of every degree of the second.
pub fn products_have_those_of_e3nn(device: &Device, dtype: DType, bound: f64) {
    let symbols = symbols(&Golden::open("wigner_3j"));
    assert_eq!(symbols.len(), 175 + 7);
    let even = |l: usize| (1, Irrep::new(l, Parity::Even));
    let input = Irreps::new((0..=LMAX).map(even));
    let output = Irreps::new(symbols.iter().map(|([_, _, l], _)| even(*l)));
    let triples = symbols.iter().enumerate();
    let paths = triples.map(|(n, ([a, b, _], _))| path(*a, *b, n, "uvu", false));
    let config = TensorProductConfig::new(input.clone(), input.clone(), output, paths.collect());
    let plan = config.plan().unwrap();
    let rows = |component: &dyn Fn(usize) -> usize| {
        let mut values = vec![0.0; WIDTH * WIDTH * input.dim()];
        for (n, row) in values.chunks_mut(input.dim()).enumerate() {
            for slice in input.slices() {
                if component(n) < slice.len() {
                    row[slice.start + component(n)] = 1.0;
                }
            }
        }
        let data = TensorData::new(values, [WIDTH * WIDTH, input.dim()]);
        Tensor::<2>::from_data(data, (device, dtype))
    };
    let (x, y) = (rows(&|n| n / WIDTH), rows(&|n| n % WIDTH));
    let out = plan.apply(x, y, None, &WeightRows::Shared);
    let out: Vec<f64> = out.into_data().iter::<f64>().collect();
    let columns = plan.irreps_out().slices();
    for ((n, (ls, want)), columns) in symbols.iter().enumerate().zip(columns) {
        let [a, b, c] = ls.map(|l| 2 * l + 1);
        let coefficient = plan.paths()[n].coefficient;
        let mut got = Vec::new();
        for (row, out) in out.chunks(plan.irreps_out().dim()).enumerate() {
            let values = out[columns.clone()].iter().map(|x| x / coefficient);
            if row / WIDTH < a && row % WIDTH < b {
                got.extend(values);
            } else {
                assert!(out[columns.clone()].iter().all(|&x| x == 0.0), "{ls:?}");
            }
        }
        let [got, want] = [got, want.clone()].map(|values| TensorData::new(values, [a, b, c]));
        assert_close!(got, want, bound, bound, "{ls:?}, {dtype:?}");
    }
}
