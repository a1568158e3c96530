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

    /// Whether a unit has one copy of the first input, of the second, of those that a pair feeds; otherwise it sums over them.
    pub(super) fn one_u(self) -> bool {
        use ConnectionMode::{Uuu, Uvu, UvuTriangle, Uvuv};
        match self.slot {
            Slot::In1 | Slot::Weight => true,
            Slot::In2 => self.equal(),
            Slot::Out => matches!(self.mode, Uvu | Uuu | Uvuv | UvuTriangle),
        }
    }

    pub(super) fn one_v(self) -> bool {
        use ConnectionMode::{UvuTriangle, Uvuv, Uvv};
        match self.slot {
            Slot::In2 | Slot::Weight => true,
            Slot::In1 => false,
            Slot::Out => matches!(self.mode, Uvv | Uvuv | UvuTriangle),
        }
    }

    pub(super) fn one_f(self) -> bool {
        !self.fans() || matches!(self.slot, Slot::Out | Slot::Weight)
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

/// The copies that a unit has; 0 where it sums over them.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
pub(super) struct Copies {
    pub(super) u: usize,
    pub(super) v: usize,
    pub(super) f: usize,
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

/// Copies of the output that a pair feeds.
#[cube]
pub(super) fn fan(path: PathAt, #[comptime] walk: Walk) -> usize {
    if comptime!(walk.fans()) {
        path.m3
    } else {
        1usize.runtime()
    }
}

/// The copies of the unit for copy (for weights, number) `copy` of the slot.
#[cube]
pub(super) fn copies(path: PathAt, copy: usize, #[comptime] walk: Walk) -> Copies {
    let none = 0usize.runtime();
    if comptime!(walk.slot == Slot::Weight) {
        let fan = fan(path, walk);
        let (u, v) = pair(path, copy / fan, walk);
        Copies {
            u,
            v,
            f: copy % fan,
        }
    } else if comptime!(walk.slot != Slot::Out) {
        // Where one of them counts for nothing, it is not read.
        Copies {
            u: copy,
            v: copy,
            f: none,
        }
    } else if comptime!(walk.fans()) {
        Copies {
            u: none,
            v: none,
            f: copy,
        }
    } else if comptime!(walk.one_u() && walk.one_v()) {
        let (u, v) = pair(path, copy, walk);
        Copies { u, v, f: none }
    } else {
        Copies {
            u: copy,
            v: copy,
            f: none,
        }
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
    } else if comptime!(walk.mode == ConnectionMode::Uvu) {
        u
    } else if comptime!(walk.mode == ConnectionMode::Uvv) {
        v
    } else {
        number
    }
}
