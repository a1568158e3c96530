//! [`Transpose`](super::Transpose) with 256-bit registers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

/// Asks for the memory of `height` rows that will be written next; it need not be there.
///
/// Rows are written side by side, a piece of each at a time, which the processor does not foresee by itself.
#[inline(never)]
#[target_feature(enable = "avx")]
fn prefetch<T>(rows: *const T, [height, width]: [usize; 2], stride: usize) {
    const LINE: usize = 64;
    let lines = |start: *const T, len: usize| {
        for at in (0..len * size_of::<T>()).step_by(LINE) {
            _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>().wrapping_add(at));
        }
    };
    if stride == width {
        lines(rows, height * width);
    } else {
        (0..height).for_each(|i| lines(rows.wrapping_add(i * stride), width));
    }
}

/// `to[i][k] = from[k][i]` for `k < rows`, `i < columns`, one by one.
///
/// # Safety
/// The values may be read and written.
#[inline(never)]
unsafe fn thin<T: Copy>(
    [rows, columns]: [usize; 2],
    (from, from_stride): (*const T, usize),
    (to, to_stride): (*mut T, usize),
) {
    for i in 0..columns {
        for k in 0..rows {
            // SAFETY: by the caller's promise.
            unsafe { *to.add(i * to_stride + k) = *from.add(k * from_stride + i) };
        }
    }
}

/// f32, in squares of 8.
pub(super) mod single {
    use super::*;

    /// # Safety
    /// `W` rows of `count` values, `stride` apart, may be written at `to`; `count` times `W` read at `from`.
    #[target_feature(enable = "avx")]
    pub(in super::super) unsafe fn scatter<const W: usize>(
        from: *const f32,
        count: usize,
        to: *mut f32,
        stride: usize,
    ) {
        for i in (0..W).step_by(8) {
            let rows = to.wrapping_add(i * stride);
            prefetch(rows.wrapping_add(8 * stride), [8, count], stride);
            let (from, rest) = (from.wrapping_add(i), count % 8);
            // SAFETY: rows `i..i + 8` of 8 or 4 columns that are there.
            unsafe {
                let square = |k: usize| square(from.add(k * W), W, rows.add(k), stride);
                for k in (0..count - rest).step_by(8) {
                    square(k);
                }
                let strip = |k: usize| strip(from.add(k * W), W, rows.add(k), stride);
                if rest > 4 && count >= 8 {
                    square(count - 8);
                } else if rest > 0 && count >= 4 {
                    if count < 8 {
                        strip(0);
                    }
                    if count > 4 {
                        strip(count - 4);
                    }
                } else if rest > 0 {
                    thin([rest, 8], (from, W), (rows, stride));
                }
            }
        }
    }

    /// # Safety
    /// `W` rows of `count` values, `stride` apart, may be read at `from`; `count` times `W` written at `to`.
    #[target_feature(enable = "avx")]
    pub(in super::super) unsafe fn gather<const W: usize>(
        from: *const f32,
        stride: usize,
        to: *mut f32,
        count: usize,
    ) {
        for i in (0..W).step_by(8) {
            let (rows, to) = (from.wrapping_add(i * stride), to.wrapping_add(i));
            let whole = count / 8 * 8;
            // SAFETY: rows `i..i + 8` of 8 columns that are there.
            unsafe {
                for k in (0..whole).step_by(8) {
                    square(rows.add(k), stride, to.add(k * W), W);
                }
                if count > whole && count >= 8 {
                    square(rows.add(count - 8), stride, to.add((count - 8) * W), W);
                } else {
                    thin(
                        [8, count - whole],
                        (rows.add(whole), stride),
                        (to.add(whole * W), W),
                    );
                }
            }
        }
    }

