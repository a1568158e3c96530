//! Real spherical harmonics of any degree, with derivatives.
//!
//! # Definition
//! `Y^l: R³ → R^{2l+1}` are e3nn's: homogeneous polynomials of degree `l` (*solid* harmonics) that rotate with
//! `D^l`, components in the order `m = −l, …, l`, the polar axis being **y**. Angles are `x = sin β sin α`, `y = cos β`,
//! `z = sin β cos α`; there is no Condon–Shortley sign. In component normalisation the first are
//!
//! - `Y⁰ = 1`
//! - `Y¹ = √3 (x, y, z)`
//! - `Y² = (√15 xz, √15 xy, √5 (y² − (x² + z²)/2), √15 yz, √15/2 (z² − x²))`
//!
//! [`Normalization`] names the scale. With `normalize` the vector is divided by its length first; the zero vector then
//! gives 0 for `l > 0`, and its derivatives are 0 (e3nn's are of the order of 10¹²).
//!
//! # Computation
//! By a recursion downwards in the order whose coefficients are of the order of 1: no factorials, no limit of the
//! degree in sight (norms are right to 10⁻¹² at l = 200 in f64), no division by `ρ = √(x² + z²)`, so no special case at
//! the poles. The gradient of degree `l` is a sparse linear map of the values of degree `l − 1`, and
//! the second derivative the same map twice, so that value, gradient, derivative along a direction and its gradient
//! cost a few multiply-adds per component each. Nothing is stored for the backward pass but the vectors.
//!
//! # Derivatives
//! [`spherical_harmonics`] takes a tensor or a [`Dual`], and both are differentiable by everything:
//! the gradient of forces needs no more. [`spherical_harmonics_gradient`] is the gradient itself as a
//! differentiable op.

mod backward;
#[cfg(feature = "cube")]
mod cube;
mod evaluate;
#[cfg(feature = "flex")]
mod flex;
mod kernel;
mod layer;
pub mod reference;
mod spec;
mod table;

pub use evaluate::{Evaluation, Evaluator, evaluate};
pub use kernel::Scalar;
pub use layer::{HarmonicsError, SphericalHarmonics, SphericalHarmonicsConfig};
pub use spec::{Normalization, Spec};

use burn::tensor::{DType, Tensor};
use core_tensor::dual::{Dual, Value};
#[cfg(feature = "cube")]
use core_tensor::ext::TensorSpec;
use core_tensor::ext::{
    Backend, Dispatch, FloatTensor, backend_extension, compute_dtype, has_kernel, zeros,
};

