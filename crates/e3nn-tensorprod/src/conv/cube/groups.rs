//! Paths as straight-line code: which kernel computes which of them.

use super::super::spec::{Path, Paths, Place};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, Range};
use std::hash::DefaultHasher;
use std::sync::{Arc, OnceLock};

/// Multiply-adds that a kernel unrolls for an edge, about: what compiles in a fraction of a second.
const UNROLLED: usize = 800;
/// Values of the output of a channel that a kernel keeps in registers, tangents included: their sums, without and with
/// tangents, or, beside more of other values, their cotangents.
const SUMS: [usize; 2] = [56, 80];
const COTANGENTS: [usize; 2] = [72, 72];

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
    /// Slots of the output.
    pub(super) outputs: Vec<usize>,
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

/// A group as a constant of a kernel: compared and hashed at every launch, hence by what was hashed once.
#[derive(Clone)]
pub(super) struct Unrolled {
    group: Arc<Group>,
    /// The same in every process, since compiled kernels are kept on disk.
    digest: [u64; 2],
}

impl Unrolled {
    fn new(group: Group) -> Self {
        let digest = [0_u8, 1].map(|salt| {
            let mut hasher = DefaultHasher::new();
            (salt, &group).hash(&mut hasher);
            hasher.finish()
        });
        Self {
            group: Arc::new(group),
            digest,
        }
    }
}

impl Deref for Unrolled {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

impl PartialEq for Unrolled {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group, &other.group)
            || self.digest == other.digest && self.group == other.group
    }
}

impl Eq for Unrolled {}

impl Hash for Unrolled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Unrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(f)
    }
}

/// The kernels of a convolution, found at its first call: by what, and with tangents or not.
#[derive(Default)]
pub(in crate::conv) struct Kernels([[OnceLock<Vec<Unrolled>>; 2]; 2]);

/// They follow from the paths that they are kept beside.
impl PartialEq for Kernels {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernels")
    }
}

/// The kernels of a convolution in the order in which they run.
pub(super) fn groups(paths: &Paths, by: By, parts: usize) -> &[Unrolled] {
    let Kernels(all) = paths.kernels();
    all[usize::from(by == By::Input)][parts - 1].get_or_init(|| build(paths, by, parts))
}

fn build(paths: &Paths, by: By, parts: usize) -> Vec<Unrolled> {
    let mut list: Vec<&Path> = paths.compiled().iter().filter(|p| p.channels > 0).collect();
    list.sort_by_key(|path| {
        let place = match by {
            By::Output => path.outer[1],
            By::Input => path.outer[0],
        };
        (path.channels, place.first)
    });
    let held = match by {
        By::Output => SUMS,
        By::Input => COTANGENTS,
    };
    let most = held[parts - 1] / parts;
    let mut all = Builder::default();
    for same in list.chunk_by(|a, b| a.channels == b.channels) {
        // As many kernels as it takes, about equal.
        let sizes = || same.iter().map(|path| path.dims[2]);
        let total: usize = sizes().sum();
        let share = total.div_ceil(total.div_ceil(most).max(1));
        all.registers = most.min(share + sizes().max().unwrap_or(0).saturating_sub(1));
        all.add_all(same);
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
    done: Vec<Unrolled>,
    open: Option<Group>,
    cost: usize,
    /// Components of the output that a kernel holds.
    registers: usize,
    /// Components that kernels so far write to.
    outputs: Vec<usize>,
    features: Vec<usize>,
    harmonics: Vec<usize>,
}

impl Builder {
    /// Up to which component the open group takes a path from component `first` on; all of it, or, where a path alone is
    /// too much, a part.
    fn room(&self, path: &Path, first: usize) -> usize {
        let (used, held) = match &self.open {
            Some(group) if group.channels != path.channels => return first,
            Some(group) => (self.cost, group.out.len()),
            None => (0, 0),
        };
        let fits = |end: usize| {
            used + cost(path, first..end) <= UNROLLED && held + end - first <= self.registers
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

    fn add_all(&mut self, paths: &[&Path]) {
        for path in paths {
            let mut c = 0;
            while c < path.dims[2] {
                let end = self.room(path, c);
                if end > c {
                    self.add(path, c..end);
                    c = end;
                } else {
                    self.close();
                }
            }
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
            outputs: c_slots,
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
        self.done.push(Unrolled::new(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{ConvPath, ConvolutionConfig};
    use crate::{Irreps, Layout};

    fn paths(x: &str, y: &str, targets: &str) -> Paths {
        let [x, y, targets] = [x, y, targets].map(|text| text.parse().unwrap());
        let conv = ConvolutionConfig::new(x, y, targets).init().unwrap();
        conv.paths().clone()
    }

    /// Terms `(columns of features, harmonics, output; weight; bits)` of all kernels, or of the paths.
    type Terms = Vec<(usize, usize, usize, usize, u64)>;

    fn of_groups(groups: &[Unrolled]) -> Terms {
        let mut all = Vec::new();
        for group in groups {
            for piece in &group.pieces {
                for component in &piece.components {
                    for pair in &component.pairs {
                        for &(b, bits) in &pair.terms {
                            let (x, z) = (group.x[component.a], group.out[pair.c]);
                            all.push((x.column, group.y[b].0, z.column, piece.weight, bits));
                        }
                    }
                }
            }
        }
        all.sort_unstable();
        all
    }

    fn of_paths(paths: &Paths) -> Terms {
        let mut all = Vec::new();
        for path in paths.compiled() {
            let at = |place: Place, component: usize| place.first + component * place.component;
            for t in &path.terms {
                let (x, z) = (at(path.outer[0], t.a), at(path.outer[1], t.c));
                all.push((x, path.harmonic + t.b, z, path.weight, t.value.to_bits()));
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn kernels_hold_every_term_once() {
        let mace = paths("128x0e+128x1o+128x2e", "0e+1o+2e+3o", "0e+1o+2e+3o");
        let all = "0e+1o+2e+3o+4e+5o+6e+7o+8e";
        let high = paths("5x4e+3x3o+2x0e+2x8e", "0e+1o+2e+3o+4e+8e", all);
        for (paths, by, parts, expected) in [
            (&mace, By::Output, 1, 2),
            (&mace, By::Input, 1, 1),
            (&mace, By::Output, 2, 2),
            (&high, By::Output, 1, 20),
            (&high, By::Input, 2, 20),
        ] {
            let groups = groups(paths, by, parts);
            assert!(groups.len() <= expected, "{} kernels", groups.len());
            assert_eq!(of_groups(groups), of_paths(paths));
            for group in groups {
                assert!(group.out.len() * parts <= SUMS[1]);
            }
            // What is written first is not added to, and the rest is.
            for slots in [|g: &Group| g.x.clone(), |g: &Group| g.out.clone()] {
                let mut seen = std::collections::HashSet::new();
                for group in groups {
                    let slots = slots(group);
                    assert!(slots.iter().all(|s| s.adds == seen.contains(&s.column)));
                    seen.extend(slots.iter().map(|s| s.column));
                }
            }
        }
    }

    #[test]
    fn paths_to_one_block_are_together() {
        let [x, y, z] = ["3x1o", "1o", "3x1e"].map(|text| text.parse::<Irreps>().unwrap());
        let path = ConvPath {
            input: 0,
            harmonic: 0,
            output: 0,
            coefficient: 1.0,
        };
        let paths = Paths::new(&x, &y, &z, &[path, path], Layout::MulIr).unwrap();
        let groups = groups(&paths, By::Output, 1);
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].out.len(), groups[0].pieces.len()), (3, 2));
    }
}
