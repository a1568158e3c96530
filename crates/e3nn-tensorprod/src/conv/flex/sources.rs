//! Gradients of edges added up over the edges that leave each node.

use core::ops::Range;
use core_tensor::cpu::{Isa, Kernel, Real, RowsMut, for_each_task, threads};

/// Adds row `e − edges.start` of `rows` to row `sources[e]` of `to` for all edges of a batch, those of one source in
/// ascending order: the bits do not depend on how edges are cut into batches.
#[allow(unsafe_code)]
pub(super) fn add_to_sources<T: Real>(
    isa: Isa,
    sources: &[u32],
    edges: Range<usize>,
    rows: &[T],
    to: &RowsMut<'_, T>,
    width: usize,
    first_row: usize,
) {
    let mut keys: Vec<u64> = edges
        .clone()
        .map(|e| u64::from(sources[e]) << 32 | (e - edges.start) as u64)
        .collect();
    keys.sort_unstable();
    let wanted = if threads() == 1 { 1 } else { 4 * threads() };
    // Cut where the source changes.
    let mut cuts = vec![0];
    for part in 1..wanted {
        let mut at = part * keys.len() / wanted;
        while at > 0 && at < keys.len() && keys[at] >> 32 == keys[at - 1] >> 32 {
            at += 1;
        }
        if at > *cuts.last().expect("not empty") && at < keys.len() {
            cuts.push(at);
        }
    }
    cuts.push(keys.len());
    // A source with most of the edges is cut by columns.
    let columns = if threads() == 1 {
        1
    } else {
        width.div_ceil(256).clamp(1, threads())
    };
    for_each_task((cuts.len() - 1) * columns, |task| {
        let (part, column) = (task / columns, task % columns);
        let range = column * width / columns..(column + 1) * width / columns;
        for run in keys[cuts[part]..cuts[part + 1]].chunk_by(|a, b| a >> 32 == b >> 32) {
            let source = (run[0] >> 32) as usize;
            // SAFETY: a source belongs to one part, and parts of its row to one column each.
            let to = unsafe { to.piece(first_row + source, range.clone()) };
            for key in run {
                let from = &rows[(*key & 0xffff_ffff) as usize * width..][range.clone()];
                isa.run(Add { from, to });
            }
        }
    });
}

struct Add<'a, T> {
    from: &'a [T],
    to: &'a mut [T],
}

impl<T: Real> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = *to + from;
        }
    }
}
