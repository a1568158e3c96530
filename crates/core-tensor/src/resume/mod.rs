//! Exact resume: stop training anywhere, start it again, and end with the same bits.
//!
//! A [`CheckpointStore`] keeps training states in a directory. A state is everything that decides
//! what the next steps compute: model, optimiser, learning-rate schedule, step, data cursor, random
//! streams, configuration.
//!
//! ```
//! # use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
//! # use burn::nn::LinearConfig;
//! # use burn::optim::{AdamConfig, GradientsParams};
//! # use burn::tensor::{Device, Distribution, Tensor};
//! # use core_tensor::resume::{CheckpointStore, RngStream, TrainState};
//! # use core_tensor::resume::rand::Rng;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let run_dir = dir.path().join("run");
//! # let device = Device::default().autodiff();
//! # let mut model = LinearConfig::new(4, 1).init(&device);
//! # let mut optim = AdamConfig::new().init();
//! # let mut schedule = LinearLrSchedulerConfig::new(1e-2, 1e-3, 20).init()?;
//! # let config = ();
//! let store = CheckpointStore::open(&run_dir)?.keep(3);
//! let mut state = TrainState::new(42).with_config(&config)?;
//! if let Some(saved) = store.latest()? {
//!     saved.expect_config(&config)?;
//!     model = saved.load_module("model", model)?;
//!     optim = saved.load_optimizer("optim", optim)?;
//!     schedule = saved.load_scheduler("schedule", schedule)?;
//!     state = saved.state;
//! }
//! while state.step < 20 {
//!     let mut rng = RngStream::new(state.seed, "batch", state.step);
//!     // ... one training step, all randomness drawn from `rng` ...
//! #   let x = Tensor::<2>::full([8, 4], rng.random::<f32>(), &device);
//! #   let grads = GradientsParams::from_grads(model.forward(x).mean().backward(), &model);
//! #   model = optim.step(schedule.step(), model, grads);
//!     state.step += 1;
//!     if state.step % 5 == 0 {
//!         store.save(&state, |w| {
//!             w.module("model", &model)?;
//!             w.optimizer("optim", &optim)?;
//!             w.scheduler("schedule", &schedule)
//!         })?;
//!     }
//! }
//! # assert_eq!(store.latest()?.map(|saved| saved.state.step), Some(20));
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//!
//! ```text
//! run/
//!   step-000000123/
//!     model.bpk optim.bpk schedule.bpk    Burn records
//!     state.json                          step, epoch, cursor, seed, streams, configuration and its digest
//!     MANIFEST.json                       size and SHA-256 of every other file; written last
//!   step-000000118/                       the state before; the newest two are kept, or more
//!   .lock                                 held by the one store that may save
//! ```
//!
//! A state is written into a directory with a temporary name. Every file is synced, then the
//! directory, then the directory gets its final name, then the parent is synced. A crash, a kill or a
//! full disk at any moment leaves the states that were there, and either all of the new one or nothing
//! that could be taken for one. Leftovers are removed at the next save.
//!
//! [`latest`](CheckpointStore::latest) takes the newest directory whose files all have the size and
//! digest of the manifest, otherwise the one before, and says which it rejected and why. Nothing that
//! is read is trusted: sizes are checked against the real file before memory is asked for, names that
//! would leave the directory, links and special files are refused, nesting is bounded.
//! A digest detects damage, not malice: who can rewrite a file can rewrite the manifest too. Even so, a
//! forged record is an error and not a panic.
//!
//! # What must be yours
//!
//! Bits come back the same if the step computes the same: same machine and device, same features of
//! the build, and no randomness from outside. Draw it from an [`RngStream`] made from the step, and
//! seed the device from one if you use Burn's own (`Dropout`, `Tensor::random`); on a GPU, autotuning
//! may choose another kernel after a restart. Gradients accumulated but not yet applied are not saved.
//!
//! # Dtypes
//!
//! Modules come back in the dtype they were saved in, bit for bit, whatever that is. Optimiser state is
//! loaded by Burn 0.22 in the default float dtype of the default device: with f64 or bf16 parameters on
//! a device that defaults to f32, Adam's moments would come back rounded, and the next step would fail
//! or drift. [`StateWriter::optimizer`] refuses to save such a state. The remedy is one line before the
//! first tensor is made:
//!
//! ```no_run
//! # use burn::tensor::{Device, FloatDType, IntDType};
//! Device::default().configure((FloatDType::F64, IntDType::I64))?;
//! # Ok::<(), burn::tensor::DeviceError>(())
//! ```

mod disk;
mod error;
#[cfg(test)]
mod faults;
mod layout;
mod manifest;
mod records;
mod rng;
mod saved;
mod scratch;
mod state;
mod store;
mod writer;

pub use error::{Rejected, ResumeError};
pub use layout::EntryKind;
pub use rng::{RngState, RngStream};
pub use saved::Saved;
pub use state::TrainState;
pub use store::CheckpointStore;
pub use writer::StateWriter;

/// The crate whose traits [`RngStream`] implements.
pub use rand;
