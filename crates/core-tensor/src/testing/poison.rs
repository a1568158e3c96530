//! See [`poison_outputs`].

use crate::ext::set_poison;

/// While the returned guard lives, outputs of this workspace's custom kernels start as NaN instead
/// of zero or whatever the allocator left, so that an element that a kernel does not write is seen
/// by the comparison that follows. For the whole process: turn it on for whole test programs, or run
/// such tests on one thread.
#[must_use = "poisoning ends when the guard is dropped"]
pub fn poison_outputs() -> PoisonGuard {
    PoisonGuard {
        before: set_poison(true),
    }
}

/// Ends [`poison_outputs`] when dropped.
#[derive(Debug)]
pub struct PoisonGuard {
    before: bool,
}

impl Drop for PoisonGuard {
    fn drop(&mut self) {
        set_poison(self.before);
    }
}
