//! Nodes at which so many edges arrive that their sums are cut.

use super::forward;
use super::groups::Unrolled;
use super::problem::Problem;
use super::sources;
use super::weights::Panel;
use core::ops::Range;
use core_tensor::ext::cube::{CubeTensor, address_type, upload_u32};
use core_tensor::graph::Graph;

/// Edges of a node beyond which its sum is cut. Part of what defines the bits of a sum.
pub(super) const SEGMENT: usize = 256;

/// Units of a cube of the forward pass.
const UNITS: u32 = 128;

/// All but the first segments of nodes with several.
pub(super) struct Split {
    /// First edge and end of every segment.
    ranges: CubeTensor,
    segments: usize,
    /// Node, first segment, number of segments.
    table: CubeTensor,
    nodes: usize,
    /// Sums of the segments `[parts, segments, outputs]`.
    sums: CubeTensor,
}

/// Bounds of the segments behind the first of every node, and the nodes that have some: node, first segment, number.
fn segments(graph: &Graph) -> (Vec<u32>, Vec<u32>) {
    let (mut ranges, mut table) = (vec![], vec![]);
    for (node, ends) in (0_u32..).zip(graph.offsets().windows(2)) {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        if end - start <= SEGMENT {
            continue;
        }
        let before = ranges.len() / 2;
        for at in (start + SEGMENT..end).step_by(SEGMENT) {
            ranges.extend([at as u32, end.min(at + SEGMENT) as u32]);
        }
        table.extend([node, before as u32, (ranges.len() / 2 - before) as u32]);
    }
    (ranges, table)
}

impl Problem<'_> {
    /// The segments of a graph that has any, where the device binds enough buffers; `written` columns of their sums are.
    pub(super) fn split(&self, written: usize) -> Option<Split> {
        let (ranges, table) = segments(&self.call.graph);
        // One buffer more than other launches of the forward pass read.
        let buffers = 6 + self.call.tangents.map(usize::from).iter().sum::<usize>();
        let most = self.client().properties().hardware.max_bindings as usize;
        if ranges.is_empty() || buffers > most {
            return None;
        }
        let upload = |list: &[u32]| upload_u32(self.client(), self.device(), list);
        let (segments, [_, _, width]) = (ranges.len() / 2, self.call.paths.dims());
        Some(Split {
            ranges: upload(&ranges),
            segments,
            table: upload(&table),
            nodes: table.len() / 3,
            sums: self.output_of([self.call.parts(), segments, width], written),
        })
    }

    /// Sums over the edges of a panel: of nodes, at most `longest` of them each, or of segments of a split.
    #[allow(unsafe_code)]
    pub(super) fn launch_forward(
        &self,
        panel: &Panel,
        nodes: &Range<usize>,
        longest: usize,
        split: Option<&Split>,
        group: &Unrolled,
        out: &CubeTensor,
    ) {
        let (out, rows) = match split {
            Some(split) => (&split.sums, &(0..split.segments)),
            None => (out, nodes),
        };
        let ranges = split.map(|split| split.ranges.clone());
        let (count, dim) = self.units_of(rows.len() * group.channels, UNITS);
        // SAFETY: rows are edges of the panel, their sources and the nodes, all of which the graph has checked; columns are
        // places of blocks, and widths of rows were checked against the irreps.
        unsafe {
            forward::forward::launch_unchecked(
                self.client(),
                count,
                dim,
                self.address_type(panel, &[out]),
                self.edges(panel, [true; 3]),
                ranges.map(CubeTensor::into_tensor_arg).into(),
                out.clone().into_tensor_arg(),
                rows.start,
                rows.len(),
                longest,
                group.clone(),
                self.form,
                self.elem(),
            );
        }
    }

    /// Adds the sums of segments to those of their nodes, in order.
    #[allow(unsafe_code)]
    pub(super) fn fold(&self, split: &Split, out: &CubeTensor) {
        let [parts, _, width] = out.meta.shape().dims();
        let count = parts * split.nodes * width;
        let (cubes, dim) = self.units(count);
        // SAFETY: the table names nodes of the graph and segments of the split.
        unsafe {
            sources::fold::launch_unchecked(
                self.client(),
                cubes,
                dim,
                address_type([out, &split.sums]),
                split.sums.clone().into_tensor_arg(),
                split.table.clone().into_tensor_arg(),
                out.clone().into_tensor_arg(),
                split.nodes,
                count,
                self.elem(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SEGMENT, segments};
    use core_tensor::graph::Graph;

    #[test]
    fn segments_behind_the_first() {
        let n = SEGMENT as u32;
        let degrees = [0, n, 2 * n + 1, 3, n + 1];
        let ends: Vec<u32> = (0_u32..)
            .zip(degrees)
            .flat_map(|(node, d)| std::iter::repeat_n(node, d as usize))
            .collect();
        let graph = Graph::new(5, &vec![0; ends.len()], &ends, &[]).unwrap();
        let (ranges, table) = segments(&graph);
        let last = 4 * n + 4;
        assert_eq!(ranges, [2 * n, 3 * n, 3 * n, 3 * n + 1, last, last + 1]);
        assert_eq!(table, [2, 0, 2, 4, 2, 1]);
    }
}
