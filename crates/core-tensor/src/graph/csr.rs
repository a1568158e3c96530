//! The compressed form of a graph.

use super::{End, GraphError};
use crate::cpu::map_parts;
use core::ops::Range;
use std::sync::{Arc, OnceLock};

/// By how many periods of a crystal an edge crosses its cell, along each cell vector.
pub type Shift = [i32; 3];

/// A directed graph, its edges sorted by (destination, source, shift). Cheap to clone.
///
/// # Example
/// ```
/// use core_tensor::graph::Graph;
///
/// // Edges 2 → 0, 1 → 0, 0 → 1.
/// let graph = Graph::new(3, &[2, 1, 0], &[0, 0, 1], &[])?;
/// assert_eq!(graph.sources(), [1, 2, 0]);
/// assert_eq!(graph.offsets(), [0, 2, 3, 3]);
/// assert_eq!(graph.order(), [1, 0, 2]);
/// # Ok::<(), core_tensor::graph::GraphError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Graph(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Vec<u32>,
    destinations: Vec<u32>,
    shifts: Vec<Shift>,
    offsets: Vec<u32>,
    /// The list was sorted where nobody wrote an order down.
    order: OnceLock<Vec<u32>>,
    leaving: OnceLock<Leaving>,
    #[cfg(feature = "cube")]
    uploads: super::ops::cube::Uploads,
}

/// The edges by source.
#[derive(Debug)]
struct Leaving {
    offsets: Vec<u32>,
    edges: Vec<u32>,
}

impl Graph {
    /// A graph of `nodes` nodes with an edge from every source to the destination at the same place.
    /// `shifts` is empty where no edge crosses a cell. Equal edges keep the order of the list.
    ///
    /// Takes time linear in edges and nodes.
    ///
    /// # Errors
    /// If lengths differ, an edge ends outside, or the graph is too large.
    pub fn new(
        nodes: usize,
        sources: &[u32],
        destinations: &[u32],
        shifts: &[Shift],
    ) -> Result<Self, GraphError> {
        check(nodes, sources, destinations, shifts)?;
        if unsorted(sources, destinations, shifts).is_none() {
            let (sources, destinations) = (sources.to_vec(), destinations.to_vec());
            return Ok(Self::build(nodes, sources, destinations, shifts.to_vec()));
        }
        let order = sorted_order(nodes, sources, destinations, shifts);
        let pick = |list: &[u32]| -> Vec<u32> { order.iter().map(|&e| list[e as usize]).collect() };
        let picked = order.iter().filter(|_| !shifts.is_empty());
        let graph = Self::build(
            nodes,
            pick(sources),
            pick(destinations),
            picked.map(|&e| shifts[e as usize]).collect(),
        );
        // A new graph has no order yet.
        let _ = graph.0.order.set(order);
        Ok(graph)
    }

    /// [`new`](Self::new) of lists that are already sorted by (destination, source, shift), without a copy.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if an edge is out of order.
    pub fn from_sorted(
        nodes: usize,
        sources: Vec<u32>,
        destinations: Vec<u32>,
        shifts: Vec<Shift>,
    ) -> Result<Self, GraphError> {
        check(nodes, &sources, &destinations, &shifts)?;
        match unsorted(&sources, &destinations, &shifts) {
            Some(edge) => Err(GraphError::Order(edge)),
            None => Ok(Self::build(nodes, sources, destinations, shifts)),
        }
    }

    fn build(nodes: usize, sources: Vec<u32>, destinations: Vec<u32>, shifts: Vec<Shift>) -> Self {
        Self(Arc::new(Inner {
            offsets: offsets(nodes, &destinations),
            sources,
            destinations,
            shifts,
            order: OnceLock::new(),
            leaving: OnceLock::new(),
            #[cfg(feature = "cube")]
            uploads: Default::default(),
        }))
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.0.offsets.len() - 1
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.0.sources.len()
    }

    /// Source of every edge.
    pub fn sources(&self) -> &[u32] {
        &self.0.sources
    }

    /// Destination of every edge, ascending.
    pub fn destinations(&self) -> &[u32] {
        &self.0.destinations
    }

    /// Shift of every edge; empty where none was given.
    pub fn shifts(&self) -> &[Shift] {
        &self.0.shifts
    }

    /// `offsets[n]..offsets[n + 1]` are the edges that arrive at node `n`.
    pub fn offsets(&self) -> &[u32] {
        &self.0.offsets
    }

    /// Place of every edge in the list that the graph was built from. Made at the first call for a list that was sorted.
    pub fn order(&self) -> &[u32] {
        let identity = || (0..self.edges() as u32).collect();
        self.0.order.get_or_init(identity)
    }

