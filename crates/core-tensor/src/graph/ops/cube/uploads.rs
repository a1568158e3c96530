//! The lists of a graph on devices, copied once.

use super::super::{End, Graph};
use crate::ext::cube::{CubeDevice, CubeTensor, upload_u32};
use cubecl::client::Client;
use std::sync::{Arc, Mutex, OnceLock};

/// The lists of a graph on every device that has run an operation on it.
#[derive(Debug, Default)]
pub(in crate::graph) struct Uploads(Mutex<Vec<(CubeDevice, Arc<Lists>)>>);

/// The lists of a graph on a device.
#[derive(Debug)]
pub(super) struct Lists {
    sources: CubeTensor,
    destinations: CubeTensor,
    offsets: CubeTensor,
    leaving_offsets: CubeTensor,
    leaving: CubeTensor,
    packed: OnceLock<CubeTensor>,
}

impl Lists {
    /// Those of `graph` on `device`, copied there if they are not yet.
    pub(super) fn of(graph: &Graph, client: &Client, device: &CubeDevice) -> Arc<Self> {
        let all = &graph.uploads().0;
        let mut all = all.lock().unwrap_or_else(|broken| broken.into_inner());
        if let Some((_, lists)) = all.iter().find(|(at, _)| at == device) {
            return Arc::clone(lists);
        }
        // A buffer is never empty.
        let upload = |list: &[u32]| match list {
            [] => upload_u32(client, device, &[0]),
            list => upload_u32(client, device, list),
        };
        let lists = Arc::new(Self {
            sources: upload(graph.sources()),
            destinations: upload(graph.destinations()),
            offsets: upload(graph.offsets()),
            leaving_offsets: upload(graph.leaving_offsets()),
            leaving: upload(graph.leaving()),
            packed: OnceLock::new(),
        });
        all.push((device.clone(), Arc::clone(&lists)));
        lists
    }

    /// All lists in one: see [`Graph::packed_lists`].
    fn packed(&self, graph: &Graph, client: &Client, device: &CubeDevice) -> CubeTensor {
        let pack = || {
            let lists = [
                graph.offsets(),
                graph.sources(),
                graph.destinations(),
                graph.leaving_offsets(),
                graph.leaving(),
            ];
            upload_u32(client, device, &lists.concat())
        };
        self.packed.get_or_init(pack).clone()
    }

    /// The node at one end of every edge.
    pub(super) fn ends(&self, end: End) -> CubeTensor {
        match end {
            End::Source => self.sources.clone(),
            End::Destination => self.destinations.clone(),
        }
    }

    /// Offsets, and the order of edges where it is another than theirs.
    pub(super) fn segments(&self, end: End) -> (CubeTensor, Option<CubeTensor>) {
        match end {
            End::Source => (self.leaving_offsets.clone(), Some(self.leaving.clone())),
            End::Destination => (self.offsets.clone(), None),
        }
    }
}

impl Graph {
    /// The lists of the graph on a device, one after the other, for kernels that have few buffers left: `offsets`
    /// (`nodes + 1`), `sources`, `destinations` (`edges` each), `leaving_offsets` (`nodes + 1`), `leaving` (`edges`). Copied
    /// there at the first call.
    pub fn packed_lists(&self, client: &Client, device: &CubeDevice) -> CubeTensor {
        Lists::of(self, client, device).packed(self, client, device)
    }
}
