//! Packing of lines into panels.

use core::arch::x86_64::*;
use half::bf16;

/// Lines that a transposition takes.
const GROUP: usize = 16;

/// A mask of the first `count` of sixteen or thirty-two.
fn first(count: usize) -> u32 {
    if count >= 32 {
        u32::MAX
    } else {
        (1 << count) - 1
    }
}

/// Transposes 16 × 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut a = rows;
    let mut t = rows;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for i in 0..4 {
        a[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for i in 0..4 {
        t[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[4 + i]);
        t[4 + i] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[4 + i]);
        t[8 + i] = _mm512_shuffle_i32x4::<0x88>(a[8 + i], a[12 + i]);
        t[12 + i] = _mm512_shuffle_i32x4::<0xdd>(a[8 + i], a[12 + i]);
    }
    for i in 0..8 {
        a[i] = _mm512_shuffle_i32x4::<0x88>(t[i], t[8 + i]);
        a[8 + i] = _mm512_shuffle_i32x4::<0xdd>(t[i], t[8 + i]);
    }
    a
}

/// Packs `count` lines of `depth` adjacent elements, `stride` from line to line, into panels of `N` lines.
/// Missing lines and elements become zeros.
///
/// # Safety
/// The elements exist; `out` has room for whole panels and for groups of sixteen lines; the features exist.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn from_lines<const N: usize>(
    start: *const bf16,
    stride: isize,
    count: usize,
    depth: usize,
    out: *mut u32,
) {
    let words = depth.div_ceil(2);
    for line in (0..count).step_by(GROUP) {
        for word in (0..words).step_by(GROUP) {
            let mask = first(depth - 2 * word);
            let mut rows = [_mm512_setzero_si512(); 16];
            for (i, row) in rows.iter_mut().enumerate().take(count - line) {
                // SAFETY: masked to what exists.
                *row = unsafe {
                    let at = start.offset((line + i) as isize * stride + 2 * word as isize);
                    _mm512_maskz_loadu_epi16(mask, at.cast())
                };
            }
            let columns = transpose(rows);
            for (j, &column) in columns.iter().enumerate().take(words - word) {
                // SAFETY: the caller leaves room.
                unsafe {
                    let place =
                        |line: usize| out.add(line / N * N * words + (word + j) * N + line % N);
                    if N == 8 {
                        _mm256_storeu_si256(place(line).cast(), _mm512_castsi512_si256(column));
                        let high = _mm512_extracti64x4_epi64::<1>(column);
                        _mm256_storeu_si256(place(line + 8).cast(), high);
                    } else {
                        _mm512_storeu_si512(place(line).cast(), column);
                    }
                }
            }
        }
    }
}

/// As [`from_lines`], of lines whose elements lie `along` apart, `across` from line to line; fast where that is 1.
///
/// # Safety
/// As [`from_lines`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn from_columns<const N: usize>(
    start: *const bf16,
    [across, along]: [isize; 2],
    count: usize,
    depth: usize,
    out: *mut u32,
) {
    let words = depth.div_ceil(2);
    for panel in (0..count).step_by(N) {
        for word in 0..words {
            // Groups of sixteen lines; of a narrower panel, all.
            for line in (0..N).step_by(GROUP) {
                let here = count.saturating_sub(panel + line).min(GROUP.min(N));
                let load = |element: usize| {
                    if element >= depth || here == 0 {
                        return _mm256_setzero_si256();
                    }
                    // SAFETY: masked to what exists.
                    unsafe {
                        let at = start
                            .offset(element as isize * along + (panel + line) as isize * across);
                        if across == 1 {
                            return _mm256_maskz_loadu_epi16(first(here) as u16, at.cast());
                        }
                        let mut values = [0_u16; GROUP];
                        for (i, value) in values.iter_mut().enumerate().take(here) {
                            *value = (*at.offset(i as isize * across)).to_bits();
                        }
                        _mm256_loadu_si256(values.as_ptr().cast())
                    }
                };
                let low = _mm512_cvtepu16_epi32(load(2 * word));
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(load(2 * word + 1)));
                let pairs = _mm512_or_si512(low, high);
                // SAFETY: the caller leaves room.
                unsafe {
                    let place = out.add(panel * words + word * N + line);
                    if N == 8 {
                        _mm256_storeu_si256(place.cast(), _mm512_castsi512_si256(pairs));
                    } else {
                        _mm512_storeu_si512(place.cast(), pairs);
                    }
                }
            }
        }
    }
}
