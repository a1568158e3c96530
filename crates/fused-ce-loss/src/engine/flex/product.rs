//! How products of each element type are taken.

use super::buffer::Buffer;
use super::matrix::{Matrix, MatrixMut, gemm_product};
#[cfg(target_arch = "x86_64")]
use super::packed;
use super::random::{hash, mix};
use core_tensor::cpu::{Isa, Kernel, Storage};
use core_tensor::ext::flex::Compute;
use half::{bf16, f16};

/// An element type, and how its products are taken; all sums are in the compute type, on one thread, in an order that
/// depends on the shapes alone.
pub(super) trait Product: Storage {
    /// Type of the factors of a product, gradients of logits among them.
    type Factor: Product<Compute = Compute<Self>, Factor = Self::Factor>;

    /// `x` as a factor: itself, or widened into `scratch`, whose former content is lost.
    fn factor<'a>(
        x: Matrix<'a, Self>,
        scratch: &'a mut Buffer<Self::Factor>,
    ) -> Matrix<'a, Self::Factor>;

    /// Values, gradients of logits for example, as factors. Where that rounds, an entry below `large` is rounded up with
    /// the probability of its remainder, drawn from `key` and its place: neighbours that hold nearly the same value are
    /// not all rounded the same way, and sums over thousands of them stay right. Larger ones go to the nearest.
    fn round(values: &[Compute<Self>], out: &mut [Self::Factor], large: Compute<Self>, key: u32);

    /// `out = a · b`, or `out += a · b` where `accumulate`; otherwise `out` may start uninitialised.
    ///
    /// # Panics
    /// If the shapes disagree.
    fn multiply(
        out: &mut MatrixMut<'_, Compute<Self>>,
        a: Matrix<'_, Self::Factor>,
        b: Matrix<'_, Self::Factor>,
        accumulate: bool,
    );
}

/// As [`gemm_product`], whose packed blocks take ten megabytes per thread, in less memory where that is as fast.
fn multiply_f32(
    out: &mut MatrixMut<'_, f32>,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    accumulate: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if <f32 as packed::Element>::available() {
        return packed::multiply(out, a, b, accumulate);
    }
    gemm_product(out, a, b, accumulate);
}

macro_rules! plain {
    ($t:ty, $multiply:path) => {
        impl Product for $t {
            type Factor = $t;

            fn factor<'a>(x: Matrix<'a, $t>, _: &'a mut Buffer<$t>) -> Matrix<'a, $t> {
                x
            }

            fn round(values: &[$t], out: &mut [$t], _: $t, _: u32) {
                out.copy_from_slice(values);
            }

            fn multiply(
                out: &mut MatrixMut<'_, $t>,
                a: Matrix<'_, $t>,
                b: Matrix<'_, $t>,
                accumulate: bool,
            ) {
                $multiply(out, a, b, accumulate);
            }
        }
    };
}
plain!(f32, multiply_f32);
plain!(f64, gemm_product);

// f16 holds neither the small gradients of logits nor has it instructions everywhere: widened once per panel.
impl Product for f16 {
    type Factor = f32;

    fn factor<'a>(x: Matrix<'a, f16>, scratch: &'a mut Buffer<f32>) -> Matrix<'a, f32> {
        x.widened(scratch)
    }

    fn round(values: &[f32], out: &mut [f32], _: f32, _: u32) {
        out.copy_from_slice(values);
    }

    fn multiply(
        out: &mut MatrixMut<'_, f32>,
        a: Matrix<'_, f32>,
        b: Matrix<'_, f32>,
        accumulate: bool,
    ) {
        multiply_f32(out, a, b, accumulate);
    }
}

impl Product for bf16 {
    type Factor = bf16;

    fn factor<'a>(x: Matrix<'a, bf16>, _: &'a mut Buffer<bf16>) -> Matrix<'a, bf16> {
        x
    }

    fn round(values: &[f32], out: &mut [bf16], large: f32, key: u32) {
        Isa::detect().run(Dither {
            values,
            out,
            large,
            key,
        });
    }

    fn multiply(
        out: &mut MatrixMut<'_, f32>,
        a: Matrix<'_, bf16>,
        b: Matrix<'_, bf16>,
        accumulate: bool,
    ) {
        #[cfg(target_arch = "x86_64")]
        if <bf16 as packed::Element>::available() {
            return packed::multiply(out, a, b, accumulate);
        }
        // Tiles are small: what is widened stays in the caches.
        let monitor = crate::plan::Monitor::default();
        let (mut left, mut right) = (Buffer::new(&monitor), Buffer::new(&monitor));
        multiply_f32(out, a.widened(&mut left), b.widened(&mut right), accumulate);
    }
}

/// Stochastic rounding to bf16.
struct Dither<'a> {
    values: &'a [f32],
    out: &'a mut [bf16],
    large: f32,
    key: u32,
}

impl Kernel for Dither<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            values,
            out,
            large,
            key,
        } = self;
        let key = mix(key);
        for (i, (&x, out)) in values.iter().zip(out).enumerate() {
            let bits = x.to_bits();
            // What is cut off carries into the kept bits with the right probability; NaN and infinity stay what they are.
            let finite = bits & 0x7f80_0000 != 0x7f80_0000;
            // Half of what is cut off, and ties to even.
            let nearest = 0x7fff + (bits >> 16 & 1);
            let up = if x.abs() >= large {
                nearest
            } else {
                hash(key, i as u32) >> 16
            };
            let up = if finite { up } else { 0 };
            let quiet = if x.is_nan() { 0x0040_0000 } else { 0 };
            *out = bf16::from_bits((((bits + up) | quiet) >> 16) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_right_on_average_and_to_a_neighbour() {
        for x in [1.0_f32, 1.003, -0.777_7, 3.3e-20, 0.0, -1e-39] {
            let n = 1 << 14;
            let mut out = vec![bf16::ZERO; n];
            bf16::round(&vec![x; n], &mut out, f32::INFINITY, 5);
            let below = bf16::from_bits((x.to_bits() >> 16) as u16).to_f64();
            let above = bf16::from_bits((x.to_bits() >> 16) as u16 + 1).to_f64();
            assert!(
                out.iter()
                    .all(|v| v.to_f64() == below || v.to_f64() == above)
            );
            let mean = out.iter().map(|v| v.to_f64()).sum::<f64>() / n as f64;
            let bound = 2.0 * (above - below).abs() / (n as f64).sqrt();
            assert!((mean - f64::from(x)).abs() <= bound, "{x}: {mean}");
        }
        let mut out = [bf16::ZERO; 3];
        bf16::round(&[1.003, -1.003, 1.001], &mut out, 1.0, 5);
        assert_eq!(out, [1.003, -1.003, 1.001].map(bf16::from_f32));
        bf16::round(
            &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN],
            &mut out,
            0.0,
            5,
        );
        assert!(out[0] == bf16::INFINITY && out[1] == bf16::NEG_INFINITY && out[2].is_nan());
    }
}
