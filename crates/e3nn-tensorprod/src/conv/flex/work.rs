//! Who computes what: segments of edges that arrive at one node, in tasks.

use core::ops::Range;
use core_tensor::graph::Graph;

/// Edges of a node beyond which its sum is cut. Part of what defines the bits of a sum.
const SEGMENT: usize = 256;

/// Some of the edges that arrive at a node.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) node: usize,
    pub(super) edges: Range<usize>,
    /// For all but the first segment of a node, where its part of the sum is kept.
    pub(super) part: Option<usize>,
}

/// Segments that follow each other.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) segments: Range<usize>,
    pub(super) edges: Range<usize>,
}

/// A graph cut into tasks.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) segments: Vec<Segment>,
    pub(super) tasks: Vec<Task>,
    /// Nodes with several segments, and the parts of their sums.
    pub(super) split: Vec<(usize, Range<usize>)>,
    pub(super) parts: usize,
}

impl Work {
    /// Tasks of at most `limit` edges, or one segment.
    pub(super) fn new(graph: &Graph, limit: usize) -> Self {
        let (mut segments, mut split, mut parts) = (Vec::with_capacity(graph.nodes()), vec![], 0);
        for (node, ends) in graph.offsets().windows(2).enumerate() {
            let (start, end) = (ends[0] as usize, ends[1] as usize);
            segments.push(Segment {
                node,
                edges: start..end.min(start + SEGMENT),
                part: None,
            });
            let first = parts;
            for at in (start + SEGMENT..end).step_by(SEGMENT) {
                segments.push(Segment {
                    node,
                    edges: at..end.min(at + SEGMENT),
                    part: Some(parts),
                });
                parts += 1;
            }
            if parts > first {
                split.push((node, first..parts));
            }
        }
        let mut tasks: Vec<Task> = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            match tasks.last_mut() {
                // Nodes without edges cost something too.
                Some(task)
                    if segment.edges.end - task.edges.start <= limit
                        && i - task.segments.start < limit =>
                {
                    task.segments.end = i + 1;
                    task.edges.end = segment.edges.end;
                }
                _ => tasks.push(Task {
                    segments: i..i + 1,
                    edges: segment.edges.clone(),
                }),
            }
        }
        Self {
            segments,
            tasks,
            split,
            parts,
        }
    }

    /// The segments of a task.
    pub(super) fn of(&self, task: &Task) -> &[Segment] {
        &self.segments[task.segments.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::{SEGMENT, Work};
    use core_tensor::graph::Graph;

    #[test]
    fn tasks_cover_every_edge_once_in_order() {
        // Degrees 0, 3, a large one, 0, 1.
        let degrees = [0, 3, 2 * SEGMENT + 1, 0, 1];
        let ends: Vec<u32> = (0_u32..)
            .zip(degrees)
            .flat_map(|(n, d)| std::iter::repeat_n(n, d))
            .collect();
        let graph = Graph::new(5, &vec![0; ends.len()], &ends, &[]).unwrap();
        for limit in [1, 4, 100, 10_000] {
            let work = Work::new(&graph, limit);
            let (mut edge, mut segment) = (0, 0);
            for task in &work.tasks {
                assert_eq!((task.edges.start, task.segments.start), (edge, segment));
                assert!(task.edges.len() <= limit.max(SEGMENT));
                for s in work.of(task) {
                    assert_eq!(s.edges.start, edge);
                    edge = s.edges.end;
                }
                segment = task.segments.end;
            }
            assert_eq!((edge, segment), (graph.edges(), work.segments.len()));
            assert_eq!((work.parts, work.split.clone()), (2, vec![(2, 0..2)]));
        }
    }
}
