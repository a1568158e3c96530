//! The GPU that tests run on.

use burn::tensor::Device;

/// The device of tests of GPU kernels: CUDA, Vulkan or wgpu, the first of them that is a feature.
pub fn gpu_device() -> Device {
    #[cfg(feature = "cuda")]
    return Device::cuda(0);
    #[cfg(all(feature = "vulkan", not(feature = "cuda")))]
    return Device::vulkan(Default::default());
    #[cfg(not(any(feature = "cuda", feature = "vulkan")))]
    return Device::wgpu(Default::default());
}
