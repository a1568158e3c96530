//! Stores past the caches.

use core::mem::MaybeUninit;

/// Copies `values` into `row`, past the caches where the processor can.
///
/// # Panics
/// If the lengths differ.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) fn copy<T: bytemuck::Pod>(values: &[T], row: &mut [MaybeUninit<T>]) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
        assert_eq!(values.len(), row.len());
        let bytes = size_of_val(values);
        if bytes.is_multiple_of(16) && row.as_ptr().addr().is_multiple_of(16) {
            let (from, to): (*const f32, *mut f32) =
                (values.as_ptr().cast(), row.as_mut_ptr().cast());
            for i in (0..bytes / 4).step_by(4) {
                // SAFETY: both slices have `bytes` bytes, `to` is aligned to 16; SSE is part of x86-64.
                unsafe { _mm_stream_ps(to.add(i), _mm_loadu_ps(from.add(i))) };
            }
            return;
        }
    }
    row.write_copy_of_slice(values);
}

/// Orders stores past the caches before every later store of this thread.
#[allow(unsafe_code)]
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::{copy, fence};
    use core::mem::MaybeUninit;

    #[test]
    fn every_value_arrives_whatever_the_alignment() {
        let values: Vec<f32> = (0..67).map(|x| x as f32).collect();
        for first in 0..5 {
            for len in [0, 1, 4, 16, 60] {
                let mut row = vec![MaybeUninit::new(-1.0_f32); 70];
                copy(&values[..len], &mut row[first..first + len]);
                fence();
                #[allow(unsafe_code)]
                // SAFETY: all were initialised.
                let row: Vec<f32> = row.iter().map(|x| unsafe { x.assume_init() }).collect();
                assert_eq!(row[first..first + len], values[..len]);
                assert!(
                    row[..first]
                        .iter()
                        .chain(&row[first + len..])
                        .all(|&x| x == -1.0)
                );
            }
        }
    }
}
