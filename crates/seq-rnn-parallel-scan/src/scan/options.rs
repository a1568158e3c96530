//! Arguments and results of a scan.

use super::spec::{Algorithm, Cell, Sequences, Spec};
use burn::tensor::{Bool, DType, Tensor};
use core_tensor::ext::compute_dtype;

/// The inputs of a cell: all planes side by side in the last axis of one tensor, as one projection
/// makes them, or one tensor per plane. Packed planes save a copy in each direction.
#[derive(Debug, Clone)]
pub enum Planes {
    /// `[batch, time, planes · channels]`.
    Packed(Tensor<3>),
    /// `[batch, time, channels]` each.
    Separate(Vec<Tensor<3>>),
}

impl From<Tensor<3>> for Planes {
    fn from(planes: Tensor<3>) -> Self {
        Planes::Packed(planes)
    }
}

impl<const N: usize> From<[Tensor<3>; N]> for Planes {
    fn from(planes: [Tensor<3>; N]) -> Self {
        Planes::Separate(planes.into())
    }
}

/// Options of a scan; the default starts from the empty state and runs forwards over whole batch
/// entries.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// State before the first step, `[sequences, channels]`; a real state, not a pre-activation.
    pub initial: Option<Tensor<2>>,
    /// Whether time runs backwards: the initial state precedes the last step, and the last state is
    /// that of step 0.
    pub reverse: bool,
    /// `[batch, time]`: where true, the state before that step is forgotten, and no gradient crosses. The
    /// reset belongs to the step: an environment that ended at `t − 1` has its reset at `t`. What is left is the
    /// [empty state](Cell::empty_state), 0 but for [`Cell::Log`], whatever `initial` is: a layer's learned state too is
    /// for the first step only. Packed sequences start from it each.
    pub reset: Option<Tensor<2, Bool>>,
    /// Cumulative lengths `[0, l_1, l_1 + l_2, …, time]` of sequences packed one after the other into a
    /// single batch entry. Each starts from its own row of `initial`.
    pub cu_seqlens: Option<Vec<usize>>,
    /// For the gradient, keep one state every so many steps instead of all, and recompute the others:
    /// less memory for one more forward pass.
    pub checkpoint: Option<usize>,
    /// How a GPU splits the work; the CPU always runs step by step.
    pub algorithm: Algorithm,
}

impl ScanOptions {
    /// Starts from `initial`, see [`ScanOptions::initial`].
    pub fn with_initial(mut self, initial: Tensor<2>) -> Self {
        self.initial = Some(initial);
        self
    }

    /// Runs backwards in time, see [`ScanOptions::reverse`].
    pub fn with_reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// Forgets the state at some steps, see [`ScanOptions::reset`].
    pub fn with_reset(mut self, reset: Tensor<2, Bool>) -> Self {
        self.reset = Some(reset);
        self
    }

    /// Takes the single batch entry as packed sequences, see [`ScanOptions::cu_seqlens`].
    pub fn with_cu_seqlens(mut self, cu_seqlens: Vec<usize>) -> Self {
        self.cu_seqlens = Some(cu_seqlens);
        self
    }

    /// Saves memory for the gradient, see [`ScanOptions::checkpoint`].
    pub fn with_checkpoint(mut self, stride: usize) -> Self {
        self.checkpoint = Some(stride);
        self
    }

    /// Chooses how a GPU splits the work, see [`ScanOptions::algorithm`].
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }
}

/// Result of a scan.
#[derive(Debug, Clone)]
pub struct ScanOutput {
    /// Every state, `[batch, time, channels]`, in the dtype of the input.
    pub states: Tensor<3>,
    /// The state after the last step of every sequence, `[sequences, channels]`, unrounded: f32 for
    /// half-precision inputs, so that a carried state loses nothing.
    pub last: Tensor<2>,
}

/// Steps between the states kept for the gradient of [`Cell::Log`] in half precision.
const LOG_STRIDE: usize = 64;

/// Checked arguments, with absent tensors stood in for.
pub(super) struct Call {
    pub(super) tensors: [Tensor<3>; 3],
    pub(super) initial: Tensor<2>,
    pub(super) reset: Tensor<2>,
    pub(super) spec: Spec,
}

