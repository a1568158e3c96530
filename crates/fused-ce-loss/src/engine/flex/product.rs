//! How products of each element type are taken.

use super::buffer::Buffer;
use super::matrix::{Matrix, MatrixMut, gemm_product};
#[cfg(target_arch = "x86_64")]
use super::packed;
use core_tensor::cpu::Storage;
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

macro_rules! plain {
    ($t:ty) => {
        impl Product for $t {
            type Factor = $t;

            fn factor<'a>(x: Matrix<'a, $t>, _: &'a mut Buffer<$t>) -> Matrix<'a, $t> {
                x
            }

            fn multiply(
                out: &mut MatrixMut<'_, $t>,
                a: Matrix<'_, $t>,
                b: Matrix<'_, $t>,
                accumulate: bool,
            ) {
                gemm_product(out, a, b, accumulate);
            }
        }
    };
}
plain!(f32);
plain!(f64);

// f16 holds neither the small gradients of logits nor has it instructions everywhere: widened once per panel.
impl Product for f16 {
    type Factor = f32;

    fn factor<'a>(x: Matrix<'a, f16>, scratch: &'a mut Buffer<f32>) -> Matrix<'a, f32> {
        x.widened(scratch)
    }

    fn multiply(
        out: &mut MatrixMut<'_, f32>,
        a: Matrix<'_, f32>,
        b: Matrix<'_, f32>,
        accumulate: bool,
    ) {
        gemm_product(out, a, b, accumulate);
    }
}

impl Product for bf16 {
    type Factor = bf16;

    fn factor<'a>(x: Matrix<'a, bf16>, _: &'a mut Buffer<bf16>) -> Matrix<'a, bf16> {
        x
    }

    fn multiply(
        out: &mut MatrixMut<'_, f32>,
        a: Matrix<'_, bf16>,
        b: Matrix<'_, bf16>,
        accumulate: bool,
    ) {
        #[cfg(target_arch = "x86_64")]
        if packed::available() {
            return packed::multiply(out, a, b, accumulate);
        }
        // Tiles are small: what is widened stays in the caches.
        let monitor = crate::plan::Monitor::default();
        let (mut left, mut right) = (Buffer::new(&monitor), Buffer::new(&monitor));
        gemm_product(out, a.widened(&mut left), b.widened(&mut right), accumulate);
    }
}
