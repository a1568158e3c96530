//! The cells on the GPU. A step is an affine map of the state, `h ← a h + b`, in the linear or
//! (for [`Cell::Log`]) the logarithmic sense; maps compose, which is what the parallel algorithms
//! use. Its gradient is linear in `s = ∂L/∂h`.
//!
//! `log 0`: WGSL can neither write −∞ nor promise to compare it, so inside a kernel everything up to
//! −10³⁰ is `log 0` and held as −10³⁸, and turned into −∞ when a state is written.

use super::super::spec::{Candidate, Cell, Transition};
use core_tensor::ext::cube::math::{log_add_exp, sigmoid_pair, softplus, tangent_h};
use cubecl::prelude::*;

/// What `log 0` is held as: far enough from the threshold that no sum of two leaves it, and
/// finite when doubled.
const LOG_ZERO: f32 = -1e38;
/// What counts as `log 0`.
const LOG_TINY: f32 = -1e30;

/// A logarithm as read or computed: `log 0` in its one form, NaN as it is.
#[cube]
fn settle<F: Float>(x: F) -> F {
    select(x <= F::new(LOG_TINY), F::new(LOG_ZERO), x)
}

/// A state as read from memory.
#[cube]
pub(super) fn read_state<F: Float>(x: F, #[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        settle::<F>(x)
    } else {
        x
    }
}

/// A state as written to memory.
#[cube]
pub(super) fn written_state<F: Float>(x: F, #[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        let none = F::cast_from(f32::reinterpret(0xff80_0000u32));
        select(x <= F::new(LOG_TINY), none, x)
    } else {
        x
    }
}

/// The state that means "nothing yet".
#[cube]
pub(super) fn empty_state<F: Float>(#[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        F::new(LOG_ZERO)
    } else {
        F::new(0.0_f32)
    }
}

/// The `a` of the map that changes nothing; its `b` is the empty state.
#[cube]
pub(super) fn identity<F: Float>(#[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        F::new(0.0_f32)
    } else {
        F::new(1.0_f32)
    }
}

/// The step `h ← a h + b`.
#[cube]
pub(super) fn step<F: Float>(a: F, b: F, h: F, #[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        log_add_exp::<F>(settle::<F>(a + h), b)
    } else {
        fma(a, h, b)
    }
}

/// [`step`] by a map composed of several. Its `a` is a product that may have left the range of a
/// float, which an empty state must not meet.
#[cube]
pub(super) fn leap<F: Float>(a: F, b: F, h: F, #[comptime] cell: Cell) -> F {
    let moved = step::<F>(a, b, h, cell);
    if comptime!(cell == Cell::Log) {
        moved
    } else {
        select(h == F::new(0.0_f32), b, moved)
    }
}

/// The `a` of the map `(a, ·)` after the map `(before, ·)`; the `b` is a [`step`].
#[cube]
pub(super) fn compose<F: Float>(before: F, a: F, #[comptime] cell: Cell) -> F {
    if comptime!(cell == Cell::Log) {
        settle::<F>(a + before)
    } else {
        a * before
    }
}

/// Value and slope of a candidate's activation.
#[cube]
fn activate<F: Float>(v: F, #[comptime] candidate: Candidate) -> (F, F) {
    let one = F::new(1.0_f32);
    if comptime!(candidate == Candidate::Linear) {
        (v, one)
    } else if comptime!(candidate == Candidate::G) {
        let (sigma, complement) = sigmoid_pair::<F>(v);
        // The branch at 0 itself is the linear one. NaN takes the other and stays NaN.
        let linear = v >= F::new(0.0_f32);
        (
            select(linear, v + F::new(0.5_f32), sigma),
            select(linear, one, sigma * complement),
        )
    } else {
        let t = tangent_h::<F>(v);
        (t, fma(t, -t, one))
    }
}

