//! Golden values, made by other people's code (`golden/README.md`).
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses some of it"
)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use e3nn_tensorprod::rotation::{EulerAngles, Matrix3};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

thread_local! {
    /// Files and arrays that this thread has read: tests have threads of their own.
    static READ: RefCell<BTreeSet<(String, String)>> = RefCell::default();
}

/// Names of all golden files, sorted.
pub fn files() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the folder of golden files");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let arrays = paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let names = arrays.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Arrays of a file, if they have any entries, that this thread has not read.
pub fn unread(file: &str) -> Vec<String> {
    let golden = Golden::open(file);
    let mut names = golden.names();
    names.retain(|name| !golden.shape(name).contains(&0));
    READ.with_borrow(|read| {
        names.retain(|name| !read.contains(&(file.to_owned(), name.clone())));
    });
    names
}

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

    /// The file itself with its floats, which are f64, in that dtype; without its integers in f32.
    pub fn bytes(&self, dtype: DType) -> Vec<u8> {
        if dtype == DType::F64 {
            return self.bytes.clone();
        }
        assert_eq!(dtype, DType::F32);
        let file = self.file();
        let mut arrays = BTreeMap::new();
        for name in self.names() {
            let view = file.tensor(&name).unwrap();
            if view.dtype() == Dtype::F64 {
                let values = self.numbers(&name).into_iter();
                let bytes: Vec<u8> = values.flat_map(|x| (x as f32).to_le_bytes()).collect();
                arrays.insert(name, (view.shape().to_vec(), bytes));
            }
        }
        let views = arrays.iter().map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("a view"))
        });
        safetensors::serialize(views, None).expect("a safetensors file")
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
        self.note(name);
        self.numbers(name)
    }

    fn note(&self, name: &str) {
        let place = (self.name.clone(), name.to_owned());
        READ.with_borrow_mut(|read| read.insert(place));
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
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
        self.note(name);
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
