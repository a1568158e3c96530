//! The numerical op behind every tensor product: the four partial products of one quadrilinear form.
//!
//! With `Φ(x, y, w, g) = ⟨f(x, y, w), g⟩`, where `f` is the tensor product, each of the four partial derivatives of
//! `Φ` is linear in the three other arguments. [`Slot::Out`] is the product itself, `∂Φ/∂g = f(x, y, w)`;
//! the other three are its gradients. The gradient of a partial product is again a partial product: that of
//! `∂Φ/∂s` by argument `t`, for a cotangent `c`, is `∂Φ/∂t` with `c` in the place of `s`. So these four functions are
//! all that any order of differentiation needs, and each of them is differentiable here.
//!
//! Paths without weights make `f` affine in `w` rather than linear: a derivative by the weights leaves them out, and so
//! do its derivatives ([`Spec::weighted_only`]).

mod backward;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;

#[cfg(feature = "cube")]
pub(super) use cube::{AllSteps, Uploads};

#[cfg(any(feature = "flex", feature = "cube"))]
use super::Path;
use super::{ProductPlan, WeightRows};
use burn::tensor::{DType, Tensor};
#[cfg(feature = "cube")]
use core_tensor::ext::TensorSpec;
use core_tensor::ext::{
    Backend, Dispatch, FloatTensor, backend_extension, compute_dtype, has_kernel, zeros,
};
use std::sync::Arc;

/// The arguments of the form `Φ(x, y, w, g)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first input, `[batch, irreps_in1.dim()]`.
    In1,
    /// The second input, `[batch, irreps_in2.dim()]`.
    In2,
    /// The weights, a row of `weight_numel` values per row of [`WeightRows`].
    Weight,
    /// The output, `[batch, irreps_out.dim()]`.
    Out,
}

impl Slot {
    /// All slots, in the order in which operands are given.
    pub const ALL: [Self; 4] = [Self::In1, Self::In2, Self::Weight, Self::Out];

    /// The three other slots, in order.
    pub fn others(self) -> [Self; 3] {
        match self {
            Self::In1 => [Self::In2, Self::Weight, Self::Out],
            Self::In2 => [Self::In1, Self::Weight, Self::Out],
            Self::Weight => [Self::In1, Self::In2, Self::Out],
            Self::Out => [Self::In1, Self::In2, Self::Weight],
        }
    }
}

/// Everything about a partial product that is not a tensor.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The product.
    pub plan: Arc<ProductPlan>,
    /// What is computed from the three other slots.
    pub slot: Slot,
    /// Which weights a row gets.
    pub rows: WeightRows,
    /// Rows of the inputs and the output.
    pub batch: usize,
    /// Whether paths without weights are left out: the form is linear in the weights without them only.
    pub weighted_only: bool,
}

impl Spec {
    /// Shape of the tensor of a slot.
    pub fn shape(&self, slot: Slot) -> [usize; 2] {
        match slot {
            Slot::In1 => [self.batch, self.plan.irreps_in1().dim()],
            Slot::In2 => [self.batch, self.plan.irreps_in2().dim()],
            Slot::Weight => [self.rows.count(self.batch), self.plan.weight_numel()],
            Slot::Out => [self.batch, self.plan.irreps_out().dim()],
        }
    }

    /// Of this partial product, for a cotangent in the place of its slot, the gradient by another slot.
    fn gradient(&self, slot: Slot) -> Self {
        Self {
            slot,
            weighted_only: self.weighted_only || self.slot == Slot::Weight,
            ..self.clone()
        }
    }

    /// The paths that count, each with its number.
    #[cfg(any(feature = "flex", feature = "cube"))]
    fn paths(&self) -> impl Iterator<Item = (usize, &Path)> {
        let all = self.plan.paths().iter().enumerate();
        let weighted_only = self.weighted_only || self.slot == Slot::Weight;
        all.filter(move |(_, path)| {
            let counts = path.instruction.has_weight || !weighted_only;
            counts && path.pairs() > 0 && path.mul[2] > 0
        })
    }
}

/// What a backend provides; [`partial`] checks its arguments and comes here.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait ProductBackend: Backend {
    /// The partial product for `spec.slot` of the operands of the three other slots, in the order of [`Slot::others`].
    /// All are f32 or all f64, and none is empty, except that a product without weights gets a stand-in for them.
    #[fusion(meta = |a, _b, _c, spec: &Spec| TensorSpec::new(spec.shape(spec.slot).into(), a.dtype))]
    fn partial_product(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        spec: Spec,
    ) -> FloatTensor<Self>;
}

/// The tensor product `f(x, y, w)` on the kernels, differentiable by everything.
///
/// # Shapes
/// - `x`: `[batch, irreps_in1.dim()]`; `y`: `[batch, irreps_in2.dim()]`
/// - `w`: as [`WeightRows`] says; absent for a product without weights
/// - output: `[batch, irreps_out.dim()]`
///
/// f64, f32, bf16 or f16, all the same; half-precision types are stored as such and computed in f32.
///
/// # Panics
/// If shapes or dtypes disagree.
pub fn tensor_product(
    plan: &Arc<ProductPlan>,
    x: Tensor<2>,
    y: Tensor<2>,
    w: Option<Tensor<2>>,
    rows: &WeightRows,
) -> Tensor<2> {
    let numel = plan.weight_numel();
    assert!(
        w.is_some() || numel == 0,
        "tensor product: no weights given, expected {numel} per row"
    );
    compute(plan, Slot::Out, [Some(x), Some(y), w], rows, false)
}

