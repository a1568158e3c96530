#![doc = include_str!("../README.md")]

#[cfg(feature = "atoms")]
pub mod atoms;
pub mod cpu;
pub mod dual;
pub mod ext;
mod files;
pub mod force;
pub mod graph;
mod modules;
pub mod product;
#[cfg(feature = "resume")]
pub mod resume;
#[cfg(feature = "safetensors")]
pub mod state_dict;
#[cfg(feature = "testing")]
pub mod testing;

pub use files::write_atomic;
pub use modules::{cast_module, seeded};
