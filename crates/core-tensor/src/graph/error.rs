//! Why a graph could not be built.

/// Why a graph could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Lists that describe the same edges have different lengths.
    #[error("graph: {sources} sources, {destinations} destinations and {shifts} shifts of edges")]
    Lengths {
        /// Number of sources.
        sources: usize,
        /// Number of destinations.
        destinations: usize,
        /// Number of shifts.
        shifts: usize,
    },
    /// An edge ends outside the graph.
    #[error("graph: edge {edge} joins {from} to {to}, of {nodes} nodes")]
    Node {
        /// Place in the list.
        edge: usize,
        /// Its source.
        from: u32,
        /// Its destination.
        to: u32,
        /// Number of nodes.
        nodes: usize,
    },
    /// A list that was said to be sorted by (destination, source, shift) is not.
    #[error("graph: edge {0} belongs before the one ahead of it")]
    Order(usize),
    /// More nodes or edges than an index of 32 bits counts.
    #[error("graph: {0} nodes or edges are more than an index of 32 bits counts")]
    Size(usize),
}
