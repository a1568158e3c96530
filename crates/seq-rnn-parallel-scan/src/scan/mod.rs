//! First-order recurrences over time: [`linear_scan`], its log-space sibling [`log_scan`], and the
//! fused [`min_gru`] and [`min_lstm`].

mod backward;
#[cfg(feature = "flex")]
mod cell;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod options;
pub mod reference;
mod spec;

#[cfg(all(feature = "cube", feature = "testing"))]
#[doc(hidden)]
pub use cube::chain_anywhere;
pub use options::{Planes, ScanOptions, ScanOutput};
pub use spec::{Algorithm, Candidate, Cell, Sequences, Spec, Transition};

use burn::tensor::Tensor;
use core_tensor::ext::{Backend, Dispatch, FloatTensor, backend_extension};

/// Which output of a scan a gradient belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cotangent {
    /// All states, `[batch, time, channels]`.
    States,
    /// The last state of every sequence, `[sequences, channels]`.
    Last,
}

/// What a backend provides; [`linear_scan`] and its siblings check their arguments and come here.
///
/// Absent tensors are stood in for by a copy of the first; the [`Spec`] tells which ones count.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "cube"),
)]
pub trait ScanBackend: Backend {
    /// The states `[batch, time, channels]` in the dtype of the planes; the last states
    /// `[sequences, channels]` and those at the borders `[borders, channels]` in the compute dtype.
    #[fusion(meta = |x, _y, _z, initial, _reset, spec: &Spec| spec::outputs(x, initial, spec))]
    fn scan(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the planes (one tensor shaped as the packed planes, or `[planes, batch, time,
    /// channels]`) and of the initial states. `saved` is what [`ScanBackend::scan`] returned: the
    /// borders where the spec asks for checkpoints, else the states.
    #[fusion(meta = |x, _y, _z, initial, _reset, _saved, _cotangent, _kind, spec: &Spec| spec::gradients(x, initial, spec))]
    #[allow(
        clippy::too_many_arguments,
        reason = "the macro takes tensors as plain arguments only"
    )]
    fn scan_backward(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        initial: FloatTensor<Self>,
        reset: FloatTensor<Self>,
        saved: FloatTensor<Self>,
        cotangent: FloatTensor<Self>,
        kind: Cotangent,
        spec: Spec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Linear recurrence `h_t = a_t ⊙ h_{t−1} + b_t` along the time axis.
///
/// `a` may have any sign and size; in linear space the error of an `f32` scan does not grow with its
/// length for `|a| ≤ 1`. Everything is differentiable: `a`, `b`, the initial state, and through both
/// outputs.
///
/// # Shapes
/// - `a`, `b`: `[batch, time, channels]`, f64, f32, bf16 or f16
/// - states: `[batch, time, channels]`, same dtype; last: `[sequences, channels]` in f32 (f64 for f64),
///   where sequences is `batch` unless the options pack several into one entry
///
/// # Panics
/// If shapes or dtypes disagree, with the operation, what was expected and what was given.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use seq_rnn_parallel_scan::{ScanOptions, linear_scan};
///
/// let device = Device::flex();
/// let a = Tensor::<3>::from_floats([[[0.5], [-0.5], [2.0]]], &device);
/// let b = Tensor::<3>::from_floats([[[1.0], [1.0], [1.0]]], &device);
/// let out = linear_scan(a, b, ScanOptions::default());
/// assert_eq!(out.states.to_data().try_to_vec::<f32>().unwrap(), [1.0, 0.5, 2.0]);
/// ```
pub fn linear_scan(a: Tensor<3>, b: Tensor<3>, options: ScanOptions) -> ScanOutput {
    scan(Cell::Linear, [a, b], options)
}

/// Linear recurrence in log space: given `log a_t` and `log b_t`, returns
/// `log h_t = log(a_t h_{t−1} + b_t)`, by the associative operator `(log a, log b)` with
/// `logaddexp`. For dynamic ranges that a float cannot hold; otherwise [`linear_scan`] is faster and
/// no less exact. The initial state is `log h_0` (default `−∞`). No step of it subtracts large sums of
/// logarithms, unlike Heinsen's `cumsum`/`logcumsumexp` form ([`reference::heinsen_scan`]).
///
/// On a GPU, logarithms up to −10³⁰ count as −∞: shading languages cannot be relied on to compare with −∞.
///
/// # Shapes and panics
/// As [`linear_scan`].
pub fn log_scan(log_a: Tensor<3>, log_b: Tensor<3>, options: ScanOptions) -> ScanOutput {
    scan(Cell::Log, [log_a, log_b], options)
}

/// minGRU from its pre-activations, fused: `z = σ(k)`, `h_t = a_t ⊙ h_{t−1} + z_t ⊙ c(v_t)` with the
/// forget factor `a` of the [`Transition`] and the activation `c` of the [`Candidate`].
///
/// Follows "Were RNNs All We Needed?" (arXiv 2410.01201), Section 3.1, computed in linear space. `1 − z`
/// is computed as `σ(−k)`, which keeps its relative accuracy. Nothing is stored between the gates and
/// the states, and the gradient needs pre-activations and states only.
///
/// # Shapes
/// - `planes`: `[batch, time, 2 · channels]` packed `[k | v]`, or two tensors `[batch, time, channels]`;
///   with a signed transition a third plane: `[k | v | s]`
/// - output as [`linear_scan`]
///
/// # Panics
/// As [`linear_scan`].
pub fn min_gru(
    planes: impl Into<Planes>,
    candidate: Candidate,
    transition: Transition,
    options: ScanOptions,
) -> ScanOutput {
    scan(
        Cell::MinGru {
            candidate,
            transition,
        },
        planes,
        options,
    )
}

/// minLSTM from its pre-activations, fused: `h_t = f'_t ⊙ h_{t−1} + i'_t ⊙ c(v_t)`, where
/// `f' = σ(f)`, `i' = σ(i)`, or with `normalized` both divided by their sum.
///
/// Follows "Were RNNs All We Needed?" (arXiv 2410.01201), Section 3.2 and its length-independence
/// scaling, in linear space.
///
/// # Shapes
/// - `planes`: `[batch, time, 3 · channels]` packed `[f | i | v]`, or three tensors
/// - output as [`linear_scan`]
///
/// # Panics
/// As [`linear_scan`].
pub fn min_lstm(
    planes: impl Into<Planes>,
    candidate: Candidate,
    normalized: bool,
    options: ScanOptions,
) -> ScanOutput {
    scan(
        Cell::MinLstm {
            candidate,
            normalized,
        },
        planes,
        options,
    )
}

/// Any [`Cell`] over its planes: what the named functions call.
///
/// # Panics
/// As [`linear_scan`].
pub fn scan(cell: Cell, planes: impl Into<Planes>, options: ScanOptions) -> ScanOutput {
    let call = options::Call::new(cell, planes.into(), options);
    let [x, y, z] = call.tensors.map(Tensor::into_dispatch);
    let (states, last, _) = Dispatch::scan(
        x,
        y,
        z,
        call.initial.into_dispatch(),
        call.reset.into_dispatch(),
        call.spec,
    );
    ScanOutput {
        states: Tensor::from_dispatch(states),
        last: Tensor::from_dispatch(last),
    }
}