    /// `leaving_offsets[n]..leaving_offsets[n + 1]` are the places in [`leaving`](Self::leaving) of the edges
    /// that leave node `n`. Made at the first call of either.
    pub fn leaving_offsets(&self) -> &[u32] {
        &self.by_source().offsets
    }

    /// The edges by source, those of one source ascending.
    pub fn leaving(&self) -> &[u32] {
        &self.by_source().edges
    }

    fn by_source(&self) -> &Leaving {
        self.0.leaving.get_or_init(|| {
            let offsets = offsets(self.nodes(), self.sources());
            let edges = by_end(&offsets, self.sources(), 0..self.edges() as u32);
            Leaving { offsets, edges }
        })
    }
}

/// Edges that one thread checks at a time.
const CHECKED: usize = 1 << 16;

/// Whether the lists describe a graph of `nodes` nodes.
fn check(
    nodes: usize,
    sources: &[u32],
    destinations: &[u32],
    shifts: &[Shift],
) -> Result<(), GraphError> {
    let edges = sources.len();
    if edges != destinations.len() || (!shifts.is_empty() && shifts.len() != edges) {
        return Err(GraphError::Lengths {
            sources: edges,
            destinations: destinations.len(),
            shifts: shifts.len(),
        });
    }
    if let Some(size) = [nodes, edges]
        .into_iter()
        .find(|&n| u32::try_from(n).is_err())
    {
        return Err(GraphError::Size(size));
    }
    let outside = |&e: &usize| sources[e] as usize >= nodes || destinations[e] as usize >= nodes;
    let bad = map_parts(edges, CHECKED, |mut part| part.find(outside));
    let bad = bad.into_iter().flatten().next();
    bad.map_or(Ok(()), |edge| {
        Err(GraphError::Node {
            edge,
            from: sources[edge],
            to: destinations[edge],
            nodes,
        })
    })
}

/// The first edge that belongs before the one ahead of it.
fn unsorted(sources: &[u32], destinations: &[u32], shifts: &[Shift]) -> Option<usize> {
    let key = |e: usize| (u64::from(destinations[e]) << 32) | u64::from(sources[e]);
    let sorted = |e: usize| {
        let (before, here) = (key(e - 1), key(e));
        before < here || (before == here && (shifts.is_empty() || shifts[e - 1] <= shifts[e]))
    };
    let first = map_parts(sources.len(), CHECKED, |part| {
        (part.start.max(1)..part.end).find(|&e| !sorted(e))
    });
    first.into_iter().flatten().next()
}

/// The edges by (destination, source, shift), equal ones in the order of the list: two counting sorts, and a
/// comparison only among edges that join the same nodes.
fn sorted_order(nodes: usize, sources: &[u32], destinations: &[u32], shifts: &[Shift]) -> Vec<u32> {
    let edges = 0..sources.len() as u32;
    let by_source = by_end(&offsets(nodes, sources), sources, edges);
    let mut order = by_end(&offsets(nodes, destinations), destinations, by_source);
    if !shifts.is_empty() {
        let ends = |e: u32| (destinations[e as usize], sources[e as usize]);
        order
            .chunk_by_mut(|&a, &b| ends(a) == ends(b))
            .filter(|same| same.len() > 1)
            .for_each(|same| same.sort_by_key(|&e| shifts[e as usize]));
    }
    order
}

/// `edges` sorted by their entry of `ends`, of which `offsets` are the running counts; stable.
fn by_end(offsets: &[u32], ends: &[u32], edges: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut next = offsets.to_vec();
    let mut sorted = vec![0; ends.len()];
    for edge in edges {
        let place = &mut next[ends[edge as usize] as usize];
        sorted[*place as usize] = edge;
        *place += 1;
    }
    sorted
}

impl Graph {
    #[cfg(feature = "cube")]
    pub(super) fn uploads(&self) -> &super::ops::cube::Uploads {
        &self.0.uploads
    }

    /// The node at one end of every edge.
    pub fn ends(&self, end: End) -> &[u32] {
        match end {
            End::Source => self.sources(),
            End::Destination => self.destinations(),
        }
    }

    /// The edges of every node.
    pub(super) fn segments(&self, end: End) -> Segments<'_> {
        match end {
            End::Source => Segments {
                offsets: self.leaving_offsets(),
                order: Some(self.leaving()),
            },
            End::Destination => Segments {
                offsets: self.offsets(),
                order: None,
            },
        }
    }
}

/// The edges of every node: ranges of places in an order of the edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segments<'a> {
    pub(super) offsets: &'a [u32],
    /// Absent where places are edges.
    pub(super) order: Option<&'a [u32]>,
}

