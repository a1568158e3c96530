//! What benches share.

/// Processor time of all threads of this process so far, seconds: what other load on the machine does not change much.
pub(crate) fn processor_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place for the answer.
    #[allow(unsafe_code)]
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(code, 0, "there is a clock of processor time");
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}