    /// `to[i][k] = from[k][i]` for 8 and 8.
    #[inline]
    #[target_feature(enable = "avx")]
    unsafe fn square(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            // Halves of rows k and k + 4 side by side: what crosses halves is done by loads.
            let pair = |k: usize, half: usize| {
                let at = from.add(k * from_stride + 4 * half);
                let low = _mm256_castps128_ps256(_mm_loadu_ps(at));
                _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(at.add(4 * from_stride)))
            };
            for half in 0..2 {
                let rows = columns([pair(0, half), pair(1, half), pair(2, half), pair(3, half)]);
                for (i, row) in rows.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((4 * half + i) * to_stride), row);
                }
            }
        }
    }

    /// `to[i][k] = from[k][i]` for 4 `k` and 8 `i`.
    #[inline]
    #[target_feature(enable = "avx")]
    unsafe fn strip(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            let row = |k: usize| _mm256_loadu_ps(from.add(k * from_stride));
            for (i, pair) in columns([row(0), row(1), row(2), row(3)])
                .into_iter()
                .enumerate()
            {
                _mm_storeu_ps(to.add(i * to_stride), _mm256_castps256_ps128(pair));
                _mm_storeu_ps(
                    to.add((i + 4) * to_stride),
                    _mm256_extractf128_ps::<1>(pair),
                );
            }
        }
    }

    /// Either half transposed by itself.
    #[inline]
    #[target_feature(enable = "avx")]
    fn columns([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ba, dc) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ba, dc),
            _mm256_shuffle_ps::<0xee>(ba, dc),
        ]
    }

    #[target_feature(enable = "avx")]
    pub(in super::super) fn apart(vectors: &[[f32; 3]], [x, y, z]: [&mut [f32]; 3]) {
        let (blocks, rest) = vectors.as_chunks::<8>();
        let [x, y, z] = [x, y, z].map(|axis| &mut axis[..vectors.len()]);
        let (x, x_rest) = x.as_chunks_mut::<8>();
        let (y, y_rest) = y.as_chunks_mut::<8>();
        let (z, z_rest) = z.as_chunks_mut::<8>();
        for (((block, x), y), z) in blocks.iter().zip(x).zip(y).zip(z) {
            let block = block.as_flattened();
            // Four values of points 0 to 3 beside those of points 4 to 7.
            let part = |k: usize| {
                let (low, high) = (&block[k..k + 4], &block[k + 12..k + 16]);
                // SAFETY: four values each.
                unsafe {
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(low.as_ptr()));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(high.as_ptr()))
                }
            };
            // x0 y0 z0 x1, y1 z1 x2 y2, z2 x3 y3 z3.
            let (a, b, c) = (part(0), part(4), part(8));
            // x2 y2 x3 y3, y0 z0 y1 z1.
            let xy = _mm256_shuffle_ps::<0b10_01_11_10>(b, c);
            let yz = _mm256_shuffle_ps::<0b01_00_10_01>(a, b);
            // SAFETY: eight values each.
            unsafe {
                _mm256_storeu_ps(x.as_mut_ptr(), _mm256_shuffle_ps::<0b10_00_11_00>(a, xy));
                _mm256_storeu_ps(y.as_mut_ptr(), _mm256_shuffle_ps::<0b11_01_10_00>(yz, xy));
                _mm256_storeu_ps(z.as_mut_ptr(), _mm256_shuffle_ps::<0b11_00_11_01>(yz, c));
            }
        }
        for (i, &v) in rest.iter().enumerate() {
            [x_rest[i], y_rest[i], z_rest[i]] = v;
        }
    }
}

/// f64, in squares of 4.
pub(super) mod double {
    use super::*;

    /// # Safety
    /// `W` rows of `count` values, `stride` apart, may be written at `to`; `count` times `W` read at `from`.
    #[target_feature(enable = "avx")]
    pub(in super::super) unsafe fn scatter<const W: usize>(
        from: *const f64,
        count: usize,
        to: *mut f64,
        stride: usize,
    ) {
        for i in (0..W).step_by(4) {
            let rows = to.wrapping_add(i * stride);
            prefetch(rows.wrapping_add(4 * stride), [4, count], stride);
            let (from, rest) = (from.wrapping_add(i), count % 4);
            // SAFETY: rows `i..i + 4` of 4 columns that are there.
            unsafe {
                let square = |k: usize| square(from.add(k * W), W, rows.add(k), stride);
                for k in (0..count - rest).step_by(4) {
                    square(k);
                }
                if rest > 0 && count >= 4 {
                    square(count - 4);
                } else if rest > 0 {
                    thin([rest, 4], (from, W), (rows, stride));
                }
            }
        }
    }