/// The part of the tensor product that is linear in the weights: without the paths that have none. What a change of
/// the weights changes.
///
/// # Shapes and panics
/// As [`tensor_product`].
pub fn weighted_part(
    plan: &Arc<ProductPlan>,
    x: Tensor<2>,
    y: Tensor<2>,
    w: Tensor<2>,
    rows: &WeightRows,
) -> Tensor<2> {
    compute(plan, Slot::Out, [x, y, w].map(Some), rows, true)
}

/// A partial derivative of `Φ(x, y, w, g)`: that by the argument of `slot`, from the three others in the order of
/// [`Slot::others`]. Differentiable, and linear in each operand (in the weights, if no path is without).
///
/// # Shapes
/// As [`tensor_product`]; the result has the shape of its slot. With shared weights, or weights by class, the
/// weights' slot is summed over the rows of the batch that share them.
///
/// # Panics
/// If shapes or dtypes disagree.
pub fn partial(
    plan: &Arc<ProductPlan>,
    slot: Slot,
    operands: [Tensor<2>; 3],
    rows: &WeightRows,
) -> Tensor<2> {
    compute(plan, slot, operands.map(Some), rows, false)
}

/// The partial derivative; of the operands, weights may be absent where there are none.
fn compute(
    plan: &Arc<ProductPlan>,
    slot: Slot,
    operands: [Option<Tensor<2>>; 3],
    rows: &WeightRows,
    weighted_only: bool,
) -> Tensor<2> {
    let places = slot.others();
    let given = places.iter().zip(&operands);
    let mut given = given.filter_map(|(place, operand)| Some((*place, operand.as_ref()?)));
    let (_, batched) = given
        .find(|(place, _)| matches!(place, Slot::In1 | Slot::In2))
        .expect("one of them is given");
    let (device, dtype) = (batched.device(), batched.dtype());
    let spec = Spec {
        plan: plan.clone(),
        slot,
        rows: rows.clone(),
        batch: batched.dims()[0],
        weighted_only,
    };
    check(&spec, &operands, dtype);
    let shape = spec.shape(slot);
    let nothing = |slot: Slot| spec.shape(slot).contains(&0);
    let without_weights = plan.weight_numel() == 0;
    if nothing(slot) || places.into_iter().any(|s| nothing(s) && s != Slot::Weight) {
        return zeros(shape, &device, dtype);
    }
    if nothing(Slot::Weight) && !without_weights {
        // Classes of which there are none: no rows either.
        return zeros(shape, &device, dtype);
    }
    if !has_kernel(&device, dtype) {
        return elsewhere(&spec, operands);
    }
    let wide = compute_dtype(dtype);
    let mut places = places.into_iter();
    let [a, b, c] = operands.map(|operand| {
        let weights = places.next() == Some(Slot::Weight);
        let operand = operand.filter(|_| !(weights && without_weights));
        let operand = operand.unwrap_or_else(|| Tensor::zeros([1, 1], (&device, dtype)));
        operand.cast(wide).into_dispatch()
    });
    Tensor::<2>::from_dispatch(Dispatch::partial_product(a, b, c, spec)).cast(dtype)
}

/// On other devices the product is its reference, which Burn differentiates by itself.
///
/// # Panics
/// If another partial product than the product itself is asked for.
fn elsewhere(spec: &Spec, operands: [Option<Tensor<2>>; 3]) -> Tensor<2> {
    #[cfg(feature = "cube")]
    core_tensor::ext::cube::fall_back(
        "tensor product",
        "only the CPU has a kernel; on this device all pairs of copies are stored",
    );
    assert!(
        spec.slot == Slot::Out,
        "tensor product: on this device only the product itself can be asked for, got {:?}",
        spec.slot
    );
    let [Some(x), Some(y), w] = operands else {
        unreachable!("the inputs are given");
    };
    let w = w.filter(|_| spec.plan.weight_numel() > 0);
    let run = |w: Option<Tensor<2>>| {
        reference::tensor_product(&spec.plan, x.clone(), y.clone(), w, &spec.rows)
    };
    if spec.weighted_only {
        // The product is affine in the weights.
        run(w.clone()) - run(w.map(|w| w.zeros_like()))
    } else {
        run(w)
    }
}

fn check(spec: &Spec, operands: &[Option<Tensor<2>>; 3], dtype: DType) {
    if let WeightRows::ByClass(classes) = &spec.rows {
        assert!(
            classes.rows() == spec.batch,
            "tensor product: classes of {} rows given for a batch of {}",
            classes.rows(),
            spec.batch
        );
    }
    for (slot, operand) in spec.slot.others().into_iter().zip(operands) {
        let Some(operand) = operand else { continue };
        let (want, got) = (spec.shape(slot), operand.dims());
        assert!(
            want == got,
            "tensor product: {slot:?} has shape {got:?}, expected {want:?}"
        );
        assert!(
            operand.dtype() == dtype,
            "tensor product: {slot:?} has dtype {:?}, expected {dtype:?} as the others",
            operand.dtype()
        );
    }
}
