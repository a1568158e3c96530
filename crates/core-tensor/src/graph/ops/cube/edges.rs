//! The edges of every node, as kernels see them.

use cubecl::prelude::*;

/// Places of a node's edges in an order of the edges.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Edges {
    pub(super) offsets: OwnedTensor<u32>,
    /// Absent where places are edges.
    pub(super) order: ComptimeOption<OwnedTensor<u32>>,
    pub(super) nodes: usize,
    /// Features of a row.
    pub(super) width: usize,
}

#[cube]
impl Edges {
    /// The first place of a node; that of the next node ends it.
    pub(super) fn first(&self, node: usize) -> usize {
        usize::cast_from(self.offsets[node])
    }

    /// The edge at a place.
    pub(super) fn edge(&self, place: usize) -> usize {
        #[comptime]
        match &self.order {
            ComptimeOption::Some(order) => usize::cast_from(order[place]),
            ComptimeOption::None => place,
        }
    }
}
