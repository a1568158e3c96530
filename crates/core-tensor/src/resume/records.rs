//! Burn's records as bytes, held to "comes back bit for bit".
//!
//! Three properties of Burn 0.22.1 make this more than a call:
//!
//! - Module records are exact by default: they hold raw little-endian bytes, and loading adopts the
//!   record's dtype (`DTypePolicy::FromRecord`) and its `ParamId`s.
//! - Optimiser and scheduler records are not. `ModuleOptimizer::load_record` puts every state tensor
//!   on the default device *in that device's default float dtype*, so the moments of an f64 module
//!   come back rounded to f32; and it, like `LrScheduler::load_record`, silently skips what it cannot
//!   use, so that a record of another optimiser "loads".
//! - Burn panics on records whose tensors have an unexpected rank or kind.
//!
//! So what was loaded is recorded again and compared with what was saved, and panics become errors.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Bytes, DType, Device};
use burn_pack::{Reader, Scalar};
use sha2::{Digest, Sha256};

/// The highest tensor rank that Burn's optimisers dispatch on; they panic beyond.
const MAX_RANK: usize = 8;
/// The key under which Burn keeps a parameter's rank, and the one for the length of a list.
const RANK_SUFFIX: &str = ".__rank";
const LENGTH_SUFFIX: &str = ".len";

/// Runs `f`, turning a panic into its message.
///
/// Burn checks ranks and kinds by panicking. Everything `f` may have left half done is its own and is
/// dropped here, which is what makes the assertion true.
pub(super) fn catch<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(format!("burn panicked: {message}"))
    })
}

/// What an optimiser or scheduler record holds, tensors as digests.
#[derive(Debug)]
pub(super) struct Contents {
    tensors: BTreeMap<String, TensorPrint>,
    scalars: BTreeMap<String, Scalar>,
    texts: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq)]
struct TensorPrint {
    dtype: DType,
    shape: Vec<usize>,
    param: Option<u64>,
    sha256: [u8; 32],
}

impl Contents {
    pub(super) fn of(record: Bytes) -> Result<Self, String> {
        let reader = Reader::from_bytes(record).map_err(|error| error.to_string())?;
        let scalars = reader.scalars().clone();
        let texts = reader.metadata().clone();
        let mut tensors = BTreeMap::new();
        for tensor in reader.into_tensors().map_err(|error| error.to_string())? {
            let (name, dtype, shape, param, bytes) =
                tensor.into_parts().map_err(|error| error.to_string())?;
            let sha256 = Sha256::digest(&bytes[..]).into();
            tensors.insert(
                name,
                TensorPrint {
                    dtype,
                    shape: shape.to_vec(),
                    param,
                    sha256,
                },
            );
        }
        Ok(Self {
            tensors,
            scalars,
            texts,
        })
    }

    /// Refuses an optimiser record on which Burn would panic or allocate without bound.
    pub(super) fn check_optimizer(&self) -> Result<(), String> {
        for (name, tensor) in &self.tensors {
            if tensor.param.is_none() {
                return Err(format!("tensor `{name}` belongs to no parameter"));
            }
            if tensor.shape.len() > MAX_RANK {
                return Err(format!("tensor `{name}` has rank {}", tensor.shape.len()));
            }
        }
        for (name, scalar) in &self.scalars {
            let limit = match name {
                name if name.ends_with(RANK_SUFFIX) => MAX_RANK,
                name if name.ends_with(LENGTH_SUFFIX) => self.tensors.len(),
                _ => continue,
            };
            if !usize::try_from(*scalar).is_ok_and(|value| value <= limit) {
                return Err(format!(
                    "`{name}` is {scalar:?}, which is not in 0..={limit}"
                ));
            }
        }
        Ok(())
    }

    /// Refuses optimiser state that Burn would round when it is loaded.
    ///
    /// Asked when saving: the first save is a better moment to learn it than the first crash.
    pub(super) fn check_dtypes(&self) -> Result<(), String> {
        let settings = Device::default().settings();
        let (float, int) = (
            DType::from(settings.float_dtype),
            DType::from(settings.int_dtype),
        );
        for (name, tensor) in &self.tensors {
            let default = match tensor.dtype {
                dtype if dtype.is_float() => float,
                dtype if dtype.is_int() || dtype.is_uint() => int,
                _ => continue,
            };
            // Flex32 is f32 in memory.
            let stored = |dtype| {
                if dtype == DType::Flex32 {
                    DType::F32
                } else {
                    dtype
                }
            };
            if stored(tensor.dtype) != stored(default) {
                return Err(format!(
                    "optimiser state `{name}` is {:?}, but Burn loads optimiser state as the default \
                     device's {default:?} and would not give it back bit for bit; give the device that \
                     dtype with `Device::configure` before the first tensor is made",
                    tensor.dtype,
                ));
            }
        }
        Ok(())
    }

    /// The first difference between what was saved (`self`) and what was loaded.
    pub(super) fn compare(&self, loaded: &Self) -> Result<(), String> {
        compare("tensor", &self.tensors, &loaded.tensors, |a, b| a == b)?;
        compare("value", &self.scalars, &loaded.scalars, |a, b| {
            match (a, b) {
                (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
                _ => a == b,
            }
        })?;
        compare("path", &self.texts, &loaded.texts, |a, b| a == b)
    }
}

fn compare<T: std::fmt::Debug>(
    what: &str,
    saved: &BTreeMap<String, T>,
    loaded: &BTreeMap<String, T>,
    same: impl Fn(&T, &T) -> bool,
) -> Result<(), String> {
    for (name, before) in saved {
        match loaded.get(name) {
            Some(after) if same(before, after) => {}
            Some(after) => {
                return Err(format!(
                    "{what} `{name}` was saved as {before:?} but loads as {after:?}"
                ));
            }
            None => return Err(format!("{what} `{name}` was saved but does not load")),
        }
    }
    match loaded.keys().find(|name| !saved.contains_key(*name)) {
        Some(name) => Err(format!("{what} `{name}` was not saved")),
        None => Ok(()),
    }
}
