//! The cells on the CPU: one step and its gradient, for one channel.

use core_tensor::cpu::Real;

/// A recurrence with its pre-activations `p` (planes in the order of [`Cell`](super::spec::Cell)).
pub(crate) trait Step: Send + Sync {
    /// Whether [`Step::gradient`] looks at the state after the step.
    const USES_AFTER: bool = false;

    /// The state after the step.
    fn step<T: Real>(p: [T; 3], before: T) -> T;

    /// With `s = ∂L/∂h` in total: the gradients of the planes, and what flows to the state before.
    fn gradient<T: Real>(p: [T; 3], before: T, after: T, s: T) -> ([T; 3], T);
}

/// A candidate activation with its derivative.
pub(crate) trait Activation: Send + Sync {
    fn value<T: Real>(v: T) -> T;
    fn value_and_slope<T: Real>(v: T) -> (T, T);
}

pub(crate) struct Identity;
pub(crate) struct PaperG;
pub(crate) struct Tanh;

impl Activation for Identity {
    #[inline(always)]
    fn value<T: Real>(v: T) -> T {
        v
    }
    #[inline(always)]
    fn value_and_slope<T: Real>(v: T) -> (T, T) {
        (v, T::ONE)
    }
}

impl Activation for PaperG {
    #[inline(always)]
    fn value<T: Real>(v: T) -> T {
        Self::value_and_slope(v).0
    }
    #[inline(always)]
    fn value_and_slope<T: Real>(v: T) -> (T, T) {
        let (sigma, complement) = v.sigmoid_pair();
        // The branch at 0 itself is the linear one. NaN takes the other and stays NaN.
        if v >= T::ZERO {
            (v + T::HALF, T::ONE)
        } else {
            (sigma, sigma * complement)
        }
    }
}

impl Activation for Tanh {
    #[inline(always)]
    fn value<T: Real>(v: T) -> T {
        v.tangent_h()
    }
    #[inline(always)]
    fn value_and_slope<T: Real>(v: T) -> (T, T) {
        let t = v.tangent_h();
        (t, t.fma(-t, T::ONE))
    }
}

/// `h ← a h + b`.
pub(crate) struct Linear;

impl Step for Linear {
    #[inline(always)]
    fn step<T: Real>([a, b, _]: [T; 3], before: T) -> T {
        a.fma(before, b)
    }
    #[inline(always)]
    fn gradient<T: Real>([a, _, _]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        ([s * before, s, T::ZERO], s * a)
    }
}

/// `l ← log(e^{p₀ + l} + e^{p₁})`.
pub(crate) struct Log;

impl Step for Log {
    const USES_AFTER: bool = true;

    #[inline(always)]
    fn step<T: Real>([a, b, _]: [T; 3], before: T) -> T {
        (a + before).log_add_exp(b)
    }
    #[inline(always)]
    fn gradient<T: Real>([a, b, _]: [T; 3], before: T, after: T, s: T) -> ([T; 3], T) {
        // Shares of the two terms in the sum; where the sum is 0, both are none.
        let none = after == T::NEG_INFINITY;
        let share = |x: T| {
            if none {
                T::ZERO
            } else {
                (x - after).exponential()
            }
        };
        let kept = s * share(a + before);
        ([kept, s * share(b), T::ZERO], kept)
    }
}

/// `h ← (1 − z) h + z c(v)`.
pub(crate) struct MinGru<A>(core::marker::PhantomData<A>);

impl<A: Activation> Step for MinGru<A> {
    #[inline(always)]
    fn step<T: Real>([k, v, _]: [T; 3], before: T) -> T {
        let (z, keep) = k.sigmoid_pair();
        keep.fma(before, z * A::value(v))
    }
    #[inline(always)]
    fn gradient<T: Real>([k, v, _]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        let (z, keep) = k.sigmoid_pair();
        let (c, slope) = A::value_and_slope(v);
        let sz = s * z;
        ([sz * keep * (c - before), sz * slope, T::ZERO], s * keep)
    }
}

/// `h ← tanh(w) h + z c(v)`.
pub(crate) struct Signed<A>(core::marker::PhantomData<A>);

impl<A: Activation> Step for Signed<A> {
    #[inline(always)]
    fn step<T: Real>([k, v, w]: [T; 3], before: T) -> T {
        w.tangent_h().fma(before, k.sigmoid() * A::value(v))
    }
    #[inline(always)]
    fn gradient<T: Real>([k, v, w]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        let (z, rest) = k.sigmoid_pair();
        let (c, slope) = A::value_and_slope(v);
        let (a, bend) = Tanh::value_and_slope(w);
        let sz = s * z;
        ([sz * rest * c, sz * slope, s * before * bend], s * a)
    }
}

/// `h ← (1 − z) tanh(w) h + z c(v)`.
pub(crate) struct SignedCoupled<A>(core::marker::PhantomData<A>);

