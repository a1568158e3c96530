//! What to compute on.

use anyhow::{Result, bail};
use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::DeviceKind;
use clap::ValueEnum;
use std::fmt;

/// A device by the name that the command line has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The CPU.
    Flex,
    /// An NVIDIA GPU.
    Cuda,
    /// Whatever GPU the system's graphics interface offers.
    Wgpu,
    /// The same, through Vulkan.
    Vulkan,
    /// An Apple GPU.
    Metal,
    /// An AMD GPU.
    Rocm,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flex => "flex",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Rocm => "rocm",
        })
    }
}

impl DeviceName {
    /// The device, made sure to be there.
    pub(crate) fn open(self) -> Result<Device> {
        match self.device() {
            Some(device) if self == Self::Flex => Ok(device),
            Some(device) => probe(self, device),
            None => bail!(
                "this build has no device `{self}`: use `cargo run --release --features {self}`"
            ),
        }
    }

    /// The device, if this build has it.
    fn device(self) -> Option<Device> {
        match self {
            Self::Flex => Some(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(Device::cuda(0)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(Device::wgpu(DeviceKind::DefaultDevice)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(Device::vulkan(DeviceKind::DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => Some(Device::metal(DeviceKind::DefaultDevice)),
            #[cfg(feature = "rocm")]
            Self::Rocm => Some(Device::rocm(0)),
            #[allow(unreachable_patterns, reason = "with every feature on, none is left")]
            _ => None,
        }
    }
}

/// A GPU that is not there makes itself known by a panic at first use, so that is provoked here.
fn probe(name: DeviceName, device: Device) -> Result<Device> {
    use burn::tensor::Tensor;
    use std::panic::{catch_unwind, set_hook, take_hook};
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let first = device.clone();
    let used = catch_unwind(move || Tensor::<1>::zeros([1], &first).into_data());
    set_hook(hook);
    match used {
        Ok(_) => Ok(device),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied());
            bail!(
                "cannot use device `{name}`: {}",
                why.unwrap_or("it failed at first use")
            )
        }
    }
}
