//! Lanes from rows of memory, and rows from lanes.

use core::mem::MaybeUninit;
use core_tensor::cpu::Real;

/// Types whose matrices are transposed in registers.
pub(super) trait Transpose: Real {
    /// `rows[i · stride + k] = lanes[k][i]` for all `k` and `i`.
    ///
    /// # Panics
    /// If an element lies outside.
    fn scatter<const W: usize>(lanes: &[[Self; W]], rows: &mut [MaybeUninit<Self>], stride: usize);

    /// `lanes[k][i] = rows[i · stride + k]` for all `k` and `i`.
    ///
    /// # Panics
    /// If an element lies outside.
    fn gather<const W: usize>(rows: &[Self], stride: usize, lanes: &mut [[Self; W]]);

    /// Vectors apart: `x[i], y[i], z[i] = vectors[i]`.
    ///
    /// # Panics
    /// If one of the three is shorter.
    fn apart(vectors: &[[Self; 3]], xyz: [&mut [Self]; 3]);
}

/// Panics unless `W` rows of `width` values, `stride` apart, lie within `len`.
#[inline(always)]
fn check<const W: usize>(len: usize, width: usize, stride: usize) {
    assert!(
        W > 0 && (W - 1) * stride + width <= len,
        "transpose: {W} rows of {width} that are {stride} apart leave their {len} values"
    );
}

macro_rules! transpose {
    ($t:ty, $module:ident) => {
        #[allow(unsafe_code)]
        impl Transpose for $t {
            fn scatter<const W: usize>(
                lanes: &[[$t; W]],
                rows: &mut [MaybeUninit<$t>],
                stride: usize,
            ) {
                check::<W>(rows.len(), lanes.len(), stride);
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx") {
                    let (start, to) = (lanes.as_ptr().cast(), rows.as_mut_ptr().cast());
                    // SAFETY: AVX is there, and all rows lie inside.
                    return unsafe { avx::$module::scatter::<W>(start, lanes.len(), to, stride) };
                }
                plain::scatter(lanes, rows, stride);
            }

            fn gather<const W: usize>(rows: &[$t], stride: usize, lanes: &mut [[$t; W]]) {
                check::<W>(rows.len(), lanes.len(), stride);
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx") {
                    let (count, to) = (lanes.len(), lanes.as_mut_ptr().cast());
                    // SAFETY: AVX is there, and all rows lie inside.
                    return unsafe { avx::$module::gather::<W>(rows.as_ptr(), stride, to, count) };
                }
                plain::gather(rows, stride, lanes);
            }

            fn apart(vectors: &[[$t; 3]], [x, y, z]: [&mut [$t]; 3]) {
                #[cfg(target_arch = "x86_64")]
                if std::arch::is_x86_feature_detected!("avx") {
                    // SAFETY: AVX is there.
                    return unsafe { avx::$module::apart(vectors, [x, y, z]) };
                }
                plain::apart(vectors, [x, y, z]);
            }
        }
    };
}
transpose!(f32, single);
transpose!(f64, double);

/// For any processor.
mod plain {
    use super::MaybeUninit;

    pub(super) fn scatter<T: Copy, const W: usize>(
        lanes: &[[T; W]],
        rows: &mut [MaybeUninit<T>],
        stride: usize,
    ) {
        for i in 0..W {
            for (k, lane) in lanes.iter().enumerate() {
                rows[i * stride + k].write(lane[i]);
            }
        }
    }

    pub(super) fn gather<T: Copy, const W: usize>(rows: &[T], stride: usize, lanes: &mut [[T; W]]) {
        for i in 0..W {
            for (k, lane) in lanes.iter_mut().enumerate() {
                lane[i] = rows[i * stride + k];
            }
        }
    }

    pub(super) fn apart<T: Copy>(vectors: &[[T; 3]], [x, y, z]: [&mut [T]; 3]) {
        for (i, &v) in vectors.iter().enumerate() {
            [x[i], y[i], z[i]] = v;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[path = "avx.rs"]
mod avx;

#[cfg(test)]
mod tests {
    use super::*;

    type Scatter<T, const W: usize> = fn(&[[T; W]], &mut [MaybeUninit<T>], usize);

    /// The functions of [`Transpose`].
    struct Functions<T, const W: usize> {
        scatter: Scatter<T, W>,
        gather: fn(&[T], usize, &mut [[T; W]]),
        apart: fn(&[[T; 3]], [&mut [T]; 3]),
    }

    fn check_all<T: Transpose, const W: usize>() {
        check_one(&Functions::<T, W> {
            scatter: T::scatter,
            gather: T::gather,
            apart: T::apart,
        });
        check_one(&Functions::<T, W> {
            scatter: plain::scatter,
            gather: plain::gather,
            apart: plain::apart,
        });
    }

    fn check_one<T: Transpose, const W: usize>(functions: &Functions<T, W>) {
        let number = |i: usize| T::from_i32(i as i32);
        for count in 1..40 {
            for stride in [count, count + 5] {
                let lanes: Vec<[T; W]> = (0..count)
                    .map(|k| core::array::from_fn(|i| number(100 * k + i)))
                    .collect();
                let len = (W - 1) * stride + count;
                let mut rows = vec![MaybeUninit::new(T::NEG_INFINITY); len + 9];
                (functions.scatter)(&lanes, &mut rows[..len], stride);
                #[allow(unsafe_code)]
                // SAFETY: all were initialised.
                let rows: Vec<T> = rows.iter().map(|x| unsafe { x.assume_init() }).collect();
                for (at, &value) in rows.iter().enumerate() {
                    let (i, k) = (at / stride, at % stride);
                    let inside = at < len && k < count;
                    let want = if inside {
                        number(100 * k + i)
                    } else {
                        T::NEG_INFINITY
                    };
                    assert!(
                        value == want,
                        "{count} columns {stride} apart, {at}: {value:?}"
                    );
                }
                let mut back = vec![[T::ZERO; W]; count];
                (functions.gather)(&rows[..len], stride, &mut back);
                assert!(back == lanes, "{count} columns {stride} apart");
            }
        }
        for count in 0..40 {
            let vectors: Vec<[T; 3]> = (0..count)
                .map(|i| core::array::from_fn(|k| number(100 * k + i)))
                .collect();
            let mut axes = [(); 3].map(|()| vec![T::NEG_INFINITY; count + 3]);
            (functions.apart)(&vectors, axes.each_mut().map(|axis| &mut axis[..]));
            for (k, axis) in axes.iter().enumerate() {
                let (some, rest) = axis.split_at(count);
                assert!((0..count).all(|i| some[i] == number(100 * k + i)));
                assert!(rest.iter().all(|&x| x == T::NEG_INFINITY));
            }
        }
    }

    #[test]
    fn rows_and_lanes() {
        check_all::<f32, 16>();
        check_all::<f64, 8>();
    }

    #[test]
    #[should_panic(expected = "8 rows of 3 that are 4 apart leave their 30 values")]
    fn rows_outside_are_refused() {
        f64::scatter(&[[0.0; 8]; 3], &mut [MaybeUninit::new(0.0); 30], 4);
    }
}
