//! The plain part of a training state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::ResumeError;
use super::rng::{RngState, RngStream};

/// Format of `state.json`; raised whenever a field is added or changes its meaning.
const FORMAT: u32 = 1;

/// Where training is: everything but the tensors.
///
/// Meant to be the training loop's own counter: make one with [`new`](Self::new) (or take it from
/// [`Saved::state`](crate::resume::Saved::state)), advance its fields, save it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TrainState {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the data done.
    pub epoch: u64,
    /// Where the next batch starts in the current pass, in whatever unit the loader counts.
    pub cursor: u64,
    /// The run's seed, from which every [`RngStream`] is made.
    pub seed: u64,
    /// Streams that run on from step to step, by purpose. Streams made anew at each step do not
    /// need to be here.
    pub streams: BTreeMap<String, RngState>,
    /// The program's configuration.
    pub config: Value,
}

impl TrainState {
    /// The state before the first step.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Keeps the program's configuration with the state, so that
    /// [`Saved::expect_config`](crate::resume::Saved::expect_config) can refuse another one.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be JSON (a map with keys that are not strings, for example).
    pub fn with_config(mut self, config: &impl Serialize) -> Result<Self, ResumeError> {
        self.config = config_value(config)?;
        Ok(self)
    }

    /// SHA-256 of the configuration, independent of the order of its keys, in hexadecimal.
    #[must_use]
    pub fn config_sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash_value(&self.config, &mut hash);
        hex(&hash.finalize())
    }

    /// Remembers where a stream is.
    pub fn keep_stream(&mut self, stream: &RngStream) {
        self.streams
            .insert(stream.purpose().to_owned(), stream.state());
    }

    /// The stream for `purpose`: where [`keep_stream`](Self::keep_stream) left it, or, if it has
    /// never been kept, its beginning at the current step.
    #[must_use]
    pub fn stream(&self, purpose: &str) -> RngStream {
        match self.streams.get(purpose) {
            Some(state) => RngStream::at(purpose, *state),
            None => RngStream::new(self.seed, purpose, self.step),
        }
    }

    /// The contents of `state.json`, checked to read back as this very state.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        let file = StateFile {
            format: FORMAT,
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            step: self.step,
            epoch: self.epoch,
            cursor: self.cursor,
            seed: self.seed,
            streams: self.streams.clone(),
            config: self.config.clone(),
            config_sha256: self.config_sha256(),
        };
        let mut json = serde_json::to_vec_pretty(&file).map_err(|error| error.to_string())?;
        json.push(b'\n');
        // A configuration nested deeper than the parser goes, say, must fail now and not after the
        // crash that it was saved for.
        match Self::from_json(&json) {
            Ok((state, _)) if state == *self => Ok(json),
            Ok(_) => Err("it does not read back the same".to_owned()),
            Err(reason) => Err(format!("it does not read back: {reason}")),
        }
    }

    /// Reads `state.json`: the state, and the version of this crate that wrote it.
    pub(super) fn from_json(json: &[u8]) -> Result<(Self, String), String> {
        // The parser stops at 128 levels of nesting, and what it makes of `json` is bounded by
        // the size of `json`, which the caller bounds.
        let file: StateFile = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if file.format != FORMAT {
            return Err(format!("format {} is not {FORMAT}", file.format));
        }
        let StateFile {
            crate_version,
            step,
            epoch,
            cursor,
            seed,
            streams,
            config,
            ..
        } = file;
        let state = Self {
            step,
            epoch,
            cursor,
            seed,
            streams,
            config,
        };
        if state.config_sha256() != file.config_sha256 {
            return Err("the configuration is not the one its digest was made of".to_owned());
        }
        Ok((state, crate_version))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    format: u32,
    crate_version: String,
    step: u64,
    epoch: u64,
    cursor: u64,
    seed: u64,
    streams: BTreeMap<String, RngState>,
    config: Value,
    config_sha256: String,
}

pub(super) fn config_value(config: &impl Serialize) -> Result<Value, ResumeError> {
    serde_json::to_value(config).map_err(|error| ResumeError::Config {
        reason: error.to_string(),
    })
}

/// Feeds a JSON value to a hash with object keys in order, whatever order the map keeps: a
/// `preserve_order` feature turned on anywhere in the build must not change the digest.
fn hash_value(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                hash_value(item, hash);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            hash.update(b"{");
            for (key, item) in entries {
                // The JSON spelling of the key, quotes and escapes included: unambiguous.
                hash.update(Value::from(key.as_str()).to_string());
                hash.update(b":");
                hash_value(item, hash);
                hash.update(b",");
            }
            hash.update(b"}");
        }
        scalar => hash.update(scalar.to_string()),
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn state_reads_back_exactly() {
        let mut state = TrainState::new(u64::MAX)
            .with_config(
                &json!({"lr": 0.1f32, "tiny": 5e-324, "big": u64::MAX, "list": [1, -2, null]}),
            )
            .unwrap();
        state.step = u64::MAX;
        state.cursor = u64::MAX - 1;
        state.keep_stream(&RngStream::new(3, "noise \"é\" \u{0}", 9));
        let (again, version) = TrainState::from_json(&state.to_json().unwrap()).unwrap();
        assert_eq!(again, state);
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_configuration_digest_ignores_key_order_and_nothing_else() {
        let digest = |text: &str| {
            let config: Value = serde_json::from_str(text).unwrap();
            TrainState {
                config,
                ..TrainState::default()
            }
            .config_sha256()
        };
        assert_eq!(
            digest(r#"{"a":1,"b":[1,2]}"#),
            digest(r#"{ "b": [1, 2], "a": 1 }"#)
        );
        let different = [
            r#"{"a":1,"b":[1,2]}"#,
            r#"{"a":1,"b":[2,1]}"#,
            r#"{"a":"1","b":[1,2]}"#,
            r#"{"a":1}"#,
            r#"{"a":1,"b":[12]}"#,
            r#"{"a":1,"b":[[1],2]}"#,
            r#"{"a":1.0,"b":[1,2]}"#,
            r#"[]"#,
            r#"{}"#,
            r#"null"#,
            r#""null""#,
            r#"{"a\":1,\"b":[1,2]}"#,
        ];
        let digests: std::collections::BTreeSet<_> =
            different.iter().map(|text| digest(text)).collect();
        assert_eq!(digests.len(), different.len());
    }

    #[test]
    fn a_configuration_too_deep_to_read_back_is_refused_when_saved() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let state = |depth| TrainState {
            config: nested(depth),
            ..TrainState::default()
        };
        assert!(state(100).to_json().is_ok());
        assert!(
            state(200)
                .to_json()
                .unwrap_err()
                .contains("recursion limit")
        );
    }
}