/// `p = σ(f) / (σ(f) + σ(i))` and `1 − p`. As `σ(f)/σ(i) = e^u` with `u = softplus(−i) − softplus(−f)`,
/// `p = σ(u)`: finite even where both gates underflow.
#[cube]
fn shares<F: Float>(f: F, i: F) -> (F, F) {
    sigmoid_pair::<F>(softplus::<F>(-i) - softplus::<F>(-f))
}

/// The map `(a, b)` of one step, from its planes.
#[cube]
pub(super) fn coefficients<F: Float>(p: F, q: F, r: F, #[comptime] cell: Cell) -> (F, F) {
    match comptime!(cell) {
        Cell::Linear => (p, q),
        Cell::Log => (settle::<F>(p), settle::<F>(q)),
        Cell::MinGru {
            candidate,
            transition,
        } => {
            let (z, keep) = sigmoid_pair::<F>(p);
            let (c, _) = activate::<F>(q, candidate);
            let a = forget::<F>(keep, r, transition);
            (a, z * c)
        }
        Cell::MinLstm {
            candidate,
            normalized,
        } => {
            let (c, _) = activate::<F>(r, candidate);
            if comptime!(normalized) {
                let (keep, take) = shares::<F>(p, q);
                (keep, take * c)
            } else {
                let (keep, _) = sigmoid_pair::<F>(p);
                let (take, _) = sigmoid_pair::<F>(q);
                (keep, take * c)
            }
        }
    }
}

/// The forget factor of a minGRU.
#[cube]
fn forget<F: Float>(keep: F, r: F, #[comptime] transition: Transition) -> F {
    if comptime!(transition == Transition::Positive) {
        keep
    } else if comptime!(transition == Transition::Signed) {
        tangent_h::<F>(r)
    } else {
        keep * tangent_h::<F>(r)
    }
}

/// The derivatives of the state after a step by the planes and by the state before it: gradients
/// are these times `s`.
#[cube]
pub(super) fn slopes<F: Float>(
    p: F,
    q: F,
    r: F,
    before: F,
    #[comptime] cell: Cell,
) -> (F, F, F, F) {
    let none = F::new(0.0_f32);
    match comptime!(cell) {
        Cell::Linear => (before, F::new(1.0_f32), none, p),
        Cell::Log => {
            // Shares of the two terms in the sum; where the sum is 0, both are none.
            let kept = settle::<F>(settle::<F>(p) + before);
            let new = settle::<F>(q);
            let (share_kept, share_new) = sigmoid_pair::<F>(kept - new);
            let tiny = F::new(LOG_TINY);
            let share_kept = select(kept <= tiny, none, share_kept);
            let share_new = select(new <= tiny, none, share_new);
            (share_kept, share_new, none, share_kept)
        }
        Cell::MinGru {
            candidate,
            transition,
        } => {
            let (z, keep) = sigmoid_pair::<F>(p);
            let (c, slope) = activate::<F>(q, candidate);
            if comptime!(transition == Transition::Positive) {
                (z * keep * (c - before), z * slope, none, keep)
            } else {
                let a = tangent_h::<F>(r);
                let bend = before * fma(a, -a, F::new(1.0_f32));
                if comptime!(transition == Transition::Signed) {
                    (z * keep * c, z * slope, bend, a)
                } else {
                    (
                        z * keep * (c - a * before),
                        z * slope,
                        keep * bend,
                        keep * a,
                    )
                }
            }
        }
        Cell::MinLstm {
            candidate,
            normalized,
        } => {
            let (c, slope) = activate::<F>(r, candidate);
            let (forget, f_rest) = sigmoid_pair::<F>(p);
            let (input, i_rest) = sigmoid_pair::<F>(q);
            if comptime!(normalized) {
                let (keep, take) = shares::<F>(p, q);
                // ∂u/∂f = σ(−f), ∂u/∂i = −σ(−i).
                let du = (before - c) * keep * take;
                (du * f_rest, -(du * i_rest), take * slope, keep)
            } else {
                (
                    forget * before * f_rest,
                    input * c * i_rest,
                    input * slope,
                    forget,
                )
            }
        }
    }
}
