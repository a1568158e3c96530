//! The same test as plain inference, under autodiff, and under autodiff with gradient checkpointing.

use burn::tensor::Device;

/// How tensors of a test are tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No autodiff.
    Plain,
    /// Autodiff.
    Autodiff,
    /// Autodiff with gradient checkpointing: cheap operations are recomputed in the backward pass.
    Checkpointing,
}

/// Runs `test` on `device` in every [`Mode`]. Gradients exist in all but [`Mode::Plain`].
pub fn for_each_mode(device: &Device, test: impl Fn(Mode, &Device)) {
    test(Mode::Plain, device);
    test(Mode::Autodiff, &device.clone().autodiff());
    test(
        Mode::Checkpointing,
        &device.clone().autodiff().gradient_checkpointing(),
    );
}
