//! Which algorithm runs.
//!
//! A scan moves few bytes per operation, so it is as fast as its loads are many: a device needs enough
//! units with loads in flight to cover the latency of its memory. The serial kernel has one unit per
//! sequence and channel, the sweep [`ROWS`] times as many, the chunked one as many as wanted, but
//! it reads its input twice. Hence the rule of [`choose`]: the first of the three that fills the device.
//!
//! The thresholds follow from that reasoning, not from measurements: they were set without a GPU at
//! hand and are to be tuned on one.

use super::super::spec::Algorithm;
use super::sweep::{LANES, ROWS, TILE};
use core_tensor::ext::cube::fall_back;
use cubecl::client::Client;

/// Units per multiprocessor that keep enough loads in flight: half of what most hold.
const UNITS_PER_MULTIPROCESSOR: usize = 1024;
/// Multiprocessors of a device that does not tell.
const MULTIPROCESSORS: usize = 32;
/// Below this many steps per unit, the second read of a chunk costs more than it gains.
const SHORTEST_CHUNK: usize = 32;
/// Above this, the scan over chunks is short already.
const LONGEST_CHUNK: usize = 1024;

/// Units that fill the device.
fn fill(client: &Client) -> usize {
    let told = client.properties().hardware.num_streaming_multiprocessors;
    told.map_or(MULTIPROCESSORS, |n| n as usize) * UNITS_PER_MULTIPROCESSOR
}

/// What runs for `wanted` on `units` sequences times channels of up to `time` steps.
///
/// - [`Algorithm::Serial`] where sequences and channels alone fill the device, or where the steps
///   do not fill two tiles of a sweep;
/// - [`Algorithm::Sweep`] where its rows fill a quarter of the device, or where the steps do not make
///   eight chunks;
/// - [`Algorithm::Chunked`] otherwise: few channels, many steps.
pub(super) fn choose(client: &Client, wanted: Algorithm, units: usize, time: usize) -> Algorithm {
    let algorithm = match wanted {
        Algorithm::Auto => {
            let fill = fill(client);
            if units >= fill || time < 2 * TILE {
                Algorithm::Serial
            } else if units * ROWS >= fill / 4 || time < 8 * SHORTEST_CHUNK {
                Algorithm::Sweep
            } else {
                Algorithm::Chunked
            }
        }
        other => other,
    };
    if algorithm == Algorithm::Sweep && !sweeps(client) {
        fall_back(
            "scan",
            "the device has no room for a sweep; it runs serially",
        );
        return Algorithm::Serial;
    }
    algorithm
}

/// Whether the device has cubes of the size that a sweep needs, and shared memory for them.
fn sweeps(client: &Client) -> bool {
    let hardware = &client.properties().hardware;
    // Two maps of up to eight bytes each, and a flag.
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
