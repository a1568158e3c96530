//! Structures as tensors.

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::assert_close;
use core_tensor::atoms::{Batch, Cell, Cutoffs, Structure, to_tensor};
use core_tensor::dual::Dual;

#[test]
fn rows_become_a_matrix() {
    let rows = [[0.1, 0.2, 0.3], [1.0, -2.0, 3.5]];
    let tensor = to_tensor(&rows, DType::F64, &Device::flex());
    assert_eq!(tensor.dims(), [2, 3]);
    let values = tensor.into_data().try_to_vec::<f64>().unwrap();
    assert_eq!(values, rows.concat());
    let narrow = to_tensor(&rows, DType::F32, &Device::flex()).into_data();
    assert_eq!(narrow.try_to_vec::<f32>().unwrap()[1], 0.2_f32);
    assert_eq!(to_tensor(&[], DType::F64, &Device::flex()).dims(), [0, 3]);
}

fn batch() -> Batch {
    let skew = Cell::new(
        [[2.5, 0.0, 0.0], [0.7, 2.4, 0.0], [-0.3, 0.5, 2.6]],
        [true; 3],
    );
    let structures = [
        Structure::new(vec![8, 1], vec![[0.1, 0.2, 0.3], [1.0, 0.4, -0.2]])
            .unwrap()
            .with_cell(skew.unwrap()),
        Structure::new(vec![], vec![]).unwrap(),
        Structure::new(
            vec![6, 1, 1],
            vec![[0.0; 3], [1.1, 0.0, 0.0], [0.0, -1.0, 0.2]],
        )
        .unwrap(),
        Structure::new(vec![2], vec![[9.0; 3]]).unwrap(),
    ];
    Batch::new(&structures, &Cutoffs::uniform(2.9).unwrap()).unwrap()
}

#[test]
fn vectors_are_those_of_the_batch() {
    let (batch, device) = (batch(), Device::flex());
    let (positions, tensors) = batch.to_tensors(DType::F64, &device);
    let want = to_tensor(&batch.vectors(), DType::F64, &device);
    assert!(batch.graph().shifts().iter().any(|s| *s != [0; 3]));
    let got = tensors.vectors(Dual::constant(positions.clone()), None);
    assert!(got.tangent.is_none());
    assert_close!(got.value, want.clone(), 0.0, 1e-15);

    // A strain deforms the vectors of its own structure.
    let mut strain = vec![0.0; 36];
    (strain[0], strain[1]) = (0.1, 0.04);
    let data = TensorData::new(strain, [4, 3, 3]);
    let strain = Tensor::<3>::from_data(data, (&device, DType::F64));
    let got = tensors.vectors(Dual::constant(positions), Some(Dual::constant(strain)));
    let [first, last] = [batch.offsets()[1], batch.offsets()[2]].map(|atom| {
        let ends = batch.graph().destinations();
        ends.partition_point(|&d| (d as usize) < atom)
    });
    assert_eq!(first, last);
    let rows = want.into_data().try_to_vec::<f64>().unwrap();
    let deformed: Vec<f64> = rows
        .chunks(3)
        .enumerate()
        .flat_map(|(e, v)| match e < first {
            true => [1.1 * v[0] + 0.02 * v[1], v[1] + 0.02 * v[0], v[2]],
            false => [v[0], v[1], v[2]],
        })
        .collect();
    let got = got.value.into_data().try_to_vec::<f64>().unwrap();
    assert!(
        got.iter()
            .zip(&deformed)
            .all(|(g, d)| (g - d).abs() < 1e-14)
    );
}

#[test]
fn atoms_are_summed_by_structure() {
    let (batch, device) = (batch(), Device::flex().autodiff());
    let (_, tensors) = batch.to_tensors(DType::F64, &device);
    assert_eq!(tensors.structures(), 4);
    let data = TensorData::new(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0], [6, 1]);
    let values = Tensor::<2>::from_data(data, (&device, DType::F64)).require_grad();
    let sums = tensors.sum_by_structure(Dual::new(values.clone(), values.clone() * 3.0));
    let read = |t: Tensor<1>| t.into_data().try_to_vec::<f64>().unwrap();
    assert_eq!(read(sums.value.clone()), [3.0, 0.0, 28.0, 32.0]);
    assert_eq!(read(sums.tangent.unwrap()), [9.0, 0.0, 84.0, 96.0]);
    let weights = Tensor::<1>::from_data([1.0, 5.0, 2.0, 3.0], (&device, DType::F64));
    let gradients = (sums.value * weights).sum().backward();
    let gradient = values.grad(&gradients).unwrap().reshape([6]);
    assert_eq!(read(gradient), [1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
}

#[test]
#[should_panic(expected = "one value per atom")]
fn a_value_per_atom_is_asked_for() {
    let (positions, tensors) = batch().to_tensors(DType::F64, &Device::flex());
    tensors.sum_by_structure(Dual::constant(positions));
}
