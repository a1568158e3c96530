//! Structures, files and neighbour lists.

#![cfg(feature = "atoms")]
#![allow(missing_debug_implementations, unreachable_pub)]

mod common;
mod data;
mod extxyz;
mod hostile;
mod lists;
mod oracle;
mod tensor;
mod verlet;
