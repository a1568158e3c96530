//! Counter-based random streams.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Random numbers for one purpose at one step of one run.
///
/// The stream is ChaCha8 with a key made of `(seed, purpose)` and the step as its nonce. Two
/// consequences: streams of different purposes or steps are independent, so adding a consumer never
/// shifts the numbers of another; and a position is three integers, so a stream can be left and
/// found again anywhere at no cost.
///
/// The best stream is one that needs no saving: make it anew from the step wherever it is used.
///
/// ```
/// use core_tensor::resume::RngStream;
/// use core_tensor::resume::rand::{Rng, seq::SliceRandom};
///
/// let (seed, epoch, step) = (7, 0, 120);
/// let mut order: Vec<usize> = (0..1000).collect();
/// order.shuffle(&mut RngStream::new(seed, "shuffle", epoch)); // the same after every restart
/// let keep: f32 = RngStream::new(seed, "dropout", step).random();
/// # assert!((0.0..1.0).contains(&keep));
/// ```
///
/// A stream that runs on from step to step is saved as its [`RngState`], in
/// [`TrainState::streams`](crate::resume::TrainState::streams).
///
/// For randomness inside Burn (`Tensor::random`, `Dropout`) seed the device from a stream before
/// each step, `device.seed(RngStream::new(seed, "device", step).next_u64())`; that repeats as long as
/// one thread at a time draws from the device.
///
/// The numbers of a stream are part of the format: they stay the same in every version.
#[derive(Debug, Clone)]
pub struct RngStream {
    seed: u64,
    purpose: String,
    step: u64,
    rng: ChaCha8Rng,
}

/// The position of an [`RngStream`]; with the stream's purpose, everything there is to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RngState {
    /// The run's seed.
    pub seed: u64,
    /// The step (or epoch, or any other counter) the stream was made for.
    pub step: u64,
    /// How many 32-bit words have been drawn.
    pub words: u64,
}

impl RngStream {
    /// The beginning of the stream for `purpose` at `step`.
    #[must_use]
    pub fn new(seed: u64, purpose: impl Into<String>, step: u64) -> Self {
        Self::at(
            purpose,
            RngState {
                seed,
                step,
                words: 0,
            },
        )
    }

    /// The stream for `purpose` at a saved position.
    #[must_use]
    pub fn at(purpose: impl Into<String>, state: RngState) -> Self {
        let purpose = purpose.into();
        let mut key = Sha256::new();
        key.update(b"core-tensor rng 1\0");
        key.update(state.seed.to_le_bytes());
        key.update(purpose.as_bytes());
        let mut rng = ChaCha8Rng::from_seed(key.finalize().into());
        rng.set_stream(state.step);
        rng.set_word_pos(state.words.into());
        Self {
            seed: state.seed,
            purpose,
            step: state.step,
            rng,
        }
    }

    /// Where the stream is now.
    #[must_use]
    pub fn state(&self) -> RngState {
        // The generator counts to 2^68; dropping four bits costs nothing that anyone will live
        // to draw.
        let words = self.rng.get_word_pos() as u64;
        RngState {
            seed: self.seed,
            step: self.step,
            words,
        }
    }

    /// What the stream is for.
    #[must_use]
    pub fn purpose(&self) -> &str {
        &self.purpose
    }
}

impl RngCore for RngStream {
    fn next_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_continues_from_its_state_wherever_it_was_left() {
        let mut stream = RngStream::new(1, "dropout", 5);
        for draws in 0..200 {
            match draws % 3 {
                0 => drop(stream.next_u32()),
                1 => drop(stream.next_u64()),
                _ => stream.fill_bytes(&mut [0; 7]),
            }
            let mut again = RngStream::at("dropout", stream.state());
            assert_eq!(again.state(), stream.state());
            let mut ahead = stream.clone();
            for _ in 0..40 {
                assert_eq!(again.next_u64(), ahead.next_u64());
            }
        }
    }

    #[test]
    fn seed_purpose_and_step_each_make_another_stream() {
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..10 {
            for purpose in ["", "a", "b", "ab"] {
                for step in [0, 1, 2, u64::MAX] {
                    assert!(firsts.insert(RngStream::new(seed, purpose, step).next_u64()));
                }
            }
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_definition() {
        // From another implementation (Python: hashlib and ChaCha8 written out), which these must
        // agree with for ever: old runs resume with them.
        for (purpose, seed, step, words, expected) in [
            ("", 0, 0, 0, [0x62d5_5300, 0xb31f_50c7]),
            ("dropout", 1, 5, 0, [0xb637_751f, 0x375a_33f5]),
            (
                "ä",
                u64::MAX,
                u64::MAX,
                1_000_003,
                [0x63b3_6a51, 0x482c_0fd4],
            ),
        ] {
            let mut stream = RngStream::at(purpose, RngState { seed, step, words });
            assert_eq!(
                [stream.next_u32(), stream.next_u32()],
                expected,
                "{purpose}"
            );
        }
    }

    #[test]
    fn any_state_is_usable() {
        let state = RngState {
            seed: u64::MAX,
            step: u64::MAX,
            words: u64::MAX,
        };
        let mut stream = RngStream::at("x", state);
        assert_eq!(stream.state(), state);
        stream.next_u64();
    }
}
