//! Tensors of a file: what goes in comes out, and what does not fit is an error.

use burn::tensor::{DType, Device, Tensor, TensorData};
use core_tensor::state_dict::{StateDict, StateDictError, StateDictWriter};

fn filled() -> Vec<u8> {
    let device = Device::flex();
    let mut file = StateDictWriter::new();
    for (i, dtype) in [DType::F64, DType::F32, DType::BF16, DType::F16]
        .into_iter()
        .enumerate()
    {
        let values = TensorData::from([[1.0, -2.5], [0.25, 4.0], [i as f64, 0.0]]);
        let tensor = Tensor::<2>::from_data(values, (&device, dtype));
        file.insert(format!("a.{i}"), tensor);
    }
    file.insert("a.row", Tensor::<3>::ones([1, 4, 1], &device));
    file.insert("b", Tensor::<1>::zeros([2], &device));
    file.to_bytes().unwrap()
}

#[test]
fn what_was_written_is_read() {
    let (bytes, device) = (filled(), Device::flex());
    let file = StateDict::open(&bytes, &device).unwrap();
    assert_eq!(file.names(), ["a.0", "a.1", "a.2", "a.3", "a.row", "b"]);
    let a = file.at("a.");
    assert_eq!(a.names(), ["0", "1", "2", "3", "row"]);
    assert!(a.has("0") && !a.has("b") && file.has("b"));
    assert_eq!(a.full("0"), "a.0");
    for (i, dtype) in [DType::F64, DType::F32, DType::BF16, DType::F16]
        .into_iter()
        .enumerate()
    {
        let tensor = a.shaped(&i.to_string(), [3, 2]).unwrap();
        assert_eq!(tensor.dtype(), dtype);
        let got: Vec<f64> = tensor.cast(DType::F64).into_data().try_to_vec().unwrap();
        assert_eq!(got, [1.0, -2.5, 0.25, 4.0, i as f64, 0.0]);
    }
    // Axes of 1 do not count.
    assert_eq!(a.shaped("row", [4]).unwrap().dims(), [4]);
    assert_eq!(a.shaped("row", [1, 4]).unwrap().dims(), [1, 4]);
    assert_eq!(file.at("a").at(".").names(), a.names());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (bytes, device) = (filled(), Device::flex());
    let file = StateDict::open(&bytes, &device).unwrap().at("a.");
    let missing = file.shaped("2.weight", [1]).unwrap_err();
    let StateDictError::Missing { name, available } = &missing else {
        panic!("{missing}")
    };
    assert_eq!((name.as_str(), available.len()), ("a.2.weight", 6));
    for shape in [[2, 3], [6, 1], [3, 3]] {
        let error = file.shaped("0", shape).unwrap_err();
        assert!(
            matches!(&error, StateDictError::Tensor { name, .. } if name == "a.0"),
            "{error}"
        );
    }
}

#[test]
fn a_broken_file_is_an_error() {
    let (bytes, device) = (filled(), Device::flex());
    for len in (0..bytes.len()).step_by(5) {
        let error = StateDict::open(&bytes[..len], &device).unwrap_err();
        assert!(matches!(error, StateDictError::Format(_)), "{len}: {error}");
    }
}
