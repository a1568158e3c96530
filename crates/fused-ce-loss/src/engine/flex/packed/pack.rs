//! Packing of lines into panels.

use super::Element;
use core::arch::x86_64::*;

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
pub(super) unsafe fn from_lines<T: Element, const N: usize>(
    start: *const T,
    stride: isize,
    count: usize,
    depth: usize,
    out: *mut u32,
) {
    let words = depth.div_ceil(T::PER_WORD);
    for line in (0..count).step_by(GROUP) {
        for word in (0..words).step_by(GROUP) {
            let mask = first(depth - T::PER_WORD * word);
            let mut rows = [_mm512_setzero_si512(); 16];
            for (i, row) in rows.iter_mut().enumerate().take(count - line) {
                // SAFETY: masked to what exists.
                *row = unsafe {
                    let from = (T::PER_WORD * word) as isize;
                    let at = start.offset((line + i) as isize * stride + from);
                    match T::PER_WORD {
                        1 => _mm512_maskz_loadu_epi32(mask as u16, at.cast()),
                        _ => _mm512_maskz_loadu_epi16(mask, at.cast()),
                    }
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
pub(super) unsafe fn from_columns<T: Element, const N: usize>(
    start: *const T,
    [across, along]: [isize; 2],
    count: usize,
    depth: usize,
    out: *mut u32,
) {
    let words = depth.div_ceil(T::PER_WORD);
    for panel in (0..count).step_by(N) {
        for word in 0..words {
            // Groups of sixteen lines; of a narrower panel, all.
            for line in (0..N).step_by(GROUP) {
                let here = count.saturating_sub(panel + line).min(GROUP.min(N));
                let at = |element: usize| {
                    let line = (panel + line) as isize * across;
                    start.wrapping_offset(element as isize * along + line)
                };
                // SAFETY: of the elements that exist.
                let words_here = unsafe {
                    if T::PER_WORD == 1 {
                        lines_of_f32(at(word).cast(), across, here)
                    } else {
                        let low = lines_of_bf16(at(2 * word).cast(), across, here);
                        let high = if 2 * word + 1 < depth { here } else { 0 };
                        let high = lines_of_bf16(at(2 * word + 1).cast(), across, high);
                        let [low, high] = [low, high].map(|x| _mm512_cvtepu16_epi32(x));
                        _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
                    }
                };
                // SAFETY: the caller leaves room.
                unsafe {
                    let place = out.add(panel * words + word * N + line);
                    if N == 8 {
                        _mm256_storeu_si256(place.cast(), _mm512_castsi512_si256(words_here));
                    } else {
                        _mm512_storeu_si512(place.cast(), words_here);
                    }
                }
            }
        }
    }
}

/// One element of each of `count` lines, at most sixteen, `across` apart; zeros behind them.
///
/// # Safety
/// They exist, and so do the features.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn lines_of_f32(at: *const u32, across: isize, count: usize) -> __m512i {
    // SAFETY: promised.
    unsafe {
        if across == 1 {
            return _mm512_maskz_loadu_epi32(first(count) as u16, at.cast());
        }
        let mut values = [0_u32; GROUP];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            *value = *at.offset(i as isize * across);
        }
        _mm512_loadu_si512(values.as_ptr().cast())
    }
}

/// As [`lines_of_f32`].
///
/// # Safety
/// As [`lines_of_f32`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn lines_of_bf16(at: *const u16, across: isize, count: usize) -> __m256i {
    // SAFETY: promised.
    unsafe {
        if across == 1 {
            return _mm256_maskz_loadu_epi16(first(count) as u16, at.cast());
        }
        let mut values = [0_u16; GROUP];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            *value = *at.offset(i as isize * across);
        }
        _mm256_loadu_si256(values.as_ptr().cast())
    }
}