#[allow(dead_code, reason = "which are used depends on the backends")]
impl Segments<'_> {
    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The first place of a node, or the end of all.
    pub(super) fn first(&self, node: usize) -> usize {
        self.offsets[node] as usize
    }

    /// The places of a node.
    #[inline(always)]
    pub(super) fn range(&self, node: usize) -> Range<usize> {
        self.offsets[node] as usize..self.offsets[node + 1] as usize
    }

    /// The edge at a place.
    #[inline(always)]
    pub(super) fn edge(&self, place: usize) -> usize {
        self.order.map_or(place, |order| order[place] as usize)
    }
}

/// Running counts of how often each node occurs.
fn offsets(nodes: usize, ends: &[u32]) -> Vec<u32> {
    let mut offsets = vec![0; nodes + 1];
    for &end in ends {
        offsets[end as usize + 1] += 1;
    }
    for n in 0..nodes {
        offsets[n + 1] += offsets[n];
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_of_the_list_gives_the_same_graph() {
        let edges = [
            (3, 0, [0, 0, 1]),
            (3, 0, [0, 0, -1]),
            (1, 2, [0; 3]),
            (0, 2, [0; 3]),
        ];
        let build = |order: [usize; 4]| {
            let e = order.map(|i| edges[i]);
            Graph::new(4, &e.map(|e| e.0), &e.map(|e| e.1), &e.map(|e| e.2)).unwrap()
        };
        let (a, b) = (build([0, 1, 2, 3]), build([3, 0, 2, 1]));
        assert_eq!(a.sources(), [3, 3, 0, 1]);
        assert_eq!(a.sources(), b.sources());
        assert_eq!(a.destinations(), b.destinations());
        assert_eq!(a.shifts(), b.shifts());
        assert_eq!(a.shifts()[0], [0, 0, -1]);
        assert_eq!(a.order(), [1, 0, 3, 2]);
        assert_eq!(a.leaving(), [2, 3, 0, 1]);
        assert_eq!(a.leaving_offsets(), [0, 1, 2, 2, 4]);
    }

    #[test]
    fn a_long_list_is_sorted_as_by_comparison() {
        // More edges than one thread checks, many of them equal in part.
        let (nodes, edges) = (97_u32, 200_000_u64);
        let random = |k: u64| (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32;
        let from: Vec<u32> = (0..edges).map(|k| random(k) % nodes).collect();
        let to: Vec<u32> = (0..edges).map(|k| random(k + edges) % nodes).collect();
        let shifts: Vec<Shift> = (0..edges)
            .map(|k| [0, 0, (random(k + 2 * edges) % 5) as i32 - 2])
            .collect();
        let graph = Graph::new(nodes as usize, &from, &to, &shifts).unwrap();
        let mut order: Vec<u32> = (0..edges as u32).collect();
        order.sort_by_key(|&e| (to[e as usize], from[e as usize], shifts[e as usize]));
        assert_eq!(graph.order(), order);
        for (place, &e) in order.iter().enumerate() {
            assert_eq!(graph.sources()[place], from[e as usize]);
            assert_eq!(graph.shifts()[place], shifts[e as usize]);
        }
        let mut leaving: Vec<u32> = (0..edges as u32).collect();
        leaving.sort_by_key(|&e| graph.sources()[e as usize]);
        assert_eq!(graph.leaving(), leaving);

        // Sorted, it is taken as it is.
        let lists = || {
            let list = |list: &[u32]| list.to_vec();
            (list(graph.sources()), list(graph.destinations()))
        };
        let (sources, destinations) = lists();
        let again = Graph::from_sorted(97, sources, destinations, graph.shifts().to_vec()).unwrap();
        assert_eq!(again.sources(), graph.sources());
        assert_eq!(again.offsets(), graph.offsets());
        assert!(
            again
                .order()
                .iter()
                .enumerate()
                .all(|(at, &e)| at == e as usize)
        );
        let (mut sources, destinations) = lists();
        sources[150_000] = 0;
        let refused = Graph::from_sorted(97, sources, destinations, vec![]);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "graph: edge 150000 belongs before the one ahead of it"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(
            Graph::new(2, &[0], &[], &[]),
            Err(GraphError::Lengths { .. })
        ));
        let outside = Graph::new(2, &[0, 1], &[1, 2], &[]);
        assert_eq!(
            outside.unwrap_err().to_string(),
            "graph: edge 1 joins 1 to 2, of 2 nodes"
        );
        assert_eq!(Graph::new(0, &[], &[], &[]).unwrap().nodes(), 0);
    }
}
