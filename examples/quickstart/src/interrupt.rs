//! Ctrl-C.

use anyhow::{Context, Result};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C (or the signal to terminate) is a request, the second the end.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            #[allow(clippy::exit, reason = "that is what the second Ctrl-C is for")]
            std::process::exit(crate::INTERRUPTED.into());
        }
        let _ = writeln!(
            std::io::stderr(),
            "\nfinishing this step; once more to quit at once"
        );
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
