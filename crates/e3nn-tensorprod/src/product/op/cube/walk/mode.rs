//! Which copies meet, by the mode.

use crate::product::ConnectionMode;
use crate::product::op::Slot;
use cubecl::prelude::*;

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Walk {
    pub(super) slot: Slot,
    pub(super) mode: ConnectionMode,
    pub(super) weighted: bool,
    /// Whether a row of weights is summed over the rows of the batch that share it.
    pub(super) summed: bool,
}

impl Walk {
    /// Whether a pair of copies feeds all copies of the output.
    pub(super) fn fans(self) -> bool {
        use ConnectionMode::{Uuw, Uvw, UvwTriangle};
        matches!(self.mode, Uvw | Uuw | UvwTriangle)
    }

    /// Whether copies meet their equals alone.
    pub(super) fn equal(self) -> bool {
        matches!(self.mode, ConnectionMode::Uuw | ConnectionMode::Uuu)
    }

    /// Whether pairs `u < v` meet.
    pub(super) fn triangle(self) -> bool {
        matches!(
            self.mode,
            ConnectionMode::UvuTriangle | ConnectionMode::UvwTriangle
        )
    }

    /// Whether a weight is a factor.
    pub(super) fn reads_weights(self) -> bool {
        self.weighted && self.slot != Slot::Weight
    }

    fn is(self, mode: ConnectionMode) -> bool {
        self.mode == mode
    }
}

/// A path as the table has it.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct PathAt {
    pub(super) m1: usize,
    pub(super) m2: usize,
    pub(super) m3: usize,
    pub(super) d1: usize,
    pub(super) d2: usize,
    pub(super) d3: usize,
    pub(super) o1: usize,
    pub(super) o2: usize,
    pub(super) o3: usize,
    pub(super) weight: usize,
    /// Its symbols with the component.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Copies that contribute, and the place of a weight.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Copies {
    pub(super) u0: usize,
    pub(super) u1: usize,
    pub(super) v0: usize,
    pub(super) v1: usize,
    pub(super) f0: usize,
    pub(super) f1: usize,
}

/// The copies of the inputs of pair number `pair`.
#[cube]
fn pair(path: PathAt, pair: usize, #[comptime] walk: Walk) -> (usize, usize) {
    if comptime!(walk.triangle()) {
        let mut u = 0usize.runtime();
        let mut rest = pair;
        while rest >= path.m1 - 1 - u && u + 1 < path.m1 {
            rest -= path.m1 - 1 - u;
            u += 1;
        }
        let v = u + 1 + rest;
        (u, v)
    } else if comptime!(walk.equal()) {
        (pair, pair)
    } else {
        (pair / path.m2, pair % path.m2)
    }
}

/// The copies that contribute to copy (for weights, number) `copy` of the slot.
#[cube]
pub(super) fn copies(path: PathAt, copy: usize, #[comptime] walk: Walk) -> Copies {
    use ConnectionMode::{Uuu, Uvu, UvuTriangle, Uvuv, Uvv};
    let mut u0 = 0usize.runtime();
    let mut u1 = path.m1;
    let mut v0 = 0usize.runtime();
    let mut v1 = path.m2;
    let mut f0 = 0usize.runtime();
    let mut f1 = 1usize.runtime();
    if comptime!(walk.fans()) {
        f1 = path.m3;
    }
    if comptime!(walk.slot == Slot::In1) {
        u0 = copy;
        u1 = copy + 1;
    } else if comptime!(walk.slot == Slot::In2) {
        v0 = copy;
        v1 = copy + 1;
    } else if comptime!(walk.slot == Slot::Weight) {
        let fan = f1;
        let (u, v) = pair(path, copy / fan, walk);
        u0 = u;
        u1 = u + 1;
        v0 = v;
        v1 = v + 1;
        f0 = copy % fan;
        f1 = copy % fan + 1;
    } else if comptime!(walk.fans()) {
        f0 = copy;
        f1 = copy + 1;
    } else if comptime!(walk.is(Uvu) || walk.is(Uuu)) {
        u0 = copy;
        u1 = copy + 1;
    } else if comptime!(walk.is(Uvv)) {
        v0 = copy;
        v1 = copy + 1;
    } else if comptime!(walk.is(Uvuv) || walk.is(UvuTriangle)) {
        let (u, v) = pair(path, copy, walk);
        u0 = u;
        u1 = u + 1;
        v0 = v;
        v1 = v + 1;
    }
    Copies {
        u0,
        u1,
        v0,
        v1,
        f0,
        f1,
    }
}

/// The number of a pair among the pairs.
#[cube]
pub(super) fn number(path: PathAt, u: usize, v: usize, #[comptime] walk: Walk) -> usize {
    if comptime!(walk.triangle()) {
        u * (2 * path.m1 - u - 1) / 2 + v - u - 1
    } else if comptime!(walk.equal()) {
        u
    } else {
        u * path.m2 + v
    }
}

/// The first copy of the output that a pair feeds.
#[cube]
pub(super) fn fed(u: usize, v: usize, number: usize, #[comptime] walk: Walk) -> usize {
    if comptime!(walk.fans()) {
        0usize.runtime()
    } else if comptime!(walk.is(ConnectionMode::Uvu)) {
        u
    } else if comptime!(walk.is(ConnectionMode::Uvv)) {
        v
    } else {
        number
    }
}
