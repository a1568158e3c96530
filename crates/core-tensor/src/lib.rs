#![doc = include_str!("../README.md")]

pub mod cpu;
pub mod ext;
#[cfg(feature = "resume")]
pub mod resume;
#[cfg(feature = "testing")]
pub mod testing;