impl<A: Activation> Step for SignedCoupled<A> {
    #[inline(always)]
    fn step<T: Real>([k, v, w]: [T; 3], before: T) -> T {
        let (z, keep) = k.sigmoid_pair();
        (keep * w.tangent_h()).fma(before, z * A::value(v))
    }
    #[inline(always)]
    fn gradient<T: Real>([k, v, w]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        let (z, keep) = k.sigmoid_pair();
        let (c, slope) = A::value_and_slope(v);
        let (sign, bend) = Tanh::value_and_slope(w);
        let (sz, sk) = (s * z, s * keep);
        let old = sign * before;
        (
            [sz * keep * (c - old), sz * slope, sk * before * bend],
            sk * sign,
        )
    }
}

/// `h ← σ(f) h + σ(i) c(v)`.
pub(crate) struct MinLstm<A>(core::marker::PhantomData<A>);

impl<A: Activation> Step for MinLstm<A> {
    #[inline(always)]
    fn step<T: Real>([f, i, v]: [T; 3], before: T) -> T {
        f.sigmoid().fma(before, i.sigmoid() * A::value(v))
    }
    #[inline(always)]
    fn gradient<T: Real>([f, i, v]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        let (forget, f_rest) = f.sigmoid_pair();
        let (input, i_rest) = i.sigmoid_pair();
        let (c, slope) = A::value_and_slope(v);
        let (sf, si) = (s * forget, s * input);
        ([sf * before * f_rest, si * c * i_rest, si * slope], sf)
    }
}

/// `h ← p h + (1 − p) c(v)` with `p = σ(f) / (σ(f) + σ(i))`.
pub(crate) struct MinLstmNormalized<A>(core::marker::PhantomData<A>);

impl<A> MinLstmNormalized<A> {
    /// `p` and `1 − p`. As `σ(f)/σ(i) = e^u` with `u = softplus(−i) − softplus(−f)`, `p = σ(u)`: finite
    /// even where both gates underflow.
    #[inline(always)]
    fn shares<T: Real>(f: T, i: T) -> (T, T) {
        ((-i).softplus() - (-f).softplus()).sigmoid_pair()
    }
}

impl<A: Activation> Step for MinLstmNormalized<A> {
    #[inline(always)]
    fn step<T: Real>([f, i, v]: [T; 3], before: T) -> T {
        let (p, q) = Self::shares(f, i);
        p.fma(before, q * A::value(v))
    }
    #[inline(always)]
    fn gradient<T: Real>([f, i, v]: [T; 3], before: T, _: T, s: T) -> ([T; 3], T) {
        let (p, q) = Self::shares(f, i);
        let (c, slope) = A::value_and_slope(v);
        // ∂u/∂f = σ(−f), ∂u/∂i = −σ(−i).
        let du = s * (before - c) * p * q;
        let (f_rest, i_rest) = ((-f).sigmoid(), (-i).sigmoid());
        ([du * f_rest, -(du * i_rest), s * q * slope], s * p)
    }
}

/// Calls `$run::<Cell type, …>` for a run-time [`Cell`].
macro_rules! with_cell {
    ($cell:expr, $S:ident => $body:expr) => {{
        use $crate::scan::cell::*;
        use $crate::scan::spec::{Candidate as C, Cell as K, Transition as X};
        macro_rules! run {
            ($t:ty) => {{
                type $S = $t;
                $body
            }};
        }
        match $cell {
            K::Linear => run!(Linear),
            K::Log => run!(Log),
            K::MinGru {
                candidate,
                transition,
            } => match (candidate, transition) {
                (C::Linear, X::Positive) => run!(MinGru<Identity>),
                (C::G, X::Positive) => run!(MinGru<PaperG>),
                (C::Tanh, X::Positive) => run!(MinGru<Tanh>),
                (C::Linear, X::Signed) => run!(Signed<Identity>),
                (C::G, X::Signed) => run!(Signed<PaperG>),
                (C::Tanh, X::Signed) => run!(Signed<Tanh>),
                (C::Linear, X::SignedCoupled) => run!(SignedCoupled<Identity>),
                (C::G, X::SignedCoupled) => run!(SignedCoupled<PaperG>),
                (C::Tanh, X::SignedCoupled) => run!(SignedCoupled<Tanh>),
            },
            K::MinLstm {
                candidate,
                normalized,
            } => match (candidate, normalized) {
                (C::Linear, false) => run!(MinLstm<Identity>),
                (C::G, false) => run!(MinLstm<PaperG>),
                (C::Tanh, false) => run!(MinLstm<Tanh>),
                (C::Linear, true) => run!(MinLstmNormalized<Identity>),
                (C::G, true) => run!(MinLstmNormalized<PaperG>),
                (C::Tanh, true) => run!(MinLstmNormalized<Tanh>),
            },
        }
    }};
}
pub(crate) use with_cell;
