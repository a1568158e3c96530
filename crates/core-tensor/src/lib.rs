//! What the model-layer crates of this workspace share, and nothing else.
//!
//! | module | what it is for | feature |
//! |---|---|---|
//! | [`cpu`] | vector math with run-time SIMD dispatch, threads over disjoint rows | – |
//! | [`ext`] | the façade over Burn's extension machinery: write a custom op in few lines | – |
//! | [`testing`] | `assert_close!`, gradient checks, NaN poisoning, proptest strategies | `testing` |
//! | [`resume`] | exact, verified, crash-proof training state on disk | `resume` |
//!
//! Backends are chosen by feature: `flex` (CPU, default), `cuda`, `rocm`, `metal`, `vulkan`, `wgpu`,
//! `webgpu`; each is forwarded to Burn.

pub mod cpu;
pub mod ext;
#[cfg(feature = "resume")]
pub mod resume;
#[cfg(feature = "testing")]
pub mod testing;
