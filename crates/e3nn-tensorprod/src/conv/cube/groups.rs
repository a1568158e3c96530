//! Paths as straight-line code: which kernel computes which of them.

use super::super::spec::{Path, Paths, Place};
use core::ops::Range;
use std::sync::Arc;

/// Multiply-adds that a kernel unrolls for an edge, about: what compiles in a fraction of a second.
const UNROLLED: usize = 800;
/// Values of the output of a channel that a kernel keeps in registers, tangents included.
const REGISTERS: usize = 80;

/// Where a component of some channels lies in a row: that of channel `u` at `column + u · apart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) column: usize,
    pub(super) apart: usize,
    /// Whether an earlier kernel has written there what is to be added to.
    pub(super) adds: bool,
}

/// `Σ_b C_abc y_b` for one `a` and `c`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    /// Slot of the output.
    pub(super) c: usize,
    /// Slots of the harmonics, and the bits of the coefficients.
    pub(super) terms: Vec<(usize, u64)>,
}

/// What a component of the features takes part in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Component {
    /// Slot of the features.
    pub(super) a: usize,
    pub(super) pairs: Vec<Pair>,
}

/// A path, or those of its output components that one kernel computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    /// First weight.
    pub(super) weight: usize,
    /// Whether an earlier kernel had other components of the path.
    pub(super) adds: bool,
    pub(super) components: Vec<Component>,
}

/// The paths of a kernel, all with the same number of channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) channels: usize,
    pub(super) x: Vec<Slot>,
    pub(super) out: Vec<Slot>,
    /// Components of the harmonics, and whether an earlier kernel has met them.
    pub(super) y: Vec<(usize, bool)>,
    pub(super) pieces: Vec<Piece>,
}

/// By what paths are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// By blocks of the output, whose sums kernels keep.
    Output,
    /// By blocks of the features, whose gradients kernels keep.
    Input,
}

/// The kernels of a convolution in the order in which they run.
pub(super) fn groups(paths: &Paths, by: By, parts: usize) -> Vec<Arc<Group>> {
    let mut list: Vec<&Path> = paths.compiled().iter().filter(|p| p.channels > 0).collect();
    list.sort_by_key(|path| {
        let place = match by {
            By::Output => path.outer[1],
            By::Input => path.outer[0],
        };
        (path.channels, place.first)
    });
    let mut all = Builder::default();
    for path in list {
        let mut c = 0;
        while c < path.dims[2] {
            let end = all.room(path, c, parts);
            if end > c {
                all.add(path, c..end);
                c = end;
            } else {
                all.close();
            }
        }
    }
    all.close();
    all.done
}

/// Multiply-adds of some output components of a path.
fn cost(path: &Path, components: Range<usize>) -> usize {
    let here = path.terms.iter().filter(|t| components.contains(&t.c));
    let mut pairs = 0;
    let mut last = None;
    let mut terms = 0;
    for term in here {
        terms += 1;
        if last != Some((term.a, term.c)) {
            pairs += 1;
            last = Some((term.a, term.c));
        }
    }
    terms + pairs
}

#[derive(Default)]
struct Builder {
    done: Vec<Arc<Group>>,
    open: Option<Group>,
    cost: usize,
    /// Components that kernels so far write to.
    outputs: Vec<usize>,
    features: Vec<usize>,
    harmonics: Vec<usize>,
}

impl Builder {
    /// Up to which component the open group takes a path from component `first` on; all of it, or, where a path alone is
    /// too much, a part.
    fn room(&self, path: &Path, first: usize, parts: usize) -> usize {
        let (used, held) = match &self.open {
            Some(group) if group.channels != path.channels => return first,
            Some(group) => (self.cost, group.out.len()),
            None => (0, 0),
        };
        let fits = |end: usize| {
            used + cost(path, first..end) <= UNROLLED && (held + end - first) * parts <= REGISTERS
        };
        let all = path.dims[2];
        if fits(all) {
            all
        } else if self.open.is_some() {
            first
        } else {
            let most = (first + 1..all).take_while(|&end| fits(end)).last();
            most.unwrap_or(first + 1)
        }
    }

    fn add(&mut self, path: &Path, components: Range<usize>) {
        self.cost += cost(path, components.clone());
        let group = self.open.get_or_insert_with(|| Group {
            channels: path.channels,
            x: vec![],
            out: vec![],
            y: vec![],
            pieces: vec![],
        });
        let slot = |slots: &mut Vec<Slot>, seen: &[usize], place: Place, component: usize| {
            let column = place.first + component * place.component;
            let known = slots.iter().position(|s| s.column == column);
            known.unwrap_or_else(|| {
                slots.push(Slot {
                    column,
                    apart: place.channel,
                    adds: seen.contains(&column),
                });
                slots.len() - 1
            })
        };
        let [input, output] = path.outer;
        let c_slots: Vec<usize> = components
            .clone()
            .map(|c| slot(&mut group.out, &self.outputs, output, c))
            .collect();
        let mut list: Vec<Component> = (0..path.dims[0])
            .map(|a| Component {
                a: slot(&mut group.x, &self.features, input, a),
                pairs: vec![],
            })
            .collect();
        // Terms are ordered by (a, c, b).
        for term in path.terms.iter().filter(|t| components.contains(&t.c)) {
            let column = path.harmonic + term.b;
            let known = group.y.iter().position(|y| y.0 == column);
            let b = known.unwrap_or_else(|| {
                group.y.push((column, self.harmonics.contains(&column)));
                group.y.len() - 1
            });
            let c = c_slots[term.c - components.start];
            let pairs = &mut list[term.a].pairs;
            if pairs.last().is_none_or(|pair| pair.c != c) {
                pairs.push(Pair { c, terms: vec![] });
            }
            let pair = pairs.last_mut().expect("just pushed");
            pair.terms.push((b, term.value.to_bits()));
        }
        list.retain(|component| !component.pairs.is_empty());
        group.pieces.push(Piece {
            weight: path.weight,
            adds: components.start > 0,
            components: list,
        });
    }

    fn close(&mut self) {
        let Some(group) = self.open.take() else {
            return;
        };
        self.cost = 0;
        self.outputs
            .extend(group.out.iter().map(|slot| slot.column));
        self.features.extend(group.x.iter().map(|slot| slot.column));
        self.harmonics.extend(group.y.iter().map(|y| y.0));
        self.done.push(Arc::new(group));
    }
}
