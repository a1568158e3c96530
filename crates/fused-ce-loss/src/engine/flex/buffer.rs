//! Scratch memory that the call's [`Monitor`] knows of.

use crate::plan::{Held, Monitor};

/// A buffer that grows on demand.
pub(super) struct Buffer<T> {
    data: Vec<T>,
    held: Held,
}

impl<T: bytemuck::Pod> Buffer<T> {
    /// An empty one.
    pub(super) fn new(monitor: &Monitor) -> Self {
        Self {
            data: Vec::new(),
            held: monitor.hold(0),
        }
    }

    /// One of `len` zeros.
    pub(super) fn zeros(monitor: &Monitor, len: usize) -> Self {
        let mut buffer = Self::new(monitor);
        buffer.sized(len);
        buffer
    }

    /// Its first `len` values: zeros, or what was last written there.
    pub(super) fn sized(&mut self, len: usize) -> &mut [T] {
        if len > self.data.len() {
            // Exactly: `resize` would round the capacity up.
            self.data.reserve_exact(len - self.data.len());
            self.data.resize(len, T::zeroed());
            self.held.grow(len * size_of::<T>());
        }
        &mut self.data[..len]
    }
}