/// What a backend with kernels of its own provides; all tensors have one dtype, f32 or f64, and are not empty.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait HarmonicsBackend: Backend {
    /// `Y(v)`, `[N, dim]`.
    #[fusion(meta = |v, spec: &Spec| promised(v, spec.dim()))]
    fn harmonics(v: FloatTensor<Self>, spec: Spec) -> FloatTensor<Self>;

    /// `∇Y(v) · v̇`, `[N, dim]`.
    #[fusion(meta = |v, _tangent, spec: &Spec| promised(v, spec.dim()))]
    fn harmonics_tangent(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self>;

    /// `Σ_i g_i ∇Y_i(v)`, `[N, 3]`.
    #[fusion(meta = |v, _cotangent, _spec: &Spec| promised(v, 3))]
    fn harmonics_gradient(
        v: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self>;

    /// `Σ_i g_i ∇(∇Y_i(v) · v̇)`, `[N, 3]`.
    #[fusion(meta = |v, _tangent, _cotangent, _spec: &Spec| promised(v, 3))]
    fn harmonics_curvature(
        v: FloatTensor<Self>,
        tangent: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self>;
}

/// Shape and dtype that an operation promises to Fusion.
#[cfg(feature = "cube")]
fn promised(v: &TensorSpec, columns: usize) -> TensorSpec {
    let [points, _] = v.shape.dims();
    TensorSpec::new([points, columns].into(), v.dtype)
}

/// Spherical harmonics of `vectors`, `[N, 3]`, for each of `degrees` in the given order: `[N, Σ (2l + 1)]`.
/// Degrees may repeat and come in any order.
///
/// `normalize` divides vectors by their length first; without it these are solid harmonics, polynomials of the
/// vector. Vectors shorter than the smallest normal number count as zero.
///
/// f64, f32, bf16 or f16; half-precision types are computed in f32. In f32 the error on unit vectors is below 3·10⁻⁶
/// up to l = 12; from l = 25 on, where its range would not do, f32 is computed in f64, by GPUs without f64 on the CPU.
///
/// # Panics
/// If `vectors` is not `[N, 3]`.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use e3nn_tensorprod::sh::{Normalization, spherical_harmonics};
///
/// let device = Device::flex();
/// let edges = Tensor::<2>::from_floats([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]], &device);
/// let y = spherical_harmonics(&[0, 1, 2], edges, true, Normalization::Component);
/// assert_eq!(y.dims(), [2, 9]);
/// let y = y.into_data().try_to_vec::<f32>().unwrap();
/// // Along the polar axis only m = 0 is there, with √(2l + 1).
/// let want = [1.0, 0.0, 3_f32.sqrt(), 0.0, 0.0, 0.0, 5_f32.sqrt(), 0.0, 0.0];
/// assert!(y.iter().zip(want).all(|(y, want)| (y - want).abs() < 1e-6));
/// ```
pub fn spherical_harmonics<V: Value<2>>(
    degrees: &[usize],
    vectors: V,
    normalize: bool,
    normalization: Normalization,
) -> V {
    let spec = Spec {
        degrees: degrees.into(),
        normalize,
        normalization,
    };
    V::from_dual(with_spec(&spec, vectors.into()))
}

fn with_spec(spec: &Spec, vectors: Dual<2>) -> Dual<2> {
    let dtype = check(&vectors.value);
    let wide = compute_dtype(dtype);
    let [points, _] = vectors.dims();
    if points * spec.dim() == 0 {
        return vectors.linear(|x| zeros([points, spec.dim()], &x.device(), dtype));
    }
    let vectors = vectors.linear(|x| x.cast(wide));
    if !has_kernel(&vectors.value.device(), wide) {
        return reference::spherical_harmonics(spec, vectors).linear(|x| x.cast(dtype));
    }
    values_and_tangents(spec, vectors).linear(|x| x.cast(dtype))
}

/// `Σ_i g_i ∇Y_i(v)`: the gradient of `⟨Y(v), g⟩` by `v`, `[N, 3]`, from `vectors` `[N, 3]` and `cotangent`
/// `[N, Σ (2l + 1)]`. Linear in the cotangent and differentiable by both, so that forces may be part of an
/// ordinary forward pass.
///
/// # Panics
/// If shapes or dtypes disagree.
pub fn spherical_harmonics_gradient(
    degrees: &[usize],
    vectors: Tensor<2>,
    cotangent: Tensor<2>,
    normalize: bool,
    normalization: Normalization,
) -> Tensor<2> {
    let spec = Spec {
        degrees: degrees.into(),
        normalize,
        normalization,
    };
    let dtype = check(&vectors);
    let [points, _] = vectors.dims();
    let (want, got) = ([points, spec.dim()], cotangent.dims());
    assert!(
        want == got,
        "spherical harmonics: the cotangent has shape {got:?}, expected {want:?}"
    );
    assert!(
        cotangent.dtype() == dtype,
        "spherical harmonics: the cotangent has dtype {:?}, expected {dtype:?} as the vectors",
        cotangent.dtype()
    );
    if points * spec.dim() == 0 {
        return zeros([points, 3], &vectors.device(), dtype);
    }
    let wide = compute_dtype(dtype);
    let (vectors, cotangent) = (vectors.cast(wide), cotangent.cast(wide));
    if has_kernel(&vectors.device(), wide) {
        gradient(&spec, vectors, cotangent).cast(dtype)
    } else {
        reference::gradient(&spec, vectors, cotangent).cast(dtype)
    }
}

fn check(vectors: &Tensor<2>) -> DType {
    let [points, columns] = vectors.dims();
    assert!(
        columns == 3,
        "spherical harmonics: vectors have shape {:?}, expected [N, 3]",
        [points, columns]
    );
    vectors.dtype()
}

fn values_and_tangents(spec: &Spec, vectors: Dual<2>) -> Dual<2> {
    let v = vectors.value;
    let tangent = vectors.tangent.map(|tangent| {
        let (v, tangent) = (v.clone().into_dispatch(), tangent.into_dispatch());
        Tensor::from_dispatch(Dispatch::harmonics_tangent(v, tangent, spec.clone()))
    });
    Dual {
        value: Tensor::from_dispatch(Dispatch::harmonics(v.into_dispatch(), spec.clone())),
        tangent,
    }
}

fn gradient(spec: &Spec, v: Tensor<2>, cotangent: Tensor<2>) -> Tensor<2> {
    let (v, cotangent) = (v.into_dispatch(), cotangent.into_dispatch());
    Tensor::from_dispatch(Dispatch::harmonics_gradient(v, cotangent, spec.clone()))
}
