//! Test hook: outputs of custom kernels start as NaN, so that an element that a kernel fails to
//! write shows up in whatever is compared next.

#[cfg(feature = "testing")]
mod switch {
    use core::sync::atomic::{AtomicBool, Ordering};

    static POISON: AtomicBool = AtomicBool::new(false);

    /// Turns poisoning on or off; returns what it was.
    pub(crate) fn set_poison(on: bool) -> bool {
        POISON.swap(on, Ordering::SeqCst)
    }

    pub(super) fn poisoned() -> bool {
        POISON.load(Ordering::SeqCst)
    }
}

#[cfg(feature = "testing")]
pub(crate) use switch::set_poison;

/// Whether outputs are poisoned: never, outside tests.
#[allow(dead_code, reason = "without a backend there are no outputs")]
pub(super) fn poisoned() -> bool {
    #[cfg(feature = "testing")]
    return switch::poisoned();
    #[cfg(not(feature = "testing"))]
    return false;
}