    /// # Safety
    /// `W` rows of `count` values, `stride` apart, may be read at `from`; `count` times `W` written at `to`.
    #[target_feature(enable = "avx")]
    pub(in super::super) unsafe fn gather<const W: usize>(
        from: *const f64,
        stride: usize,
        to: *mut f64,
        count: usize,
    ) {
        for i in (0..W).step_by(4) {
            let (rows, to, whole) = (
                from.wrapping_add(i * stride),
                to.wrapping_add(i),
                count / 4 * 4,
            );
            // SAFETY: rows `i..i + 4` of 4 columns that are there.
            unsafe {
                for k in (0..whole).step_by(4) {
                    square(rows.add(k), stride, to.add(k * W), W);
                }
                if count > whole && count >= 4 {
                    square(rows.add(count - 4), stride, to.add((count - 4) * W), W);
                } else {
                    thin(
                        [4, count - whole],
                        (rows.add(whole), stride),
                        (to.add(whole * W), W),
                    );
                }
            }
        }
    }

    /// `to[i][k] = from[k][i]` for 4 and 4.
    #[inline]
    #[target_feature(enable = "avx")]
    unsafe fn square(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
        // SAFETY: by the caller's promise.
        unsafe {
            let pair = |k: usize, half: usize| {
                let at = from.add(k * from_stride + 2 * half);
                let low = _mm256_castpd128_pd256(_mm_loadu_pd(at));
                _mm256_insertf128_pd::<1>(low, _mm_loadu_pd(at.add(2 * from_stride)))
            };
            for half in 0..2 {
                let (a, b) = (pair(0, half), pair(1, half));
                _mm256_storeu_pd(to.add(2 * half * to_stride), _mm256_unpacklo_pd(a, b));
                _mm256_storeu_pd(to.add((2 * half + 1) * to_stride), _mm256_unpackhi_pd(a, b));
            }
        }
    }

    #[target_feature(enable = "avx")]
    pub(in super::super) fn apart(vectors: &[[f64; 3]], [x, y, z]: [&mut [f64]; 3]) {
        let (blocks, rest) = vectors.as_chunks::<4>();
        let [x, y, z] = [x, y, z].map(|axis| &mut axis[..vectors.len()]);
        let (x, x_rest) = x.as_chunks_mut::<4>();
        let (y, y_rest) = y.as_chunks_mut::<4>();
        let (z, z_rest) = z.as_chunks_mut::<4>();
        for (((block, x), y), z) in blocks.iter().zip(x).zip(y).zip(z) {
            let block = block.as_flattened();
            let part = |k: usize| {
                let (low, high) = (&block[k..k + 2], &block[k + 6..k + 8]);
                // SAFETY: two values each.
                unsafe {
                    let low = _mm256_castpd128_pd256(_mm_loadu_pd(low.as_ptr()));
                    _mm256_insertf128_pd::<1>(low, _mm_loadu_pd(high.as_ptr()))
                }
            };
            // x0 y0 x2 y2, z0 x1 z2 x3, y1 z1 y3 z3.
            let (a, b, c) = (part(0), part(2), part(4));
            // SAFETY: four values each.
            unsafe {
                _mm256_storeu_pd(x.as_mut_ptr(), _mm256_shuffle_pd::<0b1010>(a, b));
                _mm256_storeu_pd(y.as_mut_ptr(), _mm256_shuffle_pd::<0b0101>(a, c));
                _mm256_storeu_pd(z.as_mut_ptr(), _mm256_shuffle_pd::<0b1010>(b, c));
            }
        }
        for (i, &v) in rest.iter().enumerate() {
            [x_rest[i], y_rest[i], z_rest[i]] = v;
        }
    }
}