impl Call {
    pub(super) fn new(cell: Cell, planes: Planes, options: ScanOptions) -> Self {
        let (tensors, packed_planes) = match planes {
            Planes::Packed(x) => (vec![x], true),
            Planes::Separate(tensors) => (tensors, false),
        };
        let (shape, dtype, width) = check_planes(cell, &tensors, packed_planes);
        let [batch, time] = shape;
        let sequences = sequences(batch, time, options.cu_seqlens);
        assert!(
            options.checkpoint != Some(0),
            "scan: expected a checkpoint stride of at least 1, got 0"
        );
        // The gradient of a sum of logarithms is an exponential of their difference. Half precision rounds a logarithm of 100
        // by up to ¼, so the states that are handed out are of no use for it: they are computed again.
        let coarse = cell == Cell::Log && matches!(dtype, DType::BF16 | DType::F16);
        let checkpoint = options.checkpoint.or(coarse.then_some(LOG_STRIDE));
        let device = tensors[0].device();
        let carried = compute_dtype(dtype);
        let expected = [sequences.count(), width];
        let initial = match options.initial {
            Some(initial) => {
                assert_eq!(
                    initial.dims(),
                    expected,
                    "scan: expected an initial state [sequences, channels] = {expected:?}, got {:?}",
                    initial.dims()
                );
                initial.cast(carried)
            }
            None => Tensor::full(expected, cell.empty_state(), (&device, carried)),
        };
        let has_reset = options.reset.is_some();
        let reset = match options.reset {
            Some(reset) => {
                assert_eq!(
                    reset.dims(),
                    shape,
                    "scan: expected a reset mask [batch, time] = {shape:?}, got {:?}",
                    reset.dims()
                );
                reset.float().cast(carried)
            }
            None => Tensor::zeros([1, 1], (&device, carried)),
        };
        let first = tensors[0].clone();
        let mut tensors = tensors.into_iter();
        let tensors = core::array::from_fn(|_| tensors.next().unwrap_or_else(|| first.clone()));
        Self {
            tensors,
            initial,
            reset,
            spec: Spec {
                cell,
                packed_planes,
                sequences,
                reverse: options.reverse,
                has_reset,
                checkpoint,
                algorithm: options.algorithm,
            },
        }
    }
}

/// Batch and time, dtype, and channels of the state.
fn check_planes(cell: Cell, tensors: &[Tensor<3>], packed: bool) -> ([usize; 2], DType, usize) {
    let planes = cell.planes();
    if !packed {
        assert_eq!(
            tensors.len(),
            planes,
            "scan: {cell:?} expects {planes} planes, got {}",
            tensors.len()
        );
    }
    let [batch, time, columns] = tensors[0].dims();
    let dtype = tensors[0].dtype();
    assert!(
        matches!(dtype, DType::F64 | DType::F32 | DType::BF16 | DType::F16),
        "scan: expected f64, f32, bf16 or f16, got {dtype:?}"
    );
    for other in &tensors[1..] {
        assert_eq!(
            (other.dims(), other.dtype()),
            ([batch, time, columns], dtype),
            "scan: planes differ in shape or dtype"
        );
    }
    if packed {
        assert!(
            columns.is_multiple_of(planes),
            "scan: {cell:?} expects {planes} equal planes in the last axis, got {columns} columns"
        );
    }
    (
        [batch, time],
        dtype,
        if packed { columns / planes } else { columns },
    )
}

fn sequences(batch: usize, time: usize, cu_seqlens: Option<Vec<usize>>) -> Sequences {
    let Some(at) = cu_seqlens else {
        return Sequences::Batch { count: batch, time };
    };
    assert_eq!(
        batch, 1,
        "scan: cu_seqlens expects one batch entry, got {batch}"
    );
    assert!(
        at.first() == Some(&0) && at.last() == Some(&time) && at.is_sorted(),
        "scan: expected cu_seqlens to rise from 0 to the number of steps {time}, got {at:?}"
    );
    Sequences::Packed { at: at.into() }
}
