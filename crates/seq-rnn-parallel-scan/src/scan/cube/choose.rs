//! Which algorithm runs.
//!
//! A scan moves few bytes per operation, so it is as fast as its loads are many: a device needs enough
//! units with loads in flight to cover the latency of its memory. The serial kernel has one unit per
//! sequence and channel, the sweep [`ROWS`] times as many, the chunked and the chained one as many as
//! wanted. But the chunked one reads its input twice, and the chained one takes a round trip through memory
//! for every [`PIECE`] steps of a sequence. Hence the rule of [`choose`].
//!
//! The thresholds follow from that reasoning, not from measurements: they were set without a GPU at
//! hand and are to be tuned on one.

use super::super::spec::Algorithm;
use super::chained::{PIECE, word};
use super::sweep::{LANES, ROWS, TILE};
use burn::tensor::DType;
use core_tensor::ext::cube::{dtype_to_storage_type, fall_back};
use cubecl::client::Client;
use cubecl::ir::Type;
use cubecl::ir::features::{AtomicUsage, Features};

/// Units per multiprocessor that keep enough loads in flight: half of what most hold.
const UNITS_PER_MULTIPROCESSOR: usize = 1024;
/// Multiprocessors of a device that does not tell.
const MULTIPROCESSORS: usize = 32;
/// Below this many steps per unit, the second read of a chunk costs more than it gains.
const SHORTEST_CHUNK: usize = 32;
/// Above this, the scan over chunks is short already.
const LONGEST_CHUNK: usize = 1024;

/// Of the units that fill the device, the share from which on a chain's links are no longer what it waits
/// for: a link takes about a microsecond, in which such a device moves what 128 steps of some two
/// thousand channels need.
const LEAST_CHAINS: usize = 64;
/// And the share from which on a sweep keeps up, which waits for no other cube.
const MOST_CHAINS: usize = 8;

/// Units that fill the device.
fn fill(client: &Client) -> usize {
    let told = client.properties().hardware.num_streaming_multiprocessors;
    told.map_or(MULTIPROCESSORS, |n| n as usize) * UNITS_PER_MULTIPROCESSOR
}

/// What runs for `wanted` on `units` sequences times channels of up to `time` steps.
///
/// - [`Algorithm::Serial`] where sequences and channels alone fill the device, or where the steps
///   do not fill two tiles of a sweep;
/// - [`Algorithm::Chained`] where the device can, from a 64th to an eighth of its fill and from eight
///   pieces on;
/// - [`Algorithm::Sweep`] where its rows fill a quarter of the device, or where the steps do not make
///   eight chunks;
/// - [`Algorithm::Chunked`] otherwise: few channels, many steps.
pub(super) fn choose(
    client: &Client,
    wanted: Algorithm,
    units: usize,
    time: usize,
    computed: DType,
) -> Algorithm {
    let algorithm = match wanted {
        Algorithm::Auto => {
            let fill = fill(client);
            let chains = fill / LEAST_CHAINS..fill / MOST_CHAINS;
            if units >= fill || time < 2 * TILE {
                Algorithm::Serial
            } else if chains.contains(&units)
                && time >= 8 * PIECE
                && chains_run(client, computed)
                && has_room(client)
            {
                Algorithm::Chained
            } else if units * ROWS >= fill / 4 || time < 8 * SHORTEST_CHUNK {
                Algorithm::Sweep
            } else {
                Algorithm::Chunked
            }
        }
        other => other,
    };
    if algorithm == Algorithm::Chained && !test_switch() && !chains_run(client, computed) {
        fall_back(
            "scan",
            "cubes of the device must not wait for each other; it runs serially",
        );
        return Algorithm::Serial;
    }
    if matches!(algorithm, Algorithm::Sweep | Algorithm::Chained) && !has_room(client) {
        fall_back(
            "scan",
            "the device has no room for a sweep or a chain; it runs serially",
        );
        return Algorithm::Serial;
    }
    algorithm
}

