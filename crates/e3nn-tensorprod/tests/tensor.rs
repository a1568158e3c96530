//! Tensors with irreps: layouts, blocks, sorting, on tensors and duals.

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::dual::{Dual, Value};
use e3nn_tensorprod::{Irreps, IrrepsTensor, Layout, SortOrder, irreps};

fn device() -> Device {
    Device::flex()
}

/// Values 0, 1, 2, … so that every place is told apart.
fn counted(batch: usize, dim: usize) -> Tensor<2> {
    let values: Vec<f64> = (0..batch * dim).map(|i| i as f64).collect();
    Tensor::from_data(
        TensorData::new(values, [batch, dim]),
        (&device(), DType::F64),
    )
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The component `m` of copy `u` of every block, read by the definition of the layout.
fn component(x: &IrrepsTensor, row: usize, block: usize, u: usize, m: usize) -> f64 {
    let irreps = x.irreps();
    let (mul, n) = (irreps[block].mul, irreps[block].irrep.dim());
    let at = match x.layout() {
        Layout::MulIr => u * n + m,
        Layout::IrMul => m * mul + u,
    };
    values(x.values().clone())[row * irreps.dim() + irreps.slices()[block].start + at]
}

const CASES: [&str; 7] = [
    "",
    "0x1o",
    "3x0e",
    "1x2e+0x1o",
    "2x1o+0x3e+3x2e+4x0e",
    "1o+0e+2x1o+0o+1x0e+3x1e+2x1o",
    "2x1o+3x1o+0x2e+4x1o",
];

#[test]
fn layouts_and_blocks() {
    for text in CASES {
        let irreps: Irreps = text.parse().unwrap();
        for batch in [0, 1, 3] {
            let x = IrrepsTensor::new(counted(batch, irreps.dim()), irreps.clone(), Layout::MulIr);
            let y = x.clone().to_layout(Layout::IrMul);
            assert_eq!(
                (y.layout(), y.irreps(), y.batch()),
                (Layout::IrMul, &irreps, batch)
            );
            for (i, block) in irreps.iter().enumerate() {
                let shape = [batch, block.mul, block.irrep.dim()];
                assert_eq!(x.block(i).dims(), shape, "{text}");
                assert_eq!(values(x.block(i)), values(y.block(i)), "{text}");
                for (row, u, m) in indices(shape) {
                    assert_eq!(component(&x, row, i, u, m), component(&y, row, i, u, m));
                }
            }
            let back = y.clone().to_layout(Layout::MulIr);
            assert_eq!(
                values(back.into_values()),
                values(x.values().clone()),
                "{text}"
            );
            if !irreps.is_empty() {
                for tensor in [&x, &y] {
                    let blocks = (0..irreps.len()).map(|i| tensor.block(i)).collect();
                    let again: IrrepsTensor =
                        IrrepsTensor::from_blocks(blocks, irreps.clone(), tensor.layout());
                    assert_eq!(values(again.into_values()), values(tensor.values().clone()));
                }
            }
        }
    }
}

fn indices([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

/// Sorting and merging commute with changes of layout, and keep every copy in the order of its kind.
#[test]
fn sorting_in_both_layouts() {
    for text in CASES {
        let irreps: Irreps = text.parse().unwrap();
        let x = IrrepsTensor::new(counted(2, irreps.dim()), irreps.clone(), Layout::MulIr);
        for order in [SortOrder::DegreeFirst, SortOrder::ParityFirst] {
            let sorted = x.sort(order);
            let expected = irreps.sort(order);
            assert_eq!(sorted.irreps(), &expected.irreps);
            for (new, &old) in expected.inv.iter().enumerate() {
                assert_eq!(values(sorted.block(new)), values(x.block(old)), "{text}");
            }
            let grouped = x.regroup(order);
            assert_eq!(grouped.irreps(), &irreps.regroup(order));
            assert_eq!(
                values(grouped.values().clone()),
                values(sorted.into_values()),
                "{text}"
            );
            let y = x.clone().to_layout(Layout::IrMul).regroup(order);
            assert_eq!((y.irreps(), y.layout()), (grouped.irreps(), Layout::IrMul));
            let y = y.to_layout(Layout::MulIr);
            assert_eq!(
                values(y.into_values()),
                values(grouped.into_values()),
                "{text}"
            );
        }
    }
}

#[test]
fn concatenation_and_selection() {
    let a = IrrepsTensor::new(counted(2, 9), irreps!("3x0e+2x1o"), Layout::IrMul);
    let b = IrrepsTensor::new(counted(2, 10), irreps!("2x2e"), Layout::MulIr);
    let both = IrrepsTensor::cat(vec![a.clone(), b.clone()]);
    assert_eq!(both.irreps(), &irreps!("3x0e+2x1o+2x2e"));
    assert_eq!(both.layout(), Layout::IrMul);
    for (i, want) in [a.block(0), a.block(1), b.block(0)].into_iter().enumerate() {
        assert_eq!(values(both.block(i)), values(want));
    }
    let picked = both.select_blocks(&[2, 0, 2]);
    assert_eq!(picked.irreps(), &irreps!("2x2e+3x0e+2x2e"));
    assert_eq!(values(picked.block(2)), values(b.block(0)));
    assert_eq!(both.select_blocks(&[]).values().dims(), [2, 0]);
    let vectors = both.filter(|block| block.irrep.l() == 1);
    assert_eq!(vectors.irreps(), &irreps!("2x1o"));
    assert_eq!(values(vectors.block(0)), values(a.block(1)));
}

#[test]
fn duals_and_gradients() {
    let irreps = irreps!("2x1o+0x3e+3x2e+1x1o");
    let order = SortOrder::DegreeFirst;
    let (value, tangent) = (
        counted(2, irreps.dim()),
        counted(2, irreps.dim()) * 3.0 + 1.0,
    );
    let run = |v: Tensor<2>| {
        let x = IrrepsTensor::new(v, irreps.clone(), Layout::MulIr);
        x.to_layout(Layout::IrMul).regroup(order).into_values()
    };
    let dual = IrrepsTensor::new(
        Dual::new(value.clone(), tangent.clone()),
        irreps.clone(),
        Layout::MulIr,
    );
    assert_eq!(dual.block(0).tangent.unwrap().dims(), [2, 2, 3]);
    let dual: Dual<2> = dual.to_layout(Layout::IrMul).regroup(order).into_values();
    assert_close!(dual.value, run(value.clone()), 0.0, 0.0);
    assert_close!(dual.tangent.unwrap(), run(tangent), 0.0, 0.0);

    // The gradient of a permutation is the inverse permutation.
    let tracked = Tensor::<2>::from_data(value.into_data(), (&device().autodiff(), DType::F64))
        .require_grad();
    let x = IrrepsTensor::new(tracked.clone(), irreps.clone(), Layout::MulIr);
    let y = x.to_layout(Layout::IrMul).regroup(order).into_values();
    let weights = Tensor::from_data(
        y.clone().inner().into_data(),
        (&device().autodiff(), DType::F64),
    );
    let gradient = tracked.grad(&(y * weights).sum().backward()).unwrap();
    assert_close!(gradient, tracked.inner(), 0.0, 0.0);
}

/// Code that is generic over tensors and duals.
#[test]
fn generic_over_values() {
    fn first<V: Value<2>>(x: &IrrepsTensor<V>) -> V::Rank<3> {
        x.block(0)
    }
    let x = IrrepsTensor::new(counted(2, 6), irreps!("2x1o"), Layout::MulIr);
    assert_eq!(first(&x).dims(), [2, 2, 3]);
}

#[test]
#[should_panic(expected = "IrrepsTensor: values of 2x1o must be [batch, 6], got [4, 7]")]
fn wrong_dim() {
    IrrepsTensor::new(counted(4, 7), irreps!("2x1o"), Layout::MulIr);
}

#[test]
#[should_panic(expected = "block 2x1o must be [batch, 2, 3], got [4, 3, 2]")]
fn wrong_block() {
    let block = counted(4, 6).reshape([4, 3, 2]);
    let _: IrrepsTensor = IrrepsTensor::from_blocks(vec![block], irreps!("2x1o"), Layout::MulIr);
}

#[test]
#[should_panic(expected = "no block 1 in 2x1o")]
fn no_such_block() {
    IrrepsTensor::new(counted(4, 6), irreps!("2x1o"), Layout::MulIr).block(1);
}
