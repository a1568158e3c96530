//! Directed graphs in compressed form, and operations over the edges that arrive at each node.
//!
//! Edges are sorted once, when a graph is built, by (destination, source, shift). Every operation adds up in
//! that order, so an edge list given in any order, and any number of threads, gives the same bits.

//!
//! [`gather`] brings rows of nodes to edges, [`segment_sum`], [`segment_mean`], [`segment_max`] and
//! [`segment_softmax`] go over the edges that end at a node, by destination or, on the transposed graph, by
//! source. All of them take tensors or [`Dual`](crate::dual::Dual)s, and are differentiable by kernels of their
//! own: the gradient of a gather is a sum over sorted edges, without scattered writes.
//!
//! Kernels read the lists of the [`Graph`] itself on the CPU; a GPU has them copied once per graph and device, at
//! the first operation, and they stay there as long as the graph lives.

mod csr;
mod error;
mod ops;

pub use csr::{Graph, Shift};
pub use error::GraphError;
pub use ops::{
    Call, End, GraphBackend, gather, reference, segment_max, segment_mean, segment_softmax,
    segment_sum,
};
