//! Small squares of values, transposed on their way through memory.

use core::mem::MaybeUninit;

/// Side of the squares that [`Square::transpose`] takes.
pub(super) const SIDE: usize = 4;

/// Types whose squares are transposed in registers.
pub(super) trait Square: Copy {
    /// `to[i · to_stride + k] = from[k · from_stride + i]` for `i`, `k` below [`SIDE`].
    ///
    /// # Panics
    /// If a row lies outside.
    fn transpose(from: &[Self], from_stride: usize, to: &mut [MaybeUninit<Self>], to_stride: usize);
}

/// Checks that all rows lie inside.
#[inline(always)]
fn check(from: usize, from_stride: usize, to: usize, to_stride: usize) {
    const LAST: usize = SIDE - 1;
    assert!(from >= LAST * from_stride + SIDE && to >= LAST * to_stride + SIDE);
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod sse {
    use super::{MaybeUninit, SIDE, Square, check};
    use core::arch::x86_64::*;

    impl Square for f32 {
        #[inline(always)]
        fn transpose(
            from: &[f32],
            from_stride: usize,
            to: &mut [MaybeUninit<f32>],
            to_stride: usize,
        ) {
            check(from.len(), from_stride, to.len(), to_stride);
            let (from, to) = (from.as_ptr(), to.as_mut_ptr().cast::<f32>());
            // SAFETY: all rows lie inside, as checked; SSE is part of x86-64.
            unsafe {
                let row = |k: usize| _mm_loadu_ps(from.add(k * from_stride));
                let (mut a, mut b, mut c, mut d) = (row(0), row(1), row(2), row(3));
                _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
                for (i, row) in [a, b, c, d].into_iter().enumerate() {
                    _mm_storeu_ps(to.add(i * to_stride), row);
                }
            }
        }
    }

    impl Square for f64 {
        #[inline(always)]
        fn transpose(
            from: &[f64],
            from_stride: usize,
            to: &mut [MaybeUninit<f64>],
            to_stride: usize,
        ) {
            check(from.len(), from_stride, to.len(), to_stride);
            let (from, to) = (from.as_ptr(), to.as_mut_ptr().cast::<f64>());
            for k in (0..SIDE).step_by(2) {
                for i in (0..SIDE).step_by(2) {
                    // SAFETY: all rows lie inside, as checked; SSE2 is part of x86-64.
                    unsafe {
                        let a = _mm_loadu_pd(from.add(k * from_stride + i));
                        let b = _mm_loadu_pd(from.add((k + 1) * from_stride + i));
                        _mm_storeu_pd(to.add(i * to_stride + k), _mm_unpacklo_pd(a, b));
                        _mm_storeu_pd(to.add((i + 1) * to_stride + k), _mm_unpackhi_pd(a, b));
                    }
                }
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use super::{MaybeUninit, SIDE, Square, check};

    macro_rules! square {
        ($t:ty) => {
            impl Square for $t {
                #[inline(always)]
                fn transpose(
                    from: &[$t],
                    from_stride: usize,
                    to: &mut [MaybeUninit<$t>],
                    to_stride: usize,
                ) {
                    check(from.len(), from_stride, to.len(), to_stride);
                    for i in 0..SIDE {
                        for k in 0..SIDE {
                            to[i * to_stride + k].write(from[k * from_stride + i]);
                        }
                    }
                }
            }
        };
    }
    square!(f32);
    square!(f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_type<T: Square + From<u8> + PartialEq>() {
        let from: Vec<T> = (0..40).map(T::from).collect();
        let mut to = vec![MaybeUninit::new(T::from(99)); 30];
        T::transpose(&from, 9, &mut to, 7);
        for i in 0..SIDE {
            for k in 0..SIDE {
                // SAFETY: all were initialised.
                #[allow(unsafe_code)]
                let got = unsafe { to[i * 7 + k].assume_init() };
                assert!(got == from[k * 9 + i]);
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        check_type::<f32>();
        check_type::<f64>();
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn rows_outside_are_refused() {
        f32::transpose(&[0.0; 30], 9, &mut [MaybeUninit::new(0.0); 30], 7);
    }
}