/// Whether a cube of one launch may wait for what another publishes. Two things are asked:
///
/// - that a word which one cube stores reaches another that polls for it. The property that says so is
///   [`Features::device_memory_scope`]: storage written by one cube is visible to others within a
///   launch. And the word must be one that atomics add, load and store;
/// - that a cube which has started goes on while another spins. No property of CubeCL says that, so
///   the runtime is asked by name. CUDA and HIP schedule so, and their libraries' scans rely on it. WebGPU
///   and Vulkan promise nothing of the kind, nor does Metal, whose GPUs are known to starve a spinning
///   chain: whatever runs through wgpu is out, even where it reports the memory scope (SPIR-V and
///   MSL do).
fn chains_run(client: &Client, computed: DType) -> bool {
    let goes_on = matches!(client.name(), "cuda" | "hip");
    goes_on && passes_on(&client.properties().features, computed)
}

/// The first half of [`chains_run`].
fn passes_on(features: &Features, computed: DType) -> bool {
    let word = Type::atomic(dtype_to_storage_type(word(computed)));
    let atomics = features.atomic_type_usage(word);
    features.device_memory_scope
        && atomics.contains(AtomicUsage::Add)
        && atomics.contains(AtomicUsage::LoadStore)
}

/// Whether the device has cubes of the size that a sweep or a chain needs, and shared memory for them.
fn has_room(client: &Client) -> bool {
    let hardware = &client.properties().hardware;
    // A sweep's, which needs more: two maps of up to eight bytes each, and a flag.
    let bytes = LANES * ROWS * (2 * 8 + 4);
    hardware.max_units_per_cube as usize >= LANES * ROWS
        && hardware.max_cube_dim.0 as usize >= LANES
        && hardware.max_cube_dim.1 as usize >= ROWS
        && hardware.max_shared_memory_size >= bytes
}

/// Steps per chunk: so many that the chunks fill the device twice, within bounds.
pub(super) fn chunk(client: &Client, units: usize, time: usize) -> usize {
    let steps = time.saturating_mul(units) / (2 * fill(client));
    steps
        .next_power_of_two()
        .clamp(SHORTEST_CHUNK, LONGEST_CHUNK)
}

#[cfg(feature = "testing")]
mod switch {
    use core::sync::atomic::{AtomicBool, Ordering};

    static ON: AtomicBool = AtomicBool::new(false);

    /// For the tests of this crate: from now on a forced [`Algorithm::Chained`](super::Algorithm) runs on
    /// every device. A software driver on one thread runs the workgroups of a launch one after the
    /// other, so that none has to wait; on a GPU without the promise the launch may never end.
    pub fn chain_anywhere() {
        ON.store(true, Ordering::SeqCst);
    }

    pub(super) fn on() -> bool {
        ON.load(Ordering::SeqCst)
    }
}
#[cfg(feature = "testing")]
pub use switch::chain_anywhere;

/// Whether tests force chains: never, outside them.
fn test_switch() -> bool {
    #[cfg(feature = "testing")]
    return switch::on();
    #[cfg(not(feature = "testing"))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use cubecl::ir::{ElemType, UIntKind};

    #[test]
    fn a_chain_needs_the_memory_scope_and_atomics_of_its_word() {
        let mut features = Features::default();
        assert!(!passes_on(&features, DType::F32));
        features.device_memory_scope = true;
        assert!(!passes_on(&features, DType::F32));
        let word = Type::atomic(ElemType::UInt(UIntKind::U32));
        let add = AtomicUsage::Add.into();
        features.types.atomic.insert(word, add);
        assert!(!passes_on(&features, DType::F32));
        features
            .types
            .atomic
            .insert(word, AtomicUsage::Add | AtomicUsage::LoadStore);
        assert!(passes_on(&features, DType::F32));
        // A carry in f64 takes a word of 64 bits.
        assert!(!passes_on(&features, DType::F64));
    }
}
