//! Golden values, made by other people's code (`golden/README.md`).
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use e3nn_tensorprod::rotation::{EulerAngles, Matrix3};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::path::PathBuf;

/// Three angles of a golden file.
pub fn angles(a: &[f64]) -> EulerAngles {
    EulerAngles {
        alpha: a[0],
        beta: a[1],
        gamma: a[2],
    }
}

/// Nine numbers of a golden file, row by row.
pub fn matrix(m: &[f64]) -> Matrix3 {
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| m[3 * i + j]))
}

/// One file of golden values.
pub struct Golden {
    bytes: Vec<u8>,
    name: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Golden {
    /// Opens `golden/{name}.safetensors`.
    pub fn open(name: &str) -> Self {
        let path = folder().join(name).with_extension("safetensors");
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self {
            bytes,
            name: name.to_owned(),
        }
    }

    /// What the generator noted of every file and case.
    pub fn index() -> serde_json::Value {
        let text = std::fs::read_to_string(folder().join("index.json")).expect("index.json");
        serde_json::from_str(&text).expect("index.json is JSON")
    }

    /// What the generator noted of this file's cases.
    pub fn meta(&self) -> serde_json::Value {
        Self::index()["files"][&self.name]["meta"].clone()
    }

    /// The file itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a safetensors file")
    }

    /// Names of all arrays.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.file().names().into_iter().map(String::from).collect();
        names.sort();
        names
    }

    pub fn has(&self, name: &str) -> bool {
        self.file().tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        let file = self.file();
        file.tensor(name).expect(name).shape().to_vec()
    }

    /// The values of an array of floats.
    pub fn values(&self, name: &str) -> Vec<f64> {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = view.data();
        match view.dtype() {
            Dtype::F64 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect(),
            Dtype::F32 => {
                let all = bytes.as_chunks().0.iter();
                all.map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            other => panic!("{name}: {other:?} is no float type"),
        }
    }

    /// The values of an array of whole numbers.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(view.dtype(), Dtype::I64, "{name}");
        view.data()
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b))
            .collect()
    }

    /// An array as a tensor of the given dtype.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device, dtype: DType) -> Tensor<D> {
        let data = TensorData::new(self.values(name), self.shape(name));
        Tensor::from_data(data, (device, dtype))
    }
}
