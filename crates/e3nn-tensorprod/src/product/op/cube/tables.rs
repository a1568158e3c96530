//! What the kernels look up.

use super::super::Slot;
use super::walk::{COLUMN, PATH};
use crate::product::Path;

/// Where the parts of the table of [`walk_tables`] begin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layout {
    /// Columns reached.
    pub(super) reached: usize,
    pub(super) list: usize,
    pub(super) paths: usize,
    pub(super) starts: usize,
    pub(super) entries: usize,
    /// Of [`matrix_tables`]: whether every component has one symbol.
    pub(super) single: bool,
}

/// Columns of the result that a group of paths reaches, the paths and their symbols, one part after the other:
///
/// - for every column reached: which it is, where its paths begin in the list, how many they are, the copy within its
///   block (for weights the number within the path), the component;
/// - the list of paths;
/// - for every path: multiplicities, components, offsets, first weight, first of its starts;
/// - for every path and every component of the slot (for weights, once), where its symbols start;
/// - the components `i | j << 8 | k << 16` of every symbol.
///
/// Then the values of the symbols.
pub(super) fn walk_tables(paths: &[&Path], slot: Slot) -> (Vec<u32>, Vec<f64>, Layout) {
    let (mut columns, mut list) = (Vec::new(), Vec::new());
    let (mut records, mut starts) = (Vec::new(), Vec::new());
    let (mut entries, mut numbers) = (Vec::new(), Vec::new());
    // Blocks of the slot that paths reach: offset, copies or weights, components.
    let reaches = |path: &Path| match slot {
        Slot::Weight => (path.weights.start, path.weights.len(), 1),
        _ => {
            let s = input(slot);
            (path.offset[s], path.mul[s], path.dims()[s])
        }
    };
    let mut done = Vec::new();
    for path in paths {
        let block = reaches(path);
        if done.contains(&block) {
            continue;
        }
        done.push(block);
        let first = list.len();
        list.extend((0..paths.len()).filter(|&n| reaches(paths[n]) == block));
        let (offset, copies, components) = block;
        for n in 0..copies * components {
            let (copy, component) = (n / components, n % components);
            columns.extend([offset + n, first, list.len() - first, copy, component]);
        }
    }
    for path in paths {
        records.extend([path.mul, path.dims(), path.offset].into_iter().flatten());
        records.extend([path.weights.start, starts.len()]);
        let (own, symbols, values) = by_component(path, slot);
        starts.extend(own.into_iter().map(|start| start + entries.len()));
        entries.extend(symbols);
        numbers.extend(values);
    }
    debug_assert_eq!(records.len(), PATH * paths.len());
    let reached = columns.len() / COLUMN;
    let mut whole = columns;
    let mut part = |numbers: Vec<usize>| {
        let at = whole.len();
        whole.extend(numbers);
        at
    };
    let (list, paths, starts, entries) = (part(list), part(records), part(starts), part(entries));
    let layout = Layout {
        reached,
        list,
        paths,
        starts,
        entries,
        single: false,
    };
    (whole.into_iter().map(small).collect(), numbers, layout)
}

/// Which of the blocks of a path belongs to a slot; weights go by the output.
pub(super) fn input(slot: Slot) -> usize {
    match slot {
        Slot::In1 => 0,
        Slot::In2 => 1,
        Slot::Weight | Slot::Out => 2,
    }
}

/// The symbols of a path by component of the slot (for weights, in one go): where those of each begin, components packed,
/// values.
fn by_component(path: &Path, slot: Slot) -> (Vec<usize>, Vec<usize>, Vec<f64>) {
    let s = input(slot);
    let component = |ijk: &[usize; 3]| if slot == Slot::Weight { 0 } else { ijk[s] };
    let buckets = if slot == Slot::Weight {
        1
    } else {
        path.dims()[s]
    };
    sorted(path, buckets, component)
}

/// The symbols of a path for its matrix form: by component of the slot, for weights by that of the output. Starts, then
/// entries, in one table.
pub(super) fn matrix_tables(path: &Path, slot: Slot) -> (Vec<u32>, Vec<f64>, Layout) {
    let s = input(slot);
    let (starts, entries, values) = sorted(path, path.dims()[s], |ijk| ijk[s]);
    let layout = Layout {
        single: starts.iter().copied().eq(0..starts.len()),
        ..Layout::default()
    };
    let whole = starts.into_iter().chain(entries).map(small).collect();
    (whole, values, layout)
}

fn sorted(
    path: &Path,
    buckets: usize,
    component: impl Fn(&[usize; 3]) -> usize,
) -> (Vec<usize>, Vec<usize>, Vec<f64>) {
    let mut symbols = symbols(path);
    symbols.sort_by_key(|(ijk, _)| component(ijk));
    let before = |bucket| {
        let earlier = symbols.iter().filter(|(ijk, _)| component(ijk) < bucket);
        earlier.count()
    };
    let starts = (0..=buckets).map(before).collect();
    let packed = symbols.iter().map(|&([i, j, k], _)| {
        assert!(i.max(j).max(k) < 256, "tensor product: degree above 127");
        i | j << 8 | k << 16
    });
    let values = symbols.iter().map(|&(_, value)| value).collect();
    (starts, packed.collect(), values)
}

fn symbols(path: &Path) -> Vec<([usize; 3], f64)> {
    let table = &path.tables[0];
    let pairs = 0..table.pairs();
    let entries = pairs.flat_map(|p| {
        let these = table.starts[p] as usize..table.starts[p + 1] as usize;
        these.map(move |e| {
            let ijk = [table.inner[p], table.outer[e], table.out[p]];
            (ijk.map(|x| x as usize), table.values[e])
        })
    });
    entries.collect()
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("tensor product: tables of over 2^32 numbers")
}
